"""Distances between many features, block by block.

The products are computed in float32 on the device. Comparisons that are too close for float32 are repeated in float64.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_BLOCK = 1024
_SPARE = 8
# The error of a float32 squared distance |x|^2 + |y|^2 - 2xy is less than this share of |x|^2 + |y|^2. A test measures it.
# Closer comparisons are repeated in float64.
_TOLERANCE = 4e-6


class Points(NamedTuple):
    """Features prepared for float32 products.

    They are centred because the rounding error grows with the norms, and scaled to fit the range of float32.

    Attributes:
        exact: [samples, dim], the features as given, float32 or float64.
        scaled: float32 [samples, dim], (exact - center) * scale.
        norms: float32 [samples], the squared norms of `scaled`.
    """

    exact: np.ndarray
    scaled: jax.Array
    norms: jax.Array


def prepare(*matrices: np.ndarray) -> tuple[float, tuple[Points, ...]]:
    """Centres and scales matrices together, so that the distances between any two of them can be computed.

    Args:
        *matrices: float [samples, dim] each, all of the same width.

    Returns:
        The scale and the `Points` of each matrix. Squared distances of `scaled` are scale^2 times the true ones.
    """
    center = matrices[0].mean(axis=0, dtype=np.float64)
    spread = max(float(np.abs(m[i : i + 4096] - center).max()) for m in matrices for i in range(0, len(m), 4096))
    scale = 1 / spread if spread > 0 else 1.0
    points = []
    for matrix in matrices:
        scaled = np.empty(matrix.shape, np.float32)
        norms = np.empty(len(matrix), np.float32)
        for start in range(0, len(matrix), 4096):
            part = (matrix[start : start + 4096] - center) * scale
            scaled[start : start + 4096] = part
            norms[start : start + 4096] = np.einsum("ij,ij->i", part, part)
        points.append(Points(matrix, jnp.asarray(scaled), jnp.asarray(norms)))
    return scale, tuple(points)


def exact_squared(first: np.ndarray, second: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Squared distances |first[rows] - second[columns]|^2 in float64, one for each pair. Equal rows have distance exactly 0."""
    result = np.empty(len(rows))
    size = max(1, (1 << 22) // first.shape[1])
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        difference = first[rows[part]].astype(np.float64) - second[columns[part]]
        result[part] = np.einsum("ij,ij->i", difference, difference)
    return result


def _squared(rows, row_norms, others, norms):
    products = jnp.matmul(rows, others.T, precision=jax.lax.Precision.HIGHEST)
    return row_norms[:, None] + norms - 2 * products


def _parts(count: int) -> Iterator[tuple[int, slice]]:
    """Splits `count` rows into blocks of equal size, so that one compiled program serves all blocks.

    Yields `(done, part)`. The last block overlaps the previous one, and its first `done` rows have already been processed.
    """
    size = min(_BLOCK, count)
    for start in range(0, count, size):
        first = min(start, count - size)
        yield start - first, slice(first, first + size)


@partial(jax.jit, static_argnames="count")
def _candidates(rows, row_norms, others, norms, *, count):
    return jax.lax.top_k(-_squared(rows, row_norms, others, norms), count)[1]


def nearest(queries: Points, references: Points, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest references of each query.

    Candidates come from float32 products. Their distances and their order are computed in float64. The k-th neighbour can be wrong
    only if more than 8 further references are as close as the k-th up to float32 rounding.

    Args:
        queries: Points from `prepare`, prepared together with the references.
        references: Points from the same call of `prepare`, at least k of them.
        k: Number of neighbours.

    Returns:
        The squared distances, float64 [queries, k], ascending, in unscaled units, and the rows of the neighbours in references,
        int [queries, k].
    """
    kept = min(k + _SPARE, len(references.exact))
    squared, indices = np.empty((len(queries.exact), k)), np.empty((len(queries.exact), k), np.int64)
    for _, part in _parts(len(queries.exact)):
        found = np.asarray(_candidates(queries.scaled[part], queries.norms[part], references.scaled, references.norms, count=kept))
        found = np.sort(found, axis=1)
        rows = np.repeat(np.arange(part.start, part.stop), kept)
        exact = exact_squared(queries.exact, references.exact, rows, found.ravel()).reshape(found.shape)
        order = np.argsort(exact, axis=1, kind="stable")[:, :k]
        squared[part], indices[part] = np.take_along_axis(exact, order, 1), np.take_along_axis(found, order, 1)
    return squared, indices


@jax.jit
def _decide(rows, row_norms, others, norms, radii, fresh):
    squared = _squared(rows, row_norms, others, norms)
    slack = _TOLERANCE * (row_norms[:, None] + norms)
    # `inside` and `unsure` use the same two comparisons, so that no pair is counted twice or missed.
    below, above = squared <= radii[:, None] - slack, squared > radii[:, None] + slack
    inside = below & fresh[:, None]
    unsure = ~below & ~above & fresh[:, None]
    return inside.sum(axis=1, dtype=jnp.int32), inside.sum(axis=0, dtype=jnp.int32), unsure


def count_in_balls(centers: Points, radii: np.ndarray, points: Points, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts the points in each ball and the balls around each point: |center - point|^2 <= radius^2, with the border included.

    Args:
        centers: Points from `prepare`, prepared together with `points`.
        radii: float64 [centers], the squared radii in unscaled units.
        points: Points from the same call of `prepare`.
        scale: The scale from `prepare`.

    Returns:
        `(points_in_ball, balls_of_point)`: int [centers], the number of points in each ball, and int [points], the number of balls
        that contain each point.
    """
    in_ball, of_point = np.zeros(len(centers.exact), np.int64), np.zeros(len(points.exact), np.int64)
    scaled_radii = jnp.asarray(radii * scale**2, jnp.float32)
    for done, part in _parts(len(centers.exact)):
        fresh = np.arange(part.stop - part.start) >= done
        per_center, per_point, unsure = _decide(
            centers.scaled[part], centers.norms[part], points.scaled, points.norms, scaled_radii[part], fresh
        )
        in_ball[part] += np.asarray(per_center)
        of_point += np.asarray(per_point)
        for first in range(0, part.stop - part.start, 64):  # Few rows at a time, because all pairs of equal points are unsure.
            rows, columns = np.nonzero(np.asarray(unsure)[first : first + 64])
            rows += part.start + first
            inside = exact_squared(centers.exact, points.exact, rows, columns) <= radii[rows]
            np.add.at(in_ball, rows[inside], 1)
            np.add.at(of_point, columns[inside], 1)
    return in_ball, of_point
