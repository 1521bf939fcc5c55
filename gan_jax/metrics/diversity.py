"""Variety within one set of features, and copies of the training set: early signs of collapse and of memorisation."""

import numpy as np

from gan_jax.metrics.arrays import as_features
from gan_jax.metrics.distances import nearest, prepare


def mean_pairwise_distance(features) -> float:
    """Root mean square Euclidean distance of two different samples: sqrt(2 tr S), S the unbiased covariance.

    Falls to 0 as a generator collapses to a point; divide by the reals' value for a ratio. Says nothing of the number of modes.

    Args:
        features: float [samples, dim], at least 2 rows.

    Returns:
        The distance, exact over all pairs.

    Raises:
        ValueError: the features are not a finite matrix of at least 2 rows.
    """
    (features,) = as_features(features=features)
    variances = features.var(axis=0, dtype=np.float64, ddof=1)
    return float(np.sqrt(2 * variances.sum()))


def vendi_score(features) -> float:
    """Vendi score: the effective number of different samples, exp of the entropy of the eigenvalues of K / n.

    K holds the cosine similarities of the samples.

    Args:
        features: float [samples, dim].

    Returns:
        From 1 (all samples in one direction) to min(samples, dim).

    Raises:
        ValueError: the features are not a finite matrix, or a row is 0 (no direction).

    References:
        Friedman and Dieng, "The Vendi score: a diversity evaluation metric for machine learning", 2023.
    """
    (features,) = as_features(at_least=1, features=features)
    features = features.astype(np.float64)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    if (norms == 0).any():
        raise ValueError(f"features must have no row of zeros, which has no direction; got {int((norms == 0).sum())}")
    features = features / norms
    # X X^T and X^T X share their eigenvalues above 0: take the smaller one.
    gram = features @ features.T if len(features) <= features.shape[1] else features.T @ features
    values = np.linalg.eigvalsh(gram / len(features))
    values = values[values > len(values) * np.finfo(np.float64).eps]
    return float(np.exp(-(values * np.log(values)).sum()))


def duplicate_share(features, *, threshold: float) -> float:
    """Share of samples that have a near copy in the same set; the birthday test of a generator's support.

    Args:
        features: float [samples, dim], at least 2 rows.
        threshold: Euclidean distance up to which two samples are copies; 0 asks for exact ones.

    Returns:
        A share in [0, 1]. If a set of s samples holds copies, the generator's support is likely not much above s^2 / 2.

    Raises:
        ValueError: the features are not a finite matrix of at least 2 rows, or the threshold is negative.

    References:
        Arora and Zhang, "Do GANs actually learn the distribution? An empirical study", 2018.
    """
    (features,) = as_features(features=features)
    if not threshold >= 0:
        raise ValueError(f"threshold must be at least 0; got {threshold}")
    _, (points,) = prepare(features)
    squared, _ = nearest(points, points, 2)
    return float((squared[:, 1] <= threshold**2).mean())


def memorized_share(fake, train) -> float:
    """Share of fakes that lie closer to their nearest training sample than any other training sample does.

        mean_j 1[|fake_j - t_j| < |t_j - NN(t_j)|], t_j the training sample nearest to fake_j, NN(t) the nearest that differs from t

    Args:
        fake: float features [samples, dim], or flattened images.
        train: float features [samples, dim] of the training set, at least 2 different rows.

    Returns:
        A share in [0, 1]: 1 for a generator that copies, near 1/2 for fresh samples of the training distribution. 1 minus
        the authenticity of the paper.

    Raises:
        ValueError: the features are not finite matrices of one width, or all training samples are equal.

    References:
        Alaa et al., "How faithful is your synthetic data?", 2022. There a training sample that occurs twice has itself for a
        neighbour, at distance 0, and near copies of it pass for authentic; here it counts once. A tie is memorised there, not here.
    """
    fake, train = as_features(at_least=1, fake=fake, train=train)
    train = _distinct(train)
    if len(train) < 2:
        raise ValueError(f"train must have at least 2 different rows; got {len(train)}")
    _, (fake_points, train_points) = prepare(fake, train)
    squared, indices = nearest(fake_points, train_points, 1)
    used, back = np.unique(indices[:, 0], return_inverse=True)
    _, (used_points, train_points) = prepare(train[used], train)
    # Its own copy comes first, hence the second.
    own = nearest(used_points, train_points, 2)[0][:, 1]
    return float((squared[:, 0] < own[back]).mean())


def _distinct(matrix: np.ndarray) -> np.ndarray:
    """The rows of a matrix in their order, each once."""
    # Compared as bytes, which is far faster than `np.unique(axis=0)`; + 0 gives -0 the bytes of 0.
    rows = np.ascontiguousarray(matrix + 0)
    _, first = np.unique(rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0], return_index=True)
    return matrix[np.sort(first)]
