"""Pairs of an input and a target image in files: side by side in one file, or in two folders with equal names."""

import collections
import re
from collections.abc import Mapping
from typing import NamedTuple

from gan_jax.data.decode import Header, ending_of, endings
from gan_jax.data.errors import DataError
from gan_jax.data.file_images import different_sizes
from gan_jax.data.layout import HELD_OUT_EVERY, PARTS, Layout, Notice, count_of, natural, some
from gan_jax.data.tree import Tree

PAIRS = ("side-by-side", "folders")
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
    listing = tree.listing()
    images = [name for name in listing.files if ending_of(name) in endings()]
    ignored = collections.Counter(ending_of(name) or "(none)" for name in listing.files if ending_of(name) not in endings())
    domains, outside = _domains(images)
    domains, unused = _with_parts(domains)
    wrong = [letter for letter in "AB" if not domains[letter]]
    if wrong:
        tops = some(sorted({name.split("/")[0] + "/" for name in listing.files if "/" in name}), 6) or "no folders"
        problem = f"{tree.root} has no images in a folder {' or '.join(wrong)} (A and B, or trainA and trainB); it holds {tops}"
        raise DataError(problem, argument="pairs", value="folders")
    source, target = (domains[letter] for letter in (direction[0], direction[-1]))
    partners = {names[0]: target[key][0] for key, names in source.items() if key in target}
    if not partners:
        first, second = (next(iter(domains[letter].values()))[0] for letter in "AB")
        problem = f"no image of A has the name of one of B, e.g. {tree.path(first)} and {tree.path(second)}"
        raise DataError(f"{problem}; give both images of a pair one name", argument="pairs", value="folders")
    left_out, notices = dict[str, list[str]](), list[Notice]()

    def leave_out(names: list[str], reason: str, action: str = "left out") -> None:
        if names:
            left_out[reason] = names
            notices.append(Notice(f"{count_of(len(names), 'image')} {reason} {action}: {some(sorted(names, key=natural), 6)}"))

    for letter, other in ("AB", "BA"):
        lonely = [names[0] for key, names in domains[letter].items() if key not in domains[other]]
        leave_out(lonely, f"of {letter} without a partner of the same name in {other}")
    leave_out([name for found in domains.values() for names in found.values() for name in names[1:]], "with the name of another one")
    leave_out(outside, "outside of the folders A and B")
    leave_out(unused, "of a second part to test on")
    parts: dict[str, list[str]] = {"train": [], "test": []}
    for key in source:
        if source[key][0] in partners:
            parts[key[0]].append(source[key][0])
    held_out_by = "the folders of train and test"
    if not (parts["train"] and parts["test"]):
        together = sorted(parts["train"] + parts["test"], key=natural)
        parts["test"] = together[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
        held = set(parts["test"])
        parts["train"] = [name for name in together if name not in held]
        held_out_by = f"every {HELD_OUT_EVERY}th pair" if held else f"nothing, because there are fewer than {HELD_OUT_EVERY} pairs"
    layout = Layout(
        parts={part: sorted(names, key=natural) for part, names in parts.items()},
        class_names=(),
        classes={},
        found=len(images),
        ignored=dict(ignored.most_common()),
        classes_by="none: the folders A and B hold pairs",
        held_out_by=held_out_by,
        left_out=left_out,
        notices=tuple(notices),
    )
    count = count_of(len(partners), "pair")
    return layout, Pairing(f"{count} of equal names; {direction[0]} is the input, {direction[-1]} the target", partners)


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
