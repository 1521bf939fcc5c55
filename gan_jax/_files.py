"""Atomic file writes. After a crash the old file or the new one is there, never a part of it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces the content of `path` atomically. Raises OSError if the disk refuses it."""
    with atomic_path(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Replaces the content of `path` atomically, as UTF-8. Raises OSError if the disk refuses it."""
    write_bytes(path, text.encode())
