"""Images as grids, grids as PNG files, grids over time as an animated GIF; plain numpy and Pillow."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gan_jax._files import atomic_path

MAX_GIF_FRAMES = 120


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images as bytes: round(127.5 (x + 1)) of float images in [-1, 1], clipped; uint8 images as they are.

    Values that are not finite become black (-Inf, NaN) or white (+Inf): a picture of a failed run is still a picture.

    Args:
        images: float in [-1, 1] or uint8, any shape.

    Returns:
        uint8, same shape.

    Raises:
        TypeError: the dtype is neither.
    """
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.floating) and images.dtype.name != "bfloat16":
        raise TypeError(f"images must be uint8 or floating point in [-1, 1]; got {images.dtype}")
    finite = np.nan_to_num(images.astype(np.float32), nan=-1.0, posinf=1.0, neginf=-1.0)
    return np.rint(127.5 * (np.clip(finite, -1, 1) + 1)).astype(np.uint8)


def image_grid(
    images: np.ndarray, rows: int | None = None, cols: int | None = None, *, padding: int = 2, background: int = 255
) -> np.ndarray:
    """Lays images out in rows, left to right and top to bottom, with a margin around each.

    Args:
        images: [count, height, width, channels] with 1 or 3 channels, or [count, height, width]; uint8, or float in [-1, 1].
        rows: of the grid; by default as many as `cols` needs, or the nearest to a square.
        cols: of the grid; by default as many as `rows` needs. Cells without an image are background; images without a cell are left out.
        padding: pixels between the images and around them.
        background: grey level of the margin, 0 to 255.

    Returns:
        uint8 [rows * (height + padding) + padding, cols * (width + padding) + padding, channels].

    Raises:
        ValueError: the shape is none of these, or rows, cols, padding or background is out of range.
        TypeError: the dtype is neither uint8 nor floating.
    """
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise ValueError(f"images must be [count, height, width, 1 or 3], none of them 0; got {images.shape}")
    if padding < 0 or not 0 <= background <= 255:
        raise ValueError(f"padding must not be negative and background must be in [0, 255]; got {padding} and {background}")
    count, height, width, channels = images.shape
    if cols is None:
        cols = math.ceil(math.sqrt(count)) if rows is None else math.ceil(count / max(rows, 1))
    if rows is None:
        rows = math.ceil(count / max(cols, 1))
    if rows < 1 or cols < 1:
        raise ValueError(f"rows and cols must be at least 1; got {rows} and {cols}")
    grid = np.full((rows * (height + padding) + padding, cols * (width + padding) + padding, channels), background, np.uint8)
    for index, image in enumerate(to_uint8(images[: rows * cols])):
        top = padding + (index // cols) * (height + padding)
        left = padding + (index % cols) * (width + padding)
        grid[top : top + height, left : left + width] = image
    return grid


def save_png(path: Path | str, image: np.ndarray, *, scale: int = 1) -> None:
    """Writes one image, enlarged by whole pixels; the file is there complete or not at all.

    Args:
        path: ends in .png; its directory is made.
        image: [height, width, 1 or 3] or [height, width]; uint8, or float in [-1, 1].
        scale: how many pixels of the file one pixel of the image takes, at least 1.

    Raises:
        ValueError: the shape is neither, or the scale is below 1.
        OSError: the file cannot be written.
    """
    path = Path(path)
    picture = _picture(image, scale)
    _write(path, lambda target: picture.save(target, format="PNG", optimize=True))


def save_gif(
    path: Path | str,
    frames: Sequence[np.ndarray],
    *,
    labels: Sequence[str] | None = None,
    seconds_per_frame: float = 0.15,
    last_frame_seconds: float = 1.5,
    max_frames: int = MAX_GIF_FRAMES,
    scale: int = 1,
) -> int:
    """Writes an animation that repeats for ever; of too many frames, evenly spaced ones with the first and the last among them.

    Args:
        path: ends in .gif; its directory is made.
        frames: images of one shape, as for `save_png`.
        labels: a line under each frame, e.g. "step 400".
        seconds_per_frame: how long a frame stands; GIF counts in hundredths of a second.
        last_frame_seconds: how long the last one stands.
        max_frames: bound on the frames of the file, at least 2.
        scale: as for `save_png`.

    Returns:
        The number of frames in the file. Equal neighbours are stored as one that stands longer.

    Raises:
        ValueError: no frames, frames of several shapes, or labels of another number than frames.
        OSError: the file cannot be written.
    """
    if not frames:
        raise ValueError("an animation needs at least one frame; got none")
    if labels is not None and len(labels) != len(frames):
        raise ValueError(f"labels must be as many as frames; got {len(labels)} and {len(frames)}")
    shapes = {np.shape(frame) for frame in frames}
    if len(shapes) > 1:
        raise ValueError(f"frames must have one shape; got {sorted(shapes)}")
    chosen = spread(len(frames), max_frames)
    pictures = [_picture(frames[index], scale, None if labels is None else labels[index]) for index in chosen]
    durations = [round(1000 * seconds_per_frame)] * (len(pictures) - 1) + [round(1000 * last_frame_seconds)]
    first, rest = pictures[0], pictures[1:]
    options = {"format": "GIF", "save_all": True, "append_images": rest, "duration": durations, "loop": 0}
    _write(Path(path), lambda target: first.save(target, **options))
    with Image.open(path) as written:
        return getattr(written, "n_frames", 1)


def load_png(path: Path | str) -> np.ndarray:
    """Reads a picture back as uint8 [height, width, 1 or 3]."""
    with Image.open(path) as picture:
        array = np.asarray(picture)
    return array[..., None] if array.ndim == 2 else array[..., :3]


def png_shape(path: Path | str) -> tuple[int, int, int]:
    """The shape that `load_png` returns, from the first bytes of the file alone."""
    with Image.open(path) as picture:
        return picture.height, picture.width, min(len(picture.getbands()), 3)


def scatter(points: np.ndarray, *, size: int = 256, bounds: float | None = None) -> np.ndarray:
    """Draws points of the plane as dots on white.

    Args:
        points: float [count, dim]; the first two coordinates are drawn.
        size: side of the picture in pixels.
        bounds: the picture shows [-bounds, bounds] in both directions; by default a little more than the 99th percentile.

    Returns:
        uint8 [size, size, 1].

    Raises:
        ValueError: the points have fewer than two coordinates.
    """
    points = np.nan_to_num(np.asarray(points, np.float64))
    if points.ndim != 2 or points.shape[1] < 2:
        raise ValueError(f"points must be [count, 2 or more]; got {points.shape}")
    limit = bounds or 1.25 * float(np.percentile(np.abs(points), 99)) or 1.0
    places = np.rint((points[:, :2] / limit + 1) / 2 * (size - 1)).astype(int)
    places = places[((places >= 1) & (places < size - 1)).all(axis=1)]
    picture = np.full((size, size, 1), 255, np.uint8)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            picture[size - 1 - (places[:, 1] + down), places[:, 0] + across] = 0
    return picture


def spread(count: int, limit: int) -> list[int]:
    """At most `limit` evenly spaced indices out of `count`, first and last among them.

    Raises:
        ValueError: the limit is below 2.
    """
    if limit < 2:
        raise ValueError(f"limit must be at least 2; got {limit}")
    if count <= limit:
        return list(range(count))
    return [round(index * (count - 1) / (limit - 1)) for index in range(limit)]


def _picture(image: np.ndarray, scale: int, label: str | None = None) -> Image.Image:
    image = to_uint8(image)
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if scale < 1 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[-1] != 3):
        raise ValueError(f"image must be [height, width, 1 or 3] and scale at least 1; got {image.shape} and {scale}")
    picture = Image.fromarray(image)
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    if label is None:
        return picture
    labelled = Image.new(picture.mode, (picture.width, picture.height + 14), "white")
    labelled.paste(picture, (0, 0))
    ImageDraw.Draw(labelled).text((3, picture.height + 1), label, fill="black")
    return labelled


def _write(path: Path, save) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        save(partial)
