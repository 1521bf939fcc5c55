"""Benchmarks: `python -m experiments.benchmarks.run --list`."""
