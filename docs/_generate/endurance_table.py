"""What the long tests of hostile files and run directories found, from the rows of tests/endurance.py."""

from collections.abc import Iterable
from typing import Any

from docs._generate.tables import table

TESTS = {
    "files": ("hostile files made by grammar, each read or refused in one line", 100_000),
    "directories": ("sequences of at most 8 commands on a run directory, the three invariants kept", 1000),
}


def endurance_table(rows: Iterable[dict[str, Any]]) -> str:
    """A table with a line for each test and kind: inputs, goal, refused, slowest, seconds, dates and commits."""
    rows, lines = list(rows), []
    for test, (what, goal) in TESTS.items():
        chosen = [row for row in rows if row["test"] == test]
        kinds = sorted({row["kind"] for row in chosen})
        for kind in kinds if len(kinds) > 1 else []:
            lines.append([kind, *_cells([row for row in chosen if row["kind"] == kind])])
        lines.append([f"**{what}** (of {goal:,})", *(_cells(chosen) if chosen else ["not run yet", *[""] * 5])])
    return table(["test", "inputs", "refused", "slowest", "time", "dates", "commits"], lines)


def _cells(rows: list[dict[str, Any]]) -> list[str]:
    refused = [row["refused"] for row in rows if "refused" in row]
    slowest = [row["slowest"] for row in rows if "slowest" in row]
    return [
        f"{sum(row['count'] for row in rows):,}",
        f"{sum(refused):,}" if refused else "",
        f"{max(slowest):.1f} s" if slowest else "",
        f"{sum(row['seconds'] for row in rows) / 60:.0f} min",
        " to ".join(sorted({min(row["date"] for row in rows), max(row["date"] for row in rows)})),
        ", ".join(dict.fromkeys(row["commit"][:7] for row in rows)),
    ]
