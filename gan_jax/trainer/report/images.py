"""Embeds images as data URIs within a budget of bytes, so that the page of any run opens quickly."""

import base64
import io
import warnings
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from gan_jax._internal.files import read_bytes
from gan_jax.trainer.image_grid import spread

MOST_FRAMES = 40
FRAMES_BYTES = 8 * 2**20
ONE_PICTURE_BYTES = 3 * 2**20
_LARGEST_FILE = 64 * 2**20
_LARGEST_SIDE = 1600


class Embedded(NamedTuple):
    """An embedded image.

    Attributes:
        uri: A data URI.
        width: Width in pixels.
        height: Height in pixels.
    """

    uri: str
    width: int
    height: int


def embed_tiles(path: Path, notes: list[str], size: tuple[int, int], limit: int = ONE_PICTURE_BYTES) -> Embedded | None:
    """Embeds an image whose parts are drawn by a script, so it is never scaled down.

    Args:
        path: Path of the WebP file.
        notes: A line is appended if the image is left out.
        size: The width and height that it must have.
        limit: Maximum number of bytes.

    Returns:
        The image. None if the file is missing, damaged, of another size or above the limit.
    """
    try:
        if path.stat().st_size > limit:
            notes.append(f"{path.name} has {path.stat().st_size / 2**20:.1f} MiB and was left out of this page")
            return None
        content = read_bytes(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=("WEBP",)) as picture:
                picture.load()
                if picture.size != size:
                    raise ValueError(f"it has {picture.width} x {picture.height} pixels, not {size[0]} x {size[1]}")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        notes.append(f"{path.name} is not a readable image and was left out: {str(error)[:120]}")
        return None
    return Embedded(f"data:image/webp;base64,{base64.b64encode(content).decode()}", *size)


def embed(path: Path, notes: list[str], limit: int = ONE_PICTURE_BYTES) -> Embedded | None:
    """Embeds a PNG or GIF file. A PNG image that is too large is scaled down.

    Args:
        path: Path of the file.
        notes: A line is appended if the image is left out or scaled down.
        limit: Maximum number of bytes of the embedded file.

    Returns:
        The image. None if the file is missing or damaged, or if it is an animation above the limit or above 1,600 pixels.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            notes.append(f"{path.name} has {size / 2**20:.0f} MiB and was left out")
            return None
        content = read_bytes(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=("PNG", "GIF")) as picture:
                picture.load()
                kind, width, height = str(picture.format).lower(), picture.width, picture.height
                too_wide = max(width, height) > _LARGEST_SIDE
                if kind == "gif" and (size > limit or too_wide):
                    # Scaling it down would keep only one frame.
                    much = f"{size / 2**20:.1f} MiB" if size > limit else f"{width} x {height} pixels"
                    notes.append(f"{path.name} has {much} and was left out of this page; it is in {path.parent.name}/")
                    return None
                if size > limit or too_wide:
                    content, kind = _smaller_png(picture, limit), "png"
                    if picture.size != (width, height):
                        notes.append(f"{path.name} is scaled down: {picture.width} x {picture.height} of {width} x {height}")
                    width, height = picture.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        notes.append(f"{path.name} is not a readable image and was left out: {str(error)[:120]}")
        return None
    return Embedded(f"data:image/{kind};base64,{base64.b64encode(content).decode()}", width, height)


def _smaller_png(picture: Image.Image, limit: int) -> bytes:
    """The image as a PNG file of at most `limit` bytes. It is scaled in place to 1,600 pixels, and then halved until it fits."""
    picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    while True:
        file = io.BytesIO()
        # The colour profile is left out, because it does not shrink with the image.
        picture.save(file, format="PNG", optimize=True, icc_profile=None)
        if file.tell() <= limit or max(picture.size) == 1:
            return file.getvalue()
        picture.thumbnail((max(picture.width // 2, 1), max(picture.height // 2, 1)))


def embed_frames(samples: list[tuple[int, Path]], notes: list[str], budget: int = FRAMES_BYTES) -> list[tuple[int, Embedded]]:
    """Embeds the sample grids of a run: always the last one, and evenly spaced others within a budget of bytes.

    Args:
        samples: Pairs (step, path) in the order of steps.
        notes: A line is appended if grids are left out.
        budget: Maximum number of bytes of all frames together.

    Returns:
        Pairs (step, image) in the order of steps.
    """
    largest = max((path.stat().st_size for _, path in samples if path.is_file()), default=0)
    affordable = min(MOST_FRAMES, max(2, budget // max(1, min(largest, ONE_PICTURE_BYTES))))
    chosen = spread(len(samples), affordable) if samples else []
    if len(chosen) < len(samples):
        notes.append(f"{len(chosen)} of {len(samples)} sample grids are in this page, evenly spaced; the others are in samples/")
    frames = []
    for index in chosen:
        step, path = samples[index]
        picture = embed(path, notes, min(ONE_PICTURE_BYTES, budget // len(chosen)))
        if picture is not None:
            frames.append((step, picture))
    return frames
