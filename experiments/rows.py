"""Files of rows, one JSON object a line, the origin that each row states, and the checks that the studies share."""

import importlib.util
import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from gan_jax.cli.errors import fail

COMPARABLE = ("code", "processor", "devices", "form", "runs")
"""Parts of the origin that two rows must share if their results are compared."""


@cache
def _surroundings() -> dict[str, Any]:
    import jax

    from gan_jax.trainer.environment import code_hash, commit, cpu_model

    processor = cpu_model() if jax.default_backend() == "cpu" else jax.devices()[0].device_kind
    return {"commit": commit(), "code": code_hash(), "processor": processor, "jax": jax.__version__}


def command_of(module: str, *, without: Sequence[str] = ("--out",)) -> str:
    """The command line of a module of `experiments`, without the flags that do not change a measurement.

    Args:
        module: Dotted name of the module.
        without: Flags with one value that are left out.
    """
    words, kept = iter(sys.argv[1:]), []
    for word in words:
        name, _, value = word.partition("=")
        if name not in without:
            kept.append(word)
        elif not value:
            next(words, None)
    return shlex.join(["python", "-m", module, *kept])


def origin(command: str, *, devices: int = 1, form: str = "step", runs: int = 1) -> dict[str, Any]:
    """Where a row comes from: commit, hash of the package's code, processor, version of JAX, devices, form, runs, and command.

    Call it before the measurement, so that a change of the code during a long study is not attributed to earlier rows.

    Args:
        command: Command line that makes the row again.
        devices: Number of devices that shared the program.
        form: "step" for one call per step, or the form of a program with several steps or runs: "scan", "vmap" or "map".
        runs: Number of runs in one program. The last bits of a result may depend on it.
    """
    return _surroundings() | {"devices": devices, "form": form, "runs": runs, "command": command}


def check_comparable(rows: Iterable[dict[str, Any]], what: str) -> None:
    """Fails if rows that are compared come from different code, processors, devices or forms.

    Args:
        rows: Rows with the fields of `origin`.
        what: Name of the comparison for the message.

    Raises:
        ValueError: Two rows differ in one of `COMPARABLE`, or a row does not state it.
    """
    first: dict[str, Any] = {}
    for row in rows:
        for name in COMPARABLE:
            if name not in row:
                raise ValueError(f"{what}: a row has no {name!r}; measure it again")
            if first.setdefault(name, row[name]) != row[name]:
                raise ValueError(f"{what}: rows differ in {name!r} ({first[name]!r} and {row[name]!r}); measure both with the same")


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
