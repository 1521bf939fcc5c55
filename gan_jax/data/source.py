"""The type of a data set: images or points, labels, provenance, and the held-out part."""

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from gan_jax.data.errors import DataError

NAMED = 20  # Maximum number of skipped files that the record of a run names.


class LazyImages:
    """Base class of images that are computed or read on access. A subclass defines `shape` and `read(index)`."""

    shape: tuple[int, ...]
    dtype = np.dtype(np.uint8)

    def read(self, index: int) -> np.ndarray:
        """The image with this index, uint8 [height, width, channels]. The index is from 0 to len - 1."""
        raise TypeError(f"{type(self).__name__} must implement read(index)")

    def read_many(self, indices: np.ndarray) -> np.ndarray:
        """The images with these indices, uint8 [count, height, width, channels]."""
        images = np.empty((len(indices), *self.shape[1:]), self.dtype)
        for position, index in enumerate(indices):
            images[position] = self.read(int(index))
        return images

    def contents(self) -> Iterable[Any]:
        """Arrays or bytes that the fingerprint hashes instead of all images. By default 256 evenly spaced images."""
        return [self[evenly_spaced(len(self))]]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, slice):
            return self.read_many(np.arange(len(self))[index])
        indices = np.asarray(index)
        if indices.dtype == bool or not np.issubdtype(indices.dtype, np.integer):
            raise IndexError(f"images must be indexed by integers; got {indices.dtype}")
        if indices.size and not (-len(self) <= indices.min() and indices.max() < len(self)):
            raise IndexError(f"index out of range: there are {len(self)} images")
        images = self.read_many(indices.reshape(-1) % max(len(self), 1))
        return images.reshape(*indices.shape, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)


def contents_of(images: Any) -> Iterable[Any]:
    """What the fingerprint hashes for images: an array itself, or the `contents` of `LazyImages`."""
    return images.contents() if isinstance(images, LazyImages) else [np.asarray(images)]


def evenly_spaced(count: int) -> np.ndarray:
    """Up to 256 evenly spaced integers from 0 to count - 1, int64."""
    return np.unique(np.linspace(0, count - 1, 256).astype(np.int64))


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A data set, or one split of it.

    Attributes:
        name: Key of `SOURCES`, or `tfds:NAME`.
        images: uint8 [n, height, width, channels], a NumPy array or `LazyImages`. For points float32 [n, dim].
        labels: int32 [n] from 0 to num_classes - 1, or None.
        num_classes: Number of classes. 0 if there are no labels.
        split: Name of the split: "train", "test", "all", or a TFDS split.
        provenance: Origin of the data, in one line.
        held_out: The split to evaluate against, or None.
        class_names: Names of the classes, in the order of the labels. Empty if the classes have only numbers.
        centers: float32 [modes, dim] of a mixture of Gaussians, otherwise None.
        std: Standard deviation of each component of the mixture, otherwise None.
        skipped: One line for each file that was skipped because it could not be read, with the reason.
        files: What a source of files knows beyond its images, a `gan_jax.data.summary.FileFacts`, or None.
        inputs: The input of each image for image-to-image translation, uint8 [n, height, width, channels], or None. The images are then
            the targets.
        paired: Whether input i belongs to image i. If not, the inputs are the images of another domain, of any number, and have an order
            of their own.
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
    files: Any = None
    inputs: Any = None
    paired: bool = True

    def __post_init__(self):
        if len(self.images) == 0:
            raise DataError(f"{self.name}: the split {self.split} is empty; choose another one")
        if self.labels is not None and len(self.labels) != len(self.images):
            raise DataError(f"{self.name}: {len(self.images)} images but {len(self.labels)} labels; the two files do not belong together")
        if self.inputs is not None and not len(self.inputs):
            raise DataError(f"{self.name}: the split {self.split} has no images of the other domain; choose another one")
        if self.inputs is not None and self.paired and len(self.inputs) != len(self.images):
            raise DataError(f"{self.name}: {len(self.images)} images but {len(self.inputs)} inputs; each image needs one input")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        classes = f", {self.num_classes} classes" if self.num_classes else ""
        held_out = "" if self.held_out is None else f", {len(self.held_out)} held out"
        return f"Source({self.name}/{self.split}: {len(self)} of {'x'.join(map(str, self.shape))}{classes}{held_out})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example: (height, width, channels) of an image, (dim,) of a point."""
        return tuple(int(size) for size in self.images.shape[1:])

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """Shape of one input, (height, width, channels). None if there are none."""
        return None if self.inputs is None else tuple(int(size) for size in self.inputs.shape[1:])

    @property
    def is_images(self) -> bool:
        """Whether the examples are images. Otherwise they are points."""
        return len(self.images.shape) == 4

    @property
    def nbytes(self) -> int:
        """Number of bytes that all examples take in memory."""
        arrays = (self.images,) if self.inputs is None else (self.images, self.inputs)
        return sum(int(np.prod(array.shape, dtype=np.int64)) * np.dtype(array.dtype).itemsize for array in arrays)

    def describe(self) -> dict[str, Any]:
        """The record of the data in a run, as plain values. `check_unchanged` uses it to detect that the data have changed."""
        return {
            "source": self.name,
            "split": self.split,
            "examples": len(self),
            "shape": list(self.shape),
            "num_classes": self.num_classes,
            "class_names": list(self.class_names),
            "class_counts": [] if self.labels is None else np.bincount(self.labels, minlength=self.num_classes).tolist(),
            "fingerprint": self.fingerprint(),
            "provenance": self.provenance,
            "passed_over": self.passed_over(),
        } | self._describe_inputs()

    def _describe_inputs(self) -> dict[str, Any]:
        if self.input_shape is None:
            return {}
        unpaired = {} if self.paired else {"paired": False, "input_examples": len(self.inputs)}
        return {"input_shape": list(self.input_shape)} | unpaired

    def passed_over(self) -> dict[str, Any]:
        """The files that could not be read so far, at loading or later: their number, and the reasons for the first 20."""
        arrays = (self.images,) if self.paired else (self.images, self.inputs)  # Pairs are read and skipped together.
        problems = [*self.skipped, *(problem for array in arrays for problem in dict(getattr(array, "problems", {})).values())]
        return {"count": len(problems), "files": problems[:NAMED]}

    def labels_of(self, indices: np.ndarray) -> np.ndarray | None:
        """The labels of the images that were read for these indices, int32 [count]. None if there are no labels.

        If another file replaced an unreadable one, its label is returned.
        """
        if self.labels is None:
            return None
        stand_ins = getattr(self.images, "stand_ins", None)
        return self.labels[indices if stand_ins is None else stand_ins(indices)]

    def fingerprint(self) -> str:
        """Thirty-two hexadecimal digits that change if the number of examples, the labels, or any image or input changes.

        All bytes of images in memory are hashed. For images computed from others, those others are hashed. For a folder that is too
        large to decode, the names and sizes of its files are hashed. For a TFDS data set that is too large to decode, 256 evenly spaced
        images are hashed.
        """
        digest = hashlib.sha256(repr((len(self), self.shape)).encode())
        inputs = [] if self.inputs is None else contents_of(self.inputs)
        for part in (*contents_of(self.images), *inputs, *([] if self.labels is None else [self.labels])):
            digest.update(f"{len(part)} {getattr(part, 'dtype', 'bytes')}".encode())
            digest.update(np.ascontiguousarray(part) if isinstance(part, np.ndarray) else part)
        return digest.hexdigest()[:32]


def check_unchanged(recorded: dict[str, Any], source: Source) -> None:
    """Raises DataError if the data differ from those that `Source.describe` recorded, e.g. because files were removed.

    Args:
        recorded: The result of `describe` at the start of the run.
        source: The current data.
    """
    examples, now = recorded.get("examples"), len(source)
    if examples != now:
        change = "shrank" if now < (examples or 0) else "grew"
        raise DataError(
            f"{source.name}: the data set {change} from {examples} to {now} examples since the run began; restore it, or start a new run"
        )
    if recorded.get("shape") != list(source.shape) or recorded.get("fingerprint") != source.fingerprint():
        raise DataError(f"{source.name}: the data set is not the one that the run began with; restore it, or start a new run")


def class_number(word: str, num_classes: int, class_names: tuple[str, ...] = ()) -> int:
    """The number of a class that is given by its name, or by its number if no class has a number as its name.

    Raises:
        DataError: There is no such class. The message names the argument `label`.
    """
    if word in class_names:
        return class_names.index(word)
    numbered = any(name.isdigit() for name in class_names)
    if word.isdigit() and not numbered and int(word) < num_classes:
        return int(word)
    if not num_classes:
        raise DataError("the model has no classes", argument="label", value=word)
    named = ", ".join(class_names[:20]) + (", ..." if len(class_names) > 20 else "")
    numbers = "" if numbered else f"0 to {num_classes - 1}"
    raise DataError(
        f"the model has {num_classes} classes; must be {' or '.join(filter(None, (named, numbers)))}", argument="label", value=word
    )


def choose_split(name: str, split: str, known: Iterable[str]) -> None:
    """Raises DataError if the split is not one of the known ones."""
    if split not in known:
        raise DataError(f"{name} has {', '.join(known)}", argument="split", value=split)


def from_parts(name: str, parts: dict[str, tuple[np.ndarray, np.ndarray]], split: str, **details: Any) -> Source:
    """Makes a source of one split, with the other split held out.

    Args:
        name: Name of the source.
        parts: The splits train and test, each `(images, labels)`.
        split: "train", "test", or "all", which concatenates both in this order and holds nothing out.
        details: Further fields of `Source`.
    """
    choose_split(name, split, ("train", "test", "all"))
    if split == "all":
        images, labels = (np.concatenate(arrays) for arrays in zip(*parts.values()))
        return Source(name, images, labels, split=split, **details)
    other = "test" if split == "train" else "train"
    held_out = Source(name, *parts[other], split=other, **details)
    return Source(name, *parts[split], split=split, held_out=held_out, **details)
