"""Fréchet distance between features: streaming moments, the distance, and the distance within each class."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from gan_jax.metrics.arrays import as_features

_BLOCK = 4096


class Moments(NamedTuple):
    """Streaming mean and covariance, in float64 on the host. Moments of different batches, devices and hosts can be merged.

    Attributes:
        count: int64 [], the number of rows seen.
        mean: float64 [dim].
        scatter: float64 [dim, dim], the sum over rows of the outer product of their deviation from the mean.
    """

    count: np.ndarray
    mean: np.ndarray
    scatter: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance, scatter / (count - 1)."""
        return self.scatter / (self.count - 1)


def init_moments(dim: int) -> Moments:
    """Initialises streaming moments of features of width `dim`, with a count of 0."""
    return Moments(np.zeros((), np.int64), np.zeros(dim), np.zeros((dim, dim)))


def update_moments(moments: Moments, features) -> Moments:
    """Adds a batch of features to streaming moments.

    Args:
        moments: Moments from `init_moments` or an earlier update. They are not modified.
        features: float [batch, dim].

    Returns:
        The moments of all rows seen so far. They equal the moments of all rows at once, up to float64 rounding.

    Raises:
        ValueError: If the features are not a finite matrix of the same width as the moments.

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
    """Merges the moments of two disjoint sets of rows. The operation is associative and commutative up to float64 rounding.

    Args:
        first: Moments of one set, which may be empty.
        second: Moments of another set, of the same width.

    Returns:
        The moments of the union.

    Raises:
        ValueError: If the widths differ.
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
    """Computes the moments of features that are given at once or in batches.

    Args:
        batches: float [samples, dim], or an iterable of float [batch, dim].

    Returns:
        The moments of all rows.

    Raises:
        ValueError: If there are no features, or if they are not finite matrices of the same width.
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

    The trace of the square root is computed from the eigenvalues of a symmetric matrix. The result is therefore real and symmetric,
    whatever the rank of the covariances. No term is added to the diagonals of the covariances.

    Args:
        real: Moments of the real features, of at least 2 rows.
        fake: Moments of the fake features, of the same width.

    Returns:
        The distance in squared feature units. It is 0 for equal moments. Negative values from rounding are set to 0.

    Raises:
        ValueError: If the widths differ, if a set has fewer than 2 rows, or if the moments are not finite.

    References:
        Dowson and Landau, "The Fréchet distance between multivariate normal distributions", 1982.
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
    # Any factor with factor @ factor.T == first gives the eigenvalues of first @ second. Cholesky is cheaper than an
    # eigendecomposition, but requires full rank. If the matrix is close to singular, the eigendecomposition is safer.
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
    # The square root turns a rounding error of 1e-16 into 1e-8 for each null direction, so leave these out.
    values = values[values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0)]
    return float(np.sqrt(values).sum())


def frechet_distance(real_features, fake_features) -> float:
    """Fréchet distance between Gaussians that are fitted to real and fake features.

    Call the value FID only if the features come from the 2015 Inception-v3 (`inception_v3`) and there are 50,000 fakes, and name the
    reference set. With other features, name them instead. The estimate is biased upwards by a term in 1/samples, so compare only
    values with the same number of samples.

    Args:
        real_features: float [samples, dim], at least 2 rows.
        fake_features: float [samples, dim], at least 2 rows. There may be fewer rows than dims. The covariance is then singular,
            but the distance is still defined.

    Returns:
        The distance as in `frechet_distance_from_moments`. The covariances are unbiased (divided by samples - 1).

    Raises:
        ValueError: If the features are not finite matrices of the same width with at least 2 rows each.

    References:
        Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", 2017.
    """
    real_features, fake_features = as_features(real_features=real_features, fake_features=fake_features)
    return frechet_distance_from_moments(feature_moments(real_features), feature_moments(fake_features))


class IntraClassDistance(NamedTuple):
    """Fréchet distance within each class.

    Attributes:
        value: Mean over the classes. NaN if a class has fewer than 2 fakes.
        per_class: Maps each class to its distance. NaN for a class with fewer than 2 fakes.
    """

    value: float
    per_class: dict[int, float]


def intra_class_frechet_distance(real_features, real_labels, fake_features, fake_labels) -> IntraClassDistance:
    """Mean over the classes of the Fréchet distance within the class. Detects a generator that drops or blurs a class.

    Args:
        real_features: float [samples, dim].
        real_labels: int [samples]. The distance is measured for each class that occurs here. A single class is enough.
        fake_features: float [samples, dim].
        fake_labels: int [samples], the classes that the generator was conditioned on, or the classes predicted by a classifier.

    Returns:
        The mean and the distance of each class. If a class has fewer than 2 fakes, the generator has dropped it. Its distance and the
        mean are then NaN, because a mean over the other classes would hide the missing class.

    Raises:
        ValueError: If labels and features differ in length, or if a class has fewer than 2 reals.

    References:
        Miyato and Koyama, "cGANs with projection discriminator", 2018.
    """
    real_features, fake_features = as_features(at_least=0, real_features=real_features, fake_features=fake_features)
    real_labels, fake_labels = np.asarray(real_labels), np.asarray(fake_labels)
    for name, labels, features in (("real", real_labels, real_features), ("fake", fake_labels, fake_features)):
        if labels.shape != (len(features),):
            raise ValueError(f"{name}_labels must have shape ({len(features)},), one label per row of {name}_features; got {labels.shape}")
    if len(real_labels) == 0:
        raise ValueError("real_features must not be empty")
    per_class = {}
    for label in np.unique(real_labels):
        real, fake = real_features[real_labels == label], fake_features[fake_labels == label]
        if len(real) < 2:
            raise ValueError(f"class {label} needs at least 2 real samples; got {len(real)}")
        per_class[int(label)] = frechet_distance(real, fake) if len(fake) >= 2 else float("nan")
    return IntraClassDistance(float(np.mean(list(per_class.values()))), per_class)
