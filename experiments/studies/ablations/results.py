"""The file of results: reading it, and comparing the two sides of a trick seed by seed."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.studies import mixtures
from experiments.studies.ablations import baselines
from experiments.studies.ablations.statistics import Interval, Verdict, paired_bootstrap, verdict
from experiments.studies.ablations.tricks import Changes, Trick

Row = dict[str, Any]
Key = tuple[str, str]
# Where the steps of a group are timed: those on the grid are those on the ring.
TIMED = {"mixture": "ring", "images": "mnist5k"}
# What a comparison reports beside the outcome that decides.
DETAILS = {"mixture": ("modes", "high_quality", "reverse_kl"), "images": ("classes", "confident")}


def key(data: str, changes: Changes) -> Key:
    """What a game is known by in the file."""
    return data, json.dumps(changes, sort_keys=True)


@lru_cache(maxsize=2)
def _read(path: Path, changed_at: int) -> list[Row]:
    return mixtures.read_rows(path)


def _rows(path: Path, kind: str) -> list[Row]:
    rows = _read(path, path.stat().st_mtime_ns if path.exists() else 0)
    return [row for row in rows if row["kind"] == kind]


def runs(path: Path) -> dict[Key, list[Row]]:
    """The runs in a file, by game, seed after seed; of baselines as they are now."""
    now = {data: baselines.digest(baselines.baseline(data)) for data in ("ring", "grid", "mnist5k")}
    found: dict[Key, dict[int, Row]] = {}
    for row in _rows(path, "run"):
        if row["baseline"] == now[row["data"]]:
            found.setdefault(key(row["data"], row["changes"]), {})[row["seed"]] = row
    return {of: [by_seed[seed] for seed in sorted(by_seed)] for of, by_seed in found.items()}


def costs(path: Path) -> dict[Key, float]:
    """Time of a step of each game that was timed, over that of the baseline; the latest of each."""
    now = {data: baselines.digest(baselines.baseline(data)) for data in TIMED.values()}
    rows = [row for row in _rows(path, "cost") if row["baseline"] == now[row["data"]]]
    return {key(row["data"], {}): 1.0 for row in rows} | {key(row["data"], row["changes"]): row["ratio"] for row in rows}


def cost(trick: Trick, data: str, path: Path) -> float | None:
    """Time of a step with a trick over that of its control, or None where one of them was not timed."""
    timed, source = costs(path), TIMED[baselines.group_of(data)]
    on, off = (timed.get(key(source, changes)) for changes in (trick.on, trick.off))
    return None if on is None or off is None else on / off


class Comparison(NamedTuple):
    """What a trick did on one source of data.

    Attributes:
        trick: the row.
        data: the source.
        seeds: how many both sides have in common.
        outcome: of the outcome that decides: mean difference, with minus without, and its bootstrap interval.
        without, with_: means of that outcome.
        details: mean difference of the other figures; None where no seed has it on both sides.
        failed: runs that failed (with, without).
        verdict: helps, hurts, unclear, or no effect; "unclear" where there is only one seed.
        closed: share of the distance from the control to real examples that the trick closes (negative: opens).
        cost: time of a step with the trick over that without, or None.
    """

    trick: Trick
    data: str
    seeds: int
    outcome: Interval
    without: float
    with_: float
    details: dict[str, float | None]
    failed: tuple[int, int]
    verdict: Verdict
    closed: float
    cost: float | None


def compare(trick: Trick, data: str, path: Path, real: float) -> Comparison | None:
    """Compares the two sides of a trick on the seeds that both have; None where there are none.

    Args:
        trick: the row.
        data: the source.
        path: file of results.
        real: the deciding outcome of real examples.
    """
    played = runs(path)
    on, off = ({row["seed"]: row for row in played.get(key(data, changes), [])} for changes in (trick.on, trick.off))
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
        without=without,
        with_=float(np.mean([on[seed][name] for seed in seeds])),
        details={figure: float(np.mean(differences(figure))) if differences(figure) else None for figure in DETAILS[group]},
        failed=(sum(on[seed]["failed"] for seed in seeds), sum(off[seed]["failed"] for seed in seeds)),
        verdict=verdict(change, higher_is_better=higher) if len(seeds) > 1 else "unclear",
        closed=float(np.mean(change)) / (real - without) if real != without else 0.0,
        cost=cost(trick, data, path),
    )
