"""Picture files as data URIs, within a budget of bytes: a page that opens fast, from a run with any number of samples."""

import base64
import io
import warnings
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from gan_jax.trainer.image_grid import spread

MOST_FRAMES = 40
FRAMES_BYTES = 8 * 2**20
ONE_PICTURE_BYTES = 3 * 2**20
_LARGEST_FILE = 64 * 2**20
_LARGEST_SIDE = 1600


class Embedded(NamedTuple):
    """A picture that the page carries in itself.

    Attributes:
        uri: a data URI.
        width: in pixels.
        height: in pixels.
    """

    uri: str
    width: int
    height: int


def embed(path: Path, notes: list[str], limit: int = ONE_PICTURE_BYTES) -> Embedded | None:
    """Embeds a PNG or GIF; a PNG that is too large is made smaller.

    Args:
        path: of the picture.
        notes: gets a line where it was left out or made smaller.
        limit: bytes of the file that is embedded.

    Returns:
        The picture, or None where it is damaged, missing, or an animation over the limit or more than 1,600 pixels wide or high.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            notes.append(f"{path.name} has {size / 2**20:.0f} MiB and was left out")
            return None
        content = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=("PNG", "GIF")) as picture:
                picture.load()
                kind, width, height = str(picture.format).lower(), picture.width, picture.height
                too_wide = max(width, height) > _LARGEST_SIDE
                if kind == "gif" and (size > limit or too_wide):
                    # Made smaller it would be one still frame.
                    much = f"{size / 2**20:.1f} MiB" if size > limit else f"{width} x {height} pixels"
                    notes.append(f"{path.name} has {much} and was left out of this page; it lies in {path.parent.name}/")
                    return None
                if size > limit or too_wide:
                    content, kind = _smaller_png(picture, limit), "png"
                    if picture.size != (width, height):
                        notes.append(f"{path.name} is shown smaller than it is: {picture.width} x {picture.height} of {width} x {height}")
                    width, height = picture.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        notes.append(f"{path.name} is no picture that can be read and was left out: {str(error)[:120]}")
        return None
    return Embedded(f"data:image/{kind};base64,{base64.b64encode(content).decode()}", width, height)


def _smaller_png(picture: Image.Image, limit: int) -> bytes:
    """A picture as a PNG file of at most `limit` bytes; its sides, in place, brought to 1,600 pixels and then halved until it fits."""
    picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    while True:
        file = io.BytesIO()
        # Without the colour profile, which no halving makes smaller.
        picture.save(file, format="PNG", optimize=True, icc_profile=None)
        if file.tell() <= limit or max(picture.size) == 1:
            return file.getvalue()
        picture.thumbnail((max(picture.width // 2, 1), max(picture.height // 2, 1)))


def embed_frames(samples: list[tuple[int, Path]], notes: list[str], budget: int = FRAMES_BYTES) -> list[tuple[int, Embedded]]:
    """Embeds the samples over time: the last one always, others at equal distances within a budget of bytes.

    Args:
        samples: (step, path) in the order of steps.
        notes: gets a line for what was left out.
        budget: bytes of all frames together.

    Returns:
        (step, picture) in the order of steps.
    """
    largest = max((path.stat().st_size for _, path in samples if path.is_file()), default=0)
    affordable = min(MOST_FRAMES, max(2, budget // max(1, min(largest, ONE_PICTURE_BYTES))))
    chosen = spread(len(samples), affordable) if samples else []
    if len(chosen) < len(samples):
        notes.append(f"{len(chosen)} of {len(samples)} sample grids are in this page, evenly spread; the others lie in samples/")
    frames = []
    for index in chosen:
        step, path = samples[index]
        picture = embed(path, notes, min(ONE_PICTURE_BYTES, budget // len(chosen)))
        if picture is not None:
            frames.append((step, picture))
    return frames
