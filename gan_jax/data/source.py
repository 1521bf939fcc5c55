"""What a data set is to the rest of the house: images, labels, where they come from, and what was held out."""

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from gan_jax.data.errors import DataError

NAMED = 20  # files passed over that the record of a run names


class Images(Protocol):
    """What can be indexed like an array of images without being in memory; a NumPy array is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """[count, height, width, channels]."""

    @property
    def dtype(self) -> np.dtype:
        """The type of a pixel: uint8."""

    def __len__(self) -> int:
        """The number of images."""

    def __getitem__(self, index: Any) -> np.ndarray:
        """One image for a number, an array of them for a slice or an array of numbers."""


class LazyImages:
    """Base of images made or read when they are asked for; a subclass gives `shape` and `read(index)`."""

    shape: tuple[int, ...]
    dtype = np.dtype(np.uint8)

    def read(self, index: int) -> np.ndarray:
        """The image of this number, uint8 [height, width, channels]; numbers are from 0 to len - 1."""
        raise TypeError(f"{type(self).__name__} reads no images")

    def read_many(self, indices: np.ndarray) -> np.ndarray:
        """The images of these numbers, uint8 [count, height, width, channels]."""
        images = np.empty((len(indices), *self.shape[1:]), self.dtype)
        for position, index in enumerate(indices):
            images[position] = self.read(int(index))
        return images

    def contents(self) -> Iterable[Any]:
        """What stands for the images in a fingerprint: arrays or bytes; by default 256 of the images, evenly spaced."""
        return [self[evenly_spaced(len(self))]]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, slice):
            return self.read_many(np.arange(len(self))[index])
        indices = np.asarray(index)
        if indices.dtype == bool or not np.issubdtype(indices.dtype, np.integer):
            raise IndexError(f"images are indexed by integers; got {indices.dtype}")
        if indices.size and not (-len(self) <= indices.min() and indices.max() < len(self)):
            raise IndexError(f"index out of range: there are {len(self)} images")
        images = self.read_many(indices.reshape(-1) % max(len(self), 1))
        return images.reshape(*indices.shape, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)


def contents_of(images: Any) -> Iterable[Any]:
    """What stands for images in a fingerprint: an array itself, or what `LazyImages` say."""
    return images.contents() if isinstance(images, LazyImages) else [np.asarray(images)]


def evenly_spaced(count: int) -> np.ndarray:
    """Up to 256 of the numbers from 0 to count - 1, int64."""
    return np.unique(np.linspace(0, count - 1, 256).astype(np.int64))


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A data set, or the part of it that was asked for.

    Attributes:
        name: as in `SOURCES`.
        images: uint8 [n, height, width, channels]; a NumPy array, or `LazyImages`. Points: float32 [n, dim].
        labels: int32 [n] from 0 to num_classes - 1, or None.
        num_classes: 0 where there are no labels.
        split: which part this is: train, test, all, or what a TFDS data set calls it.
        provenance: where the data come from, in one line.
        held_out: the part to measure against, or None.
        class_names: of the labels, in their order; empty where they have only numbers.
        centers: float32 [modes, dim] of a mixture of Gaussians, else None.
        std: standard deviation of each of its components.
        skipped: the files passed over because they could not be read, with the reason.
    """

    name: str
    images: Any
    labels: np.ndarray | None
    num_classes: int
    split: str
    provenance: str
    held_out: "Source | None" = None
    class_names: tuple[str, ...] = ()
    centers: np.ndarray | None = None
    std: float | None = None
    skipped: tuple[str, ...] = ()

    def __post_init__(self):
        if len(self.images) == 0:
            raise DataError(f"{self.name}: the split {self.split} is empty; choose another one")
        if self.labels is not None and len(self.labels) != len(self.images):
            raise DataError(f"{self.name}: {len(self.images)} images but {len(self.labels)} labels; the two files do not belong together")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example: (height, width, channels) of an image, (dim,) of a point."""
        return tuple(int(size) for size in self.images.shape[1:])

    @property
    def is_images(self) -> bool:
        """Whether the examples are images; else they are points."""
        return len(self.images.shape) == 4

    @property
    def nbytes(self) -> int:
        """The bytes that all the examples take in memory."""
        return int(np.prod(self.images.shape, dtype=np.int64)) * np.dtype(self.images.dtype).itemsize

    def describe(self) -> dict[str, Any]:
        """What a run records of its data, as plain values: enough to notice that they changed."""
        return {
            "source": self.name,
            "split": self.split,
            "examples": len(self),
            "shape": list(self.shape),
            "num_classes": self.num_classes,
            "fingerprint": self.fingerprint(),
            "provenance": self.provenance,
            "passed_over": self.passed_over(),
        }

    def passed_over(self) -> dict[str, Any]:
        """The files that could not be read so far, when the data were loaded or since: their number, and what is wrong with the first."""
        problems = [*self.skipped, *dict(getattr(self.images, "problems", {})).values()]
        return {"count": len(problems), "files": problems[:NAMED]}

    def labels_of(self, indices: np.ndarray) -> np.ndarray | None:
        """The labels of the images that were read for these numbers, int32 [count]: another file may have taken the place of one."""
        if self.labels is None:
            return None
        stand_ins = getattr(self.images, "stand_ins", None)
        return self.labels[indices if stand_ins is None else stand_ins(indices)]

    def fingerprint(self) -> str:
        """Thirty-two hexadecimal digits that change when the count, the labels, or any of the images do.

        Images in memory count to the last byte, and those made from others by these. For a folder too large to be decoded stand the names
        and sizes of its files; for a TFDS data set too large for it, 256 images, evenly spaced.
        """
        digest = hashlib.sha256(repr((len(self), self.shape)).encode())
        for part in (*contents_of(self.images), *([] if self.labels is None else [self.labels])):
            digest.update(f"{len(part)} {getattr(part, 'dtype', 'bytes')}".encode())
            digest.update(np.ascontiguousarray(part) if isinstance(part, np.ndarray) else part)
        return digest.hexdigest()[:32]

    def sampled_fingerprint(self) -> str:
        """The sixteen digits that runs recorded before all images counted: those of 256, of the labels, and of the names of a folder."""
        digest = hashlib.sha256(repr((len(self), self.shape, getattr(self.images, "names", ()))).encode())
        digest.update(np.ascontiguousarray(self.images[evenly_spaced(len(self))]).tobytes())
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels, np.int32).tobytes())
        return digest.hexdigest()[:16]


def check_unchanged(recorded: dict[str, Any], source: Source) -> None:
    """Raises DataError when the data are not those that `Source.describe` recorded, e.g. because the data set shrank.

    Args:
        recorded: what `describe` returned when the run began, in this version or in one whose fingerprint had sixteen digits.
        source: the data now.
    """
    examples, now = recorded.get("examples"), len(source)
    if examples != now:
        change = "shrank" if now < (examples or 0) else "grew"
        raise DataError(
            f"{source.name}: the data set {change} from {examples} to {now} examples since the run began; restore it, or start a new run"
        )
    fingerprint = recorded.get("fingerprint")
    of_before = isinstance(fingerprint, str) and len(fingerprint) == 16
    if recorded.get("shape") != list(source.shape) or fingerprint != (source.sampled_fingerprint() if of_before else source.fingerprint()):
        raise DataError(f"{source.name}: the data set is not the one that the run began with; restore it, or start a new run")


def choose_split(name: str, split: str, known: Iterable[str]) -> None:
    """Raises DataError unless the split is one of those known."""
    if split not in known:
        raise DataError(f"--data.split {split}: {name} has {', '.join(known)}")


def from_parts(name: str, parts: dict[str, tuple[np.ndarray, np.ndarray]], split: str, **details: Any) -> Source:
    """A source of one of its parts, with the rest held out.

    Args:
        name: of the source.
        parts: train and test, each `(images, labels)`.
        split: train, test, or all: both, in this order, and nothing held out.
        details: further fields of `Source`.
    """
    choose_split(name, split, ("train", "test", "all"))
    if split == "all":
        images, labels = (np.concatenate(arrays) for arrays in zip(*parts.values()))
        return Source(name, images, labels, split=split, **details)
    other = "test" if split == "train" else "train"
    held_out = Source(name, *parts[other], split=other, **details)
    return Source(name, *parts[split], split=split, held_out=held_out, **details)
