"""Dropout that stays on when sampling."""

import flax.linen as nn

from gan_jax.typing import Array


class SamplingDropout(nn.Module):
    """Dropout in training and in sampling alike: pix2pix's only source of noise.

    y = x * m / (1 - rate) with m ~ Bernoulli(1 - rate) for each activation. Draws from rng stream "dropout".

    Attributes:
        rate: probability of dropping an activation.

    References:
        Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017, section 3.1.
    """

    rate: float = 0.5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns float, any shape, as x; raises Flax's InvalidRngError without the stream "dropout"."""
        return nn.Dropout(self.rate, deterministic=False, name="dropout")(x)
