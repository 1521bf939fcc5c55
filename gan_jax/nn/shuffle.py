"""PixelShuffle and its inverse: channels into pixels, and back."""

from gan_jax._checks import check_rank
from gan_jax.typing import Array


def pixel_shuffle(x: Array, factor: int) -> Array:
    """Rearranges channels into pixels: [batch, h, w, c * r^2] -> [batch, h * r, w * r, c] with r = `factor`.

    y[n, h * r + i, w * r + j, c] = x[n, h, w, c * r^2 + i * r + j]: PyTorch's order of channels.

    Args:
        x: any dtype [batch, height, width, channels].
        factor: r, how often more pixels a side.

    Returns:
        [batch, height * r, width * r, channels / r^2].

    Raises:
        ValueError: x is not of rank 4, or its channels cannot be divided by r^2.

    References:
        Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel CNN", 2016.
    """
    check_rank(4, x=x)
    batch, height, width, channels = x.shape
    if factor < 1 or channels % factor**2:
        raise ValueError(f"the channels must be a multiple of factor^2 = {factor**2}; got x {x.shape}")
    x = x.reshape(batch, height, width, channels // factor**2, factor, factor).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(batch, height * factor, width * factor, channels // factor**2)


def pixel_unshuffle(x: Array, factor: int) -> Array:
    """Rearranges pixels into channels, the inverse of `pixel_shuffle`: [batch, h * r, w * r, c] -> [batch, h, w, c * r^2].

    Args:
        x: any dtype [batch, height, width, channels].
        factor: r, how often fewer pixels a side.

    Returns:
        [batch, height / r, width / r, channels * r^2].

    Raises:
        ValueError: x is not of rank 4, or its height or width cannot be divided by r.
    """
    check_rank(4, x=x)
    batch, height, width, channels = x.shape
    if factor < 1 or height % factor or width % factor:
        raise ValueError(f"height and width must be multiples of factor = {factor}; got x {x.shape}")
    x = x.reshape(batch, height // factor, factor, width // factor, factor, channels).transpose(0, 1, 3, 5, 2, 4)
    return x.reshape(batch, height // factor, width // factor, channels * factor**2)
