"""Mode coverage on distributions with known modes: Gaussian rings and grids, and stacked digits."""

from typing import NamedTuple

import jax
import numpy as np

from gan_jax.metrics import classifier
from gan_jax.metrics.arrays import as_features, as_images, to_float


class ModeCoverage(NamedTuple):
    """Coverage of known modes.

    Attributes:
        modes: Number of modes with at least one high-quality sample. If modes are classes, every sample counts as high quality.
        high_quality: Share of the samples that are close to a mode. 1 if modes are classes.
        reverse_kl: KL(fake || real) in nats between the distributions over modes. Each sample counts for its nearest mode.
        counts: int64 [total number of modes], the number of high-quality samples of each mode.
    """

    modes: int
    high_quality: float
    reverse_kl: float
    counts: np.ndarray


def _reverse_kl(counts: np.ndarray, target: np.ndarray) -> float:
    share = counts / counts.sum()
    seen = share > 0
    with np.errstate(divide="ignore"):
        return float((share[seen] * np.log(share[seen] / target[seen])).sum())


def _target(weights, count: int) -> np.ndarray:
    if weights is None:
        return np.full(count, 1 / count)
    weights = np.asarray(weights, np.float64)
    wrong = weights[~((weights >= 0) & (weights < np.inf))]
    if weights.shape != (count,) or wrong.size or not 0 < weights.sum() < np.inf:
        got = f"shape {weights.shape}" if weights.shape != (count,) else wrong[0] if wrong.size else f"the sum {weights.sum()}"
        raise ValueError(f"weights must be {count} finite numbers of at least 0, not all 0; got {got}")
    return weights / weights.sum()


def mode_coverage(samples, centers, std: float, *, within: float = 3.0, weights=None) -> ModeCoverage:
    """Counts the modes of a Gaussian mixture that samples reach, and the share of samples that reach a mode.

    A sample is of high quality if its distance to the nearest center is at most `within * std`. A mode is covered if it has at least
    one high-quality sample.

        reverse KL = sum_m f_m log(f_m / r_m)

    Here f_m is the share of all samples whose nearest center is m, and r_m is the weight of mode m.

    Args:
        samples: float [samples, dim].
        centers: float [modes, dim].
        std: Standard deviation of each mode, above 0.
        within: Largest distance of a high-quality sample, in standard deviations.
        weights: float [modes], shares of the modes in the real mixture. None means equal shares.

    Returns:
        The number of covered modes, the share of high-quality samples, the reverse KL over all samples, and the number of high-quality
        samples of each mode.

    Raises:
        ValueError: If samples or centers are not finite matrices of the same width, if std or within is not above 0, or if weights are
            not one finite number per mode, at least 0 and not all 0.

    References:
        Lin et al., "PacGAN: the power of two samples in generative adversarial networks", 2018 (2,500 samples, 3 deviations).
        Srivastava et al., "VEEGAN", 2017.
    """
    samples, centers = as_features(at_least=1, samples=samples, centers=centers)
    if not (std > 0 and within > 0):
        raise ValueError(f"std and within must be above 0; got {std} and {within}")
    target = _target(weights, len(centers))
    nearest, squared = np.empty(len(samples), np.int64), np.empty(len(samples))
    chunk = max(1, (1 << 22) // centers.size)
    for start in range(0, len(samples), chunk):
        part = slice(start, start + chunk)
        distances = np.square(samples[part, None].astype(np.float64) - centers[None].astype(np.float64)).sum(axis=2)
        nearest[part], squared[part] = distances.argmin(axis=1), distances.min(axis=1)
    good = squared <= (within * std) ** 2
    counts = np.bincount(nearest[good], minlength=len(centers))
    reverse_kl = _reverse_kl(np.bincount(nearest, minlength=len(centers)), target)
    return ModeCoverage(int((counts > 0).sum()), float(good.mean()), reverse_kl, counts)


def class_coverage(labels, classes: int, *, weights=None) -> ModeCoverage:
    """Counts the classes that occur among samples. Each class is a mode.

    Args:
        labels: int [samples] in [0, classes), usually predicted by a classifier.
        classes: Total number of classes.
        weights: float [classes], shares of the classes among the reals. None means equal shares.

    Returns:
        The number of classes seen, 1.0, the reverse KL of the class shares, and the number of samples of each class. Even perfect
        samples have a reverse KL of about (classes - 1) / (2 samples).

    Raises:
        ValueError: If there are no labels, if they are not integers in [0, classes), or if weights are invalid as in `mode_coverage`.

    References:
        Metz et al., "Unrolled generative adversarial networks", 2017.
    """
    labels = np.asarray(labels)
    integers = labels.ndim == 1 and len(labels) > 0 and labels.dtype.kind in "iu"
    if not integers or labels.min() < 0 or labels.max() >= classes:
        got = f"{labels.dtype} of shape {labels.shape}" if not integers else labels.min() if labels.min() < 0 else labels.max()
        raise ValueError(f"labels must be integers [samples] in [0, {classes}) and not be empty; got {got}")
    counts = np.bincount(labels, minlength=classes)
    return ModeCoverage(int((counts > 0).sum()), 1.0, _reverse_kl(counts, _target(weights, classes)), counts)


def stacked_digit_coverage(images, *, params=None, weights=None, batch_size: int = 500) -> ModeCoverage:
    """Counts the 1,000 modes of stacked digits. Each colour channel is one digit, and the three classes of an image are its mode.

    Args:
        images: uint8 or float in [-1, 1], [batch, 28, 28, 3] or [batch, 32, 32, 3].
        params: Parameters of the digit classifier. None loads the shipped ones.
        weights: float [1000], shares of the modes among the reals. None means equal shares.
        batch_size: Images classified at once.

    Returns:
        The result of `class_coverage` for class = 100 a + 10 b + c, where a, b and c are the digits of the three channels.

    Raises:
        ValueError: If the images do not have three channels and 28 or 32 pixels per side.

    References:
        Metz et al., "Unrolled generative adversarial networks", 2017.
        Lin et al., "PacGAN", 2018 (26,000 samples). The classifier differs from the papers. Compare modes and reverse KL only with values
        of the same classifier.
    """
    (images,) = as_images(images=images)
    if images.shape[3] != 3 or images.shape[1:3] not in ((28, 28), (32, 32)):
        raise ValueError(f"images must be [batch, 28, 28, 3] or [batch, 32, 32, 3]; got shape {images.shape}")
    params = classifier.load() if params is None else params
    classify = jax.jit(lambda params, x: classifier.apply(params, x)[1].argmax(axis=-1))
    labels = []
    for start in range(0, len(images), batch_size):
        part = to_float(images[start : start + batch_size], -1, 1)
        digits = classify(params, np.concatenate([part[..., i : i + 1] for i in range(3)]))
        labels.append(np.asarray(digits).reshape(3, -1))
    digits = np.concatenate(labels, axis=1)
    return class_coverage(100 * digits[0] + 10 * digits[1] + digits[2], 1000, weights=weights)
