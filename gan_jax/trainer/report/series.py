"""Curves thinned to what a screen can show, without losing a spike."""

from typing import NamedTuple

import numpy as np

STRETCHES = 333


class Series(NamedTuple):
    """One curve, as it was logged or thinned to the mean, the lowest and the highest of each of equal stretches.

    Attributes:
        steps: ascending; of a stretch, its middle.
        values: finite; of a stretch, their mean.
        lows: the lowest of each stretch; empty where nothing was thinned.
        highs: the highest of each stretch; empty where nothing was thinned.
        count: how many finite values were logged.
        first: the first logged (step, value), None where there is none.
        last: the last logged (step, value), None where there is none.
        lowest: the lowest value logged.
        highest: the highest value logged.
        broken: the steps at which the value was NaN or infinite, at most 50 of them.
        broken_count: how many there were.
    """

    steps: list[int]
    values: list[float]
    lows: list[float]
    highs: list[float]
    count: int
    first: tuple[int, float] | None
    last: tuple[int, float] | None
    lowest: float
    highest: float
    broken: list[int]
    broken_count: int


def make_series(steps: np.ndarray, values: np.ndarray, *, stretches: int = STRETCHES) -> Series:
    """One curve from the logged values; where a step was logged twice, as after a resume, the later line counts.

    Args:
        steps: [count], in the order of the file.
        values: [count], NaN and infinities among them.
        stretches: a curve of more than three times as many values is thinned to so many stretches.

    Returns:
        The curve.
    """
    _, from_the_end = np.unique(steps[::-1], return_index=True)
    order = len(steps) - 1 - from_the_end
    steps, values = steps[order], values[order]
    finite = np.isfinite(values)
    broken = steps[~finite]
    steps, values = steps[finite], values[finite]
    first, last = ((int(steps[i]), float(values[i])) for i in (0, -1)) if len(steps) else (None, None)
    lowest, highest = (float(values.min()), float(values.max())) if len(values) else (float("nan"), float("nan"))
    shown = broken[:: max(1, -(-len(broken) // 50))]
    middles, means, lows, highs = thin(steps, values, stretches) if len(values) > 3 * stretches else (steps, values, (), ())
    return Series(
        steps=[int(step) for step in middles],
        values=_short(means),
        lows=_short(lows),
        highs=_short(highs),
        count=len(values),
        first=first,
        last=last,
        lowest=lowest,
        highest=highest,
        broken=[int(step) for step in shown],
        broken_count=len(broken),
    )


def thin(steps: np.ndarray, values: np.ndarray, stretches: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Middle step, mean, lowest and highest value of each of `stretches` stretches of equally many values.

    A mean alone would hide a spike, and the extremes alone would hide the course of a noisy curve between them.

    Args:
        steps: [count], ascending.
        values: [count], finite.
        stretches: at most `count`.

    Returns:
        Four arrays [stretches]; of the first and the last stretch the step is the first and the last step, so that the curve
        spans what was logged.
    """
    starts = (np.arange(stretches) * len(values)) // stretches
    stops = np.append(starts[1:], len(values))
    middles = (steps[starts] + steps[stops - 1]) / 2
    middles[0], middles[-1] = steps[0], steps[-1]
    means = np.add.reduceat(values, starts) / (stops - starts)
    return middles, means, np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)


def _short(values) -> list[float]:
    # Six significant digits: half the bytes in the page, and nothing that a screen could show is lost.
    return [float(f"{value:.5e}") for value in values]
