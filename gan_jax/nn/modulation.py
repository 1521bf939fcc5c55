"""Modulated convolution: a style scales the input channels of each example, and demodulation restores unit variance."""

import math

import jax
import jax.numpy as jnp

from gan_jax.nn.resampling_conv import FILTER, resampled_conv
from gan_jax.nn.upfirdn import Filter
from gan_jax.typing import Array


def modulated_conv(
    x: Array, kernel: Array, styles: Array, *, demodulate: bool = True, up: int = 1, taps: Filter = FILTER, epsilon: float = 1e-8
) -> Array:
    """Convolves each example with its own scaled kernel.

        w'_ijco = s_c w_ijco                                   modulation by the example's style s
        w''_ijco = w'_ijco / sqrt(sum_ijc w'_ijco^2 + epsilon)  demodulation

    The scales are applied to the feature maps before and after a convolution with the shared kernel. This gives the same
    result as one kernel per example, and one large convolution is faster than a grouped one.

    If x is of low precision, kernel and styles are first divided by their largest magnitudes (of each output channel, and of each
    example), so that no feature map overflows. Demodulation cancels these factors.

    Args:
        x: float [batch, height, width, channels].
        kernel: float32 [k, k, channels, features].
        styles: float32 [batch, channels].
        demodulate: Whether to demodulate.
        up: Factor of up-sampling, see `resampled_conv`.
        taps: Filter of the up-sampling.
        epsilon: Added to the squared norm.

    Returns:
        [batch, height * up, width * up, features], in the dtype of x.

    Raises:
        ValueError: If `styles` is not [batch, channels].

    References:
        Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, section 2.2. Pre-normalisation: Karras et
        al., "Training Generative Adversarial Networks with Limited Data", 2020, and its code.
    """
    if styles.shape != (x.shape[0], x.shape[-1]):
        raise ValueError(f"styles must be [batch, channels] = {(x.shape[0], x.shape[-1])}; got {styles.shape}")
    if jnp.finfo(x.dtype).bits < 32 and demodulate:
        largest = jnp.abs(kernel).max(axis=(0, 1, 2))
        kernel = kernel / (largest * math.sqrt(math.prod(kernel.shape[:3])))
        styles = styles / jnp.abs(styles).max(axis=1, keepdims=True)
    y = resampled_conv(x * styles.astype(x.dtype)[:, None, None], kernel.astype(x.dtype), up=up, taps=taps)
    if not demodulate:
        return y
    # The squared norm of w' for each example and output channel: sum_c s_c^2 (sum_ij w_ijco^2).
    scales = jax.lax.rsqrt(jnp.square(styles) @ jnp.square(kernel).sum(axis=(0, 1)) + epsilon)
    return y * scales.astype(x.dtype)[:, None, None]
