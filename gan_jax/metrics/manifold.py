"""Fidelity and variety apart: precision and recall, density and coverage, and nearest neighbours (memorisation)."""

from typing import NamedTuple

import numpy as np

from gan_jax.metrics.arrays import as_features
from gan_jax.metrics.distances import count_in_balls, nearest, prepare


class PrecisionRecall(NamedTuple):
    """Improved precision and recall, both in [0, 1].

    Attributes:
        precision: share of fakes that lie on the manifold of the reals (fidelity).
        recall: share of reals that lie on the manifold of the fakes (variety).
    """

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density and coverage.

    Attributes:
        density: mean number of real balls around a fake, over k; at least 0, may exceed 1, 1 on average for equal distributions.
        coverage: share of reals with a fake in their ball, in [0, 1].
    """

    density: float
    coverage: float


class Manifold(NamedTuple):
    """All four of `PrecisionRecall` and `DensityCoverage`, of one k."""

    precision: float
    recall: float
    density: float
    coverage: float


class Neighbors(NamedTuple):
    """Nearest neighbours.

    Attributes:
        distances: float64 [queries, k], Euclidean, ascending.
        indices: int64 [queries, k], rows of the references.
    """

    distances: np.ndarray
    indices: np.ndarray


def _points(real, fake, k):
    if k < 1:
        raise ValueError(f"k must be at least 1; got {k}")
    real, fake = as_features(at_least=k + 1, real=real, fake=fake)
    scale, points = prepare(real, fake)
    return scale, *points


def _radii(points, k):
    # Each row is its own nearest neighbour (or an exact copy of it is), hence k + 1.
    return nearest(points, points, k + 1)[0][:, k]


def precision_recall(real, fake, *, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall: the share of each set inside the other's union of k-nearest-neighbour balls.

        precision = mean_j 1[exists i: |fake_j - real_i| <= |real_i - NN_k(real_i)|], recall with the sets exchanged

    Computed in blocks of rows: the matrix of all distances is never held.

    Args:
        real: float features [samples, dim], more than k rows.
        fake: float features [samples, dim], more than k rows; as many as reals, or recall and precision lean one way.
        k: neighbour that spans each ball, itself not counted.

    Returns:
        Precision and recall.

    Raises:
        ValueError: the features are not finite matrices of one width with more than k rows, or k < 1.

    References:
        Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", 2019 (VGG16 features, k = 3).
        `prdc` leaves the border of a ball out, the paper counts it in; so do we.
    """
    scale, real, fake = _points(real, fake, k)
    _, around_fake = count_in_balls(real, _radii(real, k), fake, scale)
    _, around_real = count_in_balls(fake, _radii(fake, k), real, scale)
    return PrecisionRecall(float((around_fake > 0).mean()), float((around_real > 0).mean()))


def density_coverage(real, fake, *, k: int = 5) -> DensityCoverage:
    """Density and coverage: how deep the fakes lie in the reals' k-nearest-neighbour balls, and how many balls they reach.

        density = 1 / (k M) sum_j sum_i 1[|fake_j - real_i| <= |real_i - NN_k(real_i)|]
        coverage = mean_i 1[exists j: |fake_j - real_i| <= |real_i - NN_k(real_i)|]

    Only reals span balls, so outliers among the fakes cannot flatter.

    Args:
        real: float features [samples, dim], more than k rows.
        fake: float features [M, dim], more than k rows.
        k: neighbour that spans each ball, itself not counted.

    Returns:
        Density and coverage.

    Raises:
        ValueError: the features are not finite matrices of one width with more than k rows, or k < 1.

    References:
        Naeem et al., "Reliable fidelity and diversity metrics for generative models", 2020 (k = 5).
    """
    scale, real, fake = _points(real, fake, k)
    in_ball, around_fake = count_in_balls(real, _radii(real, k), fake, scale)
    return DensityCoverage(float(around_fake.sum() / (k * len(around_fake))), float((in_ball > 0).mean()))


def manifold_metrics(real, fake, *, k: int = 5) -> Manifold:
    """Precision, recall, density and coverage of one k at once; cheaper than the two functions.

    Args:
        real: float features [samples, dim], more than k rows.
        fake: float features [samples, dim], more than k rows.
        k: neighbour that spans each ball, itself not counted.

    Returns:
        The values of `precision_recall` and `density_coverage`.

    Raises:
        ValueError: as in these.

    References:
        As in these.
    """
    scale, real, fake = _points(real, fake, k)
    in_ball, around_fake = count_in_balls(real, _radii(real, k), fake, scale)
    _, around_real = count_in_balls(fake, _radii(fake, k), real, scale)
    density = float(around_fake.sum() / (k * len(around_fake)))
    return Manifold(float((around_fake > 0).mean()), float((around_real > 0).mean()), density, float((in_ball > 0).mean()))


def nearest_neighbors(queries, references, *, k: int = 1) -> Neighbors:
    """Finds the nearest references of each query, e.g. the training images nearest to the fakes, to see memorisation.

    In pixel space hand over images; in feature space their features.

    Args:
        queries: [queries, ...], numbers; flattened to one vector a row.
        references: [references, ...], of the same shape a row, at least k rows.
        k: number of neighbours.

    Returns:
        Distances and rows; an exact copy has distance 0.

    Raises:
        ValueError: the rows differ in shape, are not finite, or there are fewer references than k.
    """
    queries, references = np.asarray(queries), np.asarray(references)
    if queries.ndim < 2 or queries.shape[1:] != references.shape[1:]:
        raise ValueError(f"queries and references must have rows of one shape; got {queries.shape} and {references.shape}")
    if k < 1 or len(references) < k or len(queries) == 0:
        raise ValueError(f"k must be from 1 to the number of references, queries not empty; got k {k}, {queries.shape}, {references.shape}")
    flat = [np.reshape(a, (len(a), -1)) for a in (queries, references)]
    flat = [a.astype(np.float32) if a.dtype == np.uint8 else a for a in flat]
    flat = as_features(at_least=1, queries=flat[0], references=flat[1])
    _, (queries, references) = prepare(*flat)
    squared, indices = nearest(queries, references, k)
    return Neighbors(np.sqrt(squared), indices)
