"""FIR filters with up- and down-sampling: `upfirdn2d`."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax._internal.checks import check_rank
from gan_jax.typing import Array

# A filter as Python numbers or a NumPy array. It is a constant of the program, because its zeros and its rank are used.
Filter = Sequence[float] | Sequence[Sequence[float]] | np.ndarray
Padding = int | tuple[tuple[int, int], tuple[int, int]]


def fir_filter(taps: Filter) -> np.ndarray:
    """Scales a filter so that its taps add up to 1, which keeps the mean of an image.

    Args:
        taps: [k] for a separable filter, or [height, width].

    Returns:
        float64 of the same shape.

    Raises:
        ValueError: If the filter is not of rank 1 or 2, is empty, or has the sum 0.
    """
    array = _checked(taps)
    if not array.sum():
        raise ValueError(f"taps must not add up to 0; got {array.tolist()}")
    return array / array.sum()


def upfirdn2d(x: Array, taps: Filter, *, up: int = 1, down: int = 1, padding: Padding = 0, flip: bool = False) -> Array:
    """Inserts zeros, pads, filters, and drops pixels: the resampling operator of StyleGAN2.

    1. Each pixel is followed by up - 1 zeros along both axes.
    2. The image is padded by zeros. Negative padding crops.
    3. It is convolved with the filter. Only positions where the whole filter is inside the image remain.
    4. Every `down`-th pixel is kept.

    The operator is linear in x. It is computed as a sum of shifted slices along each axis, without the inserted zeros, and so are
    its derivatives of every order. XLA fuses these sums on CPU and GPU.

    Args:
        x: float [batch, height, width, channels].
        taps: The filter, [k] for the same filter along both axes, or [height, width]. A constant. A filter of rank r costs as much as
            r separable ones.
        up: Factor of up-sampling, at least 1.
        down: Factor of down-sampling, at least 1.
        padding: Pixels to add to each side of the up-sampled image, or ((top, bottom), (left, right)).
        flip: Correlate with the filter instead of convolving.

    Returns:
        [batch, (height * up + top + bottom - k) // down + 1, ..., channels], in the dtype of x.

    Raises:
        ValueError: If x is not of rank 4, if a factor is below 1, if the filter is not of rank 1 or 2, or if it is larger than the image.

    References:
        Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020. Same results as `upfirdn2d` of
        NVlabs/stylegan2-ada-pytorch and, for each axis, as `scipy.signal.upfirdn`.
    """
    check_rank(4, x=x)
    if up < 1 or down < 1:
        raise ValueError(f"up and down must be at least 1; got {up} and {down}")
    rows, columns = ((padding, padding), (padding, padding)) if isinstance(padding, int) else padding
    total: Array | None = None
    for vertical, horizontal in _separable_parts(_checked(taps)):
        part = _filter_axis(x, vertical, 1, up, down, rows, flip)
        part = _filter_axis(part, horizontal, 2, up, down, columns, flip)
        total = part if total is None else total + part
    assert total is not None
    return total


def _checked(taps: Filter) -> np.ndarray:
    array = np.asarray(taps, np.float64)
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(f"taps must be of shape [k] or [height, width]; got {array.shape}")
    return array


def _separable_parts(taps: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Writes a filter as a sum of outer products (vertical, horizontal)."""
    if taps.ndim == 1:
        return [(taps, taps)]
    if taps.sum() and np.allclose(np.outer(taps.sum(1), taps.sum(0)) / taps.sum(), taps, rtol=0, atol=1e-7 * np.abs(taps).max()):
        return [(taps.sum(1), taps.sum(0) / taps.sum())]
    left, values, right = np.linalg.svd(taps)
    kept = values > 1e-7 * values[0]
    return [(left[:, index] * values[index], right[index]) for index in np.flatnonzero(kept)] or [(taps[:, 0], taps[0])]


def _filter_axis(x: Array, taps: np.ndarray, axis: int, up: int, down: int, padding: tuple[int, int], flip: bool) -> Array:
    weights = [float(tap) for tap in (taps if flip else taps[::-1])]
    size, (low, high) = x.shape[axis], padding
    length = size * up + low + high - len(weights) + 1
    if length < 1:
        raise ValueError(f"the filter of {len(weights)} taps is larger than the padded image; got x {x.shape} and padding {padding}")
    if up == 1:
        last = (length - 1) // down
        padded = _pad(x, axis, low, high)
        return _weighted_sum([(w, _slice(padded, axis, k, last + 1, down)) for k, w in enumerate(weights)])
    # Output up * q + phase reads the inputs q + offset, one for each tap that does not fall on an inserted zero.
    count = -(-length // up)
    reads = [[(w, (phase + k - low) // up) for k, w in enumerate(weights) if (phase + k - low) % up == 0] for phase in range(up)]
    offsets = [offset for phase in reads for _, offset in phase]
    padded = _pad(x, axis, -min(offsets), count + max(offsets) - size)
    phases = [_weighted_sum([(w, _slice(padded, axis, offset - min(offsets), count, 1)) for w, offset in phase]) for phase in reads]
    shape = next(phase.shape for phase in phases if phase is not None)
    stacked = jnp.stack([jnp.zeros(shape, x.dtype) if phase is None else phase for phase in phases], axis=axis + 1)
    y = stacked.reshape(*x.shape[:axis], count * up, *x.shape[axis + 1 :])
    return y if length == count * up and down == 1 else _slice(y, axis, 0, (length - 1) // down + 1, down)


def _weighted_sum(terms: list[tuple[float, Array]]) -> Array:
    total = None
    for weight, array in terms:
        if weight:
            term = array if weight == 1 else weight * array
            total = term if total is None else total + term
    return total


def _pad(x: Array, axis: int, low: int, high: int) -> Array:
    if not low and not high:
        return x
    return lax.pad(x, jnp.zeros((), x.dtype), [(low, high, 0) if a == axis else (0, 0, 0) for a in range(x.ndim)])


def _slice(x: Array, axis: int, start: int, count: int, stride: int) -> Array:
    return lax.slice_in_dim(x, start, start + (count - 1) * stride + 1, stride, axis)
