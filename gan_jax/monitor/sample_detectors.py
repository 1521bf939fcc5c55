"""What is wrong with a run, from grids of its samples: their variety, their look, and the critic's slope between reals and them."""

import math
from collections.abc import Callable

from gan_jax.monitor.history import ROWS, Detection, History, Record, RunInfo, figures, lasts, number, streak

GARBAGE_SPECTRUM = 6.0  # decibels


def lipschitz_violated(history: History, setting: RunInfo) -> Detection | None:
    """A Wasserstein critic whose slope between reals and fakes is above its bound, and not falling."""
    if setting.loss != "wasserstein":
        return None
    bound = {"none": 2.0, "penalty": 2.5 * max(setting.slope, 1.0)}.get(setting.lipschitz, 10.0)
    rows = streak(history.samples, lambda row: number(row, "samples/critic_slope") > bound)
    if not lasts(rows, 2) or number(rows[-1], "samples/critic_slope") < 0.9 * number(rows[0], "samples/critic_slope"):
        return None
    return Detection(int(rows[0]["step"]), 0.9, figures(rows[-1], "samples/critic_slope") | {"bound": bound})


def critic_not_optimal(history: History, setting: RunInfo) -> Detection | None:
    """A critic with a gradient penalty whose slope stays far below the one asked for."""
    if setting.loss != "wasserstein" or not setting.slope:
        return None
    rows = streak(history.samples, lambda row: number(row, "samples/critic_slope") < 0.3 * setting.slope)
    if not lasts(rows, ROWS) or rows[-1]["step"] < 0.3 * setting.steps:
        return None
    return Detection(int(rows[0]["step"]), 0.6, figures(rows[-1], "samples/critic_slope") | {"asked for": setting.slope})


def quality_of_samples(history: History) -> tuple[bool | None, dict[str, float]]:
    """Whether the newest samples are poor (None: nobody knows), and the figures that say so."""
    if not history.samples:
        return None, {}
    row = history.samples[-1]
    poor = number(row, "samples/spectrum") > GARBAGE_SPECTRUM or number(row, "samples/nearest_real") > 1.5
    poor |= number(row, "samples/pairwise_distance") < 0.3 or number(row, "samples/confident") < 0.6
    return poor, figures(row, "samples/spectrum", "samples/nearest_real", "samples/confident")


def mode_collapse(history: History, setting: RunInfo) -> Detection | None:
    """Samples that are nearly one image; later in a run, samples that were more varied before or never became varied, or one class.

    The samples of every generator are alike at first: only a fall tells a collapse from a slow beginning.
    """
    shown = ("samples/pairwise_distance", "samples/classes", "samples/confident")

    def distance(row: Record) -> float:
        return number(row, "samples/pairwise_distance")

    def later(share: float, holds: Callable[[Record], bool]) -> list[Record]:
        return streak(history.samples, lambda row: row["step"] > share * setting.steps and holds(row))

    peak = max((distance(row) for row in history.samples if math.isfinite(distance(row))), default=math.nan)
    for rows, confidence in (
        (later(0.0, lambda row: distance(row) < 0.03), 0.95),
        (later(0.1, lambda row: distance(row) < min(0.35, 0.6 * peak)), 0.85),
        (later(0.5, lambda row: distance(row) < 0.12), 0.85),
        # Images that are varied, and of one class; blurred ones of a slow beginning are classed alike, too.
        (later(0.3, lambda row: _one_class(row) and distance(row) > 0.3), 0.85),
    ):
        if lasts(rows, ROWS) and distance(rows[-1]) <= 1.3 * distance(rows[-ROWS]):
            return Detection(int(rows[0]["step"]), confidence, figures(rows[-1], *shown) | {"highest before": peak})
    return None


def _one_class(row: Record) -> bool:
    return number(row, "samples/classes") < 1.7 and number(row, "samples/confident") > 0.85


def class_collapse(history: History, setting: RunInfo) -> Detection | None:
    """A class whose samples vary less than a fifth as much as those of most classes, each beside its training images."""
    shown = ("samples/least_varied_class", "samples/least_class_spread", "samples/class_spread")

    def holds(row: Record) -> bool:
        usual = number(row, "samples/class_spread")
        return usual > 0.1 and number(row, "samples/least_class_spread") < 0.2 * usual

    rows = streak(history.samples, holds)
    return Detection(int(rows[0]["step"]), 0.85, figures(rows[-1], *shown)) if lasts(rows, ROWS) else None


def few_dimensions(history: History, setting: RunInfo) -> Detection | None:
    """Samples of less than a third of the dimensions of as many reals."""
    rows = streak(history.samples, lambda row: row["step"] > 0 and 0 < number(row, "samples/dimension") < 0.3)
    return Detection(int(rows[0]["step"]), 0.9, figures(rows[-1], "samples/dimension")) if lasts(rows, ROWS) else None


def memorisation(history: History, setting: RunInfo) -> Detection | None:
    """Half of the samples are near copies of training images."""
    rows = streak(history.samples, lambda row: number(row, "samples/copied") >= 0.5)
    return Detection(int(rows[0]["step"]), 0.9, figures(rows[-1], "samples/copied", "samples/nearest_real")) if lasts(rows, 2) else None


def saturated_output(history: History, setting: RunInfo) -> Detection | None:
    """Samples of pure black and white, where reals have shades."""

    def holds(row: Record) -> bool:
        return row["step"] > 0 and number(row, "samples/saturated") > 0.97 and number(row, "samples/saturated_excess") > 0.08

    rows = streak(history.samples, holds)
    shown = ("samples/saturated", "samples/saturated_excess")
    return Detection(int(rows[0]["step"]), 0.85, figures(rows[-1], *shown)) if lasts(rows, ROWS) else None


def checkerboard(history: History, setting: RunInfo) -> Detection | None:
    """In the second half of a run, for a tenth of it, 12 decibels too much at the highest frequency, beside the frequencies next to it."""
    rows = streak(history.samples, lambda row: row["step"] >= 0.5 * setting.steps and number(row, "samples/checkerboard") > 12)
    return (
        Detection(int(rows[0]["step"]), 0.6, figures(rows[-1], "samples/checkerboard")) if lasts(rows, ROWS, setting.steps // 10) else None
    )


def dead_ema(history: History, setting: RunInfo) -> Detection | None:
    """The average has gone less than 2% of the generator's way from where both began."""
    rows = streak(history.samples, lambda row: row["step"] >= 0.1 * setting.steps and number(row, "samples/ema_progress") < 0.02)
    return Detection(int(rows[0]["step"]), 0.9, figures(rows[-1], "samples/ema_progress")) if lasts(rows, 2) else None
