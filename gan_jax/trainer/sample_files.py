"""Files of samples: a grid, a folder of single images with their labels, an array, or an animation."""

import importlib.util
import itertools
import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from gan_jax._internal.files import atomic_path, write_text
from gan_jax.trainer import image_grid

FORMATS = ("png", "webp", "gif", "mp4", "npz")
STILL = ("png", "webp")
ANIMATED = ("gif", "webp", "mp4")


def free_path(path: Path) -> Path:
    """Returns the path, or the first of NAME-2, NAME-3, ... that does not exist."""
    paths = (path.with_stem(f"{path.stem}-{number}") if number > 1 else path for number in itertools.count(1))
    return next(candidate for candidate in paths if not candidate.exists())


def has_ffmpeg() -> bool:
    """Whether mp4 files can be written."""
    return importlib.util.find_spec("imageio_ffmpeg") is not None


def save_arrays(path: Path, images: np.ndarray, labels: np.ndarray | None = None, class_names: Sequence[str] = ()) -> None:
    """Writes an npz file with the array `images`, and `labels` and `class_names` if there are any. Nothing in it is pickled."""
    arrays = {"images": images} | ({} if labels is None else {"labels": np.asarray(labels, np.int32)})
    arrays |= {"class_names": np.asarray(class_names, np.str_)} if class_names and labels is not None else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def save_still(path: Path, image: np.ndarray, *, ending: str = "png", scale: int = 1) -> None:
    """Writes an image as PNG or lossless WebP.

    Args:
        path: The file. Its directory is made.
        image: [height, width, channels], uint8 or float in [-1, 1].
        ending: "png" or "webp".
        scale: Each pixel of the image becomes scale x scale pixels of the file.
    """
    if ending == "png":
        image_grid.save_png(path, image, scale=scale)
        return
    converted = image_grid.to_pillow(image, scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        converted.save(partial, format="WEBP", lossless=True)


def save_folder(
    folder: Path,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    names: Sequence[str] | None = None,
    ending: str = "png",
    scale: int = 1,
) -> None:
    """Writes each image as a file of its own. The labels are in `dataset.json`, in StyleGAN's layout {"labels": [[file, class], ...]}.

    Args:
        folder: The folder, which is made.
        images: uint8 [count, height, width, channels].
        labels: int [count], or None.
        names: Names of the files without their ending. By default 000000, 000001, ...
        ending: "png" or "webp".
        scale: Each pixel of an image becomes scale x scale pixels of its file.
    """
    files = [f"{name}.{ending}" for name in (names or [f"{number:06}" for number in range(len(images))])]
    folder.mkdir(parents=True, exist_ok=True)
    for file, image in zip(files, images, strict=True):
        save_still(folder / file, image, ending=ending, scale=scale)
    if labels is not None:
        rows = [[file, int(label)] for file, label in zip(files, labels, strict=True)]
        write_text(folder / "dataset.json", json.dumps({"labels": rows}))


def save_animation(path: Path, frames: Sequence[np.ndarray], *, ending: str, fps: float, scale: int = 1) -> None:
    """Writes all frames as an animation that repeats.

    Args:
        path: The file. Its directory is made.
        frames: Images of one shape.
        ending: "gif", "webp" (lossless) or "mp4" (H.264, which needs the package imageio-ffmpeg).
        fps: Frames a second. GIF files store hundredths of a second for each frame.
        scale: Each pixel of a frame becomes scale x scale pixels of the file. A side with an odd number of pixels gets one more in mp4
            files, because H.264 stores colours for pairs of pixels.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if ending == "gif":
        options = {"seconds_per_frame": 1 / fps, "last_frame_seconds": 1 / fps, "max_frames": max(2, len(frames))}
        image_grid.save_gif(path, list(frames), scale=scale, **options)
        return
    pictures = [image_grid.to_pillow(frame, scale) for frame in frames]
    with atomic_path(path) as partial:
        if ending == "webp":
            shown = {"duration": round(1000 / fps), "loop": 0, "lossless": True}
            pictures[0].save(partial, format="WEBP", save_all=True, append_images=pictures[1:], **shown)
        else:
            _write_mp4(partial, pictures, fps)


def _write_mp4(path: Path, pictures: Sequence[Image.Image], fps: float) -> None:
    import imageio_ffmpeg

    first = _even_sides(pictures[0])
    # The path ends in ".partial", so the container is named. One pixel is the block, so that no frame is resized.
    options = {"fps": fps, "macro_block_size": 1, "quality": 8, "output_params": ["-f", "mp4"], "ffmpeg_log_level": "error"}
    writer = imageio_ffmpeg.write_frames(str(path), first.shape[1::-1], **options)
    with warnings.catch_warnings():
        # JAX warns about every fork. This one only starts ffmpeg.
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
        writer.send(None)
    for picture in pictures:
        writer.send(_even_sides(picture))
    writer.close()


def _even_sides(picture: Image.Image) -> np.ndarray:
    array = np.asarray(picture.convert("RGB"))
    return np.ascontiguousarray(np.pad(array, ((0, array.shape[0] % 2), (0, array.shape[1] % 2), (0, 0)), mode="edge"))
