"""Inputs and targets in files: pairs side by side in one file or in two folders with equal names, or two domains without pairs."""

import collections
import re
from collections.abc import Mapping
from typing import NamedTuple

from gan_jax.data.decode import Header, ending_of, endings
from gan_jax.data.errors import DataError
from gan_jax.data.file_images import different_sizes
from gan_jax.data.layout import PARTS, Layout, Notice, count_of, hold_out, natural, some
from gan_jax.data.tree import Tree

PAIRS = ("side-by-side", "folders", "unpaired")
DIRECTIONS = ("A-to-B", "B-to-A")
# The name of a folder of one domain, e.g. A, trainA, test_b, valB. The part before the letter can be missing.
_DOMAIN = re.compile(r"(?:(?P<part>train|training|test|testing|val|valid|validation)[_-]?)?(?P<domain>[ab])", re.IGNORECASE)
_PARTS = frozenset(name for names in PARTS.values() for name in names)


class Pairing(NamedTuple):
    """How the files of a tree are pairs.

    Attributes:
        by: How, in words for the summary.
        partners: The file of the target by that of the input. Empty if each file holds both images.
        swap: For files that hold both images: whether the right one is the input.
    """

    by: str
    partners: Mapping[str, str]
    swap: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """The files of the targets. Empty if each file holds both images."""
        return tuple(self.partners.values())


def check_direction(pairs: str | None, direction: str) -> None:
    """Raises DataError if the kind of pairs or the direction is unknown."""
    if pairs is not None and pairs not in PAIRS:
        raise DataError(f"must be one of {', '.join(PAIRS)}", argument="pairs", value=pairs)
    if direction not in DIRECTIONS:
        raise DataError(f"must be one of {', '.join(DIRECTIONS)}", argument="direction", value=direction)


def side_by_side(direction: str) -> Pairing:
    """The pairing of files that hold image A on the left and image B on the right."""
    swap = direction == "B-to-A"
    sides = ("right", "left") if swap else ("left", "right")
    return Pairing(f"two images side by side in each file; the {sides[0]} one is the input, the {sides[1]} one the target", {}, swap)


def lay_out_pairs(tree: Tree, direction: str) -> tuple[Layout, Pairing]:
    """Finds the pairs of two folders: files whose names are equal up to the ending.

    The folders are A and B, trainA and trainB with testA and testB, or A and B above or below folders train and test, in small or
    capital letters. Without a part test (or val), every tenth pair is held out. An image without a partner is left out and named.

    Args:
        tree: The files.
        direction: "A-to-B" or "B-to-A".

    Returns:
        The layout, with the files of the inputs, and the pairing.

    Raises:
        DataError: There are no such folders, or no two files have equal names.
    """
    found = find_domains(tree, "folders")
    domains = found.domains
    source, target = (domains[letter] for letter in (direction[0], direction[-1]))
    partners = {names[0]: target[key][0] for key, names in source.items() if key in target}
    if not partners:
        first, second = (next(iter(domains[letter].values()))[0] for letter in "AB")
        problem = f"no image of A has the name of one of B, e.g. {tree.path(first)} and {tree.path(second)}"
        raise DataError(f"{problem}; give both images of a pair one name", argument="pairs", value="folders")
    for letter, other in ("AB", "BA"):
        lonely = [names[0] for key, names in domains[letter].items() if key not in domains[other]]
        found.leave_out(lonely, f"of {letter} without a partner of the same name in {other}")
    more = [name for files in domains.values() for names in files.values() for name in names[1:]]
    found.leave_out(more, "with the name of another one")
    parts: dict[str, list[str]] = {"train": [], "test": []}
    for key in source:
        if source[key][0] in partners:
            parts[key[0]].append(source[key][0])
    parts, held_out_by = _held_out(parts, "pair")
    layout = Layout(
        parts=parts,
        class_names=(),
        classes={},
        found=found.images,
        ignored=found.ignored,
        classes_by="none: the folders A and B hold pairs",
        held_out_by=held_out_by,
        left_out=found.left_out,
        notices=tuple(found.notices),
    )
    count = count_of(len(partners), "pair")
    return layout, Pairing(f"{count} of equal names; {direction[0]} is the input, {direction[-1]} the target", partners)


def lay_out_domains(tree: Tree) -> dict[str, Layout]:
    """Finds the images of the domains A and B in folders as those of `lay_out_pairs`, without pairs. Returns a layout for each.

    Raises:
        DataError: A domain has no images.
    """
    found = find_domains(tree, "unpaired")
    layouts = {}
    for letter, files in found.domains.items():
        parts: dict[str, list[str]] = {"train": [], "test": []}
        for (part, _), names in files.items():
            parts[part] += names
        parts, held_out_by = _held_out(parts, "image")
        layouts[letter] = Layout(
            parts=parts,
            class_names=(),
            classes={},
            found=sum(map(len, files.values())),
            ignored={},
            classes_by="none: the folders A and B are two domains",
            held_out_by=held_out_by,
            left_out={},
            notices=(),
        )
    # What belongs to no domain is told once.
    more = {"left_out": found.left_out, "ignored": found.ignored, "notices": tuple(found.notices)}
    layouts["B"] = layouts["B"]._replace(found=found.images - layouts["A"].found, **more)
    return layouts


class Domains:
    """The images of two domains in a tree.

    Attributes:
        domains: The names of the images of A and B, by their part, "train" or "test", and their name without ending.
        images: Number of images in the tree.
        ignored: Number of other files by ending.
        left_out: The images that are not used, by reason.
        notices: What the user may not expect.
    """

    def __init__(self, domains: dict[str, dict[tuple[str, str], list[str]]], images: int, ignored: dict[str, int]):
        self.domains, self.images, self.ignored = domains, images, ignored
        self.left_out: dict[str, list[str]] = {}
        self.notices: list[Notice] = []

    def leave_out(self, names: list[str], reason: str) -> None:
        """Notes images that are not used. Nothing is noted if there are none."""
        if names:
            self.left_out[reason] = names
            self.notices.append(Notice(f"{count_of(len(names), 'image')} {reason} left out: {some(sorted(names, key=natural), 6)}"))


def find_domains(tree: Tree, pairs: str) -> Domains:
    """Finds the images of the domains A and B.

    Raises:
        DataError: A domain has no images. The message is about the argument `pairs` with this value.
    """
    listing = tree.listing()
    images = [name for name in listing.files if ending_of(name) in endings()]
    ignored = collections.Counter(ending_of(name) or "(none)" for name in listing.files if ending_of(name) not in endings())
    domains, outside = _domains(images)
    domains, unused = _with_parts(domains)
    wrong = [letter for letter in "AB" if not domains[letter]]
    if wrong:
        tops = some(sorted({name.split("/")[0] + "/" for name in listing.files if "/" in name}), 6) or "no folders"
        problem = f"{tree.root} has no images in a folder {' or '.join(wrong)} (A and B, or trainA and trainB); it holds {tops}"
        raise DataError(problem, argument="pairs", value=pairs)
    found = Domains(domains, len(images), dict(ignored.most_common()))
    found.leave_out(outside, "outside of the folders A and B")
    found.leave_out(unused, "of a second part to test on")
    return found


def _held_out(parts: dict[str, list[str]], noun: str) -> tuple[dict[str, list[str]], str]:
    """The parts, sorted, with every tenth example as test if one part is empty, and how the held-out ones were chosen."""
    if parts["train"] and parts["test"]:
        return {part: sorted(names, key=natural) for part, names in parts.items()}, "the folders of train and test"
    return hold_out(sorted(parts["train"] + parts["test"], key=natural), noun)


def half_headers(tree: Tree, headers: dict[str, Header], pairing: Pairing) -> dict[str, Header]:
    """The headers of single images, from those of the files.

    Args:
        tree: The files, for messages.
        headers: Headers by name.
        pairing: How the files are pairs.

    Raises:
        DataError: A file that holds two images has an odd width, or the two files of a pair have different sizes.
    """
    if not pairing.partners:
        odd = [name for name, header in headers.items() if header.width % 2]
        if odd:
            wide = f"{tree.path(odd[0])} is {headers[odd[0]].width} pixels wide"
            problem = f"{len(odd)} of {len(headers)} files have an odd width, so they are not two images of one size side by side: {wide}"
            raise DataError(f"{problem}; for two folders use folders", argument="pairs", value="side-by-side")
        return {name: header._replace(width=header.width // 2) for name, header in headers.items()}
    for name, partner in pairing.partners.items():
        if name in headers and partner in headers:
            size, other = ((header.width, header.height) for header in (headers[name], headers[partner]))
            if size != other:
                problem = different_sizes(tree.path(name), tree.path(partner), size, other)
                raise DataError(problem, argument="pairs", value="folders")
    return headers


def _domains(images: list[str]) -> tuple[dict[str, dict[tuple[str, str], list[str]]], list[str]]:
    """The images of the domains A and B by (name of the part, name without ending), and the images that are in neither.

    Folders above those of the domains are passed through if they hold everything.
    """
    found: dict[str, dict[tuple[str, str], list[str]]] = {"A": {}, "B": {}}
    outside, prefix = [], ""
    while True:
        tops = {name.removeprefix(prefix).split("/")[0] if "/" in name.removeprefix(prefix) else "" for name in images}
        (top,) = tops if len(tops) == 1 else ("",)
        if not top or _DOMAIN.fullmatch(top) or top.lower() in _PARTS:
            break
        prefix += f"{top}/"
    for name in images:
        *folders, file = name.removeprefix(prefix).split("/")
        part = domain = ""
        while folders:
            match = _DOMAIN.fullmatch(folders[0])
            if match and not domain:
                domain = match["domain"].upper()
                part = part or (match["part"] or "").lower()
            elif folders[0].lower() in _PARTS and not part:
                part = folders[0].lower()
            else:
                break
            del folders[0]
        if not domain:
            outside.append(name)
            continue
        key = (part, "/".join([*folders, file.rpartition(".")[0]]))
        found[domain].setdefault(key, []).append(name)
    return found, outside


def _with_parts(domains: dict[str, dict[tuple[str, str], list[str]]]) -> tuple[dict[str, dict[tuple[str, str], list[str]]], list[str]]:
    """The domains with the parts "train" and "test" as keys, and the images of further folders of a part, e.g. of val beside test."""
    words = {part for found in domains.values() for part, _ in found}
    chosen = {word: part for part, names in PARTS.items() for word in [name for name in names if name in words][:1]}
    chosen.setdefault("", "train")
    kept: dict[str, dict[tuple[str, str], list[str]]] = {letter: {} for letter in domains}
    unused = []
    for letter, found in domains.items():
        for (word, key), names in found.items():
            if word in chosen:
                kept[letter].setdefault((chosen[word], key), []).extend(names)
            else:
                unused += names
    return kept, unused
