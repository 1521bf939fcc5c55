"""Images in a NumPy file as a data set: `.npy`, which is read on access, or `.npz`."""

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gan_jax._internal.files import check_regular, open_regular
from gan_jax.data.decode import DEFAULT_LEVELS, Levels, float_levels, integer_levels, samples_to_bytes
from gan_jax.data.errors import DataError, one_line
from gan_jax.data.images import fit, height_width, to_channels
from gan_jax.data.layout import Notice, hold_out, natural, some
from gan_jax.data.npz import read_npz
from gan_jax.data.source import LazyImages, Source, evenly_spaced
from gan_jax.data.summary import FileFacts

ENDINGS = (".npy", ".npz")
NPZ_LIMIT = 2**32  # Maximum number of bytes of one array of an npz file. A .npy file of any size is read on access.
MEMORY_SIZE = 2**30  # If all images take at most this many bytes, they are converted once and kept in memory.
# Names of the arrays in an npz file: those of numpy.savez, of Keras and of gan_jax's own samples.
IMAGES, LABELS = ("images", "image", "x", "data", "arr_0"), ("labels", "label", "y", "arr_1")
PARTS = {
    "train": (("x_train", "train_images", "train_x"), ("y_train", "train_labels", "train_y")),
    "test": (("x_test", "test_images", "test_x", "x_val", "val_images"), ("y_test", "test_labels", "test_y", "y_val", "val_labels")),
}


class ArrayImages(LazyImages):
    """Images of an array of any numeric type, converted on access.

    Args:
        array: [n, height, width, channels] or [n, height, width].
        rows: The rows that are used.
        size: (height, width) of the result.
        channels: 1, 3 or 4.
        resize: "crop", "pad" or "stretch".
        levels: The rule for samples that are not bytes.
    """

    def __init__(self, array: np.ndarray, rows: np.ndarray, *, size: tuple[int, int], channels: int, resize: str, levels: Levels):
        self.array, self.rows, self.resize, self.levels = array, rows, resize, levels
        self.shape = (len(rows), *size, channels)

    def read(self, index: int) -> np.ndarray:
        """The image with this index, uint8 [height, width, channels]."""
        image = samples_to_bytes(np.asarray(self.array[self.rows[index]]), self.levels)
        image = to_channels(image.reshape(*image.shape[:2], -1), self.shape[-1])
        fitted = fit(Image.fromarray(image[..., 0] if self.shape[-1] == 1 else image), self.shape[1:3], self.resize)
        return np.asarray(fitted).reshape(self.shape[1:])


def images_last(array: np.ndarray, place: str) -> np.ndarray:
    """An array of images with its channels in the last axis: [n, height, width] or [n, height, width, 1, 3 or 4].

    Args:
        array: [n, height, width], [n, height, width, channels] or [n, channels, height, width].
        place: The file and the name of the array, for messages.

    Raises:
        DataError: The array has another shape, or holds no numbers.
    """
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or np.issubdtype(array.dtype, np.complexfloating):
        raise DataError(f"{place}: holds {array.dtype}; expected numbers")
    if array.ndim == 4 and array.shape[-1] not in (1, 3, 4) and array.shape[1] in (1, 3, 4):
        array = np.moveaxis(array, 1, -1)
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[-1] not in (1, 3, 4)) or 0 in array.shape:
        expected = "[n, height, width], or with 1, 3 or 4 channels"
        raise DataError(f"{place}: has shape {array.shape}; expected images {expected}")
    return array


def array_levels(array: np.ndarray) -> tuple[Levels, list[Notice]]:
    """The rule by which the samples of an array become bytes, from 256 evenly spaced images, and what the user may not expect."""
    if array.dtype in (np.uint8, bool):
        return DEFAULT_LEVELS, []
    looked_at = np.asarray(array[evenly_spaced(len(array))])
    finite = looked_at[np.isfinite(looked_at)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if np.issubdtype(array.dtype, np.integer):
        levels = integer_levels(high)
        return levels, [Notice(f"the array holds {array.dtype} from {low:g} to {high:g}, which are read as {levels.bits} bits")]
    levels = float_levels(low, high)
    text = f"the array holds {array.dtype} from {low:g} to {high:g}, of which {levels.low:g} becomes black and {levels.high:g} white"
    return levels, [Notice(text)]


def read_labels_array(array: np.ndarray, count: int, place: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels of an array as int32 [count], and the names of the classes, which are its values in order.

    Args:
        array: [count] or [count, 1] of integers or text, or [count, classes] with a single 1 in each row.
        count: Number of images.
        place: The file and the name of the array, for messages.

    Raises:
        DataError: The array has another shape or type.
    """
    array = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
    if array.ndim == 2 and ((array == 1).sum(axis=1) == 1).all() and ((array == 0) | (array == 1)).all():
        return array.argmax(axis=1).astype(np.int32), tuple(str(number) for number in range(array.shape[1]))
    if array.ndim != 1 or len(array) != count or array.dtype.kind not in "biuU":
        expected = "one whole number or name for each image, or rows with a single 1"
        raise DataError(f"{place}: has shape {array.shape} of {array.dtype} for {count} images; expected {expected}")
    names = tuple(sorted({str(value) for value in np.unique(array)}, key=natural))
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[str(value)] for value in array], np.int32), names


def _open(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name. The array of a .npy file is `images`, mapped into memory."""
    if path.suffix.lower() == ".npz":
        try:
            with open_regular(path) as file, zipfile.ZipFile(file) as archive:
                names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        except Exception as error:  # A crafted file makes zipfile and struct raise almost any exception.
            raise DataError(f"{path}: not a readable npz file ({one_line(error)}); make or copy it again") from None
        known = {*IMAGES, *LABELS} | {name for part in PARTS.values() for names_of in part for name in names_of}
        return read_npz(path, tuple(name for name in names if name in known), limit=NPZ_LIMIT)
    arrays = {"images": path}
    for beside in (path.with_name(f"{path.stem}_labels.npy"), path.with_name("labels.npy")):
        if beside.is_file() and beside != path:
            arrays["labels"] = beside
            break
    try:
        for place in arrays.values():
            check_regular(place)
        return {name: np.load(place, mmap_mode="r", allow_pickle=False) for name, place in arrays.items()}
    except Exception as error:  # The header is parsed as a Python literal: besides ValueError, MemoryError, TypeError, TokenError ...
        raise DataError(f"{path}: not a readable npy file ({one_line(error)}); make or copy it again") from None


def _first(arrays: Iterable[str], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in arrays), None)


def _names_by_part(arrays: dict[str, np.ndarray], path: Path) -> dict[str, tuple[str, str | None]]:
    """The names of the images and labels of "train" and, if there are such, "test", or of "all"."""
    found = {part: (_first(arrays, images), _first(arrays, labels)) for part, (images, labels) in PARTS.items()}
    if not found["train"][0]:
        found = {"all": (_first(arrays, IMAGES), _first(arrays, LABELS))}
    named = {part: (images, labels) for part, (images, labels) in found.items() if images}
    if not named:
        raise DataError(f"{path}: holds no array named {', '.join(IMAGES)} or x_train; got {some(arrays, 8) or 'no arrays'}")
    return named


def _labels_by_part(
    arrays: dict[str, np.ndarray], by_parts: dict[str, tuple[str, str | None]], images: dict[str, np.ndarray], path: Path
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The labels of each part, int32, and the names of the classes. Both are empty unless every part has labels."""
    names = {part: labels for part, (_, labels) in by_parts.items() if labels}
    if len(names) < len(by_parts):
        return {}, ()
    labels, class_names = {}, tuple[str, ...]()
    for part, name in names.items():
        labels[part], class_names = read_labels_array(arrays[name], len(images[part]), f"{path}:{name}")
    if len(names) == 2:  # Both parts have the classes of both.
        both = np.concatenate([np.asarray(arrays[name]) for name in names.values()])
        numbers, class_names = read_labels_array(both, len(both), f"{path}: labels")
        labels = dict(zip(names, np.split(numbers, [len(images["train"])])))
    return labels, class_names


def load_arrays(
    path: Path, *, split: str = "train", image_size: int | tuple[int, int] = 32, channels: int | None = None, resize: str = "crop"
) -> Source:
    """Loads images, and labels if there are any, from a NumPy file. Nothing is unpickled.

    An npz file has `images` and `labels` (or x and y, or arr_0 and arr_1), or the parts x_train, y_train, x_test and y_test. The labels of
    NAME.npy are in NAME_labels.npy or labels.npy beside it. Without parts, every tenth image is held out.

    Args:
        path: Path of the file.
        split: "train", "test" or "all".
        image_size: Side of the images in pixels, or (height, width).
        channels: 1, 3 or 4. By default those of the array.
        resize: "crop", "pad" or "stretch", see `gan_jax.data.images.fit`.

    Raises:
        DataError: If the file cannot be read, or its arrays are not images and labels.
    """
    arrays = _open(path)
    by_parts = _names_by_part(arrays, path)
    images = {part: images_last(arrays[names[0]], f"{path}:{names[0]}") for part, names in by_parts.items()}
    first = next(iter(images.values()))
    levels, notices = array_levels(first)
    depth = 1 if first.ndim == 3 else first.shape[-1]
    labels, class_names = _labels_by_part(arrays, by_parts, images, path)
    rows = {part: np.arange(len(array)) for part, array in images.items()}
    if "all" in rows:
        parts, held_out_by = hold_out(range(len(rows["all"])))
        rows = {part: np.array(numbers, int) for part, numbers in parts.items()}
        images, labels = dict.fromkeys(rows, images["all"]), dict.fromkeys(rows, labels["all"]) if labels else {}
    else:
        rows.setdefault("test", np.arange(0))
        images.setdefault("test", first)
        held_out_by = "the arrays " + " and ".join(str(names[0]) for names in by_parts.values())
    files = FileFacts(
        found=sum(len(numbers) for numbers in rows.values()),
        ignored={},
        left_out={},
        sizes={f"{first.shape[2]}x{first.shape[1]}": sum(len(numbers) for numbers in rows.values())},
        sizes_of=len(first),
        channels_by="as asked" if channels else f"the array has {depth} channel{'s' if depth > 1 else ''}",
        classes_by="the array of labels" if labels else "none: the file has no labels",
        held_out_by=held_out_by,
        notices=tuple(notices),
    )
    options: dict[str, Any] = {"size": height_width(image_size), "channels": channels or depth, "resize": resize, "levels": levels}

    def part_of(name: str, parts: list[str], held_out: Source | None) -> Source:
        chosen = [part for part in parts if len(rows[part])]
        made = [ArrayImages(images[part], rows[part], **options) for part in chosen]
        total = sum(int(np.prod(one.shape, dtype=np.int64)) for one in made)
        if not made:
            raise DataError(f"{path} has no images for it", argument="split", value=name)
        lazy = len(made) == 1 and total > MEMORY_SIZE
        pixels: Any = made[0] if lazy else np.concatenate([one[:] for one in made])
        numbers = np.concatenate([labels[part][rows[part]] for part in chosen]) if labels else None
        details = {"class_names": class_names, "files": files}
        return Source("image_folder", pixels, numbers, len(class_names), name, str(path), held_out, **details)

    if split == "all":
        return part_of("all", ["train", "test"], None)
    other = "test" if split == "train" else "train"
    return part_of(split, [split], part_of(other, [other], None) if len(rows[other]) else None)
