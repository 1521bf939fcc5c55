"""The file of results: reading it, and comparing the runs with and without a trick seed by seed."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from experiments.rows import read_rows
from experiments.studies.ablations import baselines
from experiments.studies.ablations.statistics import Interval, Verdict, paired_test, t_interval, verdict
from experiments.studies.ablations.tricks import Changes, Trick

Row = dict[str, Any]
Key = tuple[str, str]
# The source on which the steps of a group are timed. The step on the grid is the same as on the ring.
TIMED = {"mixture": "ring", "images": "mnist5k"}
# The outcomes that a comparison reports beside the deciding one.
DETAILS = {"mixture": ("modes",), "images": ("classes", "confident")}


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


class OutcomeChange(NamedTuple):
    """The change of one deciding outcome.

    Attributes:
        figure: Name of the outcome.
        higher_is_better: Whether a larger outcome is better.
        interval: Mean difference, with minus without, and Student's 95% interval. None for one seed.
        p: Two-sided p-value of Student's paired test. 1 for one seed.
        adjusted: That p-value after Benjamini and Hochberg, over all outcomes of all comparisons.
    """

    figure: str
    higher_is_better: bool
    interval: Interval | None
    p: float
    adjusted: float


class Comparison(NamedTuple):
    """The effect of a trick on one source of data.

    Attributes:
        trick: The trick.
        data: The source.
        seeds: Number of seeds that both sides have in common.
        changes: The changes of the deciding outcomes.
        without: Mean of the first of them without the trick.
        details: Mean differences of the other outcomes, or None if no seed has a value on both sides.
        failed: Numbers of failed runs (with, without).
        closed: Share of the distance from the control to real examples that the trick closes, by the first outcome. It is negative if the
            distance grows.
        cost: Time of a step with the trick relative to the step without it, or None.
        verdict: The verdict of `statistics.verdict`, by the adjusted p-values.
    """

    trick: Trick
    data: str
    seeds: int
    changes: tuple[OutcomeChange, ...]
    without: float
    details: dict[str, float | None]
    failed: tuple[int, int]
    closed: float
    cost: float | None
    verdict: Verdict = "unclear"


def compare(trick: Trick, data: str, path: Path, real: float) -> Comparison | None:
    """Compares the runs with and without a trick on the seeds that both sides have, or returns None if there are none.

    Args:
        trick: The trick.
        data: The source.
        path: File of results.
        real: The first deciding outcome of real examples.
    """
    measured = runs(path)
    on, off = ({row["seed"]: row for row in measured.get(key(data, changes), [])} for changes in (trick.on, trick.off))
    seeds = sorted(on.keys() & off.keys())
    if not seeds:
        return None

    def differences(figure: str) -> list[float]:
        pairs = [(on[seed][figure], off[seed][figure]) for seed in seeds]
        return [a - b for a, b in pairs if a is not None and b is not None]

    group = baselines.group_of(data)
    changes = tuple(_change(figure, higher, differences(figure)) for figure, higher in baselines.OUTCOMES[group])
    first = baselines.OUTCOMES[group][0][0]
    known = [off[seed][first] for seed in seeds if off[seed][first] is not None]
    without = float(np.mean(known)) if known else float("nan")
    mean = changes[0].interval.mean if changes[0].interval else float("nan")
    return Comparison(
        trick=trick,
        data=data,
        seeds=len(seeds),
        changes=changes,
        without=without,
        details={figure: float(np.mean(differences(figure))) if differences(figure) else None for figure in DETAILS[group]},
        failed=(sum(on[seed]["failed"] for seed in seeds), sum(off[seed]["failed"] for seed in seeds)),
        closed=mean / (real - without) if real != without else 0.0,
        cost=cost(trick, data, path),
    )


def _change(figure: str, higher: bool, differences: list[float]) -> OutcomeChange:
    if len(differences) < 2:
        return OutcomeChange(figure, higher, None, 1.0, 1.0)
    p = paired_test(differences).student
    return OutcomeChange(figure, higher, t_interval(differences), p, p)


def adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with adjusted p-values and verdicts. All outcomes of all of them are one family (Benjamini and Hochberg, 1995)."""
    values = [change.p for one in comparisons for change in one.changes]
    found = iter(stats.false_discovery_control(values) if values else [])
    judged = []
    for one in comparisons:
        changes = tuple(change._replace(adjusted=float(next(found))) for change in one.changes)
        word = verdict([(change.interval.mean, change.adjusted, change.higher_is_better) for change in changes if change.interval])
        judged.append(one._replace(changes=changes, verdict=word if changes[0].interval else "unclear"))
    return judged
