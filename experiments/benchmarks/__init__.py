"""Parts of `experiments/benchmark.py`."""
