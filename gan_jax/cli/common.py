"""Names that the scripts in `experiments/` import from here until they import them from `errors`, `parsing` and `compilation_cache`."""

import importlib.util
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from gan_jax.cli.compilation_cache import use_compilation_cache as compilation_cache  # noqa: F401
from gan_jax.cli.errors import errors_as_lines as errors_as_lines
from gan_jax.cli.errors import fail as fail
from gan_jax.cli.parsing import argument_parser as argument_parser
from gan_jax.cli.parsing import one_line_errors
from gan_jax.cli.train_command import read_command
from gan_jax.trainer.config import replace_field

Result = TypeVar("Result")


def parse(reader: Callable[[], Result]) -> Result:
    """Calls tyro with errors of one line."""
    with one_line_errors(sys.argv[1:]):
        return reader()


def split_options(arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Splits off the options of the model."""
    command = read_command(["recipe", *arguments])
    return command.options, command.words


def with_options(config: Any, options: dict[str, Any]) -> Any:
    """Returns a configuration with these options of the model."""
    return replace_field(config, "model.options", config.model.options | options)


def existing(flag: str, path: Path) -> Path:
    """Returns the path, or exits if there is no such file."""
    if not path.is_file():
        fail(f"{flag} {path}: there is no such file")
    return path


def append_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Appends rows to a file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of a file of JSON lines, or none if there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def need_matplotlib(purpose: str) -> None:
    """Exits if matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        fail(f"{purpose} needs matplotlib: pip install matplotlib")
