"""Figures of small grids of samples: variety, similarity to the training images, and spectrum. Computed with NumPy."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

NEAREST = 2000  # Number of training images that are searched for copies.
SATURATED = 0.995
PER_CLASS = 4  # Minimum number of samples of a class for which the spread is computed.
COPY = 0.3  # A sample is a copy if it is nearer than this share of the median distance of neighbours among the training images.


class Reference(NamedTuple):
    """The figures of the training images, to compare those of the samples with.

    Attributes:
        images: float32 [n, dim], flattened.
        shape: Shape of one image.
        spread: Root mean square distance of two images.
        neighbour: Median distance of an image to its nearest neighbour.
        dimension: Intrinsic dimension of as many images as there are samples, see `intrinsic_dimension`.
        saturated: Share of pixels with an absolute value above 0.995.
        log_spectrum: See `log_spectrum`. None for points.
        class_spreads: See `class_spreads`. Empty if the classes are unknown.
    """

    images: np.ndarray
    shape: tuple[int, ...]
    spread: float
    neighbour: float
    dimension: float
    saturated: float
    log_spectrum: np.ndarray | None
    class_spreads: Mapping[int, float]


def make_reference(images: np.ndarray, samples: int, labels: np.ndarray | None = None) -> Reference:
    """Computes the figures of training images.

    Args:
        images: [n, ...], uint8 or float in [-1, 1]. A few hundred suffice, and more than `NEAREST` are of no use.
        samples: Number of samples that will be compared with them.
        labels: int [n], the classes of the images, for `spread_within_classes`.
    """
    images = _float(images)
    flat = images.reshape(len(images), -1)
    few = flat[: min(len(flat), 512)]
    nearest = np.sqrt(np.partition(squared_distances(few, flat), 1, axis=1)[:, 1])
    return Reference(
        images=flat,
        shape=images.shape[1:],
        spread=spread(flat),
        neighbour=float(np.median(nearest)),
        dimension=intrinsic_dimension(flat[: max(samples, 8)]),
        saturated=float((np.abs(flat) > SATURATED).mean()),
        log_spectrum=log_spectrum(images[:512]) if images.ndim == 4 else None,
        class_spreads={} if labels is None else class_spreads(flat, labels),
    )


def sample_figures(samples: np.ndarray, reference: Reference) -> dict[str, float]:
    """Computes the `samples/...` metrics of a set of samples.

    Args:
        samples: float [n, ...] in [-1, 1], with the shape of the reference's images.
        reference: Figures of the training images.

    Returns:
        A dict with the keys `samples/NAME`. If a sample is not finite, only {"samples/finite": 0.0}. The names are:

        - `pairwise_distance`, `dimension`: Spread and intrinsic dimension, divided by those of the reals.
        - `nearest_real`: Median distance to the nearest training image, divided by that of the reals.
        - `copied`: Share of samples that are near copies of a training image.
        - `saturated`, `saturated_excess`: For images, the share of saturated pixels, and its difference from that of the reals.
        - `spectrum`: For images, the root mean square difference of the log spectra, in decibels.
        - `checkerboard`: For images, the excess power at the highest frequency of either axis, in decibels.
    """
    samples = _float(samples)
    if not np.isfinite(samples).all():
        return {"samples/finite": 0.0}
    flat = samples.reshape(len(samples), -1)
    nearest = np.sqrt(squared_distances(flat, reference.images).min(axis=1))
    scale = max(reference.neighbour, 1e-12)
    figures = {
        "pairwise_distance": spread(flat) / max(reference.spread, 1e-12),
        "dimension": intrinsic_dimension(flat) / max(reference.dimension, 1e-12),
        "nearest_real": float(np.median(nearest)) / scale,
        "copied": float((nearest < COPY * scale).mean()),
    }
    if reference.log_spectrum is not None:
        saturated = float((np.abs(flat) > SATURATED).mean())
        excess = log_spectrum(samples) - reference.log_spectrum
        figures |= {
            "saturated": saturated,
            "saturated_excess": saturated - reference.saturated,
            "spectrum": float(np.sqrt(np.mean(excess**2))),
            "checkerboard": _checkerboard(excess),
        }
    return {f"samples/{name}": float(value) for name, value in figures.items()}


def class_figures(probabilities: np.ndarray) -> dict[str, float]:
    """Computes the variety of samples and the confidence of a classifier from its outputs.

    Args:
        probabilities: float [samples, classes].

    Returns:
        `samples/classes`, the effective number of classes, which is exp of the entropy of the mean. `samples/confident`, the mean of the
        largest probability.
    """
    mean = probabilities.mean(axis=0, dtype=np.float64)
    entropy = -(mean * np.log(np.maximum(mean, 1e-12))).sum()
    return {"samples/classes": float(np.exp(entropy)), "samples/confident": float(probabilities.max(axis=1).mean(dtype=np.float64))}


def spread_within_classes(samples: np.ndarray, labels: np.ndarray, reference: Reference) -> dict[str, float]:
    """Compares the spread of the samples of each class with that of its training images.

    The spread of a class is the root mean square distance of two samples, divided by that of two training images of the class. Classes with
    fewer than `PER_CLASS` samples or training images, or with equal training images, are left out.

    Args:
        samples: float [n, ...] in [-1, 1], with the shape of the reference's images.
        labels: int [n], the requested classes.
        reference: Figures of the training images, with their classes.

    Returns:
        `samples/class_spread` and `samples/least_class_spread`, the median and the minimum over the classes, and
        `samples/least_varied_class`, the class of the minimum. Empty if no class is left, or if a sample is not finite.
    """
    flat = _float(samples).reshape(len(samples), -1)
    if not np.isfinite(flat).all():
        return {}
    fake = class_spreads(flat, labels)
    shares = {label: fake[label] / real for label, real in reference.class_spreads.items() if label in fake and real > 1e-6}
    if not shares:
        return {}
    least = min(shares, key=lambda label: shares[label])
    return {
        "samples/class_spread": float(np.median(list(shares.values()))),
        "samples/least_class_spread": shares[least],
        "samples/least_varied_class": float(least),
    }


def class_spreads(points: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """The `spread` of the points [n, dim] of each class that has at least `PER_CLASS` points."""
    classes, counts = np.unique(labels, return_counts=True)
    return {int(label): spread(points[labels == label]) for label in classes[counts >= PER_CLASS]}


def spread(points: np.ndarray) -> float:
    """Root mean square distance of two different points [n, dim]: sqrt(2 tr S) with the unbiased covariance S."""
    return float(np.sqrt(2 * points.var(axis=0, dtype=np.float64, ddof=1).sum()))


def intrinsic_dimension(points: np.ndarray) -> float:
    """Estimates the dimension of the set that points lie on, from the distances r1 and r2 to their two nearest neighbours.

        d = (n - 1) / sum_i log(r2_i / r1_i)

    Args:
        points: [n, dim]. Copies of another point are left out.

    Returns:
        The estimate. 0 if fewer than 4 different points are left. It is biased down in many dimensions, so compare equally many points.

    References:
        Facco et al., "Estimating the intrinsic dimension of datasets by a minimal neighborhood information", 2017. This is the
        maximum-likelihood form, with the factor that makes it unbiased.
    """
    points = np.unique(points.astype(np.float64), axis=0)
    if len(points) < 4:
        return 0.0
    squared = squared_distances(points, points)
    np.fill_diagonal(squared, np.inf)
    first, second = np.sort(squared, axis=1)[:, :2].T
    known = first > 1e-9 * max(float(np.median(second)), 1e-300)
    logs = 0.5 * np.log(second[known] / first[known])
    total = float(logs.sum())
    return (known.sum() - 1) / total if known.sum() >= 4 and total > 0 else 0.0


def squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances, float64 [n, m], of rows [n, dim] and [m, dim]. They are never negative."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    product = first @ second.T
    return np.maximum((first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * product, 0.0)


def log_spectrum(images: np.ndarray) -> np.ndarray:
    """Mean power of images [n, height, width, channels] at each frequency (all rows, half the columns), in decibels.

    The noise of one grey level in 255 is added at all frequencies, so that constant images have a finite spectrum. The value at frequency 0
    is set to 0.
    """
    height, width = images.shape[1:3]
    power = (np.abs(np.fft.rfft2(images.astype(np.float64), axes=(1, 2))) ** 2).mean(axis=(0, 3)) / (height * width) ** 2
    decibels = 10 * np.log10(power + (2 / 255) ** 2 / (height * width))
    decibels[0, 0] = 0.0
    return decibels


def _checkerboard(excess: np.ndarray) -> float:
    """Mean excess at the highest frequency of either axis minus that at nearby frequencies, in decibels."""
    height, width = excess.shape[0], excess.shape[1]
    if height < 8 or width < 5 or height % 2:
        return 0.0
    half = height // 2
    top = np.concatenate([excess[half, 1:], excess[1:half, -1]])
    beside = np.concatenate([excess[half - 2, 1:-2], excess[2 : half - 2, -3]])
    return float(top.mean() - beside.mean())


def _float(images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    return images.astype(np.float32) / np.float32(127.5) - 1 if images.dtype == np.uint8 else images.astype(np.float32)
