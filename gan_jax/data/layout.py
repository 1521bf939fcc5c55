"""What the names of the files of a tree say: which are images, which belong to train and test, and the class of each."""

import collections
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from gan_jax.data.decode import ending_of, endings
from gan_jax.data.tree import Listing

HELD_OUT_EVERY = 10
Example = TypeVar("Example")
# Names of the folders of a split, in lower case and in the order of preference.
PARTS = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation")}
# Endings of images and films that are not read. A folder that holds only these is a class without images.
UNREAD_PICTURES = frozenset(
    {".heic", ".heif", ".jxl", ".svg", ".psd", ".eps", ".pdf", ".exr", ".hdr", ".fits", ".raw", ".dng", ".cr2", ".nef", ".arw", ".wmf"}
    | {".cur", ".mp4", ".avi", ".mov", ".mkv", ".webm"}
)
ALL_PARTS = frozenset(name for names in PARTS.values() for name in names)


class Notice(NamedTuple):
    """Something about the data that the user may not expect.

    Attributes:
        text: What was found, and what was done about it.
        advice: Fields of the configuration that change it, as pairs such as "data.channels 1". "" if there are none.
    """

    text: str
    advice: str = ""


class Layout(NamedTuple):
    """Which files of a tree are used, and as what.

    Attributes:
        parts: The names of the images of "train" and "test", sorted.
        class_names: Names of the classes, in the order of the labels. Empty if there are none.
        classes: The class of each image by its name. Empty if there are no classes.
        found: Number of files with the ending of an image that is read.
        ignored: Number of other files by ending.
        classes_by: Where the classes come from.
        held_out_by: How the held-out images were chosen.
        left_out: The names of images that are not used, by reason.
        notices: What the user may not expect.
    """

    parts: dict[str, list[str]]
    class_names: tuple[str, ...]
    classes: dict[str, str]
    found: int
    ignored: dict[str, int]
    classes_by: str
    held_out_by: str
    left_out: dict[str, list[str]]
    notices: tuple[Notice, ...]


def natural(name: str) -> tuple:
    """Sorting key in which numbers in names are ordered by value: a, a2, a10, 2, 10."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts if part), name


def some(names: Iterable[str], most: int = 3) -> str:
    """Up to `most` names, joined by commas."""
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def count_of(number: int, noun: str) -> str:
    """A number with its noun: "1 file", "2 files", "3 classes"."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def hold_out(examples: Sequence[Example], noun: str = "image") -> tuple[dict[str, list[Example]], str]:
    """Every tenth example as "test" and the others as "train", and how the held-out ones were chosen."""
    parts = {
        "train": [example for number, example in enumerate(examples, 1) if number % HELD_OUT_EVERY],
        "test": list(examples[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]),
    }
    if parts["test"]:
        return parts, f"every {HELD_OUT_EVERY}th {noun}"
    return parts, f"nothing, because there are fewer than {HELD_OUT_EVERY} {noun}s"


def lay_out(listing: Listing, labels: Mapping[str, str] | None = None, labels_file: str = "") -> Layout:
    """Decides which files are images, which of them are held out, and their classes.

    A folder that holds the whole tree, e.g. `train/` alone or the folder of an archive, says nothing about classes, and is passed through.
    If there are folders for train and test, in small or capital letters, only the files in these are used. Otherwise every tenth file
    is held out. The folders below are the classes, unless a file with labels names them.

    Args:
        listing: The files of the tree.
        labels: The class of each image by its name, if a file in the tree has them.
        labels_file: Name of that file.
    """
    images = [name for name in listing.files if ending_of(name) in endings()]
    ignored = collections.Counter(ending_of(name) or "(none)" for name in listing.files if ending_of(name) not in endings())
    folders = class_folders(listing)
    notices: list[Notice] = []
    left_out: dict[str, list[str]] = {}
    prefix, pair = pass_through(images, folders)
    parts: dict[str, list[str]] = {"all": images}
    prefixes = {"all": prefix}
    if pair:
        prefixes = {part: f"{prefix}{top}/" for part, top in pair.items()}
        parts = {part: [name for name in images if name.startswith(place)] for part, place in prefixes.items()}
        unused = [name for name in images if not name.startswith(tuple(prefixes.values()))]
        if unused:
            names = some(sorted({name.removeprefix(prefix).split("/")[0] for name in unused}))
            notices.append(Notice(f"{count_of(len(unused), 'image')} outside of {' and '.join(pair.values())} left out: {names}"))
            left_out["outside of the folders for train and test"] = unused
    relative = {name: name.removeprefix(place) for part, place in prefixes.items() for name in parts[part]}
    below = {folder.removeprefix(place) for place in prefixes.values() for folder in folders if folder.startswith(place)}
    if labels is not None:
        classes = {name: labels[name] for name in relative if name in labels}
        without = [name for name in relative if name not in labels]
        lost = [name for name in labels if name not in set(images)]
        if lost:
            notices.append(Notice(f"{labels_file} names {count_of(len(lost), 'file')} that no image is: {some(lost)}"))
        named, classes_by, reason = set(classes.values()), labels_file, f"without a label in {labels_file}"
    else:
        named, classes, without, classes_by = classes_of_folders(relative, below, parts.get("train", images), notices)
        reason = "beside the class folders"
    if without:
        text = f"{count_of(len(without), 'image')} {reason}, so without a class, left out: {some(without)}"
        notices.append(Notice(text))
        left_out[reason] = without
        parts = {part: [name for name in names if name in classes] for part, names in parts.items()}
        if pair and not parts["test"]:
            pair, parts = {}, {"all": parts["train"]}
    class_names = tuple(sorted(named, key=natural))
    if len(class_names) > 1:
        same = collections.Counter(name.lower() for name in class_names)
        doubled = [name for name in class_names if same[name.lower()] > 1]
        if doubled:
            notices.append(Notice(f"classes whose names differ in capitals only: {some(doubled, 6)}"))
    if pair:
        held_out_by = "the folders " + " and ".join(pair.values())
    else:
        parts, held_out_by = hold_out(parts["all"])
    return Layout(parts, class_names, classes, len(images), dict(ignored.most_common()), classes_by, held_out_by, left_out, tuple(notices))


def pass_through(images: list[str], folders: set[str]) -> tuple[str, dict[str, str]]:
    """The prefix of the innermost folder that holds the whole tree, and the folders for train and test in it, if there are any."""
    prefix = ""
    while True:
        tops, loose = level(images, folders, prefix)
        full, _ = level(images, class_folders(Listing(tuple(images), ())), prefix)
        pair = folders_of_parts(full)
        if any(top.lower() in ALL_PARTS for top in full):  # An empty folder for test beside train is no class.
            tops = [top for top in tops if top in full or top.lower() not in ALL_PARTS]
        if pair or loose or len(tops) != 1:
            return prefix, pair
        prefix += f"{tops[0]}/"


def class_folders(listing: Listing) -> set[str]:
    """Folders that can be classes: those with images or with pictures that are not read, anywhere below, and those without any file."""
    pictures, full = set(), set()
    for name in listing.files:
        above = name.split("/")[:-1]
        chain = ["/".join(above[:depth]) for depth in range(1, len(above) + 1)]
        full.update(chain)
        if ending_of(name) in endings() or ending_of(name) in UNREAD_PICTURES:
            pictures.update(chain)
    return pictures | {folder for folder in listing.folders if folder not in full}


def level(images: Iterable[str], folders: Iterable[str], prefix: str) -> tuple[list[str], bool]:
    """The folders directly below a prefix, sorted, and whether an image is directly below it."""
    depth = prefix.count("/")
    tops = {folder.split("/")[depth] for folder in folders if folder.startswith(prefix) and folder.count("/") >= depth}
    return sorted(tops), any(name.startswith(prefix) and name.count("/") == depth for name in images)


def folders_of_parts(tops: Iterable[str]) -> dict[str, str]:
    """The folders of train and test among some folders, by part. Empty unless both are there."""
    found = {}
    for part, names in PARTS.items():
        found[part] = next((top for name in names for top in sorted(tops, reverse=True) if top.lower() == name), None)
    return {part: top for part, top in found.items() if top} if all(found.values()) else {}


def classes_of_folders(
    relative: Mapping[str, str], below: Iterable[str], training: Iterable[str], notices: list[Notice]
) -> tuple[set[str], dict[str, str], list[str], str]:
    """The classes that folders tell.

    Args:
        relative: The name of each image, and its name below the folder of its part.
        below: Names of the class folders below the folders of the parts, see `class_folders`.
        training: Names of the images to train on. Most of them must be in folders, or else the folders are no classes.
        notices: What the user may not expect is appended.

    Returns:
        The names of the classes, the class of each image, the images without a class, and where the classes come from.
    """
    below = {folder for folder in below if folder}
    tops = {folder.split("/")[0] for folder in below}
    loose = [name for name, short in relative.items() if "/" not in short]
    while len(tops) == 1 and not loose:  # The one folder of every part.
        (top,) = tops
        relative = {name: short.removeprefix(f"{top}/") for name, short in relative.items()}
        below = {folder.removeprefix(f"{top}/") for folder in below if folder != top}
        tops = {folder.split("/")[0] for folder in below}
        loose = [name for name, short in relative.items() if "/" not in short]
    if not tops:
        return set(), {}, [], "none: the images are in one folder"
    beside = [name for name in training if "/" not in relative[name]]
    inside = sum(1 for _ in training) - len(beside)
    if len(beside) > inside:
        where = f"beside the folders {some(sorted(tops))}, which hold {inside}"
        text = f"{count_of(len(beside), 'image')} {where}, so the folders are not used as classes"
        notices.append(Notice(text))
        return set(), {}, [], "none: most images are beside the folders"
    classes = {name: short.split("/")[0] for name, short in relative.items() if "/" in short}
    deeper = sorted({"/".join(short.split("/")[:2]) for short in relative.values() if short.count("/") > 1})
    if deeper:
        notices.append(Notice(f"folders below the class folders are read as part of their class: {some(deeper)}"))
    return tops, classes, loose, "the folders"
