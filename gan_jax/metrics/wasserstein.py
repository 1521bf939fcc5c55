"""Sliced Wasserstein distance between images, for each level of a Laplacian pyramid."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gan_jax.metrics.arrays import as_images, to_float

_PATCH = 7
_SMALLEST = 16
_CHUNK = 256


class SlicedWasserstein(NamedTuple):
    """Sliced Wasserstein distance, multiplied by 1,000 as in papers.

    Attributes:
        value: Mean over the levels.
        per_level: Maps the shorter side of a level in pixels to its distance. Large levels measure texture, and the smallest one measures
            coarse structure.
    """

    value: float
    per_level: dict[int, float]


def _blur(images: np.ndarray, axis: int) -> np.ndarray:
    pad = [(0, 0)] * images.ndim
    pad[axis] = (2, 2)
    x = np.moveaxis(np.pad(images, pad, mode="reflect"), axis, 0)
    blurred = (x[:-4] + x[4:] + 4 * (x[1:-3] + x[3:-1]) + 6 * x[2:-2]) * np.float32(1 / 16)
    return np.moveaxis(blurred, 0, axis)


def _down(images):
    return np.ascontiguousarray(_blur(_blur(images, 1)[:, ::2], 2)[:, :, ::2])


def _up(images):
    batch, height, width, channels = images.shape
    spread = np.zeros((batch, 2 * height, 2 * width, channels), images.dtype)
    spread[:, ::2, ::2] = images
    return 4 * _blur(_blur(spread, 1), 2)


def laplacian_pyramid(images: np.ndarray, levels: int) -> list[np.ndarray]:
    """Splits images into bands of spatial frequency: differences of successive Gaussian blurs, with the coarsest blur last.

    Args:
        images: float32 [batch, height, width, channels], with sides divisible by 2^(levels - 1).
        levels: Number of bands.

    Returns:
        The bands, float32 [batch, height / 2^i, width / 2^i, channels]. Upsampling and adding them gives the images.

    References:
        Burt and Adelson, "The Laplacian pyramid as a compact image code", 1983. The kernel is [1, 4, 6, 4, 1] / 16, with mirrored
        borders.
    """
    pyramid = [images]
    for _ in range(levels - 1):
        smaller = _down(pyramid[-1])
        pyramid[-1] = pyramid[-1] - _up(smaller)
        pyramid.append(smaller)
    return pyramid


def _patches(level: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    images = np.repeat(np.arange(len(level)), count)
    tops = generator.integers(0, level.shape[1] - _PATCH + 1, len(images))
    lefts = generator.integers(0, level.shape[2] - _PATCH + 1, len(images))
    return np.lib.stride_tricks.sliding_window_view(level, (_PATCH, _PATCH), axis=(1, 2))[images, tops, lefts]


def _descriptors(images: np.ndarray, levels: int, count: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    parts: list[list[np.ndarray]] = [[] for _ in range(levels)]
    for start in range(0, len(images), _CHUNK):
        pyramid = laplacian_pyramid(to_float(images[start : start + _CHUNK], 0, 255), levels)
        for part, level in zip(parts, pyramid):
            part.append(_patches(level, count, generator))
    for part in parts:
        patches = np.concatenate(part)  # [patches, channels, 7, 7]
        part.clear()
        patches -= patches.mean(axis=(0, 2, 3), keepdims=True, dtype=np.float64).astype(np.float32)
        deviation = np.sqrt(np.mean(np.square(patches), axis=(0, 2, 3), keepdims=True, dtype=np.float64)).astype(np.float32)
        # Avoids 0 / 0 for a level without variation, e.g. if the generator has collapsed to flat images.
        patches /= np.where(deviation > 0, deviation, 1)
        yield patches.reshape(len(patches), -1)


def sliced_wasserstein(
    real_images, fake_images, *, patches: int = 128, repeats: int = 4, projections: int = 128, seed: int = 0
) -> SlicedWasserstein:
    """Sliced Wasserstein distance between patches of real and fake images, for each level of a Laplacian pyramid.

        SWD = 1000 mean over unit directions u of W1({u . real patch}, {u . fake patch})

    The 7x7 patches are taken at random positions. They are normalised per channel by the mean and deviation of all patches of their own
    set. The levels go from the full size down to 16 pixels.

    Args:
        real_images: uint8 or float in [-1, 1], [batch, height, width, channels], with at least 16 pixels per side. Both sides must halve
            evenly down to the smallest level.
        fake_images: The same number of images of the same shape.
        patches: Number of patches of each image and level.
        repeats: Number of batches of directions.
        projections: Number of directions in a batch.
        seed: Random seed of positions and directions.

    Returns:
        The mean over the levels and the distance of each level, both multiplied by 1,000. Equal distributions do not give 0, because
        the patches are random. Report the value of reals against reals for comparison.

    Raises:
        ValueError: If the images differ in number or shape, if a side is too small or does not halve evenly, or if patches, repeats or
            projections is below 1.
        TypeError: If the images are neither uint8 nor floating point.

    References:
        Karras et al., "Progressive growing of GANs", 2018, and its code, which uses 8,192 to 16,384 images. Here the number of channels
        does not have to be 3.
    """
    real_images, fake_images = as_images(real_images=real_images, fake_images=fake_images)
    if len(real_images) != len(fake_images):
        raise ValueError(f"real_images and fake_images must hold the same number of images; got {len(real_images)} and {len(fake_images)}")
    height, width = real_images.shape[1:3]
    if min(height, width) < _SMALLEST:
        raise ValueError(f"images must have at least {_SMALLEST} pixels per side; got {height}x{width}")
    if min(patches, repeats, projections) < 1:
        raise ValueError(f"patches, repeats and projections must be at least 1; got {patches}, {repeats} and {projections}")
    levels = (min(height, width) // _SMALLEST).bit_length()
    if height % 2 ** (levels - 1) or width % 2 ** (levels - 1):
        raise ValueError(f"images of {levels} levels must have sides divisible by {2 ** (levels - 1)}; got {height}x{width}")
    generator = np.random.default_rng(seed)
    real_levels = _descriptors(real_images, levels, patches, generator)
    fake_levels = _descriptors(fake_images, levels, patches, generator)
    per_level = {}
    for i, (real, fake) in enumerate(zip(real_levels, fake_levels)):
        distances = []
        for _ in range(repeats):
            directions = generator.standard_normal((real.shape[1], projections))
            directions = (directions / np.linalg.norm(directions, axis=0)).astype(np.float32)
            # Each row is one direction, so that each sort runs over contiguous memory.
            gaps = np.sort(directions.T @ real.T, axis=1) - np.sort(directions.T @ fake.T, axis=1)
            distances.append(np.abs(gaps).mean(dtype=np.float64))
        per_level[min(height, width) >> i] = 1000 * float(np.mean(distances))
    return SlicedWasserstein(float(np.mean(list(per_level.values()))), per_level)
