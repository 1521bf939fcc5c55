"""Grids of images, PNG files and animated GIFs, with numpy and Pillow only."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gan_jax._internal.files import atomic_path, open_regular
from gan_jax.data.images import to_channels

MAX_GIF_FRAMES = 120
REAL_GREY = 185  # Grey level of the real points behind samples.


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Converts images to bytes: round(127.5 (x + 1)), clipped to [0, 255]. uint8 images are returned unchanged.

    Values that are not finite become black (-Inf, NaN) or white (+Inf), so that the images of a failed run can be drawn.

    Args:
        images: float in [-1, 1] or uint8, any shape.

    Returns:
        uint8, same shape.

    Raises:
        TypeError: The dtype is neither uint8 nor floating.
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
    """Arranges images in a grid, left to right and top to bottom, with a margin around each.

    Args:
        images: [count, height, width, channels] with 1 or 3 channels, or [count, height, width]; uint8, or float in [-1, 1]. A fourth
            channel is the opacity over white.
        rows: Number of rows. By default as many as `cols` needs, or as a nearly square grid needs.
        cols: Number of columns. By default as many as `rows` needs. Images without a cell are left out.
        padding: Width of the margin in pixels.
        background: Grey level of the margin and of cells without an image, 0 to 255.

    Returns:
        uint8 [rows * (height + padding) + padding, cols * (width + padding) + padding, channels].

    Raises:
        ValueError: The shape is none of these, or rows, cols, padding or background is out of range.
        TypeError: The dtype is neither uint8 nor floating.
    """
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 4 and images.shape[-1] == 4:
        images = to_channels(to_uint8(images), 3)
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


def wrapped_grid(images: np.ndarray, columns: int, *, widest: int, padding: int = 2) -> np.ndarray:
    """A grid whose rows are sequences, such as interpolations. A row that is too wide continues on further lines.

    The lines of a row have equally many images, up to one. A gap separates the rows if they have several lines.

    Args:
        images: [rows * columns, height, width, channels], as for `image_grid`.
        columns: Number of images of a row.
        widest: Maximum width of the result in pixels. At least one image stays in each line.
        padding: Width of the margin in pixels.

    Returns:
        uint8 [height, width, channels].
    """
    most = max(1, (widest - padding) // (images.shape[2] + padding))
    lines = math.ceil(columns / most)
    rows = [image_grid(row, cols=math.ceil(columns / lines), padding=padding) for row in np.split(images, len(images) // columns)]
    if lines == 1:
        return image_grid(images, cols=columns, padding=padding)
    gap = np.full((4 * padding, *rows[0].shape[1:]), 255, np.uint8)
    return np.concatenate([part for row in rows for part in (row, gap)][:-1])


def save_png(path: Path | str, image: np.ndarray, *, scale: int = 1) -> None:
    """Writes an image as a PNG file, atomically.

    Args:
        path: The file. Its directory is made.
        image: [height, width, 1 or 3] or [height, width]; uint8, or float in [-1, 1].
        scale: Each pixel of the image becomes scale x scale pixels of the file, at least 1.

    Raises:
        ValueError: The shape is neither, or the scale is below 1.
        OSError: The file cannot be written.
    """
    converted = to_pillow(image, scale)
    _write(Path(path), lambda target: converted.save(target, format="PNG", optimize=True))


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
    """Writes an animated GIF that repeats, atomically.

    Args:
        path: The file. Its directory is made.
        frames: Images of one shape, as for `save_png`.
        labels: A line under each frame, e.g. "step 400".
        seconds_per_frame: Duration of a frame. GIF files store hundredths of a second.
        last_frame_seconds: Duration of the last frame.
        max_frames: Maximum number of frames, at least 2. Of more frames, evenly spaced ones are written, see `spread`.
        scale: As for `save_png`.

    Returns:
        The number of frames in the file. Successive equal frames are stored as one longer frame.

    Raises:
        ValueError: There are no frames, their shapes differ, or there are not as many labels as frames.
        OSError: The file cannot be written.
    """
    if not frames:
        raise ValueError("an animation needs at least one frame; got none")
    if labels is not None and len(labels) != len(frames):
        raise ValueError(f"labels must be as many as frames; got {len(labels)} and {len(frames)}")
    shapes = {np.shape(frame) for frame in frames}
    if len(shapes) > 1:
        raise ValueError(f"frames must have one shape; got {sorted(shapes)}")
    chosen = spread(len(frames), max_frames)
    first, *rest = [to_pillow(frames[index], scale, None if labels is None else labels[index]) for index in chosen]
    durations = [round(1000 * seconds_per_frame)] * len(rest) + [round(1000 * last_frame_seconds)]
    options = {"format": "GIF", "save_all": True, "append_images": rest, "duration": durations, "loop": 0}
    _write(Path(path), lambda target: first.save(target, **options))
    with open_regular(path) as stream, Image.open(stream) as written:
        return getattr(written, "n_frames", 1)


def load_png(path: Path | str) -> np.ndarray:
    """Reads a PNG file as uint8 [height, width, 1 or 3]."""
    with open_regular(path) as stream, Image.open(stream, formats=("PNG",)) as file:
        array = np.asarray(file)
    return array[..., None] if array.ndim == 2 else array[..., :3]


def png_shape(path: Path | str) -> tuple[int, int, int]:
    """The shape that `load_png` returns. Only the header of the file is read."""
    with open_regular(path) as stream, Image.open(stream, formats=("PNG",)) as file:
        return file.height, file.width, min(len(file.getbands()), 3)


def scatter(points: np.ndarray, *, size: int = 256, bounds: float | None = None, real: np.ndarray | None = None) -> np.ndarray:
    """Draws points as black dots on white, over the real points as grey dots.

    Args:
        points: float [count, dim]. The first two coordinates are drawn.
        size: Side of the image in pixels.
        bounds: The image shows [-bounds, bounds] in both directions. By default 1.25 times the 99th percentile of the coordinates.
        real: The real points, float [count, dim].

    Returns:
        uint8 [size, size, 1].

    Raises:
        ValueError: The points have fewer than two coordinates.
    """
    points = np.nan_to_num(np.asarray(points, np.float64))
    if points.ndim != 2 or points.shape[1] < 2:
        raise ValueError(f"points must be [count, 2 or more]; got {points.shape}")
    limit = bounds or 1.25 * float(np.percentile(np.abs(points), 99)) or 1.0
    image = np.full((size, size, 1), 255, np.uint8)
    if real is not None:
        draw_dots(image, real, limit, REAL_GREY)
    draw_dots(image, points, limit, 0)
    return image


def draw_dots(image: np.ndarray, points: np.ndarray, bounds: float, color: int | Sequence[int]) -> None:
    """Draws points into an image in place, as dots of 3 x 3 pixels. Points near the border and outside are left out.

    Args:
        image: uint8 [size, size, channels]. It shows [-bounds, bounds] in both directions, with y upwards.
        points: float [count, 2 or more].
        bounds: Half the side of the square.
        color: Grey level, or one value for each channel.
    """
    size = len(image)
    places = np.rint((points[:, :2] / bounds + 1) / 2 * (size - 1)).astype(int)
    places = places[((places >= 1) & (places < size - 1)).all(axis=1)]
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            image[size - 1 - (places[:, 1] + down), places[:, 0] + across] = color


def spread(count: int, limit: int) -> list[int]:
    """At most `limit` evenly spaced indices below `count`, including the first and the last.

    Raises:
        ValueError: The limit is below 2.
    """
    if limit < 2:
        raise ValueError(f"limit must be at least 2; got {limit}")
    if count <= limit:
        return list(range(count))
    return [round(index * (count - 1) / (limit - 1)) for index in range(limit)]


def to_pillow(image: np.ndarray, scale: int = 1, label: str | None = None) -> Image.Image:
    """Returns an image as a Pillow image, enlarged `scale` times, with a line of text below it if there is a label."""
    image = to_uint8(image)
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if scale < 1 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[-1] not in (3, 4)):
        raise ValueError(f"image must be [height, width, 1, 3 or 4] and scale at least 1; got {image.shape} and {scale}")
    scaled = Image.fromarray(image)
    scaled = scaled.resize((scaled.width * scale, scaled.height * scale), Image.Resampling.NEAREST)
    if label is None:
        return scaled
    labelled = Image.new(scaled.mode, (scaled.width, scaled.height + 14), "white")
    labelled.paste(scaled, (0, 0))
    ImageDraw.Draw(labelled).text((3, scaled.height + 1), label, fill="black")
    return labelled


def _write(path: Path, save) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        save(partial)
