"""Corruptions of ADA's full set: random amplification of frequency bands, additive noise, and a cut-out rectangle."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gan_jax.augment.geometry import gate
from gan_jax.typing import Array

# Ranges of Karras et al. (2020), appendix B.
FILTER_STD = 1.0  # standard deviation of log2 of the amplification of a band
NOISE_STD = 0.1
CUTOUT_SIZE = 0.5  # fraction of the image size

# Power of natural images in each band, the lowest first. It falls as 1 / f.
BAND_POWER = np.array([10, 1, 1, 1]) / 13

# Symlet with two vanishing moments, the low-pass filter that the paper builds its bands of.
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)


def filter_bank() -> np.ndarray:
    """The taps of the four bands, float64 [4, 43]: [0, pi / 8], then up to pi / 4, pi / 2 and pi. They add up to the identity."""
    low = np.array(SYM2)
    high = low * (-1.0) ** np.arange(4)
    low, high = np.convolve(low, low[::-1]) / 2, np.convolve(high, high[::-1]) / 2
    bank = np.eye(4, 1)
    for band in range(1, 4):
        finer = np.zeros((4, 2 * bank.shape[1] - 1))
        finer[:, ::2] = bank
        bank = np.stack([np.convolve(row, low) for row in finer])
        middle = bank.shape[1] // 2
        bank[band, middle - 3 : middle + 4] += high
    return bank


def _band_matrices(extent: int) -> np.ndarray:
    """The bands as matrices that act on an axis of the mirrored image, float32 [4, extent, extent]."""
    bank = filter_bank()
    source = np.eye(extent)[np.pad(np.arange(extent), bank.shape[1] // 2, mode="reflect")]
    return np.stack([bank @ source[row : row + bank.shape[1]] for row in range(extent)], axis=1).astype(np.float32)


def band_gains(amplifications: Array) -> Array:
    """Gains of the bands, normalised one band after the other so that images with `BAND_POWER` keep their power.

        g = t / prod_i sqrt(1 + power_i (t_i^2 - 1))

    Args:
        amplifications: t, float [batch, 4].

    Returns:
        Gains g, [batch, 4]. They are 1 if all amplifications are 1.
    """
    power = 1 + BAND_POWER.astype(np.float32) * (jnp.square(amplifications) - 1)
    return amplifications / jnp.sqrt(jnp.prod(power, axis=1, keepdims=True))


def filter_images(images: Array, gains: Array) -> Array:
    """Multiplies the frequency bands of images by gains [batch, 4], along both axes.

    The images are mirrored beyond their border. If all gains are 1, the image is returned bit for bit unchanged.
    """
    rows, columns = (jnp.einsum("bn,nij->bij", gains, _band_matrices(extent)) for extent in images.shape[1:3])
    filtered = jnp.einsum("bij,bjkc,blk->bilc", rows, images.astype(jnp.float32), columns, precision=jax.lax.Precision.HIGHEST)
    unchanged = jnp.all(gains == 1, axis=1)
    return jnp.where(unchanged[:, None, None, None], images, filtered.astype(images.dtype))


def filter_randomly(images: Array, rng: Array, probability: ArrayLike) -> Array:
    """Amplifies each of four frequency bands with `probability`, by a log-normal factor."""
    gate_rng, normal_rng = jax.random.split(rng)
    exponents = gate(gate_rng, probability, jax.random.normal(normal_rng, (4 * images.shape[0],)), 0.0).reshape(-1, 4)
    return filter_images(images, band_gains(jnp.exp2(FILTER_STD * exponents)))


def add_noise(images: Array, rng: Array, probability: ArrayLike) -> Array:
    """Adds Gaussian noise with `probability`. Its standard deviation is half-normal with scale `NOISE_STD`."""
    gate_rng, std_rng, noise_rng = jax.random.split(rng, 3)
    std = gate(gate_rng, probability, NOISE_STD * jnp.abs(jax.random.normal(std_rng, images.shape[:1])), 0.0)[:, None, None, None]
    noisy = images + (std * jax.random.normal(noise_rng, images.shape)).astype(images.dtype)
    return jnp.where(std > 0, noisy, images)


def cut(images: Array, sizes: Array, centers: Array) -> Array:
    """Sets a rectangle of each image to 0 (mid-grey).

    Args:
        images: Float [batch, height, width, channels].
        sizes: Sides of the rectangle as a fraction of the image size, float [batch]. 0 cuts nothing.
        centers: Centre (x, y) of the rectangle as a fraction of the image size, float [batch, 2]. Parts outside are ignored.
    """
    _, height, width, _ = images.shape

    def inside(extent: int, center: Array) -> Array:
        return jnp.abs((jnp.arange(extent, dtype=jnp.float32) + 0.5) / extent - center[:, None]) < sizes[:, None] / 2

    mask = inside(height, centers[:, 1])[:, :, None] & inside(width, centers[:, 0])[:, None, :]
    return jnp.where(mask[..., None], 0, images)


def cut_randomly(images: Array, rng: Array, probability: ArrayLike) -> Array:
    """Cuts a rectangle of half the size out of each image with `probability`, at a uniform position."""
    gate_rng, center_rng = jax.random.split(rng)
    batch = images.shape[0]
    return cut(images, gate(gate_rng, probability, jnp.full(batch, CUTOUT_SIZE), 0.0), jax.random.uniform(center_rng, (batch, 2)))
