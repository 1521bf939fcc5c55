"""Reads one image file of any still format that Pillow decodes safely, as uint8 pixels of one size and number of channels."""

import contextlib
import functools
import io
import os
import threading
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from gan_jax._internal.files import NotRegularFile, open_regular
from gan_jax.data.errors import DataError, one_line
from gan_jax.data.images import fit, height_width

# Formats that are recognised by their first bytes, so the name of the file does not matter. Left out: formats that start another program
# (EPS), that decompress without a limit (FITS), whose decoder had memory errors (PSD), and that hold no pixels for Pillow (WMF, HDF5).
BY_CONTENT = (
    *("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "QOI"),
    *("SGI", "SUN", "ICO", "DDS", "XBM", "XPM", "MSP"),
)
BY_ENDING = ("TGA", "PCX", "DIB")  # The first bytes of these formats can be those of another, so only their endings tell.
# Maximum number of pixels of a file. Decoding takes at most 16 bytes per pixel, and a JPEG file is decoded at a reduced size, so a
# file takes less than 1 GiB. Formats whose decoder is written in Python are limited by their time.
MOST_PIXELS = {"JPEG": 2**26, "MPO": 2**26} | dict.fromkeys(("QOI", "XPM", "MSP", "DDS", "ICO"), 2**22)
DEFAULT_MOST_PIXELS = 2**25
MANY_PIXELS = 2**22  # Files with more pixels are decoded one at a time.
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
GREY_MODES = ("1", "L", "LA", "La", "F")
_one_large_at_a_time = threading.Lock()


class Levels(NamedTuple):
    """How samples of more than 8 bits become bytes. One data set has one rule, so that its images keep their relative brightness.

    Attributes:
        bits: Integers keep the upper 8 of this many bits.
        low: The floating-point value that becomes 0.
        high: The floating-point value that becomes 255.
    """

    bits: int = 16
    low: float = 0.0
    high: float = 1.0


DEFAULT_LEVELS = Levels()


class Header(NamedTuple):
    """What a file says about its image without being decoded.

    Attributes:
        width: Width in pixels, after the rotation that a camera recorded.
        height: Height in pixels.
        grey: Whether it has no colours.
        alpha: Whether it can be transparent.
        deep: "integer" for 16 or 32 bits per sample, "float", or "" for up to 8 bits.
        animated: Whether it has several frames, of which only the first is read.
    """

    width: int
    height: int
    grey: bool
    alpha: bool
    deep: str
    animated: bool


@functools.cache
def endings() -> dict[str, str]:
    """Endings of the files that are read, in lower case and with the dot, and their formats."""
    Image.init()
    known = {name for name in (*BY_CONTENT, *BY_ENDING) if name in Image.OPEN}
    return {ending: name for ending, name in Image.registered_extensions().items() if name in known}


def ending_of(name: str) -> str:
    """The ending of a file name in lower case and with the dot, or ""."""
    return os.path.splitext(name)[1].lower()


@functools.cache
def _formats(ending: str) -> tuple[str, ...]:
    known = [name for name in BY_CONTENT if name in endings().values()]
    return (*known, endings()[ending]) if endings().get(ending) in BY_ENDING else tuple(known)


@contextlib.contextmanager
def opened(file: Path | str | bytes, name: str | None = None):
    """Opens an image file without decoding it. Every fault is a `DataError` that names the file.

    Args:
        file: Path of the file, or its bytes.
        name: Name of the file for messages. By default the path.

    Yields:
        The opened Pillow image.
    """
    name = str(file) if name is None else name
    try:
        stream: BinaryIO = io.BytesIO(file) if isinstance(file, bytes) else open_regular(file)
        with stream, Image.open(stream, formats=_formats(ending_of(name))) as picture:
            most = MOST_PIXELS.get(picture.format or "", DEFAULT_MOST_PIXELS)
            if picture.width * picture.height > most:
                raise DataError(f"{name}: has {picture.width}x{picture.height} pixels; at most {most} are supported")
            yield picture
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{name}: no such file") from None
    except NotRegularFile as error:
        raise DataError(f"{name}: {error.strerror}") from None
    except UnidentifiedImageError:
        raise DataError(f"{name}: not a readable picture; replace or delete it") from None
    except MemoryError:
        raise DataError(f"{name}: decoding it takes too much memory") from None
    except Exception as error:  # Pillow's decoders can raise almost any exception on damaged files.
        raise DataError(f"{name}: not a readable picture ({one_line(error)}); replace or delete it") from None


def decode(
    file: Path | str | bytes,
    *,
    size: int | tuple[int, int],
    channels: int,
    resize: str = "crop",
    levels: Levels = DEFAULT_LEVELS,
    name: str | None = None,
) -> np.ndarray:
    """Reads one image file.

    The orientation that a camera recorded is applied. Of several frames or pages the first is read. Transparent parts become white, if the
    result has no fourth channel. Samples of more than 8 bits become bytes as `levels` says.

    Args:
        file: Path of the file, or its bytes.
        size: Side of the result in pixels, or (height, width).
        channels: 1 (grey), 3 (red, green, blue) or 4 (with opacity).
        resize: "crop", "pad" or "stretch", see `gan_jax.data.images.fit`.
        levels: The rule for samples of more than 8 bits.
        name: Name of the file for messages. By default the path.

    Returns:
        uint8 [height, width, channels].

    Raises:
        DataError: If the file is missing, is not an image of a supported format, is damaged, or has too many pixels (more than 67 million
            for JPEG, 4 million for QOI, XPM, MSP, DDS and ICO, and 33 million for others).
    """
    height, width = height_width(size)
    with _loaded(file, name, channels, draft=2 * max(height, width)) as picture:
        fitted = fit(_plain(ImageOps.exif_transpose(picture), channels, levels), (height, width), resize)
        return np.asarray(fitted, np.uint8).reshape(height, width, channels)


def decode_pair(
    file: Path | str | bytes, *, size: int | tuple[int, int], channels: int, resize: str, levels: Levels, name: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Reads one image file that holds two images of one size side by side.

    Args:
        file, size, channels, resize, levels, name: See `decode`. The size is that of one image.

    Returns:
        The left and the right image, each uint8 [height, width, channels].

    Raises:
        DataError: As `decode`, and if the width of the file is odd.
    """
    height, width = height_width(size)
    with _loaded(file, name, channels) as picture:
        whole = _plain(ImageOps.exif_transpose(picture), channels, levels)
        if whole.width % 2:
            place = str(file) if name is None else name
            raise DataError(f"{place}: is {whole.width} pixels wide; two images of one size side by side have an even width")
        middle = whole.width // 2
        halves = [whole.crop((left, 0, left + middle, whole.height)) for left in (0, middle)]
        left, right = (np.asarray(fit(half, (height, width), resize), np.uint8).reshape(height, width, channels) for half in halves)
        return left, right


@contextlib.contextmanager
def _loaded(file: Path | str | bytes, name: str | None, channels: int, *, draft: int | None = None):
    """Opens an image file and decodes it, a large one alone. With `draft` a JPEG file is decoded at a reduced size, at least this one."""
    with opened(file, name) as picture:
        large = picture.width * picture.height > MANY_PIXELS
        with _one_large_at_a_time if large else contextlib.nullcontext():
            if draft is not None:
                picture.draft(MODES[min(channels, 3)], (draft, draft))
            picture.load()
            yield picture


def read_header(file: Path | str | bytes, name: str | None = None) -> Header:
    """Reads the header of an image file.

    Raises:
        DataError: As `decode`, if the header already shows the fault.
    """
    with opened(file, name) as picture:
        width, height = picture.size
        # Pillow decodes a PNG file to look for an orientation behind its pixels, so only one before them is used here.
        has_orientation = picture.format in ("JPEG", "MPO", "TIFF", "WEBP") or "exif" in picture.info
        if has_orientation and picture.getexif().get(0x0112, 1) in (5, 6, 7, 8):
            width, height = height, width
        mode = picture.mode
        deep = "integer" if mode.startswith("I") else "float" if mode == "F" else ""
        palette = picture.getpalette() if mode in ("P", "PA") else None
        grey = mode in GREY_MODES or bool(deep) or (palette is not None and palette[::3] == palette[1::3] == palette[2::3])
        alpha = mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info
        animated = picture.format != "MPO" and bool(getattr(picture, "is_animated", False))
        return Header(width, height, grey, alpha, deep, animated)


def value_range(file: Path | str | bytes, name: str | None = None) -> tuple[float, float]:
    """The lowest and the highest finite sample of an image file, without conversion to bytes. (0, 0) if no sample is finite.

    Raises:
        DataError: As `decode`.
    """
    with opened(file, name) as picture:
        samples = np.asarray(picture)
        samples = samples[np.isfinite(samples)]
        return (float(samples.min()), float(samples.max())) if samples.size else (0.0, 0.0)


def integer_levels(highest: float) -> Levels:
    """The rule for integers up to `highest`: 8, 10, 12, 14, 16, 24 or 31 bits, whichever is the first to hold it."""
    return Levels(bits=next((bits for bits in (8, 10, 12, 14, 16, 24) if highest < 2**bits), 31))


def float_levels(low: float, high: float) -> Levels:
    """The rule for floating-point samples: from 0 to 1, from -1 to 1, from 0 to 255, or else from `low` to `high`."""
    for bottom, top in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)):
        if bottom <= low and high <= top:
            return Levels(low=bottom, high=top)
    return Levels(low=low, high=high)


def samples_to_bytes(samples: np.ndarray, levels: Levels) -> np.ndarray:
    """Samples of any type as bytes, by a rule of the data set. Values outside of the rule's range are clipped, and NaN becomes 0."""
    if samples.dtype == np.uint8:
        return samples
    if samples.dtype == bool:
        return samples.astype(np.uint8) * np.uint8(255)
    if np.issubdtype(samples.dtype, np.integer):
        return (samples >> (levels.bits - 8)).clip(0, 255).astype(np.uint8)
    scaled = (samples.astype(np.float64) - levels.low) * (255 / (levels.high - levels.low))
    return np.rint(np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0)).clip(0, 255).astype(np.uint8)


def _plain(picture: Image.Image, channels: int, levels: Levels) -> Image.Image:
    """Converts an image of any mode to mode L, RGB or RGBA."""
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = Image.fromarray(samples_to_bytes(np.asarray(picture), levels))
    if picture.mode == "LAB":
        picture = ImageCms.profileToProfile(picture, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB")
    if channels == 4:
        return picture.convert("RGBA")
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (255, 255, 255, 255)), picture)
    return picture.convert(MODES[channels])
