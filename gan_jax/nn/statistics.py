"""Mean and variance over chosen axes, of one device or of all that share a named axis."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gan_jax.nn.conv_forms import is_cpu
from gan_jax.typing import Array


def _mean(x: Array, axes: tuple[int, ...]) -> Array:
    """x.mean(axes, keepdims=True); on a CPU over leading axes as a product with ones, which uses all of a core's lanes."""
    kept = x.shape[len(axes) :]
    if not is_cpu() or axes != tuple(range(len(axes))) or not kept:
        return x.mean(axis=axes, keepdims=True)
    rows = x.reshape(-1, math.prod(kept))
    total = jnp.matmul(jnp.ones(len(rows), x.dtype), rows, precision=jax.lax.Precision.HIGHEST)
    return (total / len(rows)).reshape(*(1,) * len(axes), *kept)


def moments(x: Array, axes: Sequence[int], *, axis_name: str | None = None) -> tuple[Array, Array]:
    """Mean and (biased) variance over `axes`, in float32, and over the devices along `axis_name`.

    m = E[x], v = E[(x - m)^2], in one pass over the data: with a shift s near the mean, m = s + E[x - s] and
    v = E[(x - s)^2] - E[x - s]^2. With s = 0, E[x^2] - m^2 loses all digits where the mean is large; here s is the mean of the first
    of the elements along axes[0], and the error is that of float32 times at most 1 + (m - s)^2 / v. Devices send each other their mean
    and variance in one collective operation; v = E_d[v_d] + E_d[(m_d - m)^2]. All devices hold equally many elements.

    Args:
        x: float, any shape.
        axes: to average over; they stay, with size 1.
        axis_name: of `jax.shard_map`, `jax.pmap` or `jax.vmap`; None for one device's statistics.

    Returns:
        (mean, variance), float32, shaped as x with 1 along `axes`.

    References:
        Ioffe and Szegedy, "Batch Normalization", 2015, without its unbiased estimate in evaluation (as Flax); Chan, Golub and LeVeque,
        "Algorithms for Computing the Sample Variance", 1983, for the shift and the merge.
    """
    x, axes = x.astype(jnp.float32), tuple(axes)
    first = jax.lax.slice_in_dim(x, 0, 1, axis=axes[0])
    shift = jax.lax.stop_gradient(first.mean(axis=axes, keepdims=True))
    centred = x - shift
    mean = _mean(centred, axes)
    variance = jnp.maximum(_mean(jnp.square(centred), axes) - jnp.square(mean), 0)
    mean = mean + shift
    if axis_name is None:
        return mean, variance
    means, variances = jnp.moveaxis(jax.lax.all_gather(jnp.stack([mean, variance]), axis_name), 1, 0)
    mean = means.mean(axis=0)
    return mean, variances.mean(axis=0) + jnp.square(means - mean).mean(axis=0)
