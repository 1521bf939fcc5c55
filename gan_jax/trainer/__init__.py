"""One run, from flags to files: configuration, build, loop, checkpoints, evaluation, report."""
