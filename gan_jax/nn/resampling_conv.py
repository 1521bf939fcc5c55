"""A convolution with filtered up- or down-sampling, as a function."""

import jax.numpy as jnp

from gan_jax.nn.fast_conv.conv import conv2d, conv2d_transpose
from gan_jax.nn.upfirdn import Filter, fir_filter, upfirdn2d
from gan_jax.typing import Array

# StyleGAN2's filter of all images and feature maps.
FILTER = (1.0, 3.0, 3.0, 1.0)


def resampled_conv(x: Array, kernel: Array, *, up: int = 1, down: int = 1, taps: Filter = FILTER) -> Array:
    """Convolves with "SAME" padding and changes the size by an anti-aliased filter.

    - up: a transposed convolution, then the filter with gain up^2. The kernel is mirrored in this case, as in the authors' code.
    - down: the filter, then a strided convolution.
    - A 1x1 kernel is applied at the smaller size.

    The image is padded once, so the filter and the kernel share the border.

    Args:
        x: float [batch, height, width, channels].
        kernel: [k, k, channels, features] with odd k, same dtype as x.
        up: Factor of up-sampling.
        down: Factor of down-sampling. One of the two factors is 1.
        taps: Filter along both axes. It is normalised here.

    Returns:
        [batch, height * up / down, width * up / down, features].

    Raises:
        ValueError: If k is even, or if both factors are above 1.

    References:
        Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020. `conv2d_resample` of NVlabs/stylegan2-ada-pytorch.
    """
    size = kernel.shape[0]
    if size % 2 == 0 or kernel.shape[1] != size or (up > 1 and down > 1):
        raise ValueError(f"the kernel must be square with odd sides, and up or down must be 1; got {kernel.shape}, up={up}, down={down}")
    if up == 1 and down == 1:
        return _pointwise(x, kernel) if size == 1 else conv2d(x, kernel, padding=size // 2)
    taps = fir_filter(taps)
    length = len(taps)
    if down > 1:
        pads = (size // 2 + (length - down + 1) // 2, size // 2 + (length - down) // 2)
        if size == 1:
            return _pointwise(upfirdn2d(x, taps, down=down, padding=(pads, pads)), kernel)
        return conv2d(upfirdn2d(x, taps, padding=(pads, pads)), kernel, stride=down)
    # The gain of each axis is `up`: up-sampling leaves one of `up` pixels.
    if size == 1:
        pads = ((length + up - 1) // 2, (length - up) // 2)
        return upfirdn2d(_pointwise(x, kernel), taps * up, up=up, padding=(pads, pads))
    pads = (size // 2 + (length + up - 1) // 2 - (size - 1), size // 2 + (length - up) // 2 - (size - up))
    return upfirdn2d(conv2d_transpose(x, kernel, stride=up), taps * up, padding=(pads, pads))


def _pointwise(x: Array, kernel: Array) -> Array:
    return jnp.einsum("bhwc,cf->bhwf", x, kernel[0, 0])
