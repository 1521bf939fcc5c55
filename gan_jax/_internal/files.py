"""Reads regular files only, and writes atomically: after a crash the old file or the new one is there, never a part of it."""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gan_jax._internal.checks import one_line

MOST_BYTES = 2**30  # Maximum number of bytes of a file that is read whole, e.g. a log.


class NotRegularFile(OSError):
    """A path leads to a directory, a pipe, a socket or a device. `strerror` says so."""


def open_regular(path: Path | str) -> BinaryIO:
    """Opens a regular file for reading, in binary mode.

    `open` waits without end for a named pipe (FIFO), and reads devices that have no end. Here both raise an error at once. Every file
    that a user can name is opened with this function, or checked with `check_regular` if a library opens it by its name.

    Args:
        path: Path of the file. Links are followed.

    Returns:
        The open file.

    Raises:
        NotRegularFile: If it is a directory, a pipe, a socket or a device.
        OSError: If the file cannot be opened. `strerror` is the reason.
    """
    # Without O_NONBLOCK, opening a pipe waits for a writer. It has no effect on regular files.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags)
    except ValueError:  # Python raises it for a NUL in the path.
        raise OSError(errno.EINVAL, "a path cannot contain a NUL character", str(path)) from None
    try:
        _check_mode(os.fstat(descriptor).st_mode, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(path: Path | str) -> None:
    """Raises NotRegularFile unless `path` is a regular file or a link to one. For libraries that open files by their names."""
    try:
        mode = os.stat(path).st_mode
    except ValueError:
        raise OSError(errno.EINVAL, "a path cannot contain a NUL character", str(path)) from None
    _check_mode(mode, path)


def _check_mode(mode: int, path: Path | str) -> None:
    if stat.S_ISDIR(mode):
        raise NotRegularFile(errno.EISDIR, "is a directory, not a file", str(path))
    if not stat.S_ISREG(mode):
        raise NotRegularFile(errno.EINVAL, "not a regular file", str(path))


def read_bytes(path: Path | str, *, limit: int = MOST_BYTES) -> bytes:
    """Reads a regular file of at most `limit` bytes. Raises OSError if it cannot be read, is larger, or is not a regular file."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
        return file.read()  # With a number, Python would allocate that many bytes first.


def read_text(path: Path | str, *, errors: str = "strict", limit: int = MOST_BYTES) -> str:
    """Reads a regular file as UTF-8, see `read_bytes`. `errors` says what to do with other bytes, as in `bytes.decode`."""
    return read_bytes(path, limit=limit).decode("utf-8", errors)


def partial_path(path: Path) -> Path:
    """The hidden file beside `path` that this thread writes before it is renamed; it ends in ".partial"."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a partial path to write to. It replaces `path` at the end of the block, and is removed if the block raises."""
    partial = partial_path(path)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def describe_oserror(error: OSError) -> str:
    """An error of the file system as text: the file and the reason, without the number of the error."""
    reason = error.strerror or str(error)
    return f"{os.fsdecode(error.filename)}: {reason}" if error.strerror and isinstance(error.filename, str | bytes) else reason


def cache_folder() -> Path | None:
    """Returns the user's cache folder of this library: `$XDG_CACHE_HOME/gan_jax`, by default `~/.cache/gan_jax`.

    Returns:
        The path of the folder, which may not exist yet. None if the user has no home directory.
    """
    chosen = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(chosen) if chosen else Path.home() / ".cache") / "gan_jax"
    except RuntimeError:
        return None


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces the content of `path` atomically. Raises OSError if the disk refuses it."""
    with atomic_path(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Replaces the content of `path` atomically, as UTF-8. Raises OSError if the disk refuses it."""
    write_bytes(path, text.encode())


def read_safetensors(path: Path | str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads a safetensors file.

    Args:
        path: Path of the file.

    Returns:
        The arrays by name, and the metadata.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not a safetensors file, is damaged, or has an array that NumPy cannot hold. The message is one line.
    """
    from safetensors import safe_open

    try:
        check_regular(path)
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 - not a mapping
    except FileNotFoundError:
        raise
    except Exception as error:  # Besides SafetensorError, NumPy raises errors for shapes and types that it does not have.
        raise ValueError(f"{path}: not a safetensors file, or damaged ({one_line(error)})") from error
