"""Helpers that several packages of the library share. Nothing here is public."""
