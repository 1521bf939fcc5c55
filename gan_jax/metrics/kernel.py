"""Kernel distance between features. The estimate is unbiased, so values from small sample counts can be compared."""

from typing import NamedTuple

import numpy as np

from gan_jax.metrics.arrays import as_features


class KernelDistance(NamedTuple):
    """Kernel distance.

    Attributes:
        value: Mean over the subsets of the squared maximum mean discrepancy. It is unbiased, so it can be negative for equal
            distributions.
        standard_error: Standard error of `value` as an estimate for the two distributions. NaN if the subsets cannot determine it.
        deviation: Standard deviation over the subsets (divided by subsets), which most papers print after the value.
    """

    value: float
    standard_error: float
    deviation: float


def _squared_mmd(real: np.ndarray, fake: np.ndarray) -> float:
    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    m, n = len(real), len(fake)
    real_kernel, fake_kernel = kernel(real, real), kernel(fake, fake)
    within_real = (real_kernel.sum() - np.trace(real_kernel)) / (m * (m - 1))
    within_fake = (fake_kernel.sum() - np.trace(fake_kernel)) / (n * (n - 1))
    return within_real + within_fake - 2 * kernel(real, fake).mean()


def kernel_distance(
    real_features, fake_features, *, subsets: int = 100, subset_size: int | None = 1000, seed: int = 2020
) -> KernelDistance:
    """Kernel distance: the squared maximum mean discrepancy under the cubic kernel k(x, y) = (x . y / dim + 1)^3.

        MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)

    Call the value KID only if the features are the 2,048 features of `inception_v3`.

    Args:
        real_features: float [samples, dim], at least 2 rows.
        fake_features: float [samples, dim], at least 2 rows.
        subsets: Number of random subsets to average over.
        subset_size: Rows of each set in a subset, limited to the size of the smaller set. None uses all rows once. There is then one
            subset, and the standard error is NaN.
        seed: Random seed of the choice of subsets.

    Returns:
        The mean over the subsets with its standard error, deviation / sqrt(independent subsets). The deviation is here divided by
        subsets - 1. The number of independent subsets is at most the number of disjoint subsets that fit into the smaller set. The
        standard error is NaN for a single subset, and if the smaller set has fewer rows than two subsets. In that case all subsets
        share most of their rows, so their spread does not tell how much another sample would differ.

    Raises:
        ValueError: If the features are not finite matrices of the same width with at least 2 rows, if subsets is below 1, or if
            subset_size is below 2.

    References:
        Binkowski et al., "Demystifying MMD GANs", 2018. Subsets, seed and float64 arithmetic are those of torch-fidelity, so the same
        features give the same value.
    """
    real_features, fake_features = as_features(real_features=real_features, fake_features=fake_features)
    if subsets < 1 or (subset_size is not None and subset_size < 2):
        raise ValueError(f"subsets must be at least 1 and subset_size at least 2; got {subsets} and {subset_size}")
    if subset_size is None:
        return KernelDistance(float(_squared_mmd(real_features.astype(np.float64), fake_features.astype(np.float64))), float("nan"), 0.0)
    smaller = min(len(real_features), len(fake_features))
    size = min(subset_size, smaller)
    # The legacy generator of NumPy, because torch-fidelity's published values depend on its stream.
    generator = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        real = real_features[generator.choice(len(real_features), size, replace=False)]
        fake = fake_features[generator.choice(len(fake_features), size, replace=False)]
        values.append(_squared_mmd(real.astype(np.float64), fake.astype(np.float64)))
    known = subsets > 1 and smaller >= 2 * size
    error = np.std(values, ddof=1) / np.sqrt(min(subsets, smaller / size)) if known else float("nan")
    return KernelDistance(float(np.mean(values)), float(error), float(np.std(values)))
