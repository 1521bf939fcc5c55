"""Fréchet distance between features: streaming moments, the distance, and the distance class by class."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from gan_jax.metrics.arrays import as_features

_BLOCK = 4096


class Moments(NamedTuple):
    """Streaming mean and covariance, in float64 on the host; merges across batches, devices and hosts.

    Attributes:
        count: int64 [], number of rows seen.
        mean: float64 [dim].
        scatter: float64 [dim, dim], the sum over rows of the outer product of their deviations from the mean.
    """

    count: np.ndarray
    mean: np.ndarray
    scatter: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance, scatter / (count - 1)."""
        return self.scatter / (self.count - 1)


def init_moments(dim: int) -> Moments:
    """Starts streaming moments of features of width `dim`: nothing seen yet."""
    return Moments(np.zeros((), np.int64), np.zeros(dim), np.zeros((dim, dim)))


def update_moments(moments: Moments, features) -> Moments:
    """Adds a batch of features to streaming moments.

    Args:
        moments: as from `init_moments` or an earlier update; not changed.
        features: float [batch, dim].

    Returns:
        The moments of everything seen; the same as of all rows at once, up to float64 rounding.

    Raises:
        ValueError: the features are not a finite matrix of the moments' width.

    References:
        Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
    """
    (features,) = as_features(at_least=0, features=features)
    for start in range(0, len(features), _BLOCK):
        block = features[start : start + _BLOCK].astype(np.float64)
        mean = block.mean(axis=0)
        block -= mean
        moments = merge_moments(moments, Moments(np.asarray(len(block)), mean, block.T @ block))
    return moments


def merge_moments(first: Moments, second: Moments) -> Moments:
    """Merges the moments of two disjoint sets of rows; associative and commutative up to float64 rounding.

    Args:
        first: moments of one set; may be empty.
        second: moments of another, of the same width.

    Returns:
        The moments of the union.

    Raises:
        ValueError: the widths differ.
    """
    if np.shape(first.mean) != np.shape(second.mean):
        raise ValueError(f"moments must have one width; got {np.shape(first.mean)} and {np.shape(second.mean)}")
    count = first.count + second.count
    if count == 0:
        return first
    delta = second.mean - first.mean
    scatter = first.scatter + second.scatter
    if first.count > 0 and second.count > 0:
        scatter += np.outer(delta, delta * (first.count * second.count / count))
    return Moments(np.asarray(count), first.mean + delta * (second.count / count), scatter)


def feature_moments(batches) -> Moments:
    """Computes the moments of features given at once or in batches.

    Args:
        batches: float [samples, dim], or an iterable of float [batch, dim].

    Returns:
        Their moments.

    Raises:
        ValueError: there are no features, or they are not finite matrices of one width.
    """
    if hasattr(batches, "ndim") or not isinstance(batches, Iterable):
        batches = (batches,)
    moments = None
    for batch in batches:
        (batch,) = as_features(at_least=0, features=batch)
        moments = update_moments(init_moments(batch.shape[1]) if moments is None else moments, batch)
    if moments is None or moments.count == 0:
        raise ValueError("features must not be empty")
    return moments


def frechet_distance_from_moments(real: Moments, fake: Moments) -> float:
    """Fréchet distance of two Gaussians: |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1^(1/2) S2 S1^(1/2))^(1/2).

    The trace of the root comes from the eigenvalues of a symmetric matrix, so the result is real and symmetric
    whatever the rank of the covariances; no term is added to their diagonals.

    Args:
        real: moments of the real features, of at least 2 rows.
        fake: moments of the fake features, of the same width.

    Returns:
        The distance, squared feature units; 0 for equal moments. Never negative: rounding below 0 is cut off.

    Raises:
        ValueError: the widths differ, a set has fewer than 2 rows, or the moments are not finite.

    References:
        Dowson and Landau, "The Fréchet distance between multivariate normal distributions", 1982;
        Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", 2017.
    """
    if np.shape(real.mean) != np.shape(fake.mean):
        raise ValueError(f"real and fake moments must have one width; got {np.shape(real.mean)} and {np.shape(fake.mean)}")
    for name, moments in (("real", real), ("fake", fake)):
        if moments.count < 2:
            raise ValueError(f"{name} moments need at least 2 rows; got {int(moments.count)}")
        if not (np.isfinite(moments.mean).all() and np.isfinite(moments.scatter).all()):
            raise ValueError(f"{name} moments must be finite")
    difference = real.mean - fake.mean
    real_covariance, fake_covariance = real.covariance, fake.covariance
    root = _trace_of_root(real_covariance, fake_covariance)
    distance = difference @ difference + np.trace(real_covariance) + np.trace(fake_covariance) - 2 * root
    return max(float(distance), 0.0)


def _trace_of_root(first: np.ndarray, second: np.ndarray) -> float:
    # Any factor with factor @ factor.T == first will do, as the eigenvalues are those of first @ second. Cholesky costs
    # less than an eigen-decomposition, but exists only at full rank; near it the decomposition is the safer one.
    factor = None
    try:
        factor = np.linalg.cholesky(first)
        diagonal = np.diagonal(factor)
        if diagonal.min() ** 2 < len(first) * np.finfo(np.float64).eps * diagonal.max() ** 2:
            factor = None
    except np.linalg.LinAlgError:
        pass
    if factor is None:
        values, vectors = np.linalg.eigh(first)
        kept = values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0)
        factor = vectors[:, kept] * np.sqrt(values[kept])
    if factor.shape[1] == 0:
        return 0.0
    product = factor.T @ second @ factor
    values = np.linalg.eigvalsh((product + product.T) / 2)
    # The root turns rounding of 1e-16 into 1e-8 for each null direction: leave these out.
    values = values[values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0)]
    return float(np.sqrt(values).sum())


def frechet_distance(real_features, fake_features) -> float:
    """Fréchet distance between Gaussians fitted to real and fake features.

    FID in the literature's sense only with features of the 2015 Inception-v3 (`inception_v3`), 50,000 fakes and the
    reference set named; with any other features name these. The estimate is biased upwards by a term in 1/samples:
    compare values of equal sample counts only.

    Args:
        real_features: float [samples, dim], at least 2 rows.
        fake_features: float [samples, dim], at least 2 rows; fewer rows than dims is allowed (the covariance is singular,
            the distance defined).

    Returns:
        The distance, as in `frechet_distance_from_moments`; covariances are unbiased (divided by samples - 1).

    Raises:
        ValueError: the features are not finite matrices of one width with at least 2 rows each.

    References:
        Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", 2017.
    """
    real_features, fake_features = as_features(real_features=real_features, fake_features=fake_features)
    return frechet_distance_from_moments(feature_moments(real_features), feature_moments(fake_features))


class IntraClassDistance(NamedTuple):
    """Fréchet distance class by class.

    Attributes:
        value: the mean over classes; NaN if a class has fewer than 2 fakes.
        per_class: class -> distance; NaN for a class that has fewer than 2 fakes.
    """

    value: float
    per_class: dict[int, float]


def intra_class_frechet_distance(real_features, real_labels, fake_features, fake_labels) -> IntraClassDistance:
    """Mean over classes of the Fréchet distance within the class; catches a generator that drops or blurs a class.

    Args:
        real_features: float [samples, dim].
        real_labels: int [samples]; its classes are those measured, one class being enough.
        fake_features: float [samples, dim].
        fake_labels: int [samples], the classes that the fakes were asked for (or are classified as).

    Returns:
        The mean and the distances. A class without at least 2 fakes is dropped by the generator: its distance, and with it the
        mean, is NaN rather than flattered.

    Raises:
        ValueError: labels and features differ in length, or a class has fewer than 2 reals.

    References:
        Miyato and Koyama, "cGANs with projection discriminator", 2018.
    """
    real_features, fake_features = as_features(at_least=0, real_features=real_features, fake_features=fake_features)
    real_labels, fake_labels = np.asarray(real_labels), np.asarray(fake_labels)
    for name, labels, features in (("real", real_labels, real_features), ("fake", fake_labels, fake_features)):
        if labels.shape != (len(features),):
            raise ValueError(f"{name}_labels must have shape ({len(features)},), one a row of {name}_features; got {labels.shape}")
    if len(real_labels) == 0:
        raise ValueError("real_features must not be empty")
    per_class = {}
    for label in np.unique(real_labels):
        real, fake = real_features[real_labels == label], fake_features[fake_labels == label]
        if len(real) < 2:
            raise ValueError(f"class {label} needs at least 2 real samples; got {len(real)}")
        per_class[int(label)] = frechet_distance(real, fake) if len(fake) >= 2 else float("nan")
    return IntraClassDistance(float(np.mean(list(per_class.values()))), per_class)
