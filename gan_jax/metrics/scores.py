"""Inception score: high if each image has a confident class and the classes are diverse."""

from typing import NamedTuple

import numpy as np

from gan_jax.metrics.arrays import as_features


class InceptionScore(NamedTuple):
    """Inception score.

    Attributes:
        value: Mean over the splits, in [1, classes].
        deviation: Standard deviation over the splits (divided by splits, as in the literature).
    """

    value: float
    deviation: float


def inception_score(probabilities, *, splits: int = 10) -> InceptionScore:
    """Inception score: exp of the mean over samples of KL(p(y | x) || p(y)), with mean and deviation over splits.

    Args:
        probabilities: float [samples, classes], rows of class probabilities that sum to 1. Splits are consecutive rows, so the samples
            must be in random order, not sorted by class.
        splits: Number of parts. Each part has its own p(y).

    Returns:
        Mean and deviation over the splits. The score is 1 if all rows are equal, and `classes` if all rows are one-hot and evenly
        distributed. A probability of 0 counts as 0 log 0 = 0.

    Raises:
        ValueError: If rows are not finite, negative or do not sum to 1 (e.g. logits), or if there are fewer rows than splits.

    References:
        Salimans et al., "Improved techniques for training GANs", 2016. The literature uses the 1,008 logits of `inception_v3`. Name
        the classifier with the score if it is another one.
    """
    if splits < 1:
        raise ValueError(f"splits must be at least 1; got {splits}")
    (probabilities,) = as_features(at_least=splits, probabilities=probabilities)
    probabilities = probabilities.astype(np.float64)
    sums = probabilities.sum(axis=1)
    if probabilities.min() < 0 or np.abs(sums - 1).max() > 1e-3:
        raise ValueError(
            f"probabilities must be rows that sum to 1; got minimum {probabilities.min()} and sums {sums.min()} to {sums.max()}"
        )
    scores = []
    for i in range(splits):
        part = probabilities[i * len(probabilities) // splits : (i + 1) * len(probabilities) // splits]
        marginal = part.mean(axis=0)
        # If p(y | x) is 0, the term is 0 and the logarithm must not be computed. p(y) is 0 only if all p(y | x) are 0.
        ratio = np.divide(part, marginal, out=np.ones_like(part), where=part > 0)
        scores.append(np.exp((part * np.log(ratio)).sum(axis=1).mean()))
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))
