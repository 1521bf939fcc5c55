"""Reading flags with tyro and argparse. Errors are one line."""

import argparse
import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, TypeVar

import tyro

from gan_jax.cli.errors import fail

Flags = TypeVar("Flags")


def argument_parser(description: str | None, prog: str | None = None) -> argparse.ArgumentParser:
    """Returns a parser that prints the description as it is, accepts no abbreviations, and reports errors in one line."""
    options: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    parser = argparse.ArgumentParser(prog, description=description, **options)
    parser.error = lambda message: fail(f"{message}; see --help")  # type: ignore[method-assign]
    return parser


def parse_flags(
    kind: type[Flags], description: str | None, arguments: list[str] | None = None, *, prog: str | None = None, default: Flags | None = None
) -> Flags:
    """Reads flags with tyro into a dataclass. Fields without a default are positional.

    Args:
        kind: The dataclass.
        description: Text of the help.
        arguments: Words to read. By default those of this process.
        prog: Name of the program in the help.
        default: Defaults of the flags. By default those of the dataclass.
    """
    options: dict[str, Any] = {} if default is None else {"default": default}
    words = sys.argv[1:] if arguments is None else arguments
    with one_line_errors(words):
        return tyro.cli(kind, prog=prog, description=description, args=words, config=(tyro.conf.PositionalRequiredArgs,), **options)


@contextlib.contextmanager
def one_line_errors(words: list[str]) -> Iterator[None]:
    """Turns the boxes that tyro draws for wrong flags into one line and exit status 2."""
    printed, columns = io.StringIO(), os.environ.get("COLUMNS")
    # A wide terminal keeps each message of the box on one line.
    os.environ["COLUMNS"] = (columns or "120") if {"-h", "--help"} & set(words) else "1000"
    try:
        with contextlib.redirect_stderr(printed):
            yield
    except SystemExit as end:
        if not end.code:
            raise
        fail(one_line(printed.getvalue()))
    finally:
        os.environ.pop("COLUMNS", None)
        if columns is not None:
            os.environ["COLUMNS"] = columns


def one_line(box: str) -> str:
    """Returns the message in tyro's box with its first suggestion."""
    lines = [line.strip("│| ") for line in box.splitlines()[1:]]
    lines = [line for line in lines if set(line) - set("╭╮╰╯─+-")]
    text = lines[0].rstrip(".") if lines else "the flags cannot be read"
    choice = re.fullmatch(r"invalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*)\)", text)
    if choice:
        value, flag, choices = choice.groups()
        return f"{flag} {value}: must be one of {choices.replace(chr(39), '')}"
    if text.startswith("Missing from") and len(lines) > 1:  # This line names the program, and the next one what is missing.
        return f"missing: {lines[1]}; see --help"
    for line in lines[1:]:
        if line.startswith("--"):
            text += f"; did you mean {line.split()[0].rstrip(',')}?" if "nrecognized" in text else f" ({line})"
            break
    return f"{text}; see --help"
