"""Diversity within one set of features, and copies of the training set.

These metrics are early signs of mode collapse and of memorisation.
"""

import numpy as np

from gan_jax.metrics.arrays import as_features
from gan_jax.metrics.distances import nearest, prepare


def vendi_score(features) -> float:
    """Vendi score: the effective number of different samples, exp(-sum_i l_i log l_i), where l_i are the eigenvalues of K / n.

    K holds the cosine similarities of the n samples.

    Args:
        features: float [samples, dim].

    Returns:
        A value from 1, if all samples have the same direction, to min(samples, dim).

    Raises:
        ValueError: If the features are not a finite matrix, or if a row is zero and therefore has no direction.

    References:
        Friedman and Dieng, "The Vendi score: a diversity evaluation metric for machine learning", 2023.
    """
    (features,) = as_features(at_least=1, features=features)
    features = features.astype(np.float64)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    if (norms == 0).any():
        raise ValueError(f"features must have no row of zeros, because it has no direction; got {int((norms == 0).sum())} such rows")
    features = features / norms
    # X X^T and X^T X have the same positive eigenvalues, so the smaller matrix is enough.
    gram = features @ features.T if len(features) <= features.shape[1] else features.T @ features
    values = np.linalg.eigvalsh(gram / len(features))
    values = values[values > len(values) * np.finfo(np.float64).eps]
    return float(np.exp(-(values * np.log(values)).sum()))


def memorized_share(fake, train) -> float:
    """Share of fakes that are closer to their nearest training sample than any other training sample is.

        mean_j 1[|fake_j - t_j| < |t_j - NN(t_j)|]

    Here t_j is the training sample nearest to fake_j, and NN(t) is the nearest training sample that differs from t.

    Args:
        fake: float [samples, dim], features or flattened images.
        train: float [samples, dim] of the training set, with at least 2 different rows.

    Returns:
        A share in [0, 1]. It is 1 for a generator that copies, and close to 1/2 for new samples of the training distribution. It
        equals 1 minus the authenticity of the paper, apart from the deviations below.

    Raises:
        ValueError: If the features are not finite matrices of the same width, or if all training samples are equal.

    References:
        Alaa et al., "How faithful is your synthetic data?", 2022. Two details differ. In the paper, a training sample that occurs
        twice is its own neighbour at distance 0, so near copies of it count as authentic. Here duplicates are removed first. A tie
        counts as memorised in the paper and as authentic here.
    """
    fake, train = as_features(at_least=1, fake=fake, train=train)
    train = _distinct(train)
    if len(train) < 2:
        raise ValueError(f"train must have at least 2 different rows; got {len(train)}")
    _, (fake_points, train_points) = prepare(fake, train)
    squared, indices = nearest(fake_points, train_points, 1)
    used, back = np.unique(indices[:, 0], return_inverse=True)
    _, (used_points, train_points) = prepare(train[used], train)
    # The nearest neighbour of a training sample is the sample itself, so take the second.
    own = nearest(used_points, train_points, 2)[0][:, 1]
    return float((squared[:, 0] < own[back]).mean())


def _distinct(matrix: np.ndarray) -> np.ndarray:
    """Returns the distinct rows of a matrix, in the order of their first occurrence."""
    # Rows are compared as bytes, which is much faster than `np.unique(axis=0)`. Adding 0 turns -0 into 0, which has other bytes.
    rows = np.ascontiguousarray(matrix + 0)
    _, first = np.unique(rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0], return_index=True)
    return matrix[np.sort(first)]
