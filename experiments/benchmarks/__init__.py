"""Parts of `experiments/benchmarks/benchmark.py`."""
