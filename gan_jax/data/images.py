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


def height_width(size: int | tuple[int, int]) -> tuple[int, int]:
    """The height and width of images of a size: (size, size) for the side of a square."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def check_image_size(image_size: int | tuple[int, int] | None) -> None:
    """Raises DataError if the image size, the side in pixels or (height, width), is out of range."""
    if image_size is not None and not all(SMALLEST <= side <= 4096 for side in height_width(image_size)):
        raise DataError(f"must be between {SMALLEST} and 4096 pixels", argument="image_size", value=image_size)


def check_channels(channels: int | None) -> None:
    """Raises DataError if the number of channels is not 1, 3, 4 or None. None leaves the choice to the data."""
    if channels not in (None, 1, 3, 4):
        raise DataError("must be 1 (grey), 3 (red, green, blue) or 4 (with opacity)", argument="channels", value=channels)


def check_resize(resize: str) -> None:
    """Raises DataError if the resize method is unknown."""
    if resize not in RESIZES:
        raise DataError(f"must be one of {', '.join(RESIZES)}", argument="resize", value=resize)


def fit(image: Image.Image, size: int | tuple[int, int], resize: str = "crop") -> Image.Image:
    """Resizes an image.

    Args:
        image: Image of mode L, RGB or RGBA.
        size: Side of the result in pixels, or (height, width).
        resize: "crop" scales the image until it covers the size, and keeps the centre. "pad" scales it until it fits into the size, and
            pads with black, or with transparent pixels if there is a fourth channel. "stretch" scales both sides and ignores the
            proportions.

    Returns:
        An image of the same mode, scaled by Lanczos's filter with antialiasing. An image that already has this size is returned
        unchanged.

    Raises:
        DataError: If the resize method is unknown.
    """
    check_resize(resize)
    width, height = image.size
    to_height, to_width = height_width(size)
    if (width, height) == (to_width, to_height):
        return image
    if resize == "stretch":
        return image.resize((to_width, to_height), Image.Resampling.LANCZOS)
    if resize == "crop":
        # Cropping and scaling happen in one step, so that a very long image never becomes a huge one.
        if width * to_height >= height * to_width:
            kept_width, kept_height = min(height * to_width / to_height, width), height
        else:
            kept_width, kept_height = width, min(width * to_height / to_width, height)
        left, top = (width - kept_width) / 2, (height - kept_height) / 2
        box = (left, top, left + kept_width, top + kept_height)
        return image.resize((to_width, to_height), Image.Resampling.LANCZOS, box=box)
    scale = min(to_width / width, to_height / height)
    scaled = (max(1, round(width * scale)), max(1, round(height * scale)))
    ground = Image.new(image.mode, (to_width, to_height))
    ground.paste(image.resize(scaled, Image.Resampling.LANCZOS), ((to_width - scaled[0]) // 2, (to_height - scaled[1]) // 2))
    return ground


def to_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Converts images between grey, colour, and colour with opacity.

    Grey is the ITU-R 601 luma, rounded as in Pillow. Transparent parts become white if the opacity is dropped. New opacity is full.

    Args:
        images: uint8 [..., 1, 3 or 4].
        channels: 1, 3 or 4.

    Returns:
        uint8 [..., channels].
    """
    if images.shape[-1] == channels:
        return images
    if images.shape[-1] == 4:
        opacity = images[..., 3:].astype(np.uint32)
        on_white = (images[..., :3] * opacity + 255 * (255 - opacity) + 127) // 255
        return to_channels(on_white.astype(np.uint8), channels)
    if channels == 4:
        color = to_channels(images, 3)
        return np.concatenate([color, np.full_like(color[..., :1], 255)], axis=-1)
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    weighted = images.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((weighted + 0x8000) >> 16).astype(np.uint8)[..., None]


def pad_images(images: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Pads images with zeros.

    Args:
        images: uint8 [n, height, width, channels].
        size: Side of the result in pixels, or (height, width). Opposite sides get the same padding. If it is odd, bottom and right get one
            pixel more.

    Returns:
        uint8 [n, *size, channels].
    """
    to_height, to_width = height_width(size)
    rows, columns = to_height - images.shape[1], to_width - images.shape[2]
    return np.pad(images, ((0, 0), (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2), (0, 0)))


class ResizedImages(LazyImages):
    """Images that are resized on access.

    Args:
        images: uint8 [n, height, width, channels].
        size: Side of the result in pixels, or (height, width).
        channels: Number of channels of the result. By default that of the images.
        resize: "crop", "pad" or "stretch", see `fit`.
    """

    def __init__(self, images: Any, size: int | tuple[int, int], channels: int | None = None, resize: str = "crop"):
        self.images = images
        self.resize = resize
        self.shape = (len(images), *height_width(size), channels or images.shape[-1])

    def contents(self) -> Iterable[Any]:
        """The contents of the original images."""
        return contents_of(self.images)

    def read(self, index: int) -> np.ndarray:
        """The image with this index at the new size."""
        image = to_channels(np.asarray(self.images[index]), self.shape[-1])
        fitted = fit(Image.fromarray(image[..., 0] if self.shape[-1] == 1 else image), self.shape[1:3], self.resize)
        return np.asarray(fitted).reshape(self.shape[1:])


def digits_at(images: np.ndarray, image_size: int | tuple[int, int] | None, channels: int | None) -> Any:
    """Brings images of digits to the requested size.

    Args:
        images: uint8 [n, height, width, 1].
        image_size: Side of the result in pixels, or (height, width). None or 32 pads 28x28 images with zeros to 32x32. The images' own
            size leaves square images unchanged. Any other size pads and scales them.
        channels: 1, 3 or 4. None means 1.

    Returns:
        uint8 [n, *image_size, channels]. Scaled images that take more than 256 MiB are resized on access.

    Raises:
        DataError: If the image size or the number of channels is not supported.
    """
    check_image_size(image_size)
    check_channels(channels)
    size = height_width(image_size or 32)
    side = max(images.shape[1:3])
    if size != (side, side) or images.shape[1] != images.shape[2]:
        images = pad_images(images, max(32, side))
    if images.shape[1:3] != size:
        resized = ResizedImages(images, size)
        images = resized[:] if np.prod(resized.shape, dtype=np.int64) <= MEMORY_SIZE else resized
    if channels in (None, 1):
        return images
    return ConvertedImages(images, channels) if isinstance(images, LazyImages) else to_channels(images, channels)


class ConvertedImages(LazyImages):
    """Images whose channels are converted on access, see `to_channels`."""

    def __init__(self, images: Any, channels: int):
        self.images = images
        self.shape = (*images.shape[:-1], channels)

    def contents(self) -> Iterable[Any]:
        """The contents of the original images."""
        return contents_of(self.images)

    def read_many(self, indices: np.ndarray) -> np.ndarray:
        """The images with these indices, with the other number of channels."""
        return to_channels(self.images[indices], self.shape[-1])
