"""Labels from a file in the tree: `labels.csv`, or the `dataset.json` of StyleGAN's archives."""

import collections
import csv
import io
import json
from pathlib import Path
from typing import Any

from gan_jax._internal.files import read_bytes
from gan_jax.data.errors import DataError, one_line
from gan_jax.data.tree import Listing, Tree

NAMES = ("dataset.json", "labels.csv")
BYTES_LIMIT = 2**28
FILE_COLUMNS = ("file", "filename", "file_name", "image", "image_id", "path", "name", "id")
LABEL_COLUMNS = ("label", "class", "category", "target", "label_name", "class_name")


def read_labels(tree: Tree, listing: Listing) -> tuple[dict[str, str], list[str]] | None:
    """Reads the labels of the images of a tree.

    `labels.csv` has a file and a label in each row, in the first two columns or in columns that are named "file" and "label" (or like
    them). `dataset.json` has {"labels": [["00000/img.png", 6], ...]}. Names of files are relative to the folder of the file. If a
    name has no folder or no ending, the one file of this name is meant.

    Args:
        tree: The tree.
        listing: Its files.

    Returns:
        The label of each file as text, and the names of the files with labels. None if there is no such file, or if a `dataset.json` has
        no labels.

    Raises:
        DataError: A file with labels cannot be read, or gives one image two labels.
    """
    found = [name for name in listing.files if name.rsplit("/", 1)[-1].lower() in NAMES]
    depth = min((name.count("/") for name in found), default=0)
    labels: dict[str, str] = {}
    used = []
    for name in (name for name in found if name.count("/") == depth):
        rows = _read_json(tree, name) if name.lower().endswith(".json") else _read_csv(tree, name)
        if rows is None:
            continue
        used.append(name)
        folder = name.rpartition("/")[0]
        for file, label in _resolve(rows, listing, f"{folder}/" if folder else ""):
            if labels.setdefault(file, label) != label:
                raise DataError(f"{tree.path(name)}: gives {file} the labels {labels[file]} and {label}; keep one of them")
    return (labels, used) if used else None


def _resolve(rows: list[tuple[str, str]], listing: Listing, folder: str) -> list[tuple[str, str]]:
    """The rows with the full names of their files. A name that no file has stays as it is."""
    known = set(listing.files)
    short = collections.defaultdict(list)
    for name in listing.files:
        base = name.rsplit("/", 1)[-1]
        for key in {base, base.rpartition(".")[0]}:
            short[key].append(name)
    resolved = []
    for file, label in rows:
        name = folder + file.replace("\\", "/").removeprefix("./")
        others = short.get(file, [])
        resolved.append((others[0] if name not in known and len(others) == 1 else name, label))
    return resolved


def _content(tree: Tree, name: str) -> str:
    if tree.size(name) > BYTES_LIMIT:
        raise DataError(f"{tree.path(name)}: has {tree.size(name)} bytes; at most {BYTES_LIMIT} are supported")
    try:
        file = tree.file(name)
        return (read_bytes(file, limit=BYTES_LIMIT) if isinstance(file, Path) else file).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{tree.path(name)}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DataError(f"{tree.path(name)}: is not UTF-8 text; save it again as UTF-8") from None


def _read_csv(tree: Tree, name: str) -> list[tuple[str, str]]:
    text = _content(tree, name)
    separator = max(",;\t", key=text.partition("\n")[0].count)
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=separator) if any(row)]
    except csv.Error as error:
        raise DataError(f"{tree.path(name)}: not a readable CSV file ({one_line(error)})") from None
    if not rows:
        raise DataError(f"{tree.path(name)}: is empty; write a file and its label in each row")
    head = [cell.lower() for cell in rows[0]]
    file = next((head.index(column) for column in FILE_COLUMNS if column in head), None)
    label = next((head.index(column) for column in LABEL_COLUMNS if column in head), None)
    if file is not None and label is not None:
        rows = rows[1:]
    else:
        file, label = 0, 1
    for number, row in enumerate(rows, 1):
        if len(row) <= max(file, label) or not row[file] or not row[label]:
            raise DataError(f"{tree.path(name)}: entry {number} is {separator.join(row)!r:.80}; expected a file and its label")
    return [(row[file], row[label]) for row in rows]


def _read_json(tree: Tree, name: str) -> list[tuple[str, str]] | None:
    try:
        content = json.loads(_content(tree, name))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{tree.path(name)}: not a readable JSON file ({one_line(error)})") from None
    labels: Any = content.get("labels") if isinstance(content, dict) else None
    if labels is None:
        return None
    rows = list(labels.items()) if isinstance(labels, dict) else labels
    for row in rows if isinstance(rows, list) else [rows]:
        if not isinstance(row, list | tuple) or len(row) != 2 or not isinstance(row[0], str) or type(row[1]) not in (int, str):
            problem = f"a label is {json.dumps(row)[:80]}; expected [file, label] with a whole number or a name"
            raise DataError(f"{tree.path(name)}: {problem}")
    return [(file, str(label)) for file, label in rows]
