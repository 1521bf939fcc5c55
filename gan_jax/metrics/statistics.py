"""Statistics of a set of images as a file that can be shared: others measure against it without the images."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan_jax._internal.files import atomic_path, open_regular
from gan_jax.metrics.arrays import as_features
from gan_jax.metrics.features import FeatureExtractor
from gan_jax.metrics.frechet import Moments, feature_moments

UNKNOWN = "unknown"


class Statistics(NamedTuple):
    """Features of a set of images, or only their moments, and how they were extracted.

    Attributes:
        moments: Moments of the features, for the Fréchet distance.
        features: float [samples, dim], or None if only the moments are known.
        name: Name of the images.
        extractor: Name of the feature extractor, or "unknown".
        resize: How the images were resized before the extraction, or "unknown".
        fingerprint: `FeatureExtractor.fingerprint()`, or "" if it is unknown.
        samples: Number of images, or 0 if it is unknown.
    """

    moments: Moments
    features: np.ndarray | None
    name: str
    extractor: str = UNKNOWN
    resize: str = UNKNOWN
    fingerprint: str = ""
    samples: int = 0

    def check_extractor(self, extractor: FeatureExtractor) -> None:
        """Raises ValueError if features of this extractor cannot be compared with these statistics."""
        if self.fingerprint:
            if self.fingerprint != extractor.fingerprint():
                also = (
                    f", with other weights than {extractor.name} has here"
                    if self.extractor == extractor.name
                    else f", not {extractor.name}"
                )
                raise ValueError(f"the statistics of {self.name} were made with the extractor {self.extractor}{also}")
        elif self.extractor not in (UNKNOWN, extractor.name):
            raise ValueError(f"the statistics of {self.name} were made with the extractor {self.extractor}, not {extractor.name}")


def image_statistics(images, extractor: FeatureExtractor, *, name: str, resize: str | None = None, progress=None) -> Statistics:
    """Extracts the statistics of images.

    Args:
        images: uint8 [count, height, width, channels].
        extractor: The feature extractor.
        name: Name of the images, for the record.
        resize: How the images were resized. By default as the extractor says.
        progress: See `FeatureExtractor.__call__`.

    Returns:
        The statistics, with the features.
    """
    features = extractor(images, progress=progress)
    return Statistics(
        feature_moments(features), features, name, extractor.name, resize or extractor.resize, extractor.fingerprint(), len(features)
    )


def feature_statistics(features, *, name: str, extractor: str = UNKNOWN, resize: str = UNKNOWN) -> Statistics:
    """The statistics of features that were extracted elsewhere.

    Args:
        features: float [count, dim], at least 2 rows.
        name: Name of the images, for the record.
        extractor: Name of the extractor.
        resize: How the images were resized.

    Raises:
        ValueError: If the features are not a finite matrix with at least 2 rows.
    """
    (features,) = as_features(features=features)
    return Statistics(feature_moments(features), features, name, extractor, resize, samples=len(features))


def save_statistics(path: str | Path, statistics: Statistics) -> None:
    """Writes statistics as an npz file, atomically.

    The arrays `mu` and `sigma` are those of pytorch-fid's files: the mean and the unbiased covariance. `features` has all features, and
    `protocol` the rest as JSON text.

    Args:
        path: Path of the file.
        statistics: The statistics.
    """
    protocol = {key: getattr(statistics, key) for key in ("name", "extractor", "resize", "fingerprint", "samples")}
    arrays = {"mu": statistics.moments.mean, "sigma": statistics.moments.covariance, "protocol": np.array(json.dumps(protocol))}
    if statistics.features is not None:
        arrays["features"] = statistics.features
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_statistics(path: str | Path, *, name: str | None = None) -> Statistics:
    """Reads statistics from an npz file: one of `save_statistics`, one of pytorch-fid (`mu`, `sigma`), or `features` of any origin.

    Args:
        path: Path of the file.
        name: Name of the images, if the file does not have one. By default the name of the file.

    Returns:
        The statistics.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is damaged or is no such file.
    """
    path = Path(path)
    try:
        with open_regular(path) as content, np.load(content, allow_pickle=False) as file:
            arrays = {key: file[key] for key in ("mu", "sigma", "features", "protocol") if key in file.files}
        protocol = {"name": name or path.name} | (json.loads(str(arrays["protocol"])) if "protocol" in arrays else {})
        known = {key: protocol[key] for key in ("name", "extractor", "resize", "fingerprint", "samples") if key in protocol}
    except FileNotFoundError:
        raise
    except Exception as error:  # NumPy raises many kinds of errors on damaged archives.
        raise ValueError(f"{path}: not a readable npz file ({' '.join(str(error).split())[:200]})") from error
    if not isinstance(known["name"], str) or not isinstance(known.get("samples", 0), int):
        raise ValueError(f"{path}: its protocol is not that of statistics")
    features = arrays.get("features")
    if features is not None:
        (features,) = as_features(features=features)
        return Statistics(feature_moments(features), features, **(known | {"samples": len(features)}))
    if not {"mu", "sigma"} <= arrays.keys():
        raise ValueError(f"{path}: must hold the arrays features, or mu and sigma")
    mean, covariance = (np.asarray(arrays[key], np.float64) for key in ("mu", "sigma"))
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)) or not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise ValueError(f"{path}: mu must be [dim] and sigma [dim, dim], both finite; got {mean.shape} and {covariance.shape}")
    count = max(known.get("samples", 0), 2)
    return Statistics(Moments(np.asarray(count), mean, covariance * (count - 1)), None, **known)
