"""Multi-scale structural similarity of pairs of images, and its mean within a set as a measure of the set's diversity."""

from typing import NamedTuple

import numpy as np

from gan_jax.metrics.arrays import as_images, to_float

_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_CHUNK_PIXELS = 1 << 20


class Diversity(NamedTuple):
    """Mean MS-SSIM of random pairs.

    Attributes:
        value: Mean over all pairs, or over the classes. A high value means that the images are similar to each other.
        per_class: Maps each class to the mean over its pairs. Empty without labels.
    """

    value: float
    per_class: dict[int, float]


def _blur(x: np.ndarray, size: int) -> np.ndarray:
    # The window shrinks to small images. Its standard deviation shrinks in proportion.
    taps = np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * (size * _SIGMA / _WINDOW) ** 2))
    taps /= taps.sum()
    for axis in (1, 2):
        kept = x.shape[axis] - size + 1
        x = sum(tap * np.take(x, range(i, i + kept), axis=axis) for i, tap in enumerate(taps))
    return x


def _similarity(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = min(_WINDOW, *first.shape[1:3])
    mean_1, mean_2 = _blur(first, size), _blur(second, size)
    covariance = 2 * (_blur(first * second, size) - mean_1 * mean_2) + _C2
    variances = _blur(first**2, size) - mean_1**2 + _blur(second**2, size) - mean_2**2 + _C2
    contrast = covariance / variances
    luminance = (2 * mean_1 * mean_2 + _C1) / (mean_1**2 + mean_2**2 + _C1)
    return (luminance * contrast).mean(axis=(1, 2, 3)), contrast.mean(axis=(1, 2, 3))


def _halve(x: np.ndarray) -> np.ndarray:
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def _scales(height: int, width: int) -> int:
    scales = 1
    while scales < len(_WEIGHTS) and height % 2 == 0 and width % 2 == 0:
        height, width, scales = height // 2, width // 2, scales + 1
    return scales


def ms_ssim(first, second) -> np.ndarray:
    """Multi-scale structural similarity of each pair of images.

        MS-SSIM = SSIM_M^(w_M) prod_{j < M} CS_j^(w_j)

    SSIM is the similarity of luminance, contrast and structure under an 11x11 Gaussian window of standard deviation 1.5. CS is SSIM
    without luminance. Both are averaged over the image and its channels, and negative values are set to 0. Scale j is the image
    halved j - 1 times.

    Args:
        first: uint8 or float in [-1, 1], [batch, height, width, channels].
        second: Images of the same shape.

    Returns:
        float64 [batch] in [0, 1]. 1 for equal images.

    Raises:
        ValueError: If the inputs are not images, or if their shapes differ.
        TypeError: If the images are neither uint8 nor floating point.

    References:
        Wang et al., "Multi-scale structural similarity for image quality assessment", 2003. If an image is smaller than the window,
        the window shrinks to the image, as in the code of TensorFlow's image compression models and of PGGAN. These always use 5 scales,
        which fails if a side cannot be halved evenly. Here the scales end at that point (for 28 pixels: 28, 14, 7), and the remaining
        weights are rescaled to keep their sum.
    """
    first, second = as_images(at_least=0, first=first, second=second)
    if len(first) != len(second):
        raise ValueError(f"first and second must hold the same number of images; got {len(first)} and {len(second)}")
    scales = _scales(*first.shape[1:3])
    weights = _WEIGHTS[:scales] * (_WEIGHTS.sum() / _WEIGHTS[:scales].sum())
    values = np.empty(len(first))
    chunk = max(1, _CHUNK_PIXELS // int(np.prod(first.shape[1:])))
    for start in range(0, len(first), chunk):
        part = slice(start, start + chunk)
        x, y = (to_float(images[part], 0, 255).astype(np.float64) for images in (first, second))
        result = np.ones(len(x))
        for scale, weight in enumerate(weights):
            similarity, contrast = _similarity(x, y)
            last = scale == scales - 1
            result *= np.maximum(similarity if last else contrast, 0) ** weight
            if not last:
                x, y = _halve(x), _halve(y)
        values[part] = result
    return values


def ms_ssim_diversity(images, labels=None, *, pairs: int | None = None, seed: int = 0) -> Diversity:
    """Mean MS-SSIM of random pairs of a set or of each class: how similar the images are. Compare it with the value of the reals.

    Args:
        images: uint8 or float in [-1, 1], [batch, height, width, channels], at least 2, and with labels at least 2 of each class.
        labels: int [batch]. Pairs are then sampled within each class. None samples pairs from the whole set.
        pairs: Number of pairs to sample, in total or for each class. None uses each image once (batch / 2 pairs).
        seed: Random seed of the pairs.

    Returns:
        The mean over pairs, or with labels the mean over the classes, and the mean of each class.

    Raises:
        ValueError: If the set or a class has fewer than 2 images, if the labels have another length, if pairs is below 1, or if the
            inputs are not images.
        TypeError: If the images are neither uint8 nor floating point.

    References:
        Odena et al., "Conditional image synthesis with auxiliary classifier GANs", 2017 (100 pairs per class).
        Karras et al., "Progressive growing of GANs", 2018 (10,000 pairs of the whole set).
    """
    (images,) = as_images(at_least=2, images=images)
    if labels is None:
        groups = {0: np.arange(len(images))}
    else:
        labels = np.asarray(labels)
        if labels.shape != (len(images),):
            raise ValueError(f"labels must have shape ({len(images)},), one label per image; got {labels.shape}")
        groups = {int(label): np.flatnonzero(labels == label) for label in np.unique(labels)}
    generator = np.random.default_rng(seed)
    means = {}
    for label, rows in groups.items():
        if len(rows) < 2:
            raise ValueError(f"class {label} needs at least 2 images; got {len(rows)}")
        first, second = _draw_pairs(rows, pairs, generator)
        means[label] = float(ms_ssim(images[first], images[second]).mean())
    return Diversity(float(np.mean(list(means.values()))), {} if labels is None else means)


def _draw_pairs(rows: np.ndarray, pairs: int | None, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    if pairs is None:
        order = generator.permutation(rows)
        half = len(rows) // 2
        return order[:half], order[half : 2 * half]
    if pairs < 1:
        raise ValueError(f"pairs must be at least 1; got {pairs}")
    first = generator.integers(0, len(rows), pairs)
    # An offset of 1 to n - 1, so that no image is paired with itself.
    second = (first + generator.integers(1, len(rows), pairs)) % len(rows)
    return rows[first], rows[second]
