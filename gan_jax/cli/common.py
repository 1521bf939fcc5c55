"""What the scripts share: flags read by tyro or argparse, errors as one line, files of rows, the compilation cache."""

import argparse
import contextlib
import dataclasses
import importlib.util
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

Result = TypeVar("Result")


PEER_LOST = 4  # exit status


def fail(message: str, status: int = 2) -> NoReturn:
    """Ends the program with one line on standard error and exit status 2, or another."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(status)


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of argparse that shows its description as it is written, takes no abbreviations, and says what is wrong in one line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.error = lambda message: fail(f"{message}; see --help")  # type: ignore[method-assign]
    return parser


def existing(flag: str, path: Path) -> Path:
    """The path; where there is no such file, the program ends with one line that names the flag."""
    if not path.is_file():
        fail(f"{flag} {path}: there is no such file")
    return path


def append_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Adds rows to a file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def need_matplotlib(purpose: str) -> None:
    """Ends the program with one line where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        fail(f"{purpose} needs matplotlib: pip install matplotlib")


def parse(reader: Callable[[], Result]) -> Result:
    """Calls tyro; what it draws as a box when the flags are wrong becomes one line."""
    said = io.StringIO()
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "1000"
    try:
        with contextlib.redirect_stderr(said):
            if {"-h", "--help"} & set(sys.argv):
                os.environ["COLUMNS"] = columns or "120"
            return reader()
    except SystemExit as end:
        if not end.code:
            raise
        fail(one_line(said.getvalue()))
    finally:
        if columns is None:
            os.environ.pop("COLUMNS", None)
        else:
            os.environ["COLUMNS"] = columns


def one_line(box: str) -> str:
    """The message in tyro's box, with its first suggestion."""
    lines = [line.strip("│| ") for line in box.splitlines()[1:]]
    lines = [line for line in lines if set(line) - set("╭╮╰╯─+-")]
    text = lines[0].rstrip(".") if lines else "the flags cannot be read"
    if text.startswith("Missing from") and len(lines) > 1:  # there stands the script; the next line has what it misses
        return f"missing: {lines[1]}; see --help"
    for line in lines[1:]:
        if line.startswith("--"):
            text += f"; did you mean {line.split()[0]}?" if "nrecognized" in text else f" ({line})"
            break
        if line.startswith("Available"):
            text += f"; {line}"
            break
    return f"{text}; see --help"


@contextlib.contextmanager
def errors_as_lines() -> Iterator[None]:
    """Errors that are meant for a person end the program as one line; a warning is one line, too."""
    from gan_jax.checkpoint import errors as checkpoint_errors
    from gan_jax.data import DataError
    from gan_jax.distributed.multihost import PeerLost
    from gan_jax.trainer.config import ConfigError
    from gan_jax.trainer.run_directory import RunError

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)

    warnings.showwarning = show  # type: ignore[assignment]
    known = (
        ConfigError,
        DataError,
        RunError,
        OSError,
        checkpoint_errors.CheckpointNotFound,
        checkpoint_errors.ConfigurationMismatch,
        checkpoint_errors.DamagedCheckpoint,
        checkpoint_errors.TemplateMismatch,
    )
    try:
        yield
    except PeerLost as error:
        fail(f"{error}; start all of them again with --resume auto", PEER_LOST)
    except known as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        raise SystemExit(130) from None


def split_options(arguments: list[str]) -> tuple[dict[str, int | float | str | bool], list[str]]:
    """Splits off `--model.options NAME VALUE ...`: tyro takes such pairs only where there are no options yet."""
    options: dict[str, int | float | str | bool] = {}
    rest, position = [], 0
    while position < len(arguments):
        if arguments[position].replace("_", "-") != "--model.options":
            rest.append(arguments[position])
            position += 1
            continue
        end = position + 1
        while end < len(arguments) and not arguments[end].startswith("--"):
            end += 1
        words = arguments[position + 1 : end]
        if not words or len(words) % 2:
            fail(f"--model.options {' '.join(words)}: takes pairs NAME VALUE; `python experiments/train.py --models` lists them")
        options |= dict(zip(words[::2], map(option_value, words[1::2]), strict=True))
        position = end
    return options, rest


def option_value(word: str) -> int | float | str | bool:
    """A word as the number or the truth value that it spells, or itself."""
    if word in ("True", "False"):
        return word == "True"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(word)
    return word


def with_options(config: Any, options: dict[str, int | float | str | bool]) -> Any:
    """A configuration with these options of the model over its own."""
    return dataclasses.replace(config, model=dataclasses.replace(config.model, options={**config.model.options, **options}))


def compilation_cache(place: str | None) -> None:
    """Keeps compiled programs between runs: in `place`, by default in the user's cache directory; "none" keeps nothing."""
    import jax

    if place == "none":
        return
    from gan_jax.metrics.cache import cache_folder

    folder = cache_folder()
    if place is None and folder is None:
        return
    jax.config.update("jax_compilation_cache_dir", str(place or folder / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
