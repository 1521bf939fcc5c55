"""Down-samples curves for the screen, without losing a spike."""

from typing import NamedTuple

import numpy as np

BINS = 333


class Series(NamedTuple):
    """One curve, as it was logged, or down-sampled to the mean, minimum and maximum of bins.

    Attributes:
        steps: Steps in ascending order. For a bin, its middle step.
        values: Finite values. For a bin, their mean.
        lows: Minimum of each bin. Empty if the curve is not down-sampled.
        highs: Maximum of each bin. Empty if the curve is not down-sampled.
        count: Number of finite values that were logged.
        first: The first logged (step, value), or None.
        last: The last logged (step, value), or None.
        lowest: The lowest logged value.
        highest: The highest logged value.
        broken: At most 50 of the steps at which the value was NaN or infinite.
        broken_count: Number of steps at which the value was NaN or infinite.
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


def make_series(steps: np.ndarray, values: np.ndarray, *, bins: int = BINS) -> Series:
    """Makes one curve from the logged values. If a step was logged twice, e.g. after a resume, the later value counts.

    Args:
        steps: [count], in the order of the file.
        values: [count], possibly NaN or infinite.
        bins: Number of bins. A curve with more than three times as many values is down-sampled.

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
    middles, means, lows, highs = thin(steps, values, bins) if len(values) > 3 * bins else (steps, values, (), ())
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
        broken=[int(step) for step in broken[:: max(1, -(-len(broken) // 50))]],
        broken_count=len(broken),
    )


def thin(steps: np.ndarray, values: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Down-samples a curve to bins of equally many values.

    The mean alone would hide spikes. The minimum and maximum alone would hide the trend of a noisy curve.

    Args:
        steps: [count], ascending.
        values: [count], finite.
        bins: Number of bins, at most `count`.

    Returns:
        Middle step, mean, minimum and maximum of each bin, four arrays [bins]. The first and the last step are those of the curve.
    """
    starts = (np.arange(bins) * len(values)) // bins
    stops = np.append(starts[1:], len(values))
    middles = (steps[starts] + steps[stops - 1]) / 2
    middles[0], middles[-1] = steps[0], steps[-1]
    means = np.add.reduceat(values, starts) / (stops - starts)
    return middles, means, np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)


def _short(values) -> list[float]:
    # Six significant digits need half the bytes, and a screen shows no difference.
    return [float(f"{value:.5e}") for value in values]
