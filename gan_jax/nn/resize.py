"""Functions without parameters that change the size of images: pooling, repeating, interpolating.

All consist of reshapes, slices and reductions. XLA fuses these and differentiates them to any order at full speed.
"""

import jax.numpy as jnp

from gan_jax._internal.checks import check_rank
from gan_jax.typing import Array


def _windows(x: Array, factor: int) -> Array:
    """Splits [batch, h, w, c] into windows: [batch, h / r, r, w / r, r, c], with r = `factor`."""
    check_rank(4, x=x)
    batch, height, width, channels = x.shape
    if factor < 1 or height % factor or width % factor:
        raise ValueError(f"height and width must be multiples of factor = {factor}; got x {x.shape}")
    return x.reshape(batch, height // factor, factor, width // factor, factor, channels)


def average_pool(x: Array, factor: int = 2) -> Array:
    """Mean over non-overlapping windows of factor x factor pixels. Equal to PyTorch's `avg_pool2d(x, factor)`.

    Args:
        x: float [batch, height, width, channels].
        factor: Side of a window in pixels.

    Returns:
        [batch, height / factor, width / factor, channels].

    Raises:
        ValueError: If x is not of rank 4, or if its sides are not multiples of `factor`.
    """
    return _windows(x, factor).mean(axis=(2, 4))


def max_pool(x: Array, factor: int = 2) -> Array:
    """Maximum over non-overlapping windows of factor x factor pixels. Equal to PyTorch's `max_pool2d(x, factor)`.

    Differs from PyTorch in the gradient: if several pixels of a window are equal to the maximum, they share the
    gradient. PyTorch gives it to the first of them.

    Args:
        x: float [batch, height, width, channels].
        factor: Side of a window in pixels.

    Returns:
        [batch, height / factor, width / factor, channels].

    Raises:
        ValueError: If x is not of rank 4, or if its sides are not multiples of `factor`.
    """
    return _windows(x, factor).max(axis=(2, 4))


def resize_nearest(x: Array, factor: int = 2) -> Array:
    """Repeats every pixel factor x factor times. Equal to PyTorch's `interpolate(mode="nearest")`.

    Args:
        x: Any dtype, [batch, height, width, channels].
        factor: Factor by which each side grows.

    Returns:
        [batch, height * factor, width * factor, channels].

    Raises:
        ValueError: If x is not of rank 4, or if `factor` is below 1.
    """
    check_rank(4, x=x)
    if factor < 1:
        raise ValueError(f"factor must be at least 1; got {factor}")
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (batch, height, factor, width, factor, channels))
    return x.reshape(batch, height * factor, width * factor, channels)


def _double(x: Array, axis: int, mode: str) -> Array:
    """Doubles one axis by linear interpolation: 3/4 of each pixel plus 1/4 of its neighbour on either side."""
    widths = [(1, 1) if a == axis else (0, 0) for a in range(x.ndim)]
    padded = jnp.pad(x, widths, mode=mode)
    size = x.shape[axis]
    before, after = _slice(padded, axis, 0, size), _slice(padded, axis, 2, size)
    pairs = jnp.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis=axis + 1)
    return pairs.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])


def _slice(x: Array, axis: int, start: int, size: int) -> Array:
    return x[(slice(None),) * axis + (slice(start, start + size),)]


def resize_bilinear(x: Array) -> Array:
    """Doubles the sides by bilinear interpolation. Equal to PyTorch's `interpolate(mode="bilinear", align_corners=False)`.

    Args:
        x: float [batch, height, width, channels].

    Returns:
        [batch, 2 * height, 2 * width, channels].

    Raises:
        ValueError: If x is not of rank 4.
    """
    check_rank(4, x=x)
    return _double(_double(x, 1, "edge"), 2, "edge")


def filtered_upsample(x: Array) -> Array:
    """Doubles the sides with the filter [1, 3, 3, 1] / 4 along each axis. Pixels outside the image are zero.

    Away from the border this is bilinear interpolation. It is four times the adjoint of `filtered_downsample`.

    Args:
        x: float [batch, height, width, channels].

    Returns:
        [batch, 2 * height, 2 * width, channels].

    Raises:
        ValueError: If x is not of rank 4.

    References:
        Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020. Huang et al., "The GAN is dead;
        long live the GAN!", 2024, whose resampling filter [1, 2, 1] gives this one.
    """
    check_rank(4, x=x)
    return _double(_double(x, 1, "constant"), 2, "constant")


def filtered_downsample(x: Array) -> Array:
    """Halves the sides with the filter [1, 3, 3, 1] / 8 along each axis. Pixels outside the image are zero.

    Args:
        x: float [batch, height, width, channels], with even height and width.

    Returns:
        [batch, height / 2, width / 2, channels].

    Raises:
        ValueError: If x is not of rank 4, or if a side is odd.

    References:
        See `filtered_upsample`.
    """
    _windows(x, 2)
    for axis in (1, 2):
        widths = [(1, 1) if a == axis else (0, 0) for a in range(x.ndim)]
        padded, size = jnp.pad(x, widths), x.shape[axis]
        taps = [padded[(slice(None),) * axis + (slice(k, k + size - 1, 2),)] for k in range(4)]
        x = (taps[0] + 3 * taps[1] + 3 * taps[2] + taps[3]) / 8
    return x
