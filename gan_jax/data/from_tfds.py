"""Image data sets of TensorFlow Datasets, with random access and without TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gan_jax.data.errors import DataError
from gan_jax.data.images import check_channels, check_image_size, check_resize, fit, height_width, to_channels
from gan_jax.data.source import LazyImages, Source

MEMORY_SIZE = 2**28  # If all images take at most this many bytes, they are decoded once and kept in memory.
HELD_OUT = ("test", "validation")


class TfdsImages(LazyImages):
    """The images of a TFDS data source, resized to one size on access."""

    def __init__(self, records: Any, feature: str, *, size: tuple[int, int], channels: int, resize: str):
        self.records = records
        self.feature = feature
        self.resize = resize
        self.shape = (len(records), *size, channels)

    def read(self, index: int) -> np.ndarray:
        """The image with this index."""
        return self.image_of(self.records[index])

    def image_of(self, record: dict[str, Any]) -> np.ndarray:
        """The image of a record, uint8 [height, width, channels]."""
        image = np.asarray(record[self.feature])
        if image.ndim == 2:
            image = image[..., None]
        size, channels = self.shape[1:3], self.shape[3]
        if image.dtype == np.uint16:
            image = (image >> 8).astype(np.uint8)
        if image.dtype != np.uint8:
            raise DataError(f"the images of this TFDS data set are {image.dtype}; uint8 and uint16 are supported", argument="name")
        image = to_channels(image[..., :4] if image.shape[-1] != 2 else image[..., :1], channels)
        if image.shape[:2] == (28, 28) and size == (32, 32):
            return np.pad(image, ((2, 2), (2, 2), (0, 0)))
        picture = Image.fromarray(image[..., 0] if channels == 1 else image)
        return np.asarray(fit(picture, size, self.resize)).reshape(*size, channels)


def load_tfds(
    name: str,
    *,
    split: str = "train",
    data_dir: Path | None = None,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    resize: str = "crop",
) -> Source:
    """Loads an image data set of TensorFlow Datasets through `tfds.data_source`.

    Args:
        name: TFDS name of the data set, e.g. cifar10 or imagenet_resized/64x64.
        split: TFDS name of the split, e.g. train or train[:90%].
        data_dir: Directory of the TFDS data. None means TFDS's default directory. Missing data are downloaded and prepared.
        image_size: Side in pixels, or (height, width). By default the side of the data set's images, if all are square and of the same
            size. 28x28 images are padded with zeros to 32x32.
        channels: 1, 3 or 4. By default the channels of the data set.
        resize: "crop", "pad" or "stretch", see `gan_jax.data.images.fit`.

    Returns:
        A `Source`. The split test (or validation) is held out, unless it is the requested one.

    Raises:
        DataError: If TFDS is not installed, if it has no such data set or split, or if the data set has no images.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise _error(name, f"needs TFDS ({error}); install it with: pip install 'gan-jax[tfds]'") from None
    check_image_size(image_size)
    check_channels(channels)
    check_resize(resize)
    where: dict[str, Any] = {"data_dir": data_dir, "builder_kwargs": {"file_format": "array_record"}}
    try:
        features = tfds.builder(name, data_dir=data_dir, file_format="array_record").info.features
        image, label = _features(tfds, features, name)
        records = {split: tfds.data_source(name, split=split, **where)}
        info = tfds.builder(name, data_dir=data_dir, file_format="array_record").info  # Read again, because now it knows the splits.
        held_out = next((part for part in HELD_OUT if part in info.splits and not split.startswith(part)), None)
        if held_out is not None:
            records[held_out] = tfds.data_source(name, split=held_out, **where)
    except DataError:
        raise
    except Exception as error:  # Each part of TFDS raises its own type of exception.
        raise _error(name, (str(error) or type(error).__name__).splitlines()[0][:200]) from None
    height, width, depth = features[image].shape
    size = image_size or (32 if (height, width) == (28, 28) else height)
    if not size or (image_size is None and height != width):
        sides = "many sizes" if height is None or width is None else f"{height}x{width} pixels"
        raise DataError(f"tfds:{name} has images of {sides}; give the size wanted", argument="image_size")
    options = {"size": height_width(size), "channels": channels or (3 if depth is None or depth >= 3 else 1), "resize": resize}
    classes = tuple(features[label].names) if label else ()

    def part_of(part: str, held_out: Source | None) -> Source:
        images: Any = TfdsImages(records[part], image, **options)
        labels = None
        if np.prod(images.shape, dtype=np.int64) <= MEMORY_SIZE and len(images):
            pairs = [
                (images.image_of(record), record[label] if label else 0) for record in map(records[part].__getitem__, range(len(images)))
            ]
            images, labels = np.stack([image for image, _ in pairs]), np.array([number for _, number in pairs], np.int32)
        elif label:
            undecoded = tfds.data_source(name, split=part, decoders={image: tfds.decode.SkipDecoding()}, **where)
            labels = np.array([undecoded[index][label] for index in range(len(images))], np.int32)
        provenance = f"TensorFlow Datasets: {info.full_name}"
        return Source(f"tfds:{name}", images, labels if label else None, len(classes), part, provenance, held_out, class_names=classes)

    return part_of(split, part_of(held_out, None) if held_out is not None else None)


def _error(name: str, problem: str) -> DataError:
    """The error about the argument `name` of `load_source`, for the TFDS data set `name`."""
    return DataError(problem, argument="name", value=f"tfds:{name}")


def _features(tfds: Any, features: Any, name: str) -> tuple[str, str | None]:
    """The names of the image feature and of the label feature of a data set. The label is None if there is no such feature."""
    images = [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]
    if not images:
        raise _error(name, f"the data set has no images; its features are {', '.join(features)}")
    labels = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    return "image" if "image" in images else images[0], "label" if "label" in labels else next(iter(labels), None)
