"""Images brought to one size and one number of channels; uint8 in, uint8 out."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from gan_jax.data.errors import DataError
from gan_jax.data.source import LazyImages, contents_of

SMALLEST = 8
RESIZES = ("crop", "pad", "stretch")
MEMORY_SIZE = 2**28  # lazily resized images of up to this many bytes are computed once and kept


def check_image_size(image_size: int | None) -> None:
    """Raises DataError unless the side of the images, in pixels, is one that can be made."""
    if image_size is not None and not SMALLEST <= image_size <= 4096:
        raise DataError(f"--data.image-size {image_size}: must be between {SMALLEST} and 4096 pixels")


def check_channels(channels: int | None) -> None:
    """Raises DataError unless there are 1 or 3 channels, or the choice is left to the data."""
    if channels not in (None, 1, 3):
        raise DataError(f"--data.channels {channels}: must be 1 (grey) or 3 (red, green, blue)")


def check_resize(resize: str) -> None:
    """Raises DataError unless there is such a way to bring pictures to one size."""
    if resize not in RESIZES:
        raise DataError(f"--data.resize {resize}: must be one of {', '.join(RESIZES)}")


def fit(image: Image.Image, size: int, resize: str = "crop") -> Image.Image:
    """Brings a picture to size x size pixels.

    Args:
        image: of mode L or RGB.
        size: of a side, in pixels.
        resize: crop: scale the shorter side to `size` and keep the centre; pad: scale the longer side to `size` and
            surround with black; stretch: scale both sides, whatever the proportions.

    Returns:
        A picture of the same mode. Scaled by Lanczos's filter with antialiasing; untouched where it fits already.
    """
    check_resize(resize)
    width, height = image.size
    if (width, height) == (size, size):
        return image
    if resize == "stretch":
        return image.resize((size, size), Image.Resampling.LANCZOS)
    scale = size / (min(width, height) if resize == "crop" else max(width, height))
    scaled = (max(1, round(width * scale)), max(1, round(height * scale)))
    if resize == "crop":
        # The part that is kept is scaled at once: a very long picture never becomes a huge one.
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return image.resize((size, size), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))
    ground = Image.new(image.mode, (size, size))
    ground.paste(image.resize(scaled, Image.Resampling.LANCZOS), ((size - scaled[0]) // 2, (size - scaled[1]) // 2))
    return ground


def to_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Grey images as colour, or colour images as grey (ITU-R 601 luma, as Pillow rounds it).

    Args:
        images: uint8 [..., 1 or 3].
        channels: 1 or 3.

    Returns:
        uint8 [..., channels].
    """
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    weighted = images.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((weighted + 0x8000) >> 16).astype(np.uint8)[..., None]


def pad_images(images: np.ndarray, size: int) -> np.ndarray:
    """Surrounds images with a border of zeros.

    Args:
        images: uint8 [n, height, width, channels].
        size: the side afterwards; as many zeros on either side, one more below and right where it is odd.

    Returns:
        uint8 [n, size, size, channels].
    """
    _, height, width, _ = images.shape
    rows, columns = size - height, size - width
    return np.pad(images, ((0, 0), (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2), (0, 0)))


class ResizedImages(LazyImages):
    """Images brought to another size when they are asked for."""

    def __init__(self, images: Any, size: int):
        self.images = images
        self.shape = (len(images), size, size, images.shape[-1])

    def contents(self) -> Iterable[Any]:
        """Those of the images before."""
        return contents_of(self.images)

    def read(self, index: int) -> np.ndarray:
        """The image of this number at the new size."""
        image = np.asarray(self.images[index])
        grey = image.shape[-1] == 1
        fitted = fit(Image.fromarray(image[..., 0] if grey else image), self.shape[1])
        return np.asarray(fitted).reshape(self.shape[1:])


def digits_at(images: np.ndarray, image_size: int | None, channels: int | None) -> Any:
    """Brings 28x28 images to the size asked for.

    Args:
        images: uint8 [n, height, width, 1].
        image_size: None or 32: padded with zeros to 32x32; the images' own size: as they are; else padded and scaled.
        channels: 1, 3, or None for 1.

    Returns:
        uint8 [n, image_size, image_size, channels]; `ResizedImages` where that would take much memory.
    """
    check_image_size(image_size)
    check_channels(channels)
    size = image_size or 32
    side = max(images.shape[1:3])
    if size != side or images.shape[1] != images.shape[2]:
        images = pad_images(images, 32 if side <= 32 else side)
    if images.shape[1] != size:
        resized = ResizedImages(images, size)
        images = resized[:] if np.prod(resized.shape, dtype=np.int64) <= MEMORY_SIZE else resized
    return images if channels in (None, 1) else GreyAsColor(images) if isinstance(images, LazyImages) else to_channels(images, 3)


class GreyAsColor(LazyImages):
    """Grey images with their one channel three times."""

    def __init__(self, images: Any):
        self.images = images
        self.shape = (*images.shape[:-1], 3)

    def contents(self) -> Iterable[Any]:
        """Those of the grey images."""
        return contents_of(self.images)

    def read_many(self, indices: np.ndarray) -> np.ndarray:
        """The images of these numbers, in three equal channels."""
        return to_channels(self.images[indices], 3)
