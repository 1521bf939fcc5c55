"""Switchable normalisation: a learned mixture of instance, layer and batch statistics."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax._internal.checks import check_rank
from gan_jax.nn.statistics import moments
from gan_jax.typing import Array


class SwitchableNorm(nn.Module):
    """Normalises with a learned softmax mixture of instance, layer and batch statistics.

    Over k = instance, layer, batch, in this order:

        mean = sum_k softmax(mean_weight)_k mean_k
        var = sum_k softmax(var_weight)_k var_k
        y = scale * (x - mean) / sqrt(var + epsilon) + bias

    If all the weight is on one k, the layer equals that normalisation. Both weight vectors start as ones. All three
    variances are biased.

    Attributes:
        momentum: Momentum of the running batch statistics: new = momentum * old + (1 - momentum) * batch. They are
            `mean` and `var` in collection "batch_stats".
        epsilon: Added to the mixed variance.
        axis_name: Mapped axis (`shard_map` or `pmap`) whose devices share the statistics. None: each device uses its
            own.
        scale_init: Initialiser of the scale.
        dtype: Dtype of the result. Statistics and parameters are float32.

    References:
        Luo et al., "Differentiable Learning-to-Normalize via Switchable Normalization", 2018 (ICLR 2019). Differs: the
        authors' code uses PyTorch's unbiased variance for the instance part and derives the other parts from it.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    axis_name: str | None = None
    scale_init: Any = nn.initializers.ones
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, use_running_average: bool = False) -> Array:
        """Normalises a batch of images.

        Args:
            x: float [batch, height, width, channels].
            use_running_average: Whether the batch part uses the running statistics (evaluation) and leaves them
                unchanged.

        Returns:
            Same shape as x, in `dtype`.

        Raises:
            ValueError: If x is not of rank 4.
        """
        check_rank(4, x=x)
        channels = x.shape[-1]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,), jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, (channels,), jnp.float32)
        mean_weight = jax.nn.softmax(self.param("mean_weight", nn.initializers.ones, (3,), jnp.float32))
        var_weight = jax.nn.softmax(self.param("var_weight", nn.initializers.ones, (3,), jnp.float32))

        instance, layer = moments(x, (1, 2)), moments(x, (1, 2, 3))
        if use_running_average:
            batch = running_mean.value, running_var.value
        else:
            batch = moments(x, (0, 1, 2), axis_name=None if self.is_initializing() else self.axis_name)
            if not self.is_initializing():
                for running, new in zip((running_mean, running_var), batch):
                    running.value = self.momentum * running.value + (1 - self.momentum) * new.reshape(channels)
        mean = sum(weight * part for weight, part in zip(mean_weight, (instance[0], layer[0], batch[0])))
        variance = sum(weight * part for weight, part in zip(var_weight, (instance[1], layer[1], batch[1])))

        y = (x.astype(jnp.float32) - mean) * jax.lax.rsqrt(variance + self.epsilon)
        y = y * self.param("scale", self.scale_init, (channels,), jnp.float32)
        return (y + self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)).astype(self.dtype)
