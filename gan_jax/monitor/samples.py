"""What samples give away: their variety, their likeness to the training images, their spectrum. NumPy, on small grids of samples."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

NEAREST = 2000  # training images searched for copies
SATURATED = 0.995
PER_CLASS = 4  # samples of a class whose spread says something
COPY = 0.3  # of the usual distance of two neighbours among the training images


class Reference(NamedTuple):
    """The same figures of the training images, to hold those of the samples against.

    Attributes:
        images: float32 [n, dim], flattened.
        shape: of one image.
        spread: root mean square distance of two images.
        neighbour: median distance of an image to the nearest other one.
        dimension: of as many images as there are samples; see `intrinsic_dimension`.
        saturated: share of pixels beyond 0.995.
        log_spectrum: see `log_spectrum`; None for points.
        class_spreads: see `class_spreads`; empty where the classes are not known.
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
    """Measures training images.

    Args:
        images: uint8, or float in [-1, 1], [n, ...]; a few hundred suffice, `NEAREST` are of use.
        samples: how many samples will be compared with them.
        labels: int [n], their classes, for `spread_within_classes`.
    """
    images = _float(images)
    flat = images.reshape(len(images), -1)
    few = flat[: min(len(flat), 512)]
    own = np.sqrt(np.partition(squared_distances(few, flat), 1, axis=1)[:, 1])
    return Reference(
        images=flat,
        shape=images.shape[1:],
        spread=spread(flat),
        neighbour=float(np.median(own)),
        dimension=intrinsic_dimension(flat[: max(samples, 8)]),
        saturated=float((np.abs(flat) > SATURATED).mean()),
        log_spectrum=log_spectrum(images[:512]) if images.ndim == 4 else None,
        class_spreads={} if labels is None else class_spreads(flat, labels),
    )


def sample_figures(samples: np.ndarray, reference: Reference) -> dict[str, float]:
    """The figures of a set of samples, as `samples/...` metrics.

    Args:
        samples: float [n, ...] in [-1, 1], of the shape of the reference.
        reference: of the training images.

    Returns:
        `pairwise_distance`, `dimension`: as shares of the reals' figures; `nearest_real`: median distance to the nearest training image
        over the reals' own; `copied`: share of samples that are near copies of a training image; for images also `saturated` (share of
        pixels) and `saturated_excess` (over the reals'), `spectrum` (root mean square difference of the log spectra, in decibels) and
        `checkerboard` (excess power at the highest frequency of either axis, in decibels). Only {"samples/finite": 0.0} where a sample
        is not finite.
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
    """How a classifier sees samples.

    Args:
        probabilities: float [samples, classes].

    Returns:
        `samples/classes`, the effective number of classes, exp of the entropy of the mean; `samples/confident`, the mean of the largest
        probability.
    """
    mean = probabilities.mean(axis=0, dtype=np.float64)
    entropy = -(mean * np.log(np.maximum(mean, 1e-12))).sum()
    return {"samples/classes": float(np.exp(entropy)), "samples/confident": float(probabilities.max(axis=1).mean(dtype=np.float64))}


def spread_within_classes(samples: np.ndarray, labels: np.ndarray, reference: Reference) -> dict[str, float]:
    """How much the samples of each class vary, beside how much its training images do.

    Args:
        samples: float [n, ...] in [-1, 1], of the shape of the reference.
        labels: int [n], the classes that were asked for.
        reference: of the training images, with their classes.

    Returns:
        `samples/class_spread`, `samples/least_class_spread`: median and least over the classes of the root mean square distance of two
        samples of a class, as a share of that of two of its training images; `samples/least_varied_class`, whose the least is. Classes
        of which there are fewer than `PER_CLASS` samples or training images, or whose training images are all alike, do not count;
        nothing where none is left, or where a sample is not finite.
    """
    flat = _float(samples).reshape(len(samples), -1)
    if not np.isfinite(flat).all():
        return {}
    own = class_spreads(flat, labels)
    shares = {label: own[label] / real for label, real in reference.class_spreads.items() if label in own and real > 1e-6}
    if not shares:
        return {}
    least = min(shares, key=lambda label: shares[label])
    return {
        "samples/class_spread": float(np.median(list(shares.values()))),
        "samples/least_class_spread": shares[least],
        "samples/least_varied_class": float(least),
    }


def class_spreads(points: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """`spread` of the points [n, dim] of each class with at least `PER_CLASS` of them."""
    classes, counts = np.unique(labels, return_counts=True)
    return {int(label): spread(points[labels == label]) for label in classes[counts >= PER_CLASS]}


def spread(points: np.ndarray) -> float:
    """Root mean square distance of two different points: sqrt(2 tr S), S the unbiased covariance; points [n, dim]."""
    return float(np.sqrt(2 * points.var(axis=0, dtype=np.float64, ddof=1).sum()))


def intrinsic_dimension(points: np.ndarray) -> float:
    """Dimension of the set that points lie on, from the ratio of the distances to their two nearest neighbours.

        d = (n - 1) / sum_i log(r2_i / r1_i)

    Args:
        points: [n, dim]; copies of another point are left out.

    Returns:
        The estimate, 0 where fewer than 4 different points are left. Biased down in many dimensions: compare equally many points.

    References:
        Facco et al., "Estimating the intrinsic dimension of datasets by a minimal neighborhood information", 2017; the maximum-likelihood
        form, made unbiased.
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
    """Squared Euclidean distances, float64 [n, m], of rows [n, dim] and [m, dim]; never negative."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    product = first @ second.T
    return np.maximum((first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * product, 0.0)


def log_spectrum(images: np.ndarray) -> np.ndarray:
    """Mean power of images [n, height, width, channels] at each frequency (rows, half the columns) but 0, in decibels.

    The noise of one grey level in 255 at all frequencies is the floor, so that flat images have a finite spectrum. The constant is
    left at 0.
    """
    height, width = images.shape[1:3]
    power = (np.abs(np.fft.rfft2(images.astype(np.float64), axes=(1, 2))) ** 2).mean(axis=(0, 3)) / (height * width) ** 2
    decibels = 10 * np.log10(power + (2 / 255) ** 2 / (height * width))
    decibels[0, 0] = 0.0
    return decibels


def _checkerboard(excess: np.ndarray) -> float:
    """Excess at the highest frequency of either axis over the excess at the frequencies next to it, in decibels."""
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
