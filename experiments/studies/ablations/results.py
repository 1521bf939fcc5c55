"""The file of results: reading it, and comparing the runs with and without a trick seed by seed."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.rows import read_rows
from experiments.studies.ablations import baselines
from experiments.studies.ablations.statistics import Interval, Verdict, paired_bootstrap, t_interval, verdict
from experiments.studies.ablations.tricks import Changes, Trick

Row = dict[str, Any]
Key = tuple[str, str]
# The source on which the steps of a group are timed. The step on the grid is the same as on the ring.
TIMED = {"mixture": "ring", "images": "mnist5k"}
# The outcomes that a comparison reports beside the deciding one.
DETAILS = {"mixture": ("modes", "high_quality", "reverse_kl"), "images": ("classes", "confident")}


def key(data: str, changes: Changes) -> Key:
    """Identifies a configuration in the file."""
    return data, json.dumps(changes, sort_keys=True)


def _digests() -> tuple[tuple[str, str], ...]:
    """The present baselines by source."""
    return tuple((data, baselines.digest(baselines.baseline(data))) for data in ("ring", "grid", "mnist5k"))


@lru_cache(maxsize=4)
def _rows(path: Path, kind: str, digests: tuple[tuple[str, str], ...], changed_at: int) -> dict[Key, list[Row]]:
    """The rows of a kind with the given baselines, by configuration."""
    now, found = dict(digests), {}
    for row in read_rows(path):
        if row["kind"] == kind and row["baseline"] == now[row["data"]]:
            found.setdefault(key(row["data"], row["changes"]), []).append(row)
    return found


def _current(path: Path, kind: str) -> dict[Key, list[Row]]:
    return _rows(path, kind, _digests(), path.stat().st_mtime_ns if path.exists() else 0)


def runs(path: Path) -> dict[Key, list[Row]]:
    """The runs in a file with the present baselines, by configuration, ordered by seed. The last row of each seed counts."""
    return {
        of: [by_seed[seed] for seed in sorted(by_seed)]
        for of, rows in _current(path, "run").items()
        for by_seed in [{row["seed"]: row for row in rows}]
    }


def costs(path: Path) -> dict[Key, float]:
    """The last measured time of a step of each configuration, relative to the baseline."""
    found = {of: rows[-1]["ratio"] for of, rows in _current(path, "cost").items()}
    return {key(data, {}): 1.0 for data, _ in found} | found


def cost(trick: Trick, data: str, path: Path) -> float | None:
    """Time of a step with a trick relative to its control, or None if one of them was not timed."""
    timed, source = costs(path), TIMED[baselines.group_of(data)]
    on, off = (timed.get(key(source, changes)) for changes in (trick.on, trick.off))
    return None if on is None or off is None else on / off


class Comparison(NamedTuple):
    """The effect of a trick on one source of data.

    Attributes:
        trick: The trick.
        data: The source.
        seeds: Number of seeds that both sides have in common.
        outcome: Mean difference of the deciding outcome, with minus without, and its bootstrap interval.
        student: The same mean with Student's interval, or None for one seed.
        without, with_: Means of that outcome.
        details: Mean differences of the other outcomes, or None if no seed has a value on both sides.
        failed: Numbers of failed runs (with, without).
        verdict: The verdict of `statistics.verdict`, or "unclear" for one seed.
        closed: Share of the distance from the control to real examples that the trick closes. It is negative if the distance grows.
        cost: Time of a step with the trick relative to the step without it, or None.
    """

    trick: Trick
    data: str
    seeds: int
    outcome: Interval
    student: Interval | None
    without: float
    with_: float
    details: dict[str, float | None]
    failed: tuple[int, int]
    verdict: Verdict
    closed: float
    cost: float | None


def compare(trick: Trick, data: str, path: Path, real: float) -> Comparison | None:
    """Compares the runs with and without a trick on the seeds that both sides have, or returns None if there are none.

    Args:
        trick: The trick.
        data: The source.
        path: File of results.
        real: The deciding outcome of real examples.
    """
    measured = runs(path)
    on, off = ({row["seed"]: row for row in measured.get(key(data, changes), [])} for changes in (trick.on, trick.off))
    seeds = sorted(on.keys() & off.keys())
    if not seeds:
        return None
    group = baselines.group_of(data)
    name, higher = baselines.OUTCOME[group]

    def differences(figure: str) -> list[float]:
        pairs = [(on[seed][figure], off[seed][figure]) for seed in seeds]
        return [a - b for a, b in pairs if a is not None and b is not None]

    change = differences(name)
    without = float(np.mean([off[seed][name] for seed in seeds]))
    return Comparison(
        trick=trick,
        data=data,
        seeds=len(seeds),
        outcome=paired_bootstrap(change),
        student=t_interval(change) if len(seeds) > 1 else None,
        without=without,
        with_=float(np.mean([on[seed][name] for seed in seeds])),
        details={figure: float(np.mean(differences(figure))) if differences(figure) else None for figure in DETAILS[group]},
        failed=(sum(on[seed]["failed"] for seed in seeds), sum(off[seed]["failed"] for seed in seeds)),
        verdict=verdict(change, higher_is_better=higher) if len(seeds) > 1 else "unclear",
        closed=float(np.mean(change)) / (real - without) if real != without else 0.0,
        cost=cost(trick, data, path),
    )
