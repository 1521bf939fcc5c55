"""Noise between the layers of a generator, in training and in sampling, with a learned or a fixed strength."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.typing import Array


class NoiseInjection(nn.Module):
    """Adds the same image of Gaussian noise to all channels, scaled by one learned strength per channel.

        y_c = x_c + strength_c * n, with n ~ N(0, 1) for each pixel

    The network learns which channels are random. The strengths start at 0, so the layer starts as the identity. Uses
    the rng stream "noise".

    Attributes:
        strength_init: Initialiser of the strengths [channels].
        dtype: Dtype of the result. The strengths are float32.

    References:
        Karras et al., "A Style-Based Generator Architecture", 2019, section 2.
    """

    strength_init: Any = nn.initializers.zeros
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps float [batch, ..., channels] to the same shape in `dtype`.

        Raises:
            flax.errors.InvalidRngError: If the stream "noise" is missing.
        """
        strength = self.param("strength", self.strength_init, (x.shape[-1],), jnp.float32)
        noise = jax.random.normal(self.make_rng("noise"), (*x.shape[:-1], 1), jnp.float32)
        return (x + strength * noise).astype(self.dtype)


class GaussianNoise(nn.Module):
    """Adds independent Gaussian noise to every activation.

        y = x + std * n, with n ~ N(0, 1)

    Uses the rng stream "noise".

    Attributes:
        std: Standard deviation of the noise, a Python number.
        dtype: Dtype of the result.

    References:
        Chintala et al., "How to Train a GAN?", 2016, item 13: Gaussian noise in every layer of G, after Zhao et al.,
        "Energy-based GAN", 2016.
    """

    std: float = 0.1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps a float array of any shape to the same shape in `dtype`.

        Raises:
            flax.errors.InvalidRngError: If the stream "noise" is missing.
        """
        noise = jax.random.normal(self.make_rng("noise"), x.shape, jnp.float32)
        return (x + self.std * noise).astype(self.dtype)
