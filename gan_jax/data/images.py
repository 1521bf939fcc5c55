"""Brings images to one size and one number of channels. Inputs and outputs are uint8."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from gan_jax.data.errors import DataError
from gan_jax.data.source import LazyImages, contents_of

SMALLEST = 8
RESIZES = ("crop", "pad", "stretch")
MEMORY_SIZE = 2**28  # If all resized images take at most this many bytes, they are computed once and kept in memory.


def check_image_size(image_size: int | None) -> None:
    """Raises DataError if the image size, the side in pixels, is out of range."""
    if image_size is not None and not SMALLEST <= image_size <= 4096:
        raise DataError(f"must be between {SMALLEST} and 4096 pixels", argument="image_size", value=image_size)


def check_channels(channels: int | None) -> None:
    """Raises DataError if the number of channels is not 1, 3 or None. None leaves the choice to the data."""
    if channels not in (None, 1, 3):
        raise DataError("must be 1 (grey) or 3 (red, green, blue)", argument="channels", value=channels)


def check_resize(resize: str) -> None:
    """Raises DataError if the resize method is unknown."""
    if resize not in RESIZES:
        raise DataError(f"must be one of {', '.join(RESIZES)}", argument="resize", value=resize)


def fit(image: Image.Image, size: int, resize: str = "crop") -> Image.Image:
    """Resizes an image to size x size pixels.

    Args:
        image: Image of mode L or RGB.
        size: Side of the result in pixels.
        resize: "crop" scales the shorter side to `size` and keeps the centre. "pad" scales the longer side to `size` and pads with
            black. "stretch" scales both sides and ignores the proportions.

    Returns:
        An image of the same mode, scaled by Lanczos's filter with antialiasing. An image that already has this size is returned
        unchanged.

    Raises:
        DataError: If the resize method is unknown.
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
        # Cropping and scaling happen in one step, so that a very long image never becomes a huge one.
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return image.resize((size, size), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))
    ground = Image.new(image.mode, (size, size))
    ground.paste(image.resize(scaled, Image.Resampling.LANCZOS), ((size - scaled[0]) // 2, (size - scaled[1]) // 2))
    return ground


def to_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Converts grey images to colour, or colour images to grey (ITU-R 601 luma, rounded as in Pillow).

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
    """Pads images with zeros to a square.

    Args:
        images: uint8 [n, height, width, channels].
        size: Side of the result in pixels. Both sides get the same padding. If it is odd, bottom and right get one pixel more.

    Returns:
        uint8 [n, size, size, channels].
    """
    _, height, width, _ = images.shape
    rows, columns = size - height, size - width
    return np.pad(images, ((0, 0), (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2), (0, 0)))


class ResizedImages(LazyImages):
    """Images that are resized on access."""

    def __init__(self, images: Any, size: int):
        self.images = images
        self.shape = (len(images), size, size, images.shape[-1])

    def contents(self) -> Iterable[Any]:
        """The contents of the original images."""
        return contents_of(self.images)

    def read(self, index: int) -> np.ndarray:
        """The image with this index at the new size."""
        image = np.asarray(self.images[index])
        grey = image.shape[-1] == 1
        fitted = fit(Image.fromarray(image[..., 0] if grey else image), self.shape[1])
        return np.asarray(fitted).reshape(self.shape[1:])


def digits_at(images: np.ndarray, image_size: int | None, channels: int | None) -> Any:
    """Brings images of digits to the requested size.

    Args:
        images: uint8 [n, height, width, 1].
        image_size: Side of the result in pixels. None or 32 pads 28x28 images with zeros to 32x32. The images' own size leaves square
            images unchanged. Any other size pads and scales them.
        channels: 1 or 3. None means 1.

    Returns:
        uint8 [n, image_size, image_size, channels]. Scaled images that take more than 256 MiB are resized on access.

    Raises:
        DataError: If the image size or the number of channels is not supported.
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
    """Grey images with their channel repeated three times."""

    def __init__(self, images: Any):
        self.images = images
        self.shape = (*images.shape[:-1], 3)

    def contents(self) -> Iterable[Any]:
        """The contents of the grey images."""
        return contents_of(self.images)

    def read_many(self, indices: np.ndarray) -> np.ndarray:
        """The images with these indices, with three equal channels."""
        return to_channels(self.images[indices], 3)
