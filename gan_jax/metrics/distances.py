"""Distances between many features, block by block: products in float32 on the device, close decisions in float64."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_BLOCK = 1024
_SPARE = 8
# A float32 squared distance |x|^2 + |y|^2 - 2xy is off by less than this share of |x|^2 + |y|^2 (a test measures it).
# Decisions that are closer are taken again in float64.
_TOLERANCE = 4e-6


class Points(NamedTuple):
    """Features made ready for float32 products: centred, as the error grows with the norms, and scaled to fit its range.

    Attributes:
        exact: [samples, dim] as given, float32 or float64.
        scaled: float32 [samples, dim], (exact - center) * scale.
        norms: float32 [samples], squared norms of `scaled`.
    """

    exact: np.ndarray
    scaled: jax.Array
    norms: jax.Array


def prepare(*matrices: np.ndarray) -> tuple[float, tuple[Points, ...]]:
    """Centres and scales matrices together, so that distances between any two of them can be taken.

    Args:
        *matrices: float [samples, dim] each, of one width.

    Returns:
        The scale (squared distances of `scaled` are scale^2 times the true ones) and the points of each matrix.
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
    """Squared distances |first[rows] - second[columns]|^2 in float64, pair by pair; exactly 0 for equal rows."""
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
    """Yields `(done, part)`: parts of one size for one compiled program; the last overlaps `done` rows of the one before."""
    size = min(_BLOCK, count)
    for start in range(0, count, size):
        first = min(start, count - size)
        yield start - first, slice(first, first + size)


@partial(jax.jit, static_argnames="count")
def _candidates(rows, row_norms, others, norms, *, count):
    return jax.lax.top_k(-_squared(rows, row_norms, others, norms), count)[1]


def nearest(queries: Points, references: Points, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest references of each query.

    Candidates come from float32 products, their distances and order from float64. Only where more than 8 further references
    lie within float32 rounding of the k-th may another of these be taken for it.

    Args:
        queries: from `prepare`, together with the references.
        references: likewise; at least k of them.
        k: number of neighbours.

    Returns:
        Squared distances, float64 [queries, k] ascending, in true units, and their rows in references, int [queries, k].
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
    # Both from the same two comparisons: a pair counted twice, or not at all, would be worse than an unsure one.
    below, above = squared <= radii[:, None] - slack, squared > radii[:, None] + slack
    inside = below & fresh[:, None]
    unsure = ~below & ~above & fresh[:, None]
    return inside.sum(axis=1, dtype=jnp.int32), inside.sum(axis=0, dtype=jnp.int32), unsure


def count_in_balls(centers: Points, radii: np.ndarray, points: Points, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts which points lie in which balls, |center - point|^2 <= radius^2, the border included.

    Args:
        centers: from `prepare`, together with the points.
        radii: float64 [centers], squared radii in true units.
        points: likewise.
        scale: from `prepare`.

    Returns:
        `(points_in_ball, balls_of_point)`: int [centers], the points in each ball, and int [points], the balls around each.
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
        for first in range(0, part.stop - part.start, 64):  # few rows at a time: all pairs may be unsure, e.g. of equal points
            rows, columns = np.nonzero(np.asarray(unsure)[first : first + 64])
            rows += part.start + first
            inside = exact_squared(centers.exact, points.exact, rows, columns) <= radii[rows]
            np.add.at(in_ball, rows[inside], 1)
            np.add.at(of_point, columns[inside], 1)
    return in_ball, of_point
