"""A directory tree of PNG and JPEG files as a data set.

Files that cannot be read are skipped, counted and named, or they stop the run.
"""

import bisect
import collections
import concurrent.futures
import contextlib
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gan_jax._files import NotRegularFile, open_regular
from gan_jax.data.errors import DataError, DataWarning, one_line
from gan_jax.data.images import check_channels, check_image_size, check_resize, fit
from gan_jax.data.source import LazyImages, Source, choose_split

ENDINGS = (".png", ".jpg", ".jpeg")
# Maximum number of pixels of a file. Decoding takes at most 16 bytes per pixel, and a JPEG file is decoded at a reduced size, so a
# file takes less than 1 GiB.
MOST_PIXELS = {"PNG": 2**25, "JPEG": 2**26}
MANY_PIXELS = 2**22  # Files with more pixels are decoded one at a time.
MEMORY_SIZE = 2**30  # If all images take at most this many bytes, they are decoded once and kept in memory.
HELD_OUT_EVERY = 10
_one_large_at_a_time = threading.Lock()
PARTS = {"train": ("train", "training"), "test": ("test", "val", "valid", "validation")}


def decode(path: Path | str, *, size: int, channels: int, resize: str = "crop") -> np.ndarray:
    """Reads one image file.

    The orientation that a camera recorded is applied. Transparent parts become white. 16-bit grey images keep their upper 8 bits.

    Args:
        path: Path of a PNG or JPEG file. The name of the file does not matter.
        size: Side of the result in pixels.
        channels: 1 or 3.
        resize: "crop", "pad" or "stretch", see `gan_jax.data.images.fit`.

    Returns:
        uint8 [size, size, channels].

    Raises:
        DataError: If the file is missing, is not a PNG or JPEG image, is damaged, or has too many pixels (more than 33 million for PNG,
            67 million for JPEG).
    """
    try:
        with open_regular(path) as file, Image.open(file, formats=("PNG", "JPEG")) as picture:
            pixels, most = picture.width * picture.height, MOST_PIXELS.get(picture.format, 0)
            if pixels > most:
                raise DataError(f"{path}: has {picture.width}x{picture.height} pixels; at most {most} are supported")
            with _one_large_at_a_time if pixels > MANY_PIXELS else contextlib.nullcontext():
                picture.draft("RGB" if channels == 3 else "L", (2 * size, 2 * size))  # Lets a JPEG file decode at a reduced size.
                picture.load()
                fitted = fit(_plain(ImageOps.exif_transpose(picture), channels), size, resize)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except NotRegularFile as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: not a readable PNG or JPEG picture; replace or delete it") from None
    except MemoryError:
        raise DataError(f"{path}: decoding it takes too much memory") from None
    except Exception as error:  # Pillow's decoders can raise almost any exception on damaged files.
        raise DataError(f"{path}: not a readable PNG or JPEG picture ({one_line(error)}); replace or delete it") from None
    return np.asarray(fitted, np.uint8).reshape(size, size, channels)


def _plain(picture: Image.Image, channels: int) -> Image.Image:
    """Converts the image to mode L or RGB."""
    mode = "RGB" if channels == 3 else "L"
    if picture.mode.startswith("I"):
        picture = Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8))
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(ground, picture)
    return picture.convert(mode)


class FolderImages(LazyImages):
    """The images of a list of files, read on access.

    A file that cannot be read, or that was removed after listing, is reported once. If `on_corrupt` is "skip", the next readable file of
    its class replaces it. If the class has no readable file, the next readable file of the list replaces it. A step therefore always has
    the same number of images, and the same files give the same images.

    Args:
        root: Root of the directory tree.
        names: Names of the files relative to the root.
        classes: Class of each file. By default all files have the same class.
        size: Side of the images in pixels.
        channels: 1 or 3.
        resize: "crop", "pad" or "stretch".
        on_corrupt: "skip" or "stop".

    Attributes:
        problems: Maps the names of the files that could not be read to the reason.
        gone: Names of those files that no longer exist.
    """

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        classes: Sequence[str] | None = None,
        *,
        size: int,
        channels: int,
        resize: str,
        on_corrupt: str,
    ):
        self.root = root
        self.names = tuple(names)
        self._numbers: dict[str, list[int]] = {}  # Maps each class to the indices of its files.
        self._classes = tuple(classes or [""] * len(self.names))
        for number, kind in enumerate(self._classes):
            self._numbers.setdefault(kind, []).append(number)
        self.size, self.channels, self.resize = size, channels, resize
        self.on_corrupt = on_corrupt
        self.shape = (len(self.names), size, size, channels)
        self.problems: dict[str, str] = {}
        self.gone: set[str] = set()
        self._lock = threading.Lock()

    def try_read(self, index: int, *, warn: bool = False) -> np.ndarray | DataError:
        """Reads the image with this index. Returns a DataError if it cannot be read.

        The first failure of a file is recorded, and with `warn` a warning is issued.
        """
        name = self.names[index]
        if name in self.problems:
            return DataError(self.problems[name])
        try:
            return decode(self.root / name, size=self.size, channels=self.channels, resize=self.resize)
        except DataError as error:
            with self._lock:
                new = name not in self.problems
                self.problems[name] = str(error)
                if not (self.root / name).exists():
                    self.gone.add(name)
            if new and warn:
                warnings.warn(f"skipped {error} ({len(self.problems)} of {len(self)} files so far)", DataWarning, stacklevel=3)
            return error

    def read(self, index: int) -> np.ndarray:
        """Reads the image with this index. If it cannot be read and `on_corrupt` is "skip", reads the file that replaces it.

        Raises:
            DataError: If the file cannot be read and `on_corrupt` is "stop", if no file can be read, or if more than a tenth of the files
                were removed after listing.
        """
        for number in self._candidates(index):
            result = self.try_read(number, warn=self.on_corrupt == "skip")
            if not isinstance(result, DataError):
                return result
            if self.on_corrupt == "stop":
                raise result
            if len(self.gone) > max(1, len(self) // 10):
                raise DataError(
                    f"{self.root}: the data set shrank: {len(self.gone)} of {len(self)} files are gone, e.g. {result}; restore it"
                )
        raise DataError(f"{self.root}: none of the {len(self)} files can be read")

    def stand_ins(self, indices: np.ndarray) -> np.ndarray:
        """Indices of the files that `read` used for these indices, int64 [count]. They differ only for files that could not be read."""
        readable = (next(number for number in self._candidates(int(index)) if self.names[number] not in self.problems) for index in indices)
        return np.fromiter(readable, np.int64, len(indices))

    def contents(self) -> Iterator[Any]:
        """What the fingerprint hashes instead of the images: names and sizes of the files. The size of a missing file is -1."""
        yield repr(self.names).encode()
        yield np.fromiter((_size(self.root / name) for name in self.names), np.int64, len(self))

    def _candidates(self, index: int) -> Iterator[int]:
        """Files to try for an index: the file itself, then the rest of its class, then the rest of the list, each cyclically."""
        yield index
        for numbers in (self._numbers[self._classes[index]], range(len(self))):
            after = bisect.bisect_right(numbers, index)
            yield from numbers[after:]
            yield from numbers[:after]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def list_images(root: Path) -> list[str]:
    """The PNG and JPEG files below a directory, identified by their names, relative to the directory and sorted. Hidden files are skipped.

    Links to folders are followed after all folders of the tree itself. Each folder is listed once. If a link leads to a folder that is
    already listed, e.g. in a cycle, the link is skipped and a `DataWarning` names it.

    Raises:
        DataError: If a folder cannot be listed.
    """
    names, listed, tops = list[str](), set[str](), collections.deque([str(root)])
    while tops:
        for place, folders, files in os.walk(tops.popleft(), onerror=_refuse):
            real = os.path.realpath(place)
            if real in listed:
                warnings.warn(f"{place}: leads to {real}, which is already listed; skipped", DataWarning, stacklevel=2)
                folders.clear()
                continue
            listed.add(real)
            folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
            tops += [link for folder in folders if os.path.islink(link := os.path.join(place, folder))]
            names += [
                os.path.relpath(os.path.join(place, file), root) for file in files if file.lower().endswith(ENDINGS) and file[0] != "."
            ]
    return sorted(Path(name).as_posix() for name in names)


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: the directory cannot be listed ({error.strerror})")


def split_names(names: list[str]) -> tuple[dict[str, list[str]], bool]:
    """Splits the files into train and test.

    If the tree has top-level folders for train (train, training) and test (test, val, valid, validation), only the files in these are
    used. Otherwise every tenth file of the list belongs to test.

    Args:
        names: Names of the files, sorted, relative to the root of the tree.

    Returns:
        A dict with the names of train and of test, and whether the split follows the folders.
    """
    tops = {name.split("/")[0] for name in names if "/" in name}
    for train in PARTS["train"]:
        for test in PARTS["test"]:
            if {train, test} <= tops:
                return {
                    part: [name for name in names if name.startswith(f"{top}/")] for part, top in (("train", train), ("test", test))
                }, True
    test_names = names[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
    held_out = set(test_names)
    return {"train": [name for name in names if name not in held_out], "test": test_names}, False


def class_of(name: str, by_folders: bool) -> str:
    """The class of a file: its top-level folder, or the folder below train or test. "" if the file is in no such folder."""
    folders = name.split("/")[:-1]
    return "".join(folders[1:2] if by_folders else folders[:1])


def channels_of(root: Path, names: list[str]) -> int:
    """1 if the first readable file is a grey image, otherwise 3."""
    for name in names:
        try:
            with open_regular(root / name) as file, Image.open(file, formats=("PNG", "JPEG")) as picture:
                return 1 if picture.mode in ("1", "L", "LA") or picture.mode.startswith("I") else 3
        except Exception:  # The problem is reported when the file is read.
            continue
    return 3


def decode_all(images: FolderImages) -> tuple[Any, list[int], tuple[str, ...]]:
    """Decodes every file into memory, if the images take at most 1 GiB.

    Returns:
        The readable images, uint8 [n, height, width, channels], the indices of their files, and the reasons why the other files could
        not be read. If the images take more than 1 GiB, `images` itself is returned with all indices and no reasons.

    Raises:
        DataError: If no file can be read, or if one cannot be read and `on_corrupt` is "stop".
    """
    if np.prod(images.shape, dtype=np.int64) > MEMORY_SIZE:
        return images, list(range(len(images))), ()
    decoded, kept = np.empty(images.shape, np.uint8), list[int]()
    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        for index, result in enumerate(threads.map(images.try_read, range(len(images)))):
            if not isinstance(result, DataError):
                decoded[len(kept)] = result
                kept.append(index)
            elif images.on_corrupt == "stop":
                threads.shutdown(cancel_futures=True)
                raise result
    problems = tuple(images.problems[name] for name in images.names if name in images.problems)
    if not kept:
        raise DataError(f"{images.root}: none of the {len(images)} files can be read, e.g. {problems[0]}")
    if problems:
        named = "; ".join(problems[:3]) + ("; ..." if len(problems) > 3 else "")
        warnings.warn(f"skipped {len(problems)} of {len(images)} files: {named}", DataWarning, stacklevel=2)
    return decoded[: len(kept)], kept, problems


def load_image_folder(
    *,
    data_dir: Path | None = None,
    split: str = "train",
    image_size: int = 32,
    channels: int | None = None,
    resize: str = "crop",
    on_corrupt: str = "skip",
) -> Source:
    """Loads a directory tree of PNG and JPEG files. The names of its top-level folders are the classes.

    Args:
        data_dir: Root of the tree.
        split: "train", "test" or "all". If the tree has top-level folders train and test, they are the split. Otherwise every tenth
            file belongs to test.
        image_size: Side of the images in pixels.
        channels: 1 or 3. By default the channels of the first readable file.
        resize: "crop" scales the shorter side and keeps the centre. "pad" scales the longer side and pads with black. "stretch"
            scales both sides.
        on_corrupt: "skip" leaves out files that cannot be read, with a warning that names them. "stop" raises an error.

    Returns:
        A `Source`. If all images take at most 1 GiB, they are decoded at once, without the skipped files. Otherwise they are read as
        needed. There are no labels if the files are in no folders.

    Raises:
        DataError: If the directory does not exist, holds no images or no readable ones, or holds an unreadable one and `on_corrupt` is
            "stop". Also if an option has an unknown value.
    """
    if data_dir is None:
        raise DataError("image_folder needs the directory of the images", argument="data_dir")
    if not data_dir.is_dir():
        problem = f"{'not a' if data_dir.exists() else 'no such'} directory; give that of the images"
        raise DataError(problem, argument="data_dir", value=data_dir)
    check_image_size(image_size)
    check_channels(channels)
    choose_split("image_folder", split, ("train", "test", "all"))
    check_resize(resize)
    if on_corrupt not in ("skip", "stop"):
        raise DataError("must be skip or stop", argument="on_corrupt", value=on_corrupt)
    names = list_images(data_dir)
    if not names:
        raise DataError(f"holds no {', '.join(ENDINGS)} files", argument="data_dir", value=data_dir)
    parts, by_folders = split_names(names)
    classes = sorted({class_of(name, by_folders) for part in parts.values() for name in part})
    options: dict[str, Any] = {
        "size": image_size,
        "channels": channels or channels_of(data_dir, names),
        "resize": resize,
        "on_corrupt": on_corrupt,
    }

    def part_of(part: str, chosen: list[str], held_out: Source | None) -> Source:
        of_files = [class_of(name, by_folders) for name in chosen]
        images, kept, skipped = decode_all(FolderImages(data_dir, chosen, of_files, **options))
        labels = None
        if len(classes) > 1 or classes[0]:
            labels = np.array([classes.index(of_files[index]) for index in kept], np.int32)
        return Source(
            "image_folder",
            images,
            labels,
            0 if labels is None else len(classes),
            part,
            str(data_dir),
            held_out,
            class_names=() if labels is None else tuple(classes),
            skipped=skipped,
        )

    if split == "all":
        return part_of("all", sorted(parts["train"] + parts["test"]), None)
    other = "test" if split == "train" else "train"
    held_out = part_of(other, parts[other], None) if parts[other] else None
    return part_of(split, parts[split], held_out)
