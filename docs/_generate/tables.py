"""Markdown tables, and the generated parts of a page.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`, on lines of its own or inside a sentence.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np

PART = re.compile(r"<!-- generated: (?P<name>[^>]*?) -->(?P<text>.*?)<!-- end -->", re.DOTALL)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table. Cells are converted with `str`."""
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def number(value: float | None, digits: int = 2) -> str:
    """A number with a fixed number of digits after the point. None is an empty cell."""
    return "" if value is None else f"{value:,.{digits}f}"


def mean_and_deviation(values: Sequence[float | None], digits: int) -> str:
    """Mean and sample standard deviation. Missing values are counted as failed. A dash means that all are missing."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ± {np.std(known, ddof=1):.{digits}f}" if len(known) > 1 else ""
    missing = f" ({len(values) - len(known)} failed)" if len(known) < len(values) else ""
    return f"{np.mean(known):.{digits}f}{spread}{missing}"


def names(page: str) -> list[str]:
    """The names of the generated parts of a page."""
    return [match["name"] for match in PART.finditer(page)]


def fill(page: str, name: str, text: str) -> str:
    """Replaces the text of one generated part of a page. A part keeps its form, inside a sentence or on lines of its own.

    Raises:
        ValueError: The page does not have exactly one part of this name.
    """
    if names(page).count(name) != 1:
        raise ValueError(f"the page must have one part <!-- generated: {name} --> ... <!-- end -->; got {names(page).count(name)}")

    def replaced(match: re.Match[str]) -> str:
        if match["name"] != name:
            return match[0]
        space = "\n" if match["text"].startswith("\n") else ""
        return f"<!-- generated: {name} -->{space}{text}{space}<!-- end -->"

    return PART.sub(replaced, page)
