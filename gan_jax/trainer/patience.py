"""Early stop: a run ends if its metric has not improved for some evaluations (`--evaluation.patience`)."""

import math
from pathlib import Path
from typing import NamedTuple

from gan_jax.trainer.config import Config
from gan_jax.trainer.differences import read_rows
from gan_jax.trainer.evaluate import NOT_FINITE, best_mode, metric_values
from gan_jax.trainer.run_directory import METRICS

PREFIX = "evaluation/"  # Of the metrics of an evaluation in metrics.jsonl.


class Patience(NamedTuple):
    """The evaluations of a run so far.

    Attributes:
        metric: The metric that decides, `--evaluation.best`.
        waited: Number of evaluations since the best one.
        best_step: Step of the best evaluation. None if there is none.
        best: Its value.
    """

    metric: str
    waited: int = 0
    best_step: int | None = None
    best: float = math.nan

    def line(self) -> str:
        """Why the run ends, in one line."""
        best = f"the best was {self.best:.4g} at step {self.best_step}, whose checkpoint is kept"
        return f"{self.metric} has not improved for {self.waited} evaluations; {best if self.best_step else 'none of them was finite'}"


def patience_of(directory: Path, config: Config) -> Patience:
    """Reads the evaluations of a run from metrics.jsonl, so that a resumed run counts those before it, too.

    A value that is not finite is never the best. Equal values are no improvement.
    """
    rows, _ = read_rows(directory / METRICS)
    metric, lower = config.evaluation.best, best_mode(config.evaluation.best) == "min"
    result = Patience(metric)
    for step in sorted(rows):
        values = {name.removeprefix(PREFIX): value for row in rows[step] for name, value in row.items() if name.startswith(PREFIX)}
        named = metric_values([{"metric": name, "value": value} for name, value in values.items()])
        if metric not in named and NOT_FINITE not in named:  # Samples that are not finite are no improvement.
            continue
        value = math.nan if named.get(metric) is None else named[metric]
        better = result.best_step is None or (value < result.best if lower else value > result.best)
        improved = math.isfinite(value) and better
        result = Patience(metric, 0, step, value) if improved else result._replace(waited=result.waited + 1)
    return result


def out_of_patience(directory: Path, config: Config) -> bool:
    """Whether the metric has not improved for `--evaluation.patience` evaluations in a row. False without this flag."""
    return bool(config.evaluation.patience) and patience_of(directory, config).waited >= config.evaluation.patience
