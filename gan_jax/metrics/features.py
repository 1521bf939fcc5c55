"""Feature extractors behind one interface, chosen by name.

An extractor takes uint8 images and returns features and class probabilities.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.metrics import classifier, inception
from gan_jax.typing import Array


class Extracted(NamedTuple):
    """Features of a set of images, on the host.

    Attributes:
        features: float32 [images, dim].
        probabilities: float32 [images, classes], or None if the extractor does not classify.
    """

    features: np.ndarray
    probabilities: np.ndarray | None


@dataclass(frozen=True)
class FeatureExtractor:
    """A network that turns images into features. Call it on images.

    To use your own network, make an extractor, e.g. `FeatureExtractor("vgg16", params, apply, resize="bilinear to 224")`. Every
    function that takes the name of an extractor also takes an extractor.

    Attributes:
        name: Name of the extractor, which is reported with every number.
        params: First argument of `apply`.
        apply: `(params, images) -> (features, logits)`, jittable. The images are uint8 [batch, height, width, channels], the features
            [batch, ...] and the logits [batch, classes] or None. Features of a higher rank are flattened.
        resize: Description of how `apply` changes the size and range of the images, which is reported with every number.
        batch_size: Images per call of `apply`.
    """

    name: str
    params: Any
    apply: Callable[[Any, Array], tuple[Array, Array | None]]
    resize: str = "none"
    batch_size: int = 64
    _program: Callable = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        def program(params, images):
            features, logits = self.apply(params, images)
            features = features.reshape(len(features), -1).astype(jnp.float32)
            return features, None if logits is None else jax.nn.softmax(logits.astype(jnp.float32), axis=-1)

        object.__setattr__(self, "_program", jax.jit(program))

    def __call__(self, images, *, progress: Callable[[int], None] | None = None) -> np.ndarray:
        """Extracts features.

        Args:
            images: uint8 [images, height, width, channels], or an iterable of such batches.
            progress: Called with the number of images done so far.

        Returns:
            float32 [images, dim].

        Raises:
            TypeError: If the images are not uint8.
            ValueError: If there are no images, or if the network does not support their shape.
        """
        return self.extract(images, progress=progress).features

    def extract(self, images, *, progress: Callable[[int], None] | None = None) -> Extracted:
        """Extracts features and class probabilities. The arguments and errors are those of `__call__`."""
        parts = list(self.stream(images, progress=progress))
        if not parts:
            raise ValueError("images must not be empty")
        features = np.concatenate([part.features for part in parts])
        probabilities = None if parts[0].probabilities is None else np.concatenate([part.probabilities for part in parts])
        return Extracted(features, probabilities)

    def stream(self, images, *, progress: Callable[[int], None] | None = None) -> Iterator[Extracted]:
        """Yields features batch by batch, e.g. for `update_moments`. The arguments and errors are those of `__call__`.

        Up to two batches are in flight on the device while the host receives the result of an earlier one, so neither waits for the
        other.
        """
        params = jax.device_put(self.params)
        pending: deque = deque()
        done = 0

        def finish():
            nonlocal done
            count, (features, probabilities) = pending.popleft()
            done += count
            if progress is not None:
                progress(done)
            return Extracted(np.asarray(features)[:count], None if probabilities is None else np.asarray(probabilities)[:count])

        for batch in _batches(images, self.batch_size):
            # All batches are padded to the same size, so that one compiled program serves all.
            padded = np.concatenate([batch, np.zeros((self.batch_size - len(batch), *batch.shape[1:]), np.uint8)])
            pending.append((len(batch), self._program(params, padded)))
            if len(pending) > 2:
                yield finish()
        while pending:
            yield finish()

    def fingerprint(self) -> str:
        """Hash of the name, the resize and the weights. Extractors with the same fingerprint give the same features."""
        digest = hashlib.sha256(f"{self.name}\n{self.resize}\n".encode())
        for path, leaf in jax.tree_util.tree_flatten_with_path(self.params)[0]:
            array = np.asarray(leaf)
            digest.update(f"{jax.tree_util.keystr(path)} {array.shape} {array.dtype}\n".encode())
            digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
        return digest.hexdigest()


def _batches(images, size: int) -> Iterator[np.ndarray]:
    chunks: Iterable = (images,) if hasattr(images, "ndim") else images
    waiting: list[np.ndarray] = []
    count = 0
    for chunk in chunks:
        chunk = np.asarray(chunk)
        if chunk.ndim != 4 or 0 in chunk.shape[1:]:
            raise ValueError(f"images must be [batch, height, width, channels]; got shape {chunk.shape}")
        if chunk.dtype != np.uint8:
            raise TypeError(f"images must be uint8 in [0, 255]; got {chunk.dtype}")
        if waiting and chunk.shape[1:] != waiting[0].shape[1:]:
            raise ValueError(f"images must have one shape; got {waiting[0].shape[1:]} and {chunk.shape[1:]}")
        while len(chunk):
            taken, chunk = chunk[: size - count], chunk[size - count :]
            waiting.append(taken)
            count += len(taken)
            if count == size:
                yield np.concatenate(waiting)
                waiting, count = [], 0
    if count:
        yield np.concatenate(waiting)


def _digit_classifier(weights: str | Path | Mapping | None) -> FeatureExtractor:
    params = weights if isinstance(weights, Mapping) else classifier.load(weights)

    def apply(params, images):
        return classifier.apply(params, images.astype(jnp.float32) / 127.5 - 1)

    return FeatureExtractor("digit_classifier", params, apply, resize="none (28 padded to 32)", batch_size=250)


def _inception_v3(weights: str | Path | Mapping | None) -> FeatureExtractor:
    if weights is None:
        raise ValueError(
            "inception_v3 ships without weights; pass as weights the path of pt_inception-2015-12-05-6726825d.pth, which pytorch-fid "
            "and torch-fidelity download, or of a safetensors file converted from it"
        )
    params = weights if isinstance(weights, Mapping) else inception.load(weights)

    def apply(params, images):
        colour = jnp.broadcast_to(images, (*images.shape[:3], 3)) if images.shape[3] == 1 else images
        output = inception.apply(params, colour)
        return output.features, output.unbiased_logits

    return FeatureExtractor("inception_v3", params, apply, resize="TensorFlow 1 bilinear to 299, grey as three channels", batch_size=32)


def _pixels(weights: str | Path | Mapping | None) -> FeatureExtractor:
    if weights is not None:
        raise ValueError("the extractor pixels has no weights")

    def apply(params, images):
        return images.astype(jnp.float32) / 127.5 - 1, None

    return FeatureExtractor("pixels", {}, apply, resize="none")


FEATURE_EXTRACTORS: dict[str, Callable[[str | Path | Mapping | None], FeatureExtractor]] = {
    "digit_classifier": _digit_classifier,
    "inception_v3": _inception_v3,
    "pixels": _pixels,
}


def feature_extractor(name: str | FeatureExtractor, weights: str | Path | Mapping | None = None) -> FeatureExtractor:
    """Returns the feature extractor with the given name.

    Args:
        name: A key of `FEATURE_EXTRACTORS`. An extractor is returned unchanged.
        weights: Path of the weights, or the parameters themselves. None means the shipped weights, if the extractor has any.

    Returns:
        A callable from uint8 images to features.

    Raises:
        KeyError: If the name is unknown.
        FileNotFoundError: If the file does not exist.
        ValueError: If no weights are given and none are shipped, or if the file is of another architecture.
    """
    if isinstance(name, FeatureExtractor):
        return name
    if name not in FEATURE_EXTRACTORS:
        raise KeyError(f"unknown feature extractor {name!r}; must be one of {', '.join(FEATURE_EXTRACTORS)}")
    return FEATURE_EXTRACTORS[name](weights)
