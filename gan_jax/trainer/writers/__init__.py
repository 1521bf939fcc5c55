"""The files that a run writes while it trains: metrics, timing, samples and TensorBoard events."""
