"""Small data files for the tests: IDX, PNG and JPEG, whole or damaged."""

import gzip
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from gan_jax.data import load_source


def idx_bytes(array: np.ndarray) -> bytes:
    """An array of bytes in the IDX format, by its definition."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", size) for size in array.shape) + array.tobytes()


def write_idx_set(directory: Path, *, train: int = 30, test: int = 10, compressed: bool = True, joint: str = "-") -> dict[str, np.ndarray]:
    """Writes the four files of a data set like MNIST. Returns their arrays by the prefixes of their names."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for prefix, count in (("train", train), ("t10k", test)):
        arrays[f"{prefix}-images"] = rng.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[f"{prefix}-labels"] = (np.arange(count) % 10).astype(np.uint8)
    for name, array in arrays.items():
        data = idx_bytes(array)
        path = directory / f"{name}{joint}idx{array.ndim}-ubyte"
        if compressed:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(data, mtime=0))
        else:
            path.write_bytes(data)
    return arrays


def write_tree(root: Path, names: dict[str, int], *, mode: str = "RGB", size: tuple[int, int] = (12, 12)) -> None:
    """Writes a constant grey image for every name."""
    for name, value in names.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size, value if mode == "L" else (value,) * len(mode)).save(path)


def tree(tmp_path, count=20, broken=(), **options):
    """Grey images 0, 1, 2 ... in the folders a and b, some of them damaged."""
    write_tree(tmp_path, {f"{'ab'[number % 2]}/{number:03d}.png": number for number in range(count)}, **options)
    for number in broken:
        (tmp_path / f"{'ab'[number % 2]}/{number:03d}.png").write_text("this is a text")
    return tmp_path


def folder(path, **options):
    return load_source("image_folder", data_dir=path, image_size=12, **options)


def streamed(monkeypatch, path, **options):
    """The same, but read on access, as a tree that is larger than the memory."""
    monkeypatch.setattr("gan_jax.data.folder.MEMORY_SIZE", 0)
    return folder(path, **options)
