"""Conditional batch normalisation: scale and bias depend on the class or the conditioning vector of each example."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.nn.batch_norm import BatchNorm
from gan_jax.typing import Array


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose scale and bias are looked up by class or are linear in a conditioning vector.

        y = scale(c) * (x - mean) / sqrt(var + epsilon) + bias(c)

    The mean and the variance are those of the whole batch, over all classes.

    With `num_classes` above 0, scale and bias are tables [num_classes, channels] that start as ones and zeros. With
    `num_classes=0`, c is a vector [batch, dim], and scale(c) = 1 + c @ W_scale, bias(c) = c @ W_bias, both without a
    bias term (BigGAN).

    Attributes:
        num_classes: Number of classes if the conditions are int32 labels. 0 if the conditions are float vectors.
        momentum: Momentum of the running statistics, which are in collection "batch_stats".
        epsilon: Added to the variance.
        axis_name: Mapped axis (`shard_map` or `pmap`) whose devices share the statistics. None: each device uses its
            own.
        kernel_init: Initialiser of W_scale and W_bias.
        dtype: Dtype of the result. Statistics and parameters are float32.

    References:
        Dumoulin et al., "A Learned Representation For Artistic Style", 2017. de Vries et al., "Modulating early visual
        processing by language", 2017. In GANs: Miyato and Koyama, "cGANs with Projection Discriminator", 2018, and
        Brock et al., "Large Scale GAN Training", 2019.
    """

    num_classes: int = 0
    momentum: float = 0.9
    epsilon: float = 1e-5
    axis_name: str | None = None
    kernel_init: Any = nn.initializers.orthogonal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, condition: Array, *, use_running_average: bool = False) -> Array:
        """Normalises x by the batch statistics, then scales and shifts it by the condition.

        Args:
            x: float [batch, ..., channels].
            condition: int32 [batch] class labels, or float [batch, dim] vectors.
            use_running_average: Whether to normalise by the running statistics (evaluation) and leave them unchanged.

        Returns:
            Same shape as x, in `dtype`.

        Raises:
            ValueError: If the shape of the condition does not match x and `num_classes`.
        """
        expected = 1 if self.num_classes else 2
        if condition.ndim != expected or condition.shape[0] != x.shape[0]:
            kind = "labels [batch]" if self.num_classes else "vectors [batch, dim]"
            raise ValueError(f"condition must be {kind} for x {x.shape}; got shape {condition.shape}")
        channels = x.shape[-1]
        y = BatchNorm(
            use_running_average=use_running_average,
            momentum=self.momentum,
            epsilon=self.epsilon,
            use_bias=False,
            use_scale=False,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name="norm",
        )(x)
        if self.num_classes:
            table = (self.num_classes, channels)
            scale = self.param("scale", nn.initializers.ones, table, jnp.float32)[condition]
            bias = self.param("bias", nn.initializers.zeros, table, jnp.float32)[condition]
        else:
            settings = {"use_bias": False, "kernel_init": self.kernel_init, "dtype": jnp.float32}
            scale = 1 + nn.Dense(channels, **settings, name="scale")(condition)
            bias = nn.Dense(channels, **settings, name="bias")(condition)
        spread = (x.shape[0], *(1,) * (x.ndim - 2), channels)
        return (y.astype(jnp.float32) * scale.reshape(spread) + bias.reshape(spread)).astype(self.dtype)
