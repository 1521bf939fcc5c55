"""Runs the long tests of hostile files and of the run directory in parts, and keeps what each part found.

    python tests/endurance.py files --minutes 4          hostile files made by grammar, until there are 100,000
    python tests/endurance.py directories --minutes 4    sequences of commands on a run directory, until there are 1,000
    python tests/endurance.py counts                     only prints how many there are

Run it again to go on: a part has a seed of its own, and the next part takes the next seed. Each part is a row of
docs/data/endurance.jsonl, with its counts, date and origin, and docs/reliability.md is made from these rows. The exit status is 1 if a part
fails. The part is not recorded then, and its seed is printed.
"""

import argparse
import datetime
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from experiments.rows import append_rows, origin, read_rows  # noqa: E402

ROWS = ROOT / "docs" / "data" / "endurance.jsonl"
GOALS = {"files": 100_000, "directories": 1000}
PARTS = {"files": 500, "directories": 5}  # Files of one kind, and sequences, in one part.


def counts(rows: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    """The number of inputs by test and kind."""
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        found[row["test"], row["kind"]] = found.get((row["test"], row["kind"]), 0) + row["count"]
    return found


def missing(test: str, rows: list[dict[str, Any]]) -> Iterator[tuple[str, int, int]]:
    """The parts that are not in the rows, (kind, seed, inputs), the kind with the smallest share first."""
    if test == "files":
        from test_hostile_files import READERS

        goals = {kind: round(GOALS[test] * share) for kind, (_, share, *_) in READERS.items()}
    else:
        goals = {"sequences": GOALS[test]}
    done = {kind: counts(rows).get((test, kind), 0) for kind in goals}
    seeds = {kind: max((row["seed"] for row in rows if (row["test"], row["kind"]) == (test, kind)), default=0) for kind in goals}
    while any(done[kind] < goals[kind] for kind in goals):
        kind = min(goals, key=lambda kind: done[kind] / goals[kind])
        inputs = min(PARTS[test], goals[kind] - done[kind])
        seeds[kind] += 1
        yield kind, seeds[kind], inputs
        done[kind] += inputs


def run_part(test: str, kind: str, seed: int, inputs: int) -> dict[str, Any]:
    """Runs one part and returns its counts."""
    if test == "files":
        from test_hostile_files import read_all, start_jax

        start_jax()
        with tempfile.TemporaryDirectory() as place:
            found = read_all(kind, inputs, Path(place), seed=seed)
        return {"count": found["files"], "read": found["read"], "refused": found["refused"], "slowest": round(found["slowest"], 2)}
    sys.path.insert(0, str(ROOT / "tests" / "trainer"))
    from test_run_directory_model import play

    return {"count": play(inputs, 8, seed=seed)}


def summary(rows: list[dict[str, Any]]) -> str:
    """The inputs by test and kind, and their sums."""
    lines = [f"{test} {kind}: {count:,}" for (test, kind), count in sorted(counts(rows).items())]
    for test, goal in GOALS.items():
        total = sum(count for (name, _), count in counts(rows).items() if name == test)
        lines.append(f"{test}: {total:,} of {goal:,}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("test", choices=(*GOALS, "counts"), help="what to run")
    parser.add_argument("--minutes", type=float, default=4.0, help="no part begins after this time")
    parser.add_argument("--rows", type=Path, default=ROWS, help="file of the rows")
    options = parser.parse_args(arguments)
    rows = read_rows(options.rows)
    if options.test != "counts":
        end = time.monotonic() + 60 * options.minutes
        came_from = origin(f"python tests/endurance.py {options.test}")
        for kind, seed, inputs in missing(options.test, rows.copy()):
            if time.monotonic() > end:
                break
            started = time.monotonic()
            try:
                found = run_part(options.test, kind, seed, inputs)
            except BaseException:
                print(f"{options.test} {kind}: the part with seed {seed} failed", file=sys.stderr)
                raise
            about = {"test": options.test, "kind": kind, "seed": seed, **found, "seconds": round(time.monotonic() - started, 1)}
            row = about | {"date": datetime.datetime.now(datetime.UTC).date().isoformat()} | came_from
            append_rows(options.rows, [row])
            rows.append(row)
    print(summary(rows))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    raise SystemExit(main())
