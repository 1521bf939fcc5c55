"""The update rules compared on mixtures of Gaussians."""
