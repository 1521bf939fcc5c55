"""Measurements with their protocol: extractor, sample counts, reference, resize, seed and EMA are recorded with every number."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan_jax.metrics import accuracy, diversity, manifold, spectrum
from gan_jax.metrics.arrays import as_images, to_uint8
from gan_jax.metrics.cache import cached
from gan_jax.metrics.features import Extracted, FeatureExtractor, feature_extractor
from gan_jax.metrics.frechet import Moments, feature_moments, frechet_distance_from_moments, intra_class_frechet_distance
from gan_jax.metrics.kernel import kernel_distance
from gan_jax.metrics.scores import inception_score
from gan_jax.metrics.similarity import ms_ssim_diversity
from gan_jax.metrics.statistics import UNKNOWN, Statistics
from gan_jax.metrics.wasserstein import sliced_wasserstein


class Measurement(NamedTuple):
    """One number and the protocol of its measurement. `_asdict()` gives the content of `metrics.json`.

    Attributes:
        metric: Name of the number, e.g. "precision".
        value: The number. NaN if it is not defined.
        extractor: Name of the feature extractor, or "pixels" for metrics on images.
        samples: Number of fakes.
        reference: Name of the real set and its split, e.g. "mnist/test".
        reference_samples: Number of reals.
        resize: How the images were resized before the feature extraction.
        seed: Random seed of the sampling and of the metric.
        ema: Whether the fakes came from averaged weights. None if there is no generator.
        details: Settings of the metric and further values, e.g. the standard error, or the values per class or per scale.
    """

    metric: str
    value: float
    extractor: str
    samples: int
    reference: str
    reference_samples: int
    resize: str
    seed: int
    ema: bool | None
    details: dict


class _Sets:
    """Fakes and reals: images, or statistics of images. Features are extracted on first use, and those of the reals are cached."""

    def __init__(self, fake, real, fake_labels, real_labels, extractor, weights, cache, seed, progress):
        self._fake, self._real = fake, real
        self.fake_labels, self.real_labels = fake_labels, real_labels
        self.seed = seed
        self._extractor, self._weights, self._cache, self._progress = extractor, weights, cache, progress
        if isinstance(fake, Statistics) and isinstance(real, Statistics):
            _check_comparable(fake, real)

    @cached_property
    def extractor(self) -> FeatureExtractor:
        if self._extractor is None:
            raise ValueError("this metric needs a feature extractor; pass extractor=...")
        chosen = feature_extractor(self._extractor, self._weights)
        for given in (self._fake, self._real):
            if isinstance(given, Statistics):
                given.check_extractor(chosen)
        return chosen

    @property
    def features_from(self) -> tuple[str, str]:
        """Name and resize of the features."""
        if isinstance(self._fake, Statistics) and isinstance(self._real, Statistics):
            named = self._fake if self._real.extractor == UNKNOWN else self._real
            return named.extractor, named.resize
        return self.extractor.name, self.extractor.resize

    @property
    def fake(self) -> np.ndarray:
        return _images(self._fake)

    @property
    def real(self) -> np.ndarray:
        return _images(self._real)

    @cached_property
    def fake_extracted(self) -> Extracted:
        if isinstance(self._fake, Statistics):
            return Extracted(_features(self._fake), None)
        return self.extractor.extract(self.fake, progress=self._progress)

    @cached_property
    def _key(self) -> str:
        digest = hashlib.sha256(f"{self.extractor.fingerprint()} {self.real.shape}".encode())
        digest.update(np.ascontiguousarray(self.real).data)
        return digest.hexdigest()

    @cached_property
    def real_features(self) -> np.ndarray:
        if isinstance(self._real, Statistics):
            return _features(self._real)

        def compute():
            return {"features": self.extractor(self.real, progress=self._progress)}

        return self._cached("features", compute)["features"]

    @cached_property
    def real_moments(self) -> Moments:
        if isinstance(self._real, Statistics):
            return self._real.moments
        return Moments(**self._cached("moments", lambda: feature_moments(self.real_features)._asdict()))

    @cached_property
    def fake_moments(self) -> Moments:
        return self._fake.moments if isinstance(self._fake, Statistics) else feature_moments(self.fake_extracted.features)

    def _cached(self, kind: str, compute: Callable[[], dict]) -> dict:
        if self._cache is None:
            return compute()
        return cached(Path(self._cache) / f"{self.extractor.name}_{kind}_{self._key[:32]}.npz", compute)

    def labels(self):
        if self.fake_labels is None or self.real_labels is None:
            raise ValueError("this metric needs fake_labels and real_labels")
        return self.fake_labels, self.real_labels


def _images(given) -> np.ndarray:
    if isinstance(given, Statistics):
        raise ValueError(f"this metric needs images; {given.name} has statistics only")
    return given


def _features(statistics: Statistics) -> np.ndarray:
    if statistics.features is None:
        raise ValueError(f"this metric needs features; {statistics.name} has their mean and covariance only")
    return statistics.features


def _check_comparable(first: Statistics, second: Statistics) -> None:
    """Raises ValueError if the features of two sets have different extractors."""
    known = UNKNOWN not in (first.extractor, second.extractor)
    if (known and first.extractor != second.extractor) or (
        first.fingerprint and second.fingerprint and first.fingerprint != second.fingerprint
    ):
        raise ValueError(
            f"{first.name} and {second.name} have features of different networks: {first.extractor} and {second.extractor}"
            + (", with different weights" if first.extractor == second.extractor else "")
        )


def _frechet(sets):
    details = {"dim": len(sets.fake_moments.mean), "covariance": "unbiased"}
    return {"frechet_distance": (frechet_distance_from_moments(sets.real_moments, sets.fake_moments), details)}


def _kernel(sets):
    real, fake = sets.real_features, sets.fake_extracted.features
    drawn = {"subsets": 100, "subset_size": min(1000, len(real), len(fake))}
    result = kernel_distance(real, fake, **drawn, seed=2020)
    details = {"standard_error": result.standard_error, "deviation": result.deviation, **drawn, "subset_seed": 2020}
    return {"kernel_distance": (result.value, details)}


def _inception_score(sets):
    probabilities = sets.fake_extracted.probabilities
    if probabilities is None:
        raise ValueError(f"inception_score needs an extractor that classifies; {sets.features_from[0]} does not")
    order = np.random.default_rng(sets.seed).permutation(len(probabilities))
    splits = min(10, len(order))
    result = inception_score(probabilities[order], splits=splits)
    return {"inception_score": (result.value, {"deviation": result.deviation, "splits": splits})}


def _precision_recall(sets):
    result = manifold.precision_recall(sets.real_features, sets.fake_extracted.features, k=3)
    return {name: (value, {"k": 3}) for name, value in result._asdict().items()}


def _density_coverage(sets):
    result = manifold.density_coverage(sets.real_features, sets.fake_extracted.features, k=5)
    return {name: (value, {"k": 5}) for name, value in result._asdict().items()}


def _intra_class(sets):
    fake_labels, real_labels = sets.labels()
    result = intra_class_frechet_distance(sets.real_features, real_labels, sets.fake_extracted.features, fake_labels)
    return {"intra_class_frechet_distance": (result.value, {"per_class": _text_keys(result.per_class)})}


def _accuracy(sets):
    fake_labels, real_labels = sets.labels()
    result = accuracy.classification_accuracy_score(sets.fake, fake_labels, sets.real, real_labels)
    details = {"per_class": _text_keys(result.per_class), "classifier": "three convolutions, 500 steps of Adam"}
    return {"classification_accuracy_score": (result.value, details)}


def _equally_many(sets):
    # The subset is random, because data sets may be sorted by class.
    count = min(len(sets.fake), len(sets.real))
    generator = np.random.default_rng(sets.seed)
    return count, *(x if len(x) == count else x[generator.choice(len(x), count, replace=False)] for x in (sets.real, sets.fake))


def _sliced_wasserstein(sets):
    count, real, fake = _equally_many(sets)
    result = sliced_wasserstein(real, fake, seed=sets.seed)
    return {"sliced_wasserstein": (result.value, {"per_level": _text_keys(result.per_level), "images": count, "factor": 1000})}


def _ms_ssim(sets):
    # At most 10,000 pairs, or 100 pairs per class with labels, to limit the time.
    whole = None if (sets.real is None or len(sets.real) <= 20_000) and len(sets.fake) <= 20_000 else 10_000
    fake = ms_ssim_diversity(sets.fake, sets.fake_labels, pairs=whole if sets.fake_labels is None else 100, seed=sets.seed)
    details: dict = {"per_class": _text_keys(fake.per_class)}
    if sets.real is not None:
        real = ms_ssim_diversity(sets.real, sets.real_labels, pairs=whole if sets.real_labels is None else 100, seed=sets.seed)
        details = {"real": real.value, **details}
    return {"ms_ssim": (fake.value, details)}


def _spectrum(sets):
    return {"spectrum_distance": (spectrum.spectrum_distance(sets.real, sets.fake), {"unit": "decibel"})}


def _memorized(sets):
    """Compares features. `real_images` must be the training split."""
    return {"memorized_share": (diversity.memorized_share(sets.fake_extracted.features, sets.real_features), {})}


def _vendi(sets):
    details = {} if sets.real is None else {"real": diversity.vendi_score(sets.real_features)}
    return {"vendi_score": (diversity.vendi_score(sets.fake_extracted.features), details)}


def _text_keys(values: Mapping) -> dict:
    return {str(key): value for key, value in values.items()}


def _in_range(name: str, images: np.ndarray, value_range: tuple[float, float] | None) -> np.ndarray:
    """Maps floating-point images from `value_range` to [-1, 1]."""
    if images.dtype.kind != "f" or not images.size:
        return images
    if value_range is None:
        if images.min() >= 0:
            raise ValueError(f"{name} have no negative value; pass value_range=(0, 1), or value_range=(-1, 1) if they are in [-1, 1]")
        return images
    low, high = value_range
    return (images.astype(np.float32) - low) * np.float32(2 / (high - low)) - 1


METRICS: dict[str, Callable[[_Sets], dict[str, tuple[float, dict]]]] = {
    "frechet_distance": _frechet,
    "kernel_distance": _kernel,
    "inception_score": _inception_score,
    "precision_recall": _precision_recall,
    "density_coverage": _density_coverage,
    "intra_class_frechet_distance": _intra_class,
    "memorized_share": _memorized,
    "vendi_score": _vendi,
    "classification_accuracy_score": _accuracy,
    "sliced_wasserstein": _sliced_wasserstein,
    "ms_ssim": _ms_ssim,
    "spectrum_distance": _spectrum,
}
WITHOUT_REALS = frozenset({"inception_score", "ms_ssim", "vendi_score"})  # They measure the fakes alone.
ON_PIXELS = frozenset({"classification_accuracy_score", "sliced_wasserstein", "ms_ssim", "spectrum_distance"})


def measure(
    fake_images,
    real_images,
    extractor: str | FeatureExtractor | None = None,
    *,
    metrics: Sequence[str] = ("frechet_distance", "precision_recall"),
    weights: str | Path | Mapping | None = None,
    fake_labels=None,
    real_labels=None,
    reference: str = "unnamed",
    seed: int = 0,
    ema: bool | None = None,
    value_range: tuple[float, float] | None = None,
    cache: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Measurement]:
    """Measures fakes against reals and records the protocol with every number.

    Images of any type are first converted to `uint8`, as for saving.

    Args:
        fake_images: uint8, or float in `value_range`, [batch, height, width, channels]. Or `Statistics` of images.
        real_images: Images of the same shape. Their number may differ. Or `Statistics` of images. None if all metrics are in
            `WITHOUT_REALS`.
        extractor: A key of `FEATURE_EXTRACTORS`, or an extractor. It may be None if all metrics are computed on pixels, or if both sets
            are `Statistics`.
        metrics: Keys of `METRICS`.
        weights: Weights of the extractor. None means the shipped ones.
        fake_labels: int [batch], for metrics that use classes.
        real_labels: int [batch], for metrics that use classes.
        reference: Name and split of the real images, for the record.
        seed: Random seed that the fakes were sampled with. The metrics' own random choices use it too, with two exceptions:
            the subsets of `kernel_distance` (seed 2020) and the classifier of `classification_accuracy_score` (seed 0).
        ema: Whether the fakes came from averaged weights.
        value_range: Black and white of floating-point images. None means (-1, 1), and refuses images without a negative value, which
            are probably in [0, 1].
        cache: Folder for the features and moments of the reals, with a hash of the images and the extractor in the file name. With None,
            or if the folder cannot be written, nothing is cached.
        progress: Called with the number of images done, for the fakes and for the reals separately.

    Returns:
        Records in the order of `metrics`. Some metrics give several records.

    Raises:
        KeyError: If a metric or the extractor is unknown.
        ValueError: If the images differ in shape, hold NaN, or are outside of `value_range`, if labels or an extractor are missing, or if
            a metric is not defined for the inputs, or if statistics were made with another extractor.
        TypeError: If the images are neither uint8 nor floating point.
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise KeyError(f"unknown metric {unknown[0]!r}; must be one of {', '.join(METRICS)}")
    needy = [name for name in metrics if name not in WITHOUT_REALS]
    if real_images is None and needy:
        raise ValueError(f"{needy[0]} needs real_images; without them there are {', '.join(sorted(WITHOUT_REALS))}")
    given = {"fake_images": fake_images, "real_images": real_images}
    images = {name: np.asarray(value) for name, value in given.items() if value is not None and not isinstance(value, Statistics)}
    scaled = {name: _in_range(name, value, value_range) for name, value in images.items()}
    converted = dict(zip(scaled, (to_uint8(value) for value in as_images(at_least=2, **scaled)), strict=True))
    fake, real = (converted.get(name, value) for name, value in given.items())
    counts = [0 if value is None else value.samples if isinstance(value, Statistics) else len(value) for value in (fake, real)]
    sets = _Sets(fake, real, fake_labels, real_labels, extractor, weights, cache, seed, progress)
    records = []
    for name in metrics:
        pixels = name in ON_PIXELS
        for metric, (value, details) in METRICS[name](sets).items():
            features = ("pixels", "none") if pixels else sets.features_from
            records.append(Measurement(metric, float(value), features[0], counts[0], reference, counts[1], features[1], seed, ema, details))
    return records
