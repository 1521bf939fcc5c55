"""Feature extractors behind one interface, chosen by name: uint8 images in, features and class probabilities out."""

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
        probabilities: float32 [images, classes]; None where the extractor does not classify.
    """

    features: np.ndarray
    probabilities: np.ndarray | None


@dataclass(frozen=True)
class FeatureExtractor:
    """A network that turns images into features; call it on images.

    Make one yourself of any function, e.g. `FeatureExtractor("vgg16", params, apply, resize="bilinear to 224")`: every function
    that takes an extractor's name takes an extractor too.

    Attributes:
        name: as reported with every number.
        params: what `apply` takes first.
        apply: `(params, images uint8 [batch, height, width, channels]) -> (features [batch, ...], logits [batch, classes] or None)`;
            jittable. Features of more dimensions are flattened.
        resize: what becomes of the images' size and range, in words, as reported.
        batch_size: images at a time.
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
            progress: called with the number of images done.

        Returns:
            float32 [images, dim].

        Raises:
            TypeError: the images are not uint8.
            ValueError: there are none, or they are not of a shape that the network takes.
        """
        return self.extract(images, progress=progress).features

    def extract(self, images, *, progress: Callable[[int], None] | None = None) -> Extracted:
        """Extracts features and class probabilities; arguments and errors as in a call."""
        parts = list(self.stream(images, progress=progress))
        if not parts:
            raise ValueError("images must not be empty")
        features = np.concatenate([part.features for part in parts])
        probabilities = None if parts[0].probabilities is None else np.concatenate([part.probabilities for part in parts])
        return Extracted(features, probabilities)

    def stream(self, images, *, progress: Callable[[int], None] | None = None) -> Iterator[Extracted]:
        """Yields features batch by batch, e.g. into `update_moments`; arguments and errors as in a call.

        Two batches are under way on the device while the host takes the result of the one before, so neither waits for the other.
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
            # Every batch has the same size, so that one compiled program serves all.
            padded = np.concatenate([batch, np.zeros((self.batch_size - len(batch), *batch.shape[1:]), np.uint8)])
            pending.append((len(batch), self._program(params, padded)))
            if len(pending) > 2:
                yield finish()
        while pending:
            yield finish()

    def fingerprint(self) -> str:
        """A hash of name, resize and weights: equal for extractors that give equal features."""
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
            "inception_v3 ships without weights: give the path of pt_inception-2015-12-05-6726825d.pth, which pytorch-fid and "
            "torch-fidelity download, or of a safetensors made of it"
        )
    params = weights if isinstance(weights, Mapping) else inception.load(weights)

    def apply(params, images):
        colour = jnp.broadcast_to(images, (*images.shape[:3], 3)) if images.shape[3] == 1 else images
        output = inception.apply(params, colour)
        return output.features, output.unbiased_logits

    return FeatureExtractor("inception_v3", params, apply, resize="TensorFlow 1 bilinear to 299, grey as three channels", batch_size=32)


FEATURE_EXTRACTORS: dict[str, Callable[[str | Path | Mapping | None], FeatureExtractor]] = {
    "digit_classifier": _digit_classifier,
    "inception_v3": _inception_v3,
}


def feature_extractor(name: str | FeatureExtractor, weights: str | Path | Mapping | None = None) -> FeatureExtractor:
    """Makes the feature extractor of a name.

    Args:
        name: a row of `FEATURE_EXTRACTORS`; an extractor passes unchanged.
        weights: path of its weights, or its parameters; None means the shipped ones, where there are any.

    Returns:
        A callable from uint8 images to features.

    Raises:
        KeyError: there is no such row.
        FileNotFoundError: there is no such file.
        ValueError: the extractor ships without weights, or the file is of another architecture.
    """
    if isinstance(name, FeatureExtractor):
        return name
    if name not in FEATURE_EXTRACTORS:
        raise KeyError(f"no feature extractor {name!r}; there are {', '.join(FEATURE_EXTRACTORS)}")
    return FEATURE_EXTRACTORS[name](weights)
