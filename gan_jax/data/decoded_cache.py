"""A file of decoded and resized images, so that each image file is decoded once and not in every epoch and run."""

import hashlib
import os
import shutil
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from gan_jax._internal.files import atomic_path, describe_oserror, open_regular
from gan_jax.data.errors import DataWarning
from gan_jax.data.tree import Tree

FORMAT = 1
LEAST = 500  # Fewer images are decoded faster than anybody notices.
CHECK = 4  # Bytes of the checksum behind each image.
SPARE = 2  # A cache is made if the disk has at least so many times its size free.


class DecodedCache:
    """Images by their number, in one NumPy file, uint8 [n, bytes of an image + 4]: each image and its CRC-32.

    An image that is not there yet is a hole in the file, whose checksum is wrong. A damaged image, and one that another process is
    writing, has a wrong checksum too. Any number of threads and processes can use one file, because all of them write the same bytes.
    If the disk is full, nothing more is written. Neither case changes the images.

    Args:
        path: Path of the file. It is created if it is missing or is another file.
        shape: [n, height, width, channels].

    Raises:
        OSError: If the file cannot be created.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]):
        self.path = path
        self._shape = shape[1:]
        self._bytes = int(np.prod(shape[1:]))
        self._writes = True
        self._lock = threading.Lock()
        rows = (shape[0], self._bytes + CHECK)
        self._start = self._place_of_rows(rows)
        if self._start is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as partial:
                # The file is sparse: it takes the space of the images that are written.
                np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=rows)
            self._start = self._place_of_rows(rows)
            if self._start is None:
                raise OSError(f"{path}: another program changes this file")
        self._file = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))

    def _place_of_rows(self, rows: tuple[int, int]) -> int | None:
        """Where the rows begin in the file. None if there is no such file."""
        try:
            with open_regular(self.path) as file:
                version = np.lib.format.read_magic(file)
                shape, column_major, dtype = np.lib.format.read_array_header_1_0(file)
                start = file.tell()
                complete = os.fstat(file.fileno()).st_size == start + rows[0] * rows[1]
        except (OSError, ValueError):
            return None
        return start if (version, shape, column_major, dtype) == ((1, 0), rows, False, np.uint8) and complete else None

    def read(self, index: int) -> np.ndarray | None:
        """The image with this index. None if it is not there, or damaged."""
        size = self._bytes + CHECK
        try:
            row = os.pread(self._file, size, self._start + index * size)
        except OSError:
            return None
        if len(row) < size or zlib.crc32(row[: self._bytes]).to_bytes(CHECK, "little") != row[self._bytes :]:
            return None
        return np.frombuffer(row, np.uint8, self._bytes).reshape(self._shape)

    def write(self, index: int, image: np.ndarray) -> None:
        """Stores an image. After the first error of the disk, nothing more is stored."""
        if not self._writes:
            return
        content = image.tobytes()
        row = content + zlib.crc32(content).to_bytes(CHECK, "little")
        try:
            # A part that a full disk left behind has a wrong checksum.
            os.pwrite(self._file, row, self._start + index * len(row))
        except OSError as error:
            with self._lock:
                first, self._writes = self._writes, False
            if first:
                warnings.warn(f"{self.path}: no more decoded images are stored ({describe_oserror(error)})", DataWarning, stacklevel=2)

    def close(self) -> None:
        """Closes the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.close()


def key_of(tree: Tree, names: list[str], options: dict[str, Any]) -> str:
    """A name for the decoded images of some files, in 32 hexadecimal digits.

    It depends on the place of the tree, the names of the files, their sizes and times of change, the version of the decoder, and the
    options of decoding. So a file that was changed or replaced gives another cache.

    Args:
        tree: The files.
        names: Their names.
        options: Everything else that decides about the images.
    """
    digest = hashlib.sha256(repr((FORMAT, PIL.__version__, os.path.realpath(tree.root), sorted(options.items()), len(names))).encode())
    for name in names:
        digest.update(repr((name, tree.stamp(name))).encode())
    return digest.hexdigest()[:32]


def open_cache(folder: Path | None, tree: Tree, names: list[str], shape: tuple[int, ...], options: dict[str, Any]) -> DecodedCache | None:
    """The cache of the decoded images of some files.

    Args:
        folder: Folder of all caches, or None.
        tree: The files.
        names: Their names.
        shape: [n, height, width, channels] of the images.
        options: Everything else that decides about the images.

    Returns:
        The cache. None if no folder is given, if there are few images, if the disk has not twice their size free, or if the folder
        cannot be written, which is a warning.
    """
    if folder is None or shape[0] < LEAST or not hasattr(os, "pread"):
        return None
    path = folder / f"{key_of(tree, names, options)}.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists() and shutil.disk_usage(folder).free < SPARE * int(np.prod(shape, dtype=np.int64)):
            return None
        return DecodedCache(path, shape)
    except OSError as error:
        warnings.warn(f"decoded images are not stored ({describe_oserror(error)})", DataWarning, stacklevel=2)
        return None
