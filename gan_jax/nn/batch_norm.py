"""Batch normalisation with Flax's parameters, statistics and results, and on the CPU in fewer passes over memory."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.nn.bilinear import same_variation
from gan_jax.nn.conv_forms import fast_by_default
from gan_jax.typing import Array


def _moments(x: Array) -> tuple[Array, Array]:
    """Mean and variance of each channel, in float32 and in one pass over x, as Flax's `use_fast_variance` computes them."""
    axes = tuple(range(x.ndim - 1))
    x = x.astype(jnp.float32)
    mean = x.mean(axes)
    return mean, jnp.maximum(jnp.square(x).mean(axes) - jnp.square(mean), 0.0)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _normalize(x: Array, scale: Array, bias: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """(scale (x - m) / sqrt(v + epsilon) + bias, m, v) in the dtype of x and float32."""
    mean, variance = _moments(x)
    slope = scale * lax.rsqrt(variance + epsilon)
    y = (x.astype(jnp.float32) - mean) * slope + bias
    return y.astype(x.dtype), mean, variance


def _normalize_forward(x, scale, bias, epsilon):
    y, mean, variance = _normalize(x, scale, bias, epsilon)
    return (y, mean, variance), (x, scale)


def _normalize_backward(epsilon, saved, cotangents):
    x, scale = saved
    g, mean_cotangent, variance_cotangent = cotangents
    axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    # The statistics are computed from x again (XLA shares them with the forward pass), so that differentiating this
    # function once more sees how they depend on x.
    mean, variance = _moments(x)
    inverse = lax.rsqrt(variance + epsilon)
    wide, g = x.astype(jnp.float32), g.astype(jnp.float32)
    g_sum, gx_sum = g.sum(axes), (g * (wide - mean)).sum(axes)
    # dx = a g + b (x - m) + c with one a, b, c for each channel: two sums, then a single pass.
    a = scale * inverse
    b = (2 * variance_cotangent - a * inverse**2 * gx_sum) / count
    c = (mean_cotangent - a * g_sum) / count
    dx = a * g + b * (wide - mean) + c
    return dx.astype(x.dtype), inverse * gx_sum, g_sum


_normalize.defvjp(_normalize_forward, _normalize_backward)


class BatchNorm(nn.BatchNorm):
    """`flax.linen.BatchNorm` with a hand-written gradient on the CPU; elsewhere the same program as Flax's.

    y = scale (x - m) / sqrt(v + epsilon) + bias, with m and v over all axes but the last. Same arguments, parameters ("scale",
    "bias") and statistics ("batch_stats": "mean", "var") as Flax's, same results to rounding, any order of reverse-mode
    differentiation. Evaluation, statistics shared along an `axis_name`, masks and unusual axes are Flax's own program.

    Attributes:
        form: "auto", or "lax" for Flax's own program always.

    References:
        Ioffe and Szegedy, "Batch Normalization", 2015; as in Flax the running variance is the biased one.
    """

    form: str = "auto"

    @nn.compact
    def __call__(self, x: Array, use_running_average: bool | None = None, *, mask: Array | None = None) -> Array:
        """Normalises x [..., channels]; arguments as in Flax."""
        if self.form not in ("auto", "lax"):
            raise ValueError(f"form must be one of auto, lax; got {self.form!r}")
        evaluate = nn.merge_param("use_running_average", self.use_running_average, use_running_average)
        plain = self.axis_name is None and mask is None and self.axis in (-1, x.ndim - 1)
        plain = plain and self.use_fast_variance and self.force_float32_reductions
        if evaluate or not plain or self.form == "lax" or not fast_by_default() or self.is_initializing():
            # Merged above: Flax takes it from one place only.
            return super().__call__(x, use_running_average, mask=mask)
        channels = x.shape[-1:]
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        variance = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        scale = self.param("scale", self.scale_init, channels, self.param_dtype) if self.use_scale else jnp.ones(channels)
        bias = self.param("bias", self.bias_init, channels, self.param_dtype) if self.use_bias else jnp.zeros(channels)
        dtype = self.dtype or jnp.result_type(x, scale)
        arrays = same_variation(x.astype(dtype), scale.astype(jnp.float32), bias.astype(jnp.float32))
        y, batch_mean, batch_variance = _normalize(*arrays, self.epsilon)
        mean.value = self.momentum * mean.value + (1 - self.momentum) * batch_mean
        variance.value = self.momentum * variance.value + (1 - self.momentum) * batch_variance
        return y
