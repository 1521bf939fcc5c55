"""Reads NumPy arrays from untrusted files. Nothing is unpickled, and no more memory is allocated than the file can fill."""

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from gan_jax._internal.files import NotRegularFile, open_regular
from gan_jax.data.errors import DataError, one_line

MEMORY_LIMIT = 2**28  # Maximum number of bytes of one array.
DEFLATE_RATIO = 1032  # Maximum factor by which a deflate stream can grow.
MOST_HEADER = 10_000  # Maximum number of characters of a header. NumPy parses it as a Python literal.
MOST_DIMENSIONS = 32
NUMBERS = "biufc"  # Kinds of dtypes that hold plain numbers.
_BLOCK = 2**20


def read_npz(path: Path, names: tuple[str, ...], *, limit: int = MEMORY_LIMIT) -> dict[str, np.ndarray]:
    """Reads the named arrays of an npz file.

    Args:
        path: Path of the file.
        names: Names of the requested arrays. Other arrays are not read.
        limit: Maximum number of bytes of one array.

    Returns:
        A dict from names to arrays.

    Raises:
        DataError: If the file is missing, not a regular file or not an npz file, lacks a requested array, or has an array that claims
            more bytes than the file holds or than the limit, or that does not consist of numbers.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            size = file.seek(0, 2)
            return {name: _read_member(archive, name, path, min(limit, DEFLATE_RATIO * size)) for name in names}
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except NotRegularFile as error:
        raise DataError(f"{path}: {error.strerror}; expected an npz file") from None
    except Exception as error:  # A crafted file makes zipfile, zlib and struct raise almost any exception.
        raise DataError(f"{path}: not a readable npz file ({one_line(error)}); make or copy it again") from None


def _read_member(archive: zipfile.ZipFile, name: str, path: Path, most: int) -> np.ndarray:
    try:
        entry = archive.getinfo(f"{name}.npy")
    except KeyError:
        others = ", ".join(other[:60] for other in archive.namelist()[:8]) or "no arrays"
        raise DataError(f"{path}: holds no array named {name}; got {others}") from None
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{path}: {name} has compression {entry.compress_type}; must be stored or deflated, as NumPy writes it")
    if entry.file_size > most:
        raise DataError(f"{path}: {name} claims {entry.file_size} bytes, more than the file can hold or than the limit: at most {most}")
    with archive.open(entry) as member:
        return read_npy(member, entry.file_size, f"{path}: {name}")


def read_npy(file: IO[bytes], size: int, where: str) -> np.ndarray:
    """Reads one array in the npy format, version 1.0 or 2.0.

    Args:
        file: The open file, at its beginning.
        size: Number of bytes of the file. At most this much memory is allocated.
        where: Beginning of the error messages: the path of the file, and the name of the array.

    Returns:
        The array. Its dtype is that of the file.

    Raises:
        DataError: If the header cannot be parsed, the file does not hold exactly the bytes of the header's shape and dtype, or the
            dtype is not one of numbers.
    """
    shape, fortran_order, dtype, start = _read_header(file, where)
    if dtype.hasobject:
        raise DataError(f"{where} holds Python objects, which are not allowed")
    if dtype.kind not in NUMBERS:
        raise DataError(f"{where} holds {str(dtype)[:60]}; must be numbers")
    held = size - start
    if len(shape) > MOST_DIMENSIONS or not all(type(length) is int and 0 <= length < 2**48 for length in shape):
        raise DataError(f"{where} claims an impossible shape")
    if math.prod(shape) * dtype.itemsize != held:
        raise DataError(f"{where} claims shape {shape} of {dtype} but holds {held} bytes")
    if math.prod(max(length, 1) for length in shape) >= 2**48:
        raise DataError(f"{where} claims the impossible shape {shape}")
    content = bytearray(held)  # The operating system allocates memory only for the part that is filled.
    filled = 0
    with memoryview(content) as view:
        while filled < held and (block := file.read(min(_BLOCK, held - filled))):
            view[filled : filled + len(block)] = block
            filled += len(block)
    if filled < held or file.read(1):
        raise DataError(f"{where} is {'truncated' if filled < held else 'longer than its header says'}; make or copy it again")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran_order else "C")


def _read_header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """The shape, the order, the dtype, and the number of bytes before the data."""
    counted = _Counted(file)
    try:
        version = np.lib.format.read_magic(counted)
        if version not in ((1, 0), (2, 0)):
            raise DataError(f"{where} has npy format {version}; must be 1.0 or 2.0")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read(counted, max_header_size=MOST_HEADER)
    except DataError:
        raise
    except Exception as error:  # The header is parsed as a Python literal: besides ValueError, MemoryError, TypeError, TokenError ...
        raise DataError(f"{where} has no readable npy header ({one_line(error)}); make or copy it again") from None
    return shape, fortran_order, dtype, counted.count


class _Counted:
    """Counts the bytes that are read, and reads no more than a header can have."""

    def __init__(self, file: IO[bytes]):
        self._file, self.count = file, 0

    def read(self, size: int) -> bytes:
        content = self._file.read(min(size, 2 * MOST_HEADER))
        self.count += len(content)
        return content
