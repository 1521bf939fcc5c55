"""Writes the tables and figures of the documentation."""
