"""What a run writes while it trains: metrics, samples, TensorBoard files."""
