"""Errors of files that training can do without."""

from collections.abc import Callable
from typing import TypeVar

from gan_jax.trainer.report import ReportError

Result = TypeVar("Result")


def warn_on_oserror(name: str, write: Callable[[], Result], print_line: Callable[[str], object]) -> Result | None:
    """Runs `write` and prints an OSError or ReportError as a warning, so that training continues.

    Args:
        name: Name of the file for the warning.
        write: Writes the file.
        print_line: Prints the warning.

    Returns:
        The result of `write`. None if it failed.
    """
    try:
        return write()
    except (OSError, ReportError) as error:
        print_line(f"{name} could not be written ({getattr(error, 'strerror', None) or error}); training continues without it")
        return None
