"""Ranks the settings of a sweep: median outcome over the seeds, failures, and the best of k random settings."""

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from gan_jax.trainer.evaluate import best_mode
from gan_jax.trainer.run_directory import read_json
from gan_jax.trainer.sweep.directory import Sweep


class RunOutcome(NamedTuple):
    """The outcome of a run.

    Attributes:
        run: Index of the run.
        seed: Its seed.
        value: Value of the metric that ranks the runs. None if the run failed before it could be measured.
        metric: Name of the metric.
        failure: Name of the failure that the monitor is sure of, "not measured" if there is no value, or "".
    """

    run: int
    seed: int
    value: float | None
    metric: str
    failure: str


class SettingOutcome(NamedTuple):
    """The outcome of a setting over its seeds.

    Attributes:
        settings: Flag -> value.
        runs: The outcomes of its finished runs.
        median: Median of the values. A run without a value counts as worse than all others. None if half of the runs have none.
        failed: Number of runs that failed.
    """

    settings: dict[str, Any]
    runs: list[RunOutcome]
    median: float | None
    failed: int


def read_outcomes(sweep: Sweep) -> list[RunOutcome]:
    """The outcomes of the runs of all programs that have finished."""
    found = []
    for program, numbers in enumerate(sweep.programs):
        if sweep.result(program) is None:
            continue
        for run in numbers:
            record = read_json(sweep.run_directory(run) / "run.json")
            failure = record["failure"] or ("not measured" if record["measured"] and record["outcome"] is None else "")
            found.append(RunOutcome(run, record["seed"], record["outcome"], record["metric"], failure))
    return sorted(found)


def rank(sweep: Sweep, outcomes: Sequence[RunOutcome]) -> list[SettingOutcome]:
    """The settings, the best median first. Settings without a median are last."""
    groups: dict[str, list[RunOutcome]] = {}
    for outcome in outcomes:
        groups.setdefault(repr(sweep.runs[outcome.run].settings), []).append(outcome)
    highest = best_mode(sweep.base.evaluation.best) == "max"
    rows = [
        SettingOutcome(sweep.runs[group[0].run].settings, group, _median(group, highest), sum(bool(row.failure) for row in group))
        for group in groups.values()
    ]
    sign = -1 if highest else 1
    return sorted(rows, key=lambda row: (row.median is None, 0.0 if row.median is None else sign * row.median, row.failed))


def _median(group: Sequence[RunOutcome], highest: bool) -> float | None:
    worst = -math.inf if highest else math.inf
    median = statistics.median(worst if outcome.value is None else outcome.value for outcome in group)
    return median if math.isfinite(median) else None


def best_of(values: Sequence[float], *, highest: bool = False) -> list[float]:
    """Expected best of k settings that are drawn at random without replacement from the measured ones, for k = 1 .. n.

        E[min of k] = sum_i v_(i) C(n - i, k - 1) / C(n, k)

    with the values in ascending order. It is the average over all subsets of k settings, so it is unbiased for the best of k settings of
    the search space. The plain minimum of k values is one draw of it.

    Args:
        values: One value for each setting, finite.
        highest: Whether the highest value is the best.

    Returns:
        n values.

    References:
        Dodge et al., "Show Your Work: Improved Reporting of Experimental Results", 2019, in the unbiased form of Tang et al., "Showing Your
        Work Doesn't Always Work", 2020.
    """
    ordered, count = sorted(values, reverse=highest), len(values)
    return [
        sum(value * (math.comb(count - i, k - 1) / math.comb(count, k)) for i, value in enumerate(ordered, 1)) for k in range(1, count + 1)
    ]


def best_of_quantile(values: Sequence[float], quantile: float, *, highest: bool = False) -> list[float]:
    """A quantile of the best of k settings, for k = 1 .. n. See `best_of`; quantile 0 is the best value."""
    ordered, count, found = sorted(values, reverse=highest), len(values), []
    for k in range(1, count + 1):
        # The best of k is among the first i values unless all k are among the other n - i.
        shares = (1 - math.comb(count - i, k) / math.comb(count, k) for i in range(1, count + 1))
        found.append(next(value for value, share in zip(ordered, shares) if share >= quantile - 1e-12))
    return found


def search_values(settings: Sequence[SettingOutcome], *, highest: bool = False) -> list[float]:
    """One finite value for each setting: its median. A setting that failed counts as the worst of the others."""
    known = [row.median for row in settings if row.median is not None]
    if not known:
        return []
    worst = min(known) if highest else max(known)
    return [worst if row.median is None else row.median for row in settings]
