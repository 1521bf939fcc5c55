"""Files of rows, one JSON object a line, and the checks that the studies share."""

import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gan_jax.cli.errors import fail


def append_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Appends rows to a file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines. A missing file has no rows."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def existing(flag: str, path: Path) -> Path:
    """Returns the path, or ends the program with one line that names the flag if the file does not exist."""
    if not path.is_file():
        fail(f"{flag} {path}: there is no such file")
    return path


def need_matplotlib(purpose: str) -> None:
    """Ends the program with one line if matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        fail(f"{purpose} needs matplotlib: pip install matplotlib")
