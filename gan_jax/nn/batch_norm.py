"""Batch normalisation with an accurate variance and a single collective operation."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from gan_jax.nn.statistics import moments
from gan_jax.typing import Array


class BatchNorm(nn.Module):
    """Normalises each channel by the mean m and the variance v over all other axes.

        y = scale (x - m) / sqrt(v + epsilon) + bias

    Parameters, running statistics (collection "batch_stats") and results are those of `flax.linen.BatchNorm`. The
    statistics come from `moments`. Flax computes the variance in one of two ways: its fast variance E[x^2] - m^2 loses
    digits if the mean is large relative to the standard deviation, and its slow variance needs a second pass over the
    data and a second all-reduce. This layer is accurate in one pass.

    Attributes:
        use_running_average: Whether to normalise by the running statistics and leave them unchanged.
        momentum: Momentum of the running statistics: r <- momentum r + (1 - momentum) statistic.
        epsilon: Added to the variance.
        dtype: Dtype of the result. Statistics and parameters are float32.
        use_bias: Whether to add a learned bias.
        use_scale: Whether to multiply by a learned scale.
        scale_init: Initialiser of the scale.
        axis_name: Mapped axis (`shard_map` or `pmap`) whose devices share the statistics. None: each device uses its
            own.

    References:
        Ioffe and Szegedy, "Batch Normalization", 2015. As in Flax, the running variance is the biased one.
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
