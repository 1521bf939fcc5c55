"""One run, from flags to files: configuration, build, training loop, checkpoints, evaluation and report."""
