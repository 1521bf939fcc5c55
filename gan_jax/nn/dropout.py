"""Dropout that is also active in sampling."""

import flax.linen as nn

from gan_jax.typing import Array


class SamplingDropout(nn.Module):
    """Applies dropout in training and in sampling. It is the only source of randomness in pix2pix.

        y = x * m / (1 - rate), with m ~ Bernoulli(1 - rate) for each activation

    Uses the rng stream "dropout".

    Attributes:
        rate: Probability of dropping an activation.

    References:
        Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017, section 3.1.
    """

    rate: float = 0.5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps a float array of any shape to the same shape.

        Raises:
            flax.errors.InvalidRngError: If the stream "dropout" is missing.
        """
        return nn.Dropout(self.rate, deterministic=False, name="dropout")(x)
