"""Parts of `experiments/studies/ablations/ablate.py`."""
