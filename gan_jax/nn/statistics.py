"""Mean and variance over chosen axes, of one device or of all that share a named axis."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gan_jax.typing import Array


def moments(x: Array, axes: Sequence[int], *, axis_name: str | None = None) -> tuple[Array, Array]:
    """Mean and (biased) variance over `axes`, in float32, and over the devices along `axis_name`.

    m = E[x], v = E[(x - m)^2]. The mean is taken off before squaring: E[x^2] - m^2 loses all digits where the mean
    is large. Across devices that costs a second, equally small, all-reduce. All devices hold equally many elements.

    Args:
        x: float, any shape.
        axes: to average over; they stay, with size 1.
        axis_name: of `jax.shard_map`, `jax.pmap` or `jax.vmap`; None for one device's statistics.

    Returns:
        (mean, variance), float32, shaped as x with 1 along `axes`.

    References:
        Ioffe and Szegedy, "Batch Normalization", 2015, without its unbiased estimate in evaluation (as Flax).
    """
    x = x.astype(jnp.float32)
    mean = x.mean(axis=tuple(axes), keepdims=True)
    if axis_name is not None:
        mean = jax.lax.pmean(mean, axis_name)
    variance = jnp.square(x - mean).mean(axis=tuple(axes), keepdims=True)
    if axis_name is not None:
        variance = jax.lax.pmean(variance, axis_name)
    return mean, variance
