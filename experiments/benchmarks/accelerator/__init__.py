"""What is measured first on an accelerator: correctness, steps, seeds, a search, a recipe, the data, and placements."""
