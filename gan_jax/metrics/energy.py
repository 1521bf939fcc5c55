"""Energy distance between two samples."""

import numpy as np

from gan_jax.metrics.arrays import as_features

_ROWS = 2048


def energy_distance(real, fake) -> float:
    """Unbiased estimate of the energy distance between two distributions.

        E = 2 E|X - Y| - E|X - X'| - E|Y - Y'|

    X and X' are independent reals, Y and Y' independent fakes. E is 0 if and only if the distributions are equal, and it is sensitive to
    lost modes and to a wrong spread alike. The estimate leaves out the distance of a sample to itself, so it can be slightly below 0.

    Args:
        real: Float [samples, dim], at least two finite rows.
        fake: Float [samples, dim], at least two finite rows of the same width.

    Returns:
        The estimate, in the units of the features.

    Raises:
        ValueError: If the samples are not finite matrices of the same width with at least two rows.

    References:
        Székely and Rizzo, "Energy statistics: a class of statistics based on distances", 2013.
    """
    real, fake = (matrix.astype(np.float64) for matrix in as_features(at_least=2, real=real, fake=fake))
    between = _total(real, fake) / (len(real) * len(fake))
    within = sum(_total(points, points) / (len(points) * (len(points) - 1)) for points in (real, fake))
    return float(2 * between - within)


def _total(first: np.ndarray, second: np.ndarray) -> float:
    """The sum of the distances between all pairs, in blocks of rows."""
    from scipy.spatial.distance import cdist  # Importing it takes 0.3 s, and only this metric needs it.

    return sum(float(cdist(first[start : start + _ROWS], second).sum()) for start in range(0, len(first), _ROWS))
