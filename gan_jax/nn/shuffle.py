"""Pixel shuffle: channels become pixels."""

from gan_jax._internal.checks import check_rank
from gan_jax.typing import Array


def pixel_shuffle(x: Array, factor: int) -> Array:
    """Rearranges channels into pixels: [batch, h, w, c * r^2] -> [batch, h * r, w * r, c], with r = `factor`.

        y[n, h * r + i, w * r + j, c] = x[n, h, w, c * r^2 + i * r + j]

    The channel order is that of PyTorch.

    Args:
        x: Any dtype, [batch, height, width, channels].
        factor: Factor r by which each side grows.

    Returns:
        [batch, height * r, width * r, channels / r^2].

    Raises:
        ValueError: If x is not of rank 4, or if r^2 does not divide its channels.

    References:
        Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel CNN", 2016.
    """
    check_rank(4, x=x)
    batch, height, width, channels = x.shape
    if factor < 1 or channels % factor**2:
        raise ValueError(f"the channels must be a multiple of factor^2 = {factor**2}; got x {x.shape}")
    x = x.reshape(batch, height, width, channels // factor**2, factor, factor).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(batch, height * factor, width * factor, channels // factor**2)
