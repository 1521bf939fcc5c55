"""Checks of arguments at trace time. The messages say what was expected and what was received, with the caller's names."""

import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from gan_jax.typing import Array


def printable(text: str) -> str:
    """Replaces line breaks, control characters and marks of the writing direction by their escapes, e.g. a line break by `\\n`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(error: Exception, *, limit: int = 200) -> str:
    """The reason of an exception as one line of at most `limit` characters. If it is empty, the exception's type name."""
    try:
        reason = getattr(error, "strerror", None) or str(error)
        return printable(" ".join(reason[:4000].split())[:limit]) or type(error).__name__
    except ValueError:  # Python does not print integers of more than 4,300 digits.
        return type(error).__name__


class ArgumentError(ValueError):
    """An argument has an invalid value. The message is one line: `split="valid": mnist5k has train, test, all`.

    Attributes:
        problem: What is wrong, and what is allowed.
        argument: Name of the parameter. None if the message names something else, e.g. a file.
        value: The value received. None if the message does not show it.
    """

    def __init__(self, problem: str, *, argument: str | None = None, value: Any = None):
        self.problem, self.argument, self.value = problem, argument, value
        shown = "" if value is None else f'="{value}"' if isinstance(value, str | Path) else f"={value}"
        super().__init__(printable(problem if argument is None else f"{argument}{shown}: {problem}"))


def check_same_shape(**arrays: Array) -> None:
    """Raises ValueError unless all named arrays have the same shape."""
    shapes = {name: jnp.shape(array) for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"{' and '.join(shapes)} must have one shape; got {' and '.join(map(str, shapes.values()))}")


def check_float(**arrays: Array) -> None:
    """Raises TypeError unless all named arrays have a floating-point type."""
    for name, array in arrays.items():
        dtype = jnp.result_type(array)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(f"{name} must be floating point; got {dtype}")


def check_not_empty(**arrays: Array) -> None:
    """Raises ValueError if a named array has no elements."""
    for name, array in arrays.items():
        if math.prod(jnp.shape(array)) == 0:
            raise ValueError(f"{name} must not be empty; got shape {jnp.shape(array)}")


def check_rank(rank: int, **arrays: Array) -> None:
    """Raises ValueError unless all named arrays have `rank` dimensions."""
    for name, array in arrays.items():
        if jnp.ndim(array) != rank:
            raise ValueError(f"{name} must have {rank} dimensions; got shape {jnp.shape(array)}")


def check_interval(low: float, high: float, **values: float) -> None:
    """Raises ValueError unless all named Python numbers lie in [low, high]. Traced values are not checked."""
    for name, value in values.items():
        if isinstance(value, int | float) and not low <= value <= high:
            raise ValueError(f"{name} must be in [{low}, {high}]; got {value}")
