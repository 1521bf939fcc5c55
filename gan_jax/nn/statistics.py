"""Mean and variance over given axes, for one device or for all devices along a mapped axis."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gan_jax.nn.fast_conv.forms import is_cpu
from gan_jax.typing import Array


def _mean_of_rows(rows: Array) -> Array:
    """Returns `rows.mean(0)` of a matrix.

    On a CPU it is computed as a product with ones, which uses all vector lanes of a core.
    """
    return jnp.ones(len(rows), rows.dtype) @ rows / len(rows) if is_cpu() else rows.mean(axis=0)


def moments(x: Array, axes: Sequence[int], *, axis_name: str | None = None) -> tuple[Array, Array]:
    """Mean and biased variance over `axes` and over the devices along `axis_name`, in float32.

        m = E[x], v = E[(x - m)^2]

    Both are computed in one pass over the data. With a shift s near the mean, m = s + E[x - s] and v = E[(x - s)^2] -
    E[x - s]^2. With s = 0 the variance E[x^2] - m^2 would lose all digits if the mean is large. Here s is the mean of
    the first of the elements along axes[0], and the error is the float32 rounding error times 1 + (m - s)^2 / v.

    Devices exchange their mean and variance in one collective operation: v = E_d[v_d] + E_d[(m_d - m)^2]. All devices
    must hold the same number of elements.

    Args:
        x: float, any shape.
        axes: Axes to average over. They are kept with size 1.
        axis_name: Mapped axis of `jax.shard_map`, `jax.pmap` or `jax.vmap`. None: the statistics of one device.

    Returns:
        (mean, variance), float32, with the shape of x and size 1 along `axes`.

    References:
        Ioffe and Szegedy, "Batch Normalization", 2015. Differs, as in Flax: the unbiased estimate in evaluation is
        omitted. Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance", 1983, for the shift and the
        merge.
    """
    x, axes = x.astype(jnp.float32), tuple(axes)
    reduced = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    first = jax.lax.index_in_dim(x, 0, axis=axes[0], keepdims=True)
    shift = jax.lax.stop_gradient(first.mean(axis=axes))
    if axes == tuple(range(len(axes))) and len(axes) < x.ndim:
        # On a CPU, sums over a matrix are faster than sums over images.
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
