"""Arrays kept between runs, e.g. the features of a reference set: read where they are whole, written where the disk lets."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gan_jax._files import atomic_path


def cache_folder() -> Path | None:
    """The user's folder for what this library can make again: `$XDG_CACHE_HOME/gan_jax`, by default `~/.cache/gan_jax`.

    Returns:
        Its path, whether or not there is such a folder yet; None where the user has no home.
    """
    chosen = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(chosen) if chosen else Path.home() / ".cache") / "gan_jax"
    except RuntimeError:
        return None


def cached(path: Path, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Reads arrays from a file, or computes and keeps them.

    A damaged file is made again. Where the file cannot be written (a folder that may only be read, a full disk), the arrays are
    computed every time: a cache saves time, and must not cost its caller the result.

    Args:
        path: an npz file; its folder is made if need be.
        compute: makes the arrays, by name.

    Returns:
        The arrays by name.
    """
    try:
        with np.load(path, allow_pickle=False) as file:  # a damaged file fails its checksum
            return {name: file[name] for name in file.files}
    except Exception:
        pass
    arrays = compute()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)
    return arrays
