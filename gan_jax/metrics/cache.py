"""Cache of arrays between runs, e.g. of the features of a reference set."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gan_jax._internal.files import atomic_path, open_regular


def cached(path: Path, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Reads arrays from a file, or computes and writes them if the file is missing or damaged.

    If the file cannot be written, e.g. because the folder is read-only or the disk is full, the arrays are computed on every call and
    no error is raised.

    Args:
        path: Path of the npz file. Its folder is created if necessary.
        compute: Computes the arrays. Returns a dict from names to arrays.

    Returns:
        The arrays by name.
    """
    try:
        with open_regular(path) as content, np.load(content, allow_pickle=False) as file:  # A damaged file fails its checksum.
            return {name: file[name] for name in file.files}
    except Exception:
        pass
    arrays = compute()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)
    return arrays
