"""Instance normalisation: each channel of each image is normalised by its own mean and variance."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax._internal.checks import check_rank
from gan_jax.nn.statistics import moments
from gan_jax.typing import Array


class InstanceNorm(nn.Module):
    """Normalises each channel of each image over its pixels, then scales and shifts each channel.

        y = scale * (x - mean_hw(x)) / sqrt(var_hw(x) + epsilon) + bias

    Equal to PyTorch's `InstanceNorm2d(affine=True)`.

    Attributes:
        epsilon: Added to the variance.
        use_scale: Whether to multiply by one learned scale per channel.
        use_bias: Whether to add one learned bias per channel, which starts at zero.
        scale_init: Initialiser of the scale.
        dtype: Dtype of the result. Statistics and parameters are float32.

    References:
        Ulyanov et al., "Instance Normalization", 2016.
    """

    epsilon: float = 1e-5
    use_scale: bool = True
    use_bias: bool = True
    scale_init: Any = nn.initializers.ones
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps float [batch, height, width, channels] to the same shape in `dtype`.

        Raises:
            ValueError: If x is not of rank 4.
        """
        check_rank(4, x=x)
        mean, variance = moments(x, (1, 2))
        y = (x.astype(jnp.float32) - mean) * jax.lax.rsqrt(variance + self.epsilon)
        if self.use_scale:
            y = y * self.param("scale", self.scale_init, (x.shape[-1],), jnp.float32)
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        return y.astype(self.dtype)
