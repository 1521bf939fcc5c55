"""Noise between the layers of a generator, in training and in sampling: with a learned strength, or a fixed one."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.typing import Array


class NoiseInjection(nn.Module):
    """Adds one image of Gaussian noise to all channels, each with its own learned strength: y_c = x_c + strength_c * n.

    Draws from rng stream "noise". The network learns which channels are to be random; at first (strength 0) none is.

    Attributes:
        strength_init: initialiser of the strengths [channels].
        dtype: of the result; the strengths are float32.

    References:
        Karras et al., "A Style-Based Generator Architecture", 2019, section 2.
    """

    strength_init: Any = nn.initializers.zeros
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns float [batch, ..., channels], as x; raises Flax's InvalidRngError without the stream "noise"."""
        strength = self.param("strength", self.strength_init, (x.shape[-1],), jnp.float32)
        noise = jax.random.normal(self.make_rng("noise"), (*x.shape[:-1], 1), jnp.float32)
        return (x + strength * noise).astype(self.dtype)


class GaussianNoise(nn.Module):
    """Adds independent Gaussian noise to every activation: y = x + std * n, n ~ N(0, 1). Draws from rng stream "noise".

    Attributes:
        std: of the noise; a Python number.
        dtype: of the result.

    References:
        Chintala et al., "How to Train a GAN?", 2016, item 13: Gaussian noise to every layer of G, after Zhao et al., "Energy-based
        GAN", 2016.
    """

    std: float = 0.1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns float, any shape, as x; raises Flax's InvalidRngError without the stream "noise"."""
        noise = jax.random.normal(self.make_rng("noise"), x.shape, jnp.float32)
        return (x + self.std * noise).astype(self.dtype)
