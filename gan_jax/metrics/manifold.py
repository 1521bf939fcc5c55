"""Fidelity and diversity as separate numbers: precision and recall, density and coverage.

`nearest_neighbors` finds the training images that are nearest to fakes, to detect memorisation.
"""

from typing import NamedTuple

import numpy as np

from gan_jax.metrics.arrays import as_features
from gan_jax.metrics.distances import count_in_balls, nearest, prepare


class PrecisionRecall(NamedTuple):
    """Improved precision and recall, both in [0, 1].

    Attributes:
        precision: Share of the fakes that lie on the manifold of the reals (fidelity).
        recall: Share of the reals that lie on the manifold of the fakes (diversity).
    """

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density and coverage.

    Attributes:
        density: Mean number of real balls that contain a fake, divided by k. At least 0. It may exceed 1, and is 1 on average for
            equal distributions.
        coverage: Share of the reals with a fake in their ball, in [0, 1].
    """

    density: float
    coverage: float


class Manifold(NamedTuple):
    """The numbers of `PrecisionRecall` and `DensityCoverage` for the same k."""

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
    # The nearest neighbour of each row is the row itself or an exact copy of it, so search for k + 1.
    return nearest(points, points, k + 1)[0][:, k]


def precision_recall(real, fake, *, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall: the share of each set inside the other set's union of k-nearest-neighbour balls.

        precision = mean_j 1[exists i: |fake_j - real_i| <= |real_i - NN_k(real_i)|]

    Recall is the same with the sets exchanged. Distances are computed in blocks of rows, so the full distance matrix is never in
    memory.

    Args:
        real: float features [samples, dim], more than k rows.
        fake: float features [samples, dim], more than k rows. Use as many fakes as reals, otherwise the comparison of precision and
            recall is biased.
        k: The distance to the k-th neighbour is the radius of a ball. A sample is not its own neighbour.

    Returns:
        Precision and recall.

    Raises:
        ValueError: If the features are not finite matrices of the same width with more than k rows, or if k < 1.

    References:
        Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", 2019 (VGG16 features, k = 3). The
        border belongs to a ball, as in the paper. The package `prdc` excludes the border.
    """
    scale, real, fake = _points(real, fake, k)
    _, around_fake = count_in_balls(real, _radii(real, k), fake, scale)
    _, around_real = count_in_balls(fake, _radii(fake, k), real, scale)
    return PrecisionRecall(float((around_fake > 0).mean()), float((around_real > 0).mean()))


def density_coverage(real, fake, *, k: int = 5) -> DensityCoverage:
    """Density and coverage: how deep the fakes lie in the reals' k-nearest-neighbour balls, and how many balls they reach.

        density = 1 / (k M) sum_j sum_i 1[|fake_j - real_i| <= |real_i - NN_k(real_i)|]
        coverage = mean_i 1[exists j: |fake_j - real_i| <= |real_i - NN_k(real_i)|]

    Balls are drawn around reals only, so outliers among the fakes cannot improve the values.

    Args:
        real: float features [samples, dim], more than k rows.
        fake: float features [M, dim], more than k rows.
        k: The distance to the k-th neighbour is the radius of a ball. A sample is not its own neighbour.

    Returns:
        Density and coverage.

    Raises:
        ValueError: If the features are not finite matrices of the same width with more than k rows, or if k < 1.

    References:
        Naeem et al., "Reliable fidelity and diversity metrics for generative models", 2020 (k = 5).
    """
    scale, real, fake = _points(real, fake, k)
    in_ball, around_fake = count_in_balls(real, _radii(real, k), fake, scale)
    return DensityCoverage(float(around_fake.sum() / (k * len(around_fake))), float((in_ball > 0).mean()))


def manifold_metrics(real, fake, *, k: int = 5) -> Manifold:
    """Precision, recall, density and coverage for the same k. Cheaper than calling the two functions separately.

    Args:
        real: float features [samples, dim], more than k rows.
        fake: float features [samples, dim], more than k rows.
        k: The distance to the k-th neighbour is the radius of a ball. A sample is not its own neighbour.

    Returns:
        The values of `precision_recall` and `density_coverage`.

    Raises:
        ValueError: If the features are not finite matrices of the same width with more than k rows, or if k < 1.

    References:
        See `precision_recall` and `density_coverage`.
    """
    scale, real, fake = _points(real, fake, k)
    in_ball, around_fake = count_in_balls(real, _radii(real, k), fake, scale)
    _, around_real = count_in_balls(fake, _radii(fake, k), real, scale)
    density = float(around_fake.sum() / (k * len(around_fake)))
    return Manifold(float((around_fake > 0).mean()), float((around_real > 0).mean()), density, float((in_ball > 0).mean()))


def nearest_neighbors(queries, references, *, k: int = 1) -> Neighbors:
    """Finds the nearest references of each query, e.g. the training images nearest to the fakes, to detect memorisation.

    Pass images to compare pixels. Pass features to compare in feature space.

    Args:
        queries: Real numbers [queries, ...]. Each row is flattened to a vector.
        references: Real numbers [references, ...] with the same shape per row, at least k rows.
        k: Number of neighbours.

    Returns:
        The distances and the rows of the neighbours. An exact copy has distance 0.

    Raises:
        ValueError: If the rows differ in shape or are not finite, if there are no queries, or if k is not between 1 and the number of
            references.
    """
    queries, references = np.asarray(queries), np.asarray(references)
    if queries.ndim < 2 or queries.shape[1:] != references.shape[1:]:
        raise ValueError(f"queries and references must have rows of the same shape; got {queries.shape} and {references.shape}")
    if k < 1 or len(references) < k or len(queries) == 0:
        raise ValueError(f"k must be in [1, number of references] and queries not empty; got k {k}, {queries.shape}, {references.shape}")
    flat = [np.reshape(a, (len(a), -1)) for a in (queries, references)]
    flat = [a.astype(np.float32) if a.dtype == np.uint8 else a for a in flat]
    flat = as_features(at_least=1, queries=flat[0], references=flat[1])
    _, (queries, references) = prepare(*flat)
    squared, indices = nearest(queries, references, k)
    return Neighbors(np.sqrt(squared), indices)
