"""Reads NumPy archives from untrusted files. Nothing is unpickled, and no more memory is allocated than the file can fill."""

import io
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from gan_jax.data.errors import DataError, one_line

MEMORY_LIMIT = 2**28  # Maximum number of bytes of one array. While it is read, memory holds three copies of it.
DEFLATE_RATIO = 1032  # Maximum factor by which a deflate stream can grow.


def read_npz(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Reads the named arrays of an npz file.

    Args:
        path: Path of the file.
        names: Names of the requested arrays. Other arrays are not read.

    Returns:
        A dict from names to arrays.

    Raises:
        DataError: If the file is missing or not an npz file, lacks a requested array, or has an array that claims more bytes than the
            file holds or than 256 MiB, or that contains Python objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _read_member(archive, name, path) for name in names}
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, SyntaxError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a readable npz file ({one_line(error)}); make or copy it again") from None


def _read_member(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    if f"{name}.npy" not in archive.namelist():
        raise DataError(f"{path}: holds no array named {name}; got {', '.join(archive.namelist()[:8]) or 'no arrays'}")
    entry = archive.getinfo(f"{name}.npy")
    if entry.file_size > min(MEMORY_LIMIT, DEFLATE_RATIO * Path(path).stat().st_size):
        raise DataError(f"{path}: {name} claims {entry.file_size} bytes, more than the file can hold or more than the limit of 256 MiB")
    with archive.open(entry) as member:
        stream = io.BytesIO(member.read(entry.file_size))
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise DataError(f"{path}: {name} has npy format {version}; must be 1.0 or 2.0")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read_header(stream)
    data = stream.read()
    if dtype.hasobject:
        raise DataError(f"{path}: {name} holds Python objects, which are not allowed")
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != len(data):
        raise DataError(f"{path}: {name} claims shape {shape} of {dtype} but holds {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")
