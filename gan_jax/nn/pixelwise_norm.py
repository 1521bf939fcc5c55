"""Pixel normalisation: the feature vector of each pixel is scaled to unit mean square."""

import jax
import jax.numpy as jnp

from gan_jax.typing import Array


def pixel_norm(x: Array, *, epsilon: float = 1e-8) -> Array:
    """Scales the feature vector of each pixel (or each latent vector) to a mean square of one.

        y = x / sqrt(mean_c(x_c^2) + epsilon)

    A vector of zeros stays zero and has finite derivatives of every order.

    Args:
        x: float [..., channels].
        epsilon: Added to the mean square.

    Returns:
        Same shape and dtype as x. The mean square is computed in float32.

    References:
        Karras et al., "Progressive Growing of GANs", 2018, section 4.2.
    """
    wide = x.astype(jnp.float32)
    return (wide * jax.lax.rsqrt(jnp.square(wide).mean(axis=-1, keepdims=True) + epsilon)).astype(x.dtype)
