"""IDX files, the format of MNIST and related data sets, with or without gzip compression."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from gan_jax._internal.files import NotRegularFile, open_regular
from gan_jax.data.errors import DataError, one_line
from gan_jax.data.images import digits_at
from gan_jax.data.npz import DEFLATE_RATIO
from gan_jax.data.source import Source, from_parts

CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
}
PROVENANCE = {"mnist": "MNIST (LeCun, Cortes and Burges, 1998)", "fashion_mnist": "Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017)"}
INSTALLED = {"fashion_mnist": Path("/usr/share/datasets/fashion-mnist")}  # Installed by Debian's dataset-fashion-mnist.
MEMORY_LIMIT = 2**30  # Maximum number of bytes of one file after decompression.
PREFIXES = {"train": "train", "test": "t10k"}


def read_idx(path: Path, rank: int) -> np.ndarray:
    """Reads an IDX file of bytes.

    The header has four bytes (0, 0, 8 for unsigned bytes, the number of dimensions) and one big-endian uint32 per dimension. The data
    follow in row-major order. The function allocates at most 1 GiB, and never more than the file can fill.

    Args:
        path: Path of the file. gzip compression is detected from the first two bytes.
        rank: Expected number of dimensions: 3 for images, 1 for labels.

    Returns:
        uint8 with the shape from the header.

    Raises:
        DataError: If the file is missing, not a regular file, truncated, too long, larger than 1 GiB, not a valid gzip stream, or of
            another type.

    References:
        LeCun, Cortes and Burges, "The MNIST database of handwritten digits", 1998.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            compressed = file.read(2) == b"\x1f\x8b"
            most = file.seek(0, 2) * (DEFLATE_RATIO if compressed else 1)
            file.seek(0)
            if not compressed:
                return _read_open(file, path, rank, most)
            with gzip.GzipFile(fileobj=file) as decompressed:
                return _read_open(decompressed, path, rank, most)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except NotRegularFile as error:
        raise DataError(f"{path}: {error.strerror}; expected an IDX file") from None
    except EOFError:
        raise DataError(f"{path}: truncated gzip file; copy or download it again") from None
    except (zlib.error, OSError) as error:
        raise DataError(f"{path}: cannot be read ({one_line(error)}); copy or download it again") from None


def _read_open(file, path: Path, rank: int, most: int) -> np.ndarray:
    header = file.read(4 + 4 * rank)
    expected = bytes([0, 0, 8, rank])
    if header[:4] != expected:
        kind = "image" if rank == 3 else "label"
        raise DataError(f"{path}: not an IDX {kind} file: it begins with 0x{header[:4].hex()}, expected 0x{expected.hex()}")
    if len(header) < 4 + 4 * rank:
        raise DataError(f"{path}: truncated in its header; copy or download it again")
    shape = struct.unpack(f">{rank}I", header[4:])
    size = math.prod(shape)
    if size + len(header) > most:
        raise DataError(f"{path}: its header claims {size} bytes of shape {shape}, more than the file holds; copy or download it again")
    # A shape such as (2^32 - 1, 2^32 - 1, 0) has no bytes, but NumPy cannot hold it.
    if size == 0 and math.prod(max(length, 1) for length in shape) > MEMORY_LIMIT:
        raise DataError(f"{path}: its header claims the impossible shape {shape}; copy or download it again")
    if size > MEMORY_LIMIT:
        raise DataError(f"{path}: holds {size} bytes of shape {shape}; at most {MEMORY_LIMIT} (1 GiB) are supported")
    data = np.empty(size, np.uint8)  # The operating system allocates memory only for the part that is filled.
    filled = 0
    while filled < size and (count := file.readinto(data[filled : filled + 2**20])):
        filled += count
    if filled < size:
        raise DataError(f"{path}: truncated: {filled} bytes of {size}; copy or download it again")
    if file.read(1):
        raise DataError(f"{path}: longer than the {size} bytes that its header claims; copy or download it again")
    return data.reshape(shape)


def find_idx(name: str, data_dir: Path | None) -> Path:
    """The directory that holds the four IDX files of a data set.

    Args:
        name: "mnist" or "fashion_mnist".
        data_dir: Directory to search. Its sub-directories in the layouts of other tools are searched too (NAME, MNIST/raw,
            FashionMNIST/raw, raw). None means the directory of the operating system's package.

    Raises:
        DataError: If the files are not there.
    """
    if data_dir is None:
        if name not in INSTALLED:
            ways = f"or take tfds:{name}; docs/data.md has their address"
            raise DataError(
                f"{name} needs the directory of its four IDX files (train-images-idx3-ubyte.gz ...), {ways}", argument="data_dir"
            )
        if not INSTALLED[name].is_dir():
            problem = (
                f"{INSTALLED[name]}: no such directory; install Debian's dataset-fashion-mnist, give the directory of the IDX files, "
                f"or take tfds:{name}; docs/data.md has their address"
            )
            raise DataError(problem, argument="data_dir")
        return INSTALLED[name]
    if not data_dir.is_dir():
        problem = f"{'not a' if data_dir.exists() else 'no such'} directory; give that of the IDX files of {name}"
        raise DataError(problem, argument="data_dir", value=data_dir)
    folder = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}[name]
    places = [data_dir, data_dir / name, data_dir / name.replace("_", "-"), data_dir / folder / "raw", data_dir / "raw"]
    for place in places:
        if any(_find(place, part, kind) for part in PREFIXES for kind in ("images", "labels")):
            return place
    problem = f"holds no IDX files of {name} (train-images-idx3-ubyte.gz ...); give their directory"
    raise DataError(problem, argument="data_dir", value=data_dir)


def _find(directory: Path, part: str, kind: str) -> Path | None:
    rank = 3 if kind == "images" else 1
    for joint in "-.":
        for ending in ("", ".gz"):
            path = directory / f"{PREFIXES[part]}-{kind}{joint}idx{rank}-ubyte{ending}"
            if path.is_file():
                return path
    return None


def _read_part(directory: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The images, uint8 [n, height, width, 1], and labels, int32 [n], of train or test."""
    paths = {kind: _find(directory, part, kind) for kind in ("images", "labels")}
    for kind, rank in (("images", 3), ("labels", 1)):
        if paths[kind] is None:
            raise DataError(f"{directory}/{PREFIXES[part]}-{kind}-idx{rank}-ubyte.gz: no such file; the data set has four files")
    images, labels = read_idx(paths["images"], 3), read_idx(paths["labels"], 1)
    if len(images) != len(labels):
        raise DataError(
            f"{paths['labels']}: {len(labels)} labels for the {len(images)} images of {paths['images'].name}; they do not belong together"
        )
    if images.size == 0:
        raise DataError(f"{paths['images']}: holds no images")
    if max(images.shape[1:]) > 4096:
        raise DataError(f"{paths['images']}: images of {images.shape[1]}x{images.shape[2]} pixels; at most 4096x4096 are supported")
    if labels.max() > 9:
        raise DataError(f"{paths['labels']}: a label is {labels.max()}; the classes are 0 to 9")
    return images[..., None], labels.astype(np.int32)


def load_idx(
    name: str,
    *,
    split: str = "train",
    data_dir: Path | None = None,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
) -> Source:
    """Loads MNIST or Fashion-MNIST from the directory of its IDX files.

    Args:
        name: "mnist" or "fashion_mnist".
        split: "train" (60,000 images), "test" (10,000 images), or "all".
        data_dir: Directory of the files. For fashion_mnist, None means the directory of Debian's package.
        image_size: Side in pixels. The default is 32, which pads the 28x28 images with zeros.
        channels: 1 or 3. The default is 1.

    Returns:
        A `Source` of 10 classes. train and test hold each other out.

    Raises:
        DataError: If a file is missing or corrupt, or does not match the others.
    """
    directory = find_idx(name, data_dir)
    parts = {}
    for part in PREFIXES:
        images, labels = _read_part(directory, part)
        parts[part] = (digits_at(images, image_size, channels), labels)
    provenance = f"{PROVENANCE[name]}, from the folder {directory.name}"
    return from_parts(name, parts, split, num_classes=10, provenance=provenance, class_names=CLASSES[name])
