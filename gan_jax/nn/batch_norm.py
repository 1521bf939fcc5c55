"""Batch normalisation whose statistics keep their digits, and take one collective operation."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from gan_jax.nn.statistics import moments
from gan_jax.typing import Array


class BatchNorm(nn.Module):
    """y = scale (x - m) / sqrt(v + epsilon) + bias, with mean m and variance v over all axes but the last: `moments`.

    Parameters, running statistics (collection "batch_stats") and results are those of `flax.linen.BatchNorm`, whose fast variance
    E[x^2] - m^2 loses its digits where the mean is large beside the deviation, and whose slow one takes a second pass over the data and a
    second all-reduce.

    Attributes:
        use_running_average: normalise by the running statistics, and keep them.
        momentum: of the running statistics: r <- momentum r + (1 - momentum) statistic.
        epsilon: added to the variance.
        dtype: of the result; statistics and parameters are float32.
        use_bias: whether there is a bias.
        use_scale: whether there is a scale.
        scale_init: of the scale.
        axis_name: of the devices that share the statistics; None for one device's.

    References:
        Ioffe and Szegedy, "Batch Normalization", 2015; as in Flax the running variance is the biased one.
    """

    use_running_average: bool
    momentum: float = 0.99
    epsilon: float = 1e-5
    dtype: Any = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    scale_init: Any = nn.initializers.ones
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps float [batch, ..., channels] to the same shape in `dtype`."""
        channels = x.shape[-1:]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        running_variance = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        if self.use_running_average:
            mean, variance = running_mean.value, running_variance.value
        else:
            axis_name = None if self.is_initializing() else self.axis_name
            mean, variance = (moment.reshape(channels) for moment in moments(x, range(x.ndim - 1), axis_name=axis_name))
            if not self.is_initializing():
                running_mean.value = self.momentum * running_mean.value + (1 - self.momentum) * mean
                running_variance.value = self.momentum * running_variance.value + (1 - self.momentum) * variance
        factor = lax.rsqrt(variance + self.epsilon)
        if self.use_scale:
            factor = factor * self.param("scale", self.scale_init, channels, jnp.float32)
        y = (x.astype(jnp.float32) - mean) * factor
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, channels, jnp.float32)
        return y.astype(self.dtype)
