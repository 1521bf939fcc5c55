"""Images that are read from files on access: one file an image, or a pair of images."""

import bisect
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gan_jax.data.decode import DEFAULT_LEVELS, Levels, decode, decode_pair, read_header
from gan_jax.data.decoded_cache import DecodedCache, open_cache
from gan_jax.data.errors import DataError, DataWarning
from gan_jax.data.source import LazyImages, contents_of
from gan_jax.data.tree import Tree


class FolderImages(LazyImages):
    """The images of a list of files, read on access.

    A file that cannot be read, or that was removed after listing, is reported once. If `on_corrupt` is "skip", the next readable file of
    its class replaces it. If the class has no readable file, the next readable file of the list replaces it. A step therefore always has
    the same number of images, and the same files give the same images.

    Args:
        tree: The directory tree or zip archive.
        names: Names of the files relative to its root.
        classes: Class of each file. By default all files have the same class.
        size: (height, width) of the images in pixels.
        channels: 1, 3 or 4.
        resize: "crop", "pad" or "stretch".
        levels: The rule for samples of more than 8 bits.
        on_corrupt: "skip" or "stop".

    Attributes:
        problems: Maps the names of the files that could not be read to the reason.
        gone: Names of those files that no longer exist.
        cache: Where decoded images are stored and looked up, or None.
    """

    def __init__(
        self,
        tree: Tree,
        names: Sequence[str],
        classes: Sequence[str] | None = None,
        *,
        size: tuple[int, int],
        channels: int,
        resize: str,
        on_corrupt: str,
        levels: Levels = DEFAULT_LEVELS,
    ):
        self.tree = tree
        self.names = tuple(names)
        self._numbers: dict[str, list[int]] = {}  # Maps each class to the indices of its files.
        self._classes = tuple(classes or [""] * len(self.names))
        for number, kind in enumerate(self._classes):
            self._numbers.setdefault(kind, []).append(number)
        self.decode_options: dict[str, Any] = {"size": size, "channels": channels, "resize": resize, "levels": levels}
        self.on_corrupt = on_corrupt
        self.shape = (len(self.names), *size, channels)
        self.problems: dict[str, str] = {}
        self.gone: set[str] = set()
        self.cache: DecodedCache | None = None
        self._lock = threading.Lock()

    def files_of(self, index: int) -> tuple[str, ...]:
        """The names of the files that the image with this index is read from."""
        return (self.names[index],)

    def decode(self, index: int) -> np.ndarray:
        """Decodes the image with this index. DataError if it cannot be read."""
        (name,) = self.files_of(index)
        return decode(self.tree.file(name), name=self.tree.path(name), **self.decode_options)

    def try_read(self, index: int, *, warn: bool = False) -> np.ndarray | DataError:
        """Reads the image with this index. Returns a DataError if it cannot be read.

        The first failure of a file is recorded, and with `warn` a warning is issued.
        """
        name = self.names[index]
        if name in self.problems:
            return DataError(self.problems[name])
        if self.cache is not None and (stored := self.cache.read(index)) is not None:
            return stored
        try:
            image = self.decode(index)
            if self.cache is not None:
                self.cache.write(index, image)
            return image
        except DataError as error:
            with self._lock:
                new = name not in self.problems
                self.problems[name] = str(error)
                if any(self.tree.size(file) < 0 for file in self.files_of(index)):
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
                    f"{self.tree.root}: the data set shrank: {len(self.gone)} of {len(self)} files are gone, e.g. {result}; restore it"
                )
        raise DataError(f"{self.tree.root}: none of the {len(self)} files can be read")

    def stand_ins(self, indices: np.ndarray) -> np.ndarray:
        """Indices of the files that `read` used for these indices, int64 [count]. They differ only for files that could not be read."""
        readable = (next(number for number in self._candidates(int(index)) if self.names[number] not in self.problems) for index in indices)
        return np.fromiter(readable, np.int64, len(indices))

    def store_in(self, folder: Path | None) -> "FolderImages":
        """The images with a cache of decoded images in a folder, see `gan_jax.data.decoded_cache.open_cache`."""
        names = [name for index in range(len(self)) for name in self.files_of(index)]
        self.cache = open_cache(folder, self.tree, names, self.shape, {**self.decode_options, **self.further_options})
        return self

    @property
    def further_options(self) -> dict[str, Any]:
        """What decides about the images besides the files and `decode_options`."""
        return {"kind": "images"}

    def contents(self) -> Iterator[Any]:
        """What the fingerprint hashes instead of the images: names and sizes of the files. The size of a missing file is -1."""
        names = [name for index in range(len(self)) for name in self.files_of(index)]
        yield repr(self.names if len(names) == len(self) else tuple(names)).encode()
        yield np.fromiter((self.tree.size(name) for name in names), np.int64, len(names))

    def _candidates(self, index: int) -> Iterator[int]:
        """Files to try for an index: the file itself, then the rest of its class, then the rest of the list, each cyclically."""
        yield index
        for numbers in (self._numbers[self._classes[index]], range(len(self))):
            after = bisect.bisect_right(numbers, index)
            yield from numbers[after:]
            yield from numbers[:after]


class PairedImages(FolderImages):
    """Pairs of images: the channels of the input, then those of the target. They are skipped and replaced together, as in `FolderImages`.

    Args:
        tree: The directory tree or zip archive.
        names: Names of the files of the inputs, or of the files that hold both images side by side.
        partners: The file of the target of each file. Empty if each file holds both images.
        classes: Class of each pair. By default all pairs have the same class.
        swap: For files that hold both images: whether the right one is the input.
        options: Further arguments of `FolderImages`. `channels` is the number of channels of one image.
    """

    def __init__(
        self, tree: Tree, names: Sequence[str], partners: Sequence[str], classes: Sequence[str] | None = None, *, swap: bool, **options: Any
    ):
        super().__init__(tree, names, classes, **options)
        self.partners, self.swap = tuple(partners), swap
        self.shape = (*self.shape[:3], 2 * self.shape[3])
        self._last = threading.local()

    def files_of(self, index: int) -> tuple[str, ...]:
        """The names of the files that the pair with this index is read from."""
        return (self.names[index], *self.partners[index : index + 1])

    @property
    def further_options(self) -> dict[str, Any]:
        """See `FolderImages`."""
        return {"kind": "pairs", "swap": self.swap, "partners": bool(self.partners)}

    def decode(self, index: int) -> np.ndarray:
        """Decodes the pair with this index. DataError if a file cannot be read, or if the sizes of the two images differ."""
        names = self.files_of(index)
        files = [(self.tree.file(name), self.tree.path(name)) for name in names]
        if len(files) == 1:
            left, right = decode_pair(files[0][0], name=files[0][1], **self.decode_options)
            return np.concatenate((right, left) if self.swap else (left, right), axis=-1)
        sizes = [(header.width, header.height) for header in (read_header(*file) for file in files)]
        if sizes[0] != sizes[1]:
            raise DataError(different_sizes(files[0][1], files[1][1], *sizes))
        return np.concatenate([decode(file, name=name, **self.decode_options) for file, name in files], axis=-1)

    def read_many(self, indices: np.ndarray) -> np.ndarray:
        """The pairs with these indices. Each thread keeps its last ones, because inputs and targets are requested one after the other."""
        key = np.asarray(indices).tobytes()
        if getattr(self._last, "key", None) != key:
            self._last.pairs = super().read_many(indices)
            self._last.key = key
        return self._last.pairs


class HalfOfPairs(LazyImages):
    """The inputs or the targets of pairs.

    Args:
        pairs: The pairs.
        target: Whether it is the target.
    """

    def __init__(self, pairs: PairedImages, *, target: bool):
        self.pairs = pairs
        channels = pairs.shape[3] // 2
        self.shape = (*pairs.shape[:3], channels)
        self._channels = slice(channels, None) if target else slice(channels)

    @property
    def problems(self) -> dict[str, str]:
        """See `FolderImages`."""
        return self.pairs.problems

    def stand_ins(self, indices: np.ndarray) -> np.ndarray:
        """See `FolderImages.stand_ins`."""
        return self.pairs.stand_ins(indices)

    def contents(self) -> Iterable[Any]:
        """The contents of the pairs."""
        return contents_of(self.pairs)

    def read_many(self, indices: np.ndarray) -> np.ndarray:
        """The images with these indices."""
        return self.pairs.read_many(indices)[..., self._channels]


def different_sizes(first: str, second: str, size: tuple[int, int], other: tuple[int, int]) -> str:
    """The message about the two images of a pair with different (width, height)."""
    sizes = f"{size[0]}x{size[1]} and {other[0]}x{other[1]}"
    return f"{first} and {second} have {sizes} pixels; the images of a pair must have one size: resize one of them"
