"""The summary of a data set: what was found, what is used, and what the user may not expect."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from gan_jax.data.layout import Notice, count_of, some
from gan_jax.data.source import Source, evenly_spaced

LOOKED_AT = 64  # Number of images whose values are looked at.
DARK = 64  # If no value is above this one of 255, a notice says so.
FEW = 1000  # With fewer images, a notice advises augmentation.
UNEVEN = 4  # If the largest class has this many times the images of the smallest, a notice says so.
NAMED = 20  # Maximum number of classes that are printed with their counts.


@dataclasses.dataclass(frozen=True)
class FileFacts:
    """What a source of files knows beyond its images.

    Attributes:
        found: Number of image files, with those that are held out or left out.
        ignored: Number of files of other kinds, by ending.
        left_out: Number of images that are not used, by reason.
        sizes: Number of images by size, "WIDTHxHEIGHT", most frequent first.
        sizes_of: Number of images whose headers were read.
        channels_by: Why the images have their number of channels.
        classes_by: Where the classes come from.
        held_out_by: How the held-out images were chosen.
        notices: What the user may not expect.
        pairs_by: How the files are pairs of an input and a target. "" if they are single images.
    """

    found: int
    ignored: dict[str, int]
    left_out: dict[str, int]
    sizes: dict[str, int]
    sizes_of: int
    channels_by: str
    classes_by: str
    held_out_by: str
    notices: tuple[Notice, ...] = ()
    pairs_by: str = ""


@dataclasses.dataclass(frozen=True)
class DataSummary:
    """The summary of a data set.

    Attributes:
        source: Name of the source and its split.
        provenance: Origin of the data.
        used: Number of examples to train on.
        shape: Shape of one example.
        held_out: Number of examples that are held out.
        unreadable: Number of files that could not be read.
        values: The lowest and the highest value of 64 evenly spaced examples.
        class_counts: Number of training examples by class name. Empty without labels.
        files: What is known about the files, or None.
        notices: What the user may not expect.
        paired: Whether each example is a pair of an input and a target.
    """

    source: str
    provenance: str
    used: int
    shape: tuple[int, ...]
    held_out: int
    unreadable: int
    values: tuple[float, float]
    class_counts: dict[str, int]
    files: FileFacts | None
    notices: tuple[Notice, ...]
    paired: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain values for run.json. The classes are in `Source.describe`."""
        record = dataclasses.asdict(self)
        del record["class_counts"]
        record["shape"], record["values"] = list(self.shape), list(self.values)
        files = record.pop("files") or {}
        files.pop("notices", None)
        return {**record, **files, "notices": [text for text, _ in self.notices]}

    def lines(self) -> list[str]:
        """The facts as lines for the terminal, without the notices."""
        if len(self.shape) != 3:
            return [f"data: {self.source}, {self.used} points of {self.shape[0]} dimensions, {self.held_out} held out ({self.provenance})"]
        height, width, channels = self.shape
        color = {1: "grey", 3: "colour", 4: "colour and opacity"}.get(channels, f"{channels} channels")
        why = f" ({self.files.channels_by})" if self.files else ""
        low, high = self.values
        noun = "pair" if self.paired else "image"
        lines = [f"data: {self.source}, {count_of(self.used, noun)} of {width}x{height} in {color}{why}, values {low:g} to {high:g}"]
        if self.files:
            facts = self.files
            parts = [f"{count_of(facts.found, 'image file')} in {self.provenance}"]
            parts += [f"{number} {reason}" for reason, number in facts.left_out.items()]
            parts += [f"{self.unreadable} unreadable"] if self.unreadable else []
            if facts.ignored:
                parts += [f"not read: {some((f'{number} {ending}' for ending, number in facts.ignored.items()), 6)}"]
            lines += [f"  files: {', '.join(parts)}"]
            sizes = some((f"{number} of {size}" for size, number in facts.sizes.items()), 4)
            lines += [f"  sizes: {sizes}"] if facts.sizes else []
            lines += [f"  pairs: {facts.pairs_by}"] if facts.pairs_by else []
        if self.class_counts:
            counts = self.class_counts
            even = len(set(counts.values())) == 1
            each = f" of {count_of(next(iter(counts.values())), 'image')}" if even else ""
            named = "" if even and list(counts) == [str(index) for index in range(len(counts))] else ": "
            if named:
                named += some((name if even else f"{name} {number}" for name, number in counts.items()), NAMED)
            by = f" (by {self.files.classes_by})" if self.files else ""
            lines += [f"  classes{by}: {len(counts)}{each}{named}"]
        elif self.files:
            lines += [f"  classes: {self.files.classes_by}"]
        by = f" (by {self.files.held_out_by})" if self.files and self.held_out else ""
        return [*lines, f"  held out for the metrics: {self.held_out or 'nothing'}{by}"]


def class_counts(source: Source) -> dict[str, int]:
    """Number of examples by class name. A class without a name has its number. Empty without labels."""
    if source.labels is None:
        return {}
    counts = np.bincount(source.labels, minlength=source.num_classes)
    names = source.class_names or [str(number) for number in range(source.num_classes)]
    return dict(zip(names, counts.tolist(), strict=True))


def summarize(source: Source) -> DataSummary:
    """Summarizes a data set. It reads 64 images."""
    chosen = evenly_spaced(len(source))
    images = np.asarray(source.images[chosen[:: -(-len(chosen) // LOOKED_AT)]])
    counts = class_counts(source)
    unreadable = source.passed_over()["count"] + (source.held_out.passed_over()["count"] if source.held_out else 0)
    notices = list(source.files.notices) if source.files else []
    if source.is_images:
        notices += list(_notices_of_values(images, grey_is_chosen=source.files is None))
        notices += list(_notices_of_counts(source, counts))
    if unreadable:
        notices.append(Notice(f"{count_of(unreadable, 'file')} cannot be read, e.g. {next(iter(_problems(source)))}"))
    return DataSummary(
        source=f"{source.name}/{source.split}",
        provenance=source.provenance,
        used=len(source),
        shape=source.shape,
        held_out=0 if source.held_out is None else len(source.held_out),
        unreadable=unreadable,
        values=(float(images.min()), float(images.max())),
        class_counts=counts,
        files=source.files,
        notices=tuple(notices),
        paired=source.inputs is not None and source.paired,
    )


def _problems(source: Source) -> list[str]:
    return source.passed_over()["files"] + (source.held_out.passed_over()["files"] if source.held_out else [])


def _notices_of_values(images: np.ndarray, *, grey_is_chosen: bool) -> Iterable[Notice]:
    low, high = int(images[..., :3].min()), int(images[..., :3].max())
    if low == high:
        yield Notice(f"all {len(images)} images that were looked at have the one value {low}")
    elif high < DARK:
        yield Notice(
            f"the images are nearly black: no value is above {high} of 255; files with fewer bits than their format must be scaled"
        )
    if images.shape[-1] == 3 and not grey_is_chosen and (images[..., :1] == images).all():
        yield Notice("the files are stored in colour but look grey; one channel is enough", "data.channels 1")
    if images.shape[-1] == 4 and (images[..., 3] == 255).all():
        yield Notice("the images have no transparent parts; three channels are enough", "data.channels 3")


def _notices_of_counts(source: Source, counts: dict[str, int]) -> Iterable[Notice]:
    empty = [name for name, number in counts.items() if not number]
    if empty:
        yield Notice(
            f"{'class' if len(empty) == 1 else 'classes'} without an image to train on: {some(empty, 6)}; G cannot learn "
            f"{'it' if len(empty) == 1 else 'them'}; remove the folder to renumber the classes"
        )
    full = [number for number in counts.values() if number]
    if full and max(full) >= UNEVEN * min(full):
        yield Notice(f"the largest class has {max(full)} images and the smallest {min(full)}", "data.balanced True")
    if source.files and len(source) < FEW:
        translated = source.inputs is not None
        noun = "pair" if translated and source.paired else "image"
        text = f"only {count_of(len(source), noun)} to train on; D soon knows them by heart without augmentation"
        # The augmentations of D would move the target but not the input. pix2pix enlarges 256 pixels by 30.
        jitter = max(1, round(source.shape[0] * 30 / 256))
        yield Notice(text, f"data.flip True data.jitter {jitter}" if translated else "augment.ada 0.6")
