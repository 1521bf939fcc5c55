"""Mixtures of Gaussians in the plane. Their modes are known exactly, so the modes that a GAN loses can be counted."""

import numpy as np

from gan_jax.data.source import Source, choose_split

POINTS = 100_000
HELD_OUT = 10_000


def ring_centers(modes: int = 8, radius: float = 1.0) -> np.ndarray:
    """Centres evenly spaced on a circle, float32 [modes, 2]. The first is at (radius, 0), and the others follow counter-clockwise."""
    angle = 2 * np.pi * np.arange(modes) / modes
    return (radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)).astype(np.float32)


def grid_centers(side: int = 5, spacing: float = 2.0) -> np.ndarray:
    """Centres on a square grid around the origin, float32 [side^2, 2], row by row from the lower left."""
    axis = spacing * (np.arange(side) - (side - 1) / 2)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2).astype(np.float32)


def mixture(name: str, centers: np.ndarray, std: float, *, split: str = "train", seed: int = 0, count: int = POINTS) -> Source:
    """Samples points of an even mixture of Gaussians: x = centers[k] + std * n, with k uniform and n standard normal.

    Args:
        name: Name of the source.
        centers: float32 [modes, dim].
        std: Standard deviation of each component, in the units of the centers.
        split: "train" (`count` points), "test" (10,000 other points), or "all", which is the same as "train" with nothing held out.
        seed: Random seed of the points.
        count: Number of points.

    Returns:
        A `Source` of points, float32 [count, dim]. The label of a point is its component. train and test hold each other out.
    """
    choose_split(name, split, ("train", "test", "all"))

    def draw(part: str, stream: int, count: int, held_out: Source | None) -> Source:
        rng = np.random.Generator(np.random.Philox(key=np.array([seed % 2**64, stream], np.uint64)))
        labels = rng.integers(len(centers), size=count, dtype=np.int32)
        points = centers[labels] + np.float32(std) * rng.standard_normal((count, centers.shape[1]), np.float32)
        provenance = f"drawn from {len(centers)} Gaussians of standard deviation {std} by seed {seed}"
        return Source(name, points, labels, len(centers), part, provenance, held_out, centers=centers, std=std)

    if split == "test":
        return draw("test", 1, HELD_OUT, draw("train", 0, count, None))
    return draw(split, 0, count, draw("test", 1, HELD_OUT, None) if split == "train" else None)


def load_ring(*, split: str = "train", seed: int = 0, count: int = POINTS) -> Source:
    """Eight Gaussians of standard deviation 0.01 on the unit circle.

    Args:
        split: "train", "test" or "all".
        seed: Random seed of the points.
        count: Number of points.

    References:
        Metz et al., "Unrolled generative adversarial networks", 2017. Their ring has radius 2 and standard deviation 0.02.
        Srivastava et al., "VEEGAN", 2017, and Lin et al., "PacGAN", 2018, use the ring of this function.
    """
    return mixture("ring", ring_centers(), 0.01, split=split, seed=seed, count=count)


def load_grid(*, split: str = "train", seed: int = 0, count: int = POINTS) -> Source:
    """Twenty-five Gaussians of standard deviation 0.05 on a 5x5 grid, from -4 to 4.

    Args:
        split: "train", "test" or "all".
        seed: Random seed of the points.
        count: Number of points.

    References:
        Srivastava et al., "VEEGAN", 2017.
        Lin et al., "PacGAN", 2018.
    """
    return mixture("grid", grid_centers(), 0.05, split=split, seed=seed, count=count)
