"""Builds a GAN from a configuration: names become functions."""
