"""Mean and variance over chosen axes, of one device or of all that share a named axis."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gan_jax.nn.fast_conv.forms import is_cpu
from gan_jax.typing import Array


def _mean_of_rows(rows: Array) -> Array:
    """rows.mean(0) of a matrix; on a CPU as a product with ones, which uses all of a core's lanes."""
    return jnp.ones(len(rows), rows.dtype) @ rows / len(rows) if is_cpu() else rows.mean(axis=0)


def moments(x: Array, axes: Sequence[int], *, axis_name: str | None = None) -> tuple[Array, Array]:
    """Mean and (biased) variance over `axes`, in float32, and over the devices along `axis_name`.

    m = E[x], v = E[(x - m)^2], in one pass over the data: with a shift s near the mean, m = s + E[x - s] and
    v = E[(x - s)^2] - E[x - s]^2. With s = 0, E[x^2] - m^2 loses all digits where the mean is large; here s is the mean of the first
    of the elements along axes[0], and the error is that of float32 times 1 + (m - s)^2 / v. Devices send each other their mean
    and variance in one collective operation: v = E_d[v_d] + E_d[(m_d - m)^2]. All devices hold equally many elements.

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
    reduced = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    first = jax.lax.index_in_dim(x, 0, axis=axes[0], keepdims=True)
    shift = jax.lax.stop_gradient(first.mean(axis=axes))
    if axes == tuple(range(len(axes))) and len(axes) < x.ndim:
        # Sums over a matrix are faster on a CPU than sums over images.
        rows = (x - shift).reshape(-1, math.prod(shift.shape))
        mean, square = _mean_of_rows(rows), _mean_of_rows(rows * rows)
    else:
        centred = x - shift.reshape(reduced)
        mean, square = centred.mean(axis=axes), jnp.square(centred).mean(axis=axes)
    shift = shift.reshape(mean.shape)
    mean, variance = mean + shift, jnp.maximum(square - mean * mean, 0)
    if axis_name is not None:
        means, variances = jnp.moveaxis(jax.lax.all_gather(jnp.stack([mean, variance]), axis_name), 1, 0)
        mean = means.mean(axis=0)
        variance = variances.mean(axis=0) + jnp.square(means - mean).mean(axis=0)
    return mean.reshape(reduced), variance.reshape(reduced)
