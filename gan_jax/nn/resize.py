"""Changing the size of images without parameters: pooling, repeating, interpolating.

All are written as reshapes and sums, which XLA fuses and differentiates any number of times at full speed.
"""

import jax.numpy as jnp

from gan_jax._checks import check_rank
from gan_jax.typing import Array


def _windows(x: Array, factor: int) -> Array:
    """[batch, h, w, c] as [batch, h / r, r, w / r, r, c]."""
    check_rank(4, x=x)
    batch, height, width, channels = x.shape
    if factor < 1 or height % factor or width % factor:
        raise ValueError(f"height and width must be multiples of factor = {factor}; got x {x.shape}")
    return x.reshape(batch, height // factor, factor, width // factor, factor, channels)


def average_pool(x: Array, factor: int = 2) -> Array:
    """Mean over windows of factor x factor pixels that do not overlap; PyTorch's `avg_pool2d(x, factor)`.

    Args:
        x: float [batch, height, width, channels].
        factor: side of a window.

    Returns:
        [batch, height / factor, width / factor, channels].

    Raises:
        ValueError: x is not of rank 4, or its sides are not multiples of factor.
    """
    return _windows(x, factor).mean(axis=(2, 4))


def max_pool(x: Array, factor: int = 2) -> Array:
    """Maximum over windows of factor x factor pixels that do not overlap; PyTorch's `max_pool2d(x, factor)`.

    Where several pixels are the greatest, they share the gradient; PyTorch gives it to the first.

    Args:
        x: float [batch, height, width, channels].
        factor: side of a window.

    Returns:
        [batch, height / factor, width / factor, channels].

    Raises:
        ValueError: x is not of rank 4, or its sides are not multiples of factor.
    """
    return _windows(x, factor).max(axis=(2, 4))


def resize_nearest(x: Array, factor: int = 2) -> Array:
    """Repeats every pixel factor x factor times; PyTorch's `interpolate(mode="nearest")`.

    Args:
        x: any dtype [batch, height, width, channels].
        factor: how often more pixels a side.

    Returns:
        [batch, height * factor, width * factor, channels].

    Raises:
        ValueError: x is not of rank 4, or factor is below 1.
    """
    check_rank(4, x=x)
    if factor < 1:
        raise ValueError(f"factor must be at least 1; got {factor}")
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (batch, height, factor, width, factor, channels))
    return x.reshape(batch, height * factor, width * factor, channels)


def _double(x: Array, axis: int, mode: str) -> Array:
    """Linear interpolation to twice the size along an axis: 3/4 of the pixel and 1/4 of its neighbour on either side."""
    widths = [(1, 1) if a == axis else (0, 0) for a in range(x.ndim)]
    padded = jnp.pad(x, widths, mode=mode)
    size = x.shape[axis]
    before, after = _slice(padded, axis, 0, size), _slice(padded, axis, 2, size)
    pairs = jnp.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis=axis + 1)
    return pairs.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])


def _slice(x: Array, axis: int, start: int, size: int) -> Array:
    return x[(slice(None),) * axis + (slice(start, start + size),)]


def resize_bilinear(x: Array) -> Array:
    """Doubles the sides by bilinear interpolation; PyTorch's `interpolate(mode="bilinear", align_corners=False)`.

    Args:
        x: float [batch, height, width, channels].

    Returns:
        [batch, 2 * height, 2 * width, channels].

    Raises:
        ValueError: x is not of rank 4.
    """
    check_rank(4, x=x)
    return _double(_double(x, 1, "edge"), 2, "edge")


def filtered_upsample(x: Array) -> Array:
    """Doubles the sides with the filter [1, 3, 3, 1] / 4 along each; outside the image there are zeros.

    Inside it is bilinear interpolation. The adjoint of `filtered_downsample`, times four.

    Args:
        x: float [batch, height, width, channels].

    Returns:
        [batch, 2 * height, 2 * width, channels].

    Raises:
        ValueError: x is not of rank 4.

    References:
        Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020; Huang et al., "The GAN is dead; long
        live the GAN!", 2024, whose resampling filter [1, 2, 1] makes this one.
    """
    check_rank(4, x=x)
    return _double(_double(x, 1, "constant"), 2, "constant")


def filtered_downsample(x: Array) -> Array:
    """Halves the sides with the filter [1, 3, 3, 1] / 8 along each; outside the image there are zeros.

    Args:
        x: float [batch, height, width, channels], of even sides.

    Returns:
        [batch, height / 2, width / 2, channels].

    Raises:
        ValueError: x is not of rank 4, or a side is odd.

    References:
        As `filtered_upsample`.
    """
    _windows(x, 2)
    for axis in (1, 2):
        widths = [(1, 1) if a == axis else (0, 0) for a in range(x.ndim)]
        padded, size = jnp.pad(x, widths), x.shape[axis]
        taps = [padded[(slice(None),) * axis + (slice(k, k + size - 1, 2),)] for k in range(4)]
        x = (taps[0] + 3 * taps[1] + 3 * taps[2] + taps[3]) / 8
    return x
