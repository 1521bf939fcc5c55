"""Detectors that read the `samples/...` metrics: variety and quality of samples, and the critic's slope between reals and fakes."""

import math
from collections.abc import Callable

from gan_jax.monitor.history import ROWS, Detection, History, Record, RunInfo, detection, figures, lasts, number, streak

POOR_SPECTRUM = 6.0  # decibels


def lipschitz_violated(history: History, info: RunInfo) -> Detection | None:
    """The slope of a Wasserstein critic between reals and fakes is above its bound and does not fall."""
    if info.loss != "wasserstein":
        return None
    bound = {"none": 2.0, "penalty": 2.5 * max(info.slope, 1.0)}.get(info.lipschitz, 10.0)
    rows = streak(history.samples, lambda row: number(row, "samples/critic_slope") > bound)
    if not lasts(rows, 2) or number(rows[-1], "samples/critic_slope") < 0.9 * number(rows[0], "samples/critic_slope"):
        return None
    return Detection(int(rows[0]["step"]), 0.9, figures(rows[-1], "samples/critic_slope") | {"bound": bound})


def critic_not_optimal(history: History, info: RunInfo) -> Detection | None:
    """The slope of a critic with a gradient penalty stays far below the slope that the penalty requires."""
    if info.loss != "wasserstein" or not info.slope:
        return None
    rows = streak(history.samples, lambda row: number(row, "samples/critic_slope") < 0.3 * info.slope)
    if not lasts(rows, ROWS) or rows[-1]["step"] < 0.3 * info.steps:
        return None
    return Detection(int(rows[0]["step"]), 0.6, figures(rows[-1], "samples/critic_slope") | {"required": info.slope})


def quality_of_samples(history: History) -> tuple[bool | None, dict[str, float]]:
    """Whether the newest samples are poor, and the figures that show it. None and no figures if there are no samples."""
    if not history.samples:
        return None, {}
    row = history.samples[-1]
    poor = number(row, "samples/spectrum") > POOR_SPECTRUM or number(row, "samples/nearest_real") > 1.5
    poor |= number(row, "samples/pairwise_distance") < 0.3 or number(row, "samples/confident") < 0.6
    return poor, figures(row, "samples/spectrum", "samples/nearest_real", "samples/confident")


def mode_collapse(history: History, info: RunInfo) -> Detection | None:
    """The samples are nearly one image. Later in a run also if their variety fell, if they never became varied, or if all are of one class.

    Samples of every generator are alike at first. Only a fall of the variety separates a collapse from a slow start.
    """
    names = ("samples/pairwise_distance", "samples/classes", "samples/confident")

    def distance(row: Record) -> float:
        return number(row, "samples/pairwise_distance")

    def later(share: float, holds: Callable[[Record], bool]) -> list[Record]:
        return streak(history.samples, lambda row: row["step"] > share * info.steps and holds(row))

    peak = max((distance(row) for row in history.samples if math.isfinite(distance(row))), default=math.nan)
    for rows, confidence in (
        (later(0.0, lambda row: distance(row) < 0.03), 0.95),
        (later(0.1, lambda row: distance(row) < min(0.35, 0.6 * peak)), 0.85),
        (later(0.5, lambda row: distance(row) < 0.12), 0.85),
        # The images must be varied, because the blurred images of a slow start are also classified alike.
        (later(0.3, lambda row: _one_class(row) and distance(row) > 0.3), 0.85),
    ):
        if lasts(rows, ROWS) and distance(rows[-1]) <= 1.3 * distance(rows[-ROWS]):
            return Detection(int(rows[0]["step"]), confidence, figures(rows[-1], *names) | {"highest before": peak})
    return None


def _one_class(row: Record) -> bool:
    return number(row, "samples/classes") < 1.7 and number(row, "samples/confident") > 0.85


def class_collapse(history: History, info: RunInfo) -> Detection | None:
    """The samples of one class vary less than a fifth as much as those of most classes, relative to the training images of each."""

    def holds(row: Record) -> bool:
        usual = number(row, "samples/class_spread")
        return usual > 0.1 and number(row, "samples/least_class_spread") < 0.2 * usual

    names = ("samples/least_varied_class", "samples/least_class_spread", "samples/class_spread")
    return detection(streak(history.samples, holds), 0.85, *names)


def few_dimensions(history: History, info: RunInfo) -> Detection | None:
    """The intrinsic dimension of the samples is less than 0.3 of that of equally many reals."""
    rows = streak(history.samples, lambda row: row["step"] > 0 and 0 < number(row, "samples/dimension") < 0.3)
    return detection(rows, 0.9, "samples/dimension")


def memorisation(history: History, info: RunInfo) -> Detection | None:
    """Half of the samples are near copies of training images."""
    rows = streak(history.samples, lambda row: number(row, "samples/copied") >= 0.5)
    return detection(rows, 0.9, "samples/copied", "samples/nearest_real", count=2)


def saturated_output(history: History, info: RunInfo) -> Detection | None:
    """Nearly all pixels of the samples are black or white, and more than those of the reals."""

    def holds(row: Record) -> bool:
        return row["step"] > 0 and number(row, "samples/saturated") > 0.97 and number(row, "samples/saturated_excess") > 0.08

    return detection(streak(history.samples, holds), 0.85, "samples/saturated", "samples/saturated_excess")


def checkerboard(history: History, info: RunInfo) -> Detection | None:
    """The power at the highest frequency exceeds that of the next frequencies by 12 decibels, for a tenth of the run in its second half."""
    rows = streak(history.samples, lambda row: row["step"] >= 0.5 * info.steps and number(row, "samples/checkerboard") > 12)
    return detection(rows, 0.6, "samples/checkerboard", steps=info.steps // 10)


def dead_ema(history: History, info: RunInfo) -> Detection | None:
    """The moving average has moved less than 2% as far from its start as the generator."""
    rows = streak(history.samples, lambda row: row["step"] >= 0.1 * info.steps and number(row, "samples/ema_progress") < 0.02)
    return detection(rows, 0.9, "samples/ema_progress", count=2)
