"""The logs of a run: metrics.jsonl, timing.jsonl and the trackers. Only process 0 makes a `MetricWriter`."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import jax

from gan_jax.monitor import Finding, RunInfo
from gan_jax.trainer.config import Config
from gan_jax.trainer.failure_policy import FailurePolicy, drop_unset
from gan_jax.trainer.progress import ProgressBar
from gan_jax.trainer.run_directory import METRICS, TIMING
from gan_jax.trainer.writers.jsonl import JsonLines
from gan_jax.trainer.writers.loggers import Loggers
from gan_jax.typing import Array

RowWriter: TypeAlias = Callable[[int, dict[str, float]], Any]


class MetricWriter:
    """Writes the metrics of a run and passes each row to the failure policy.

    Args:
        config: The configuration of the run.
        info: The description of the run for the monitor.
        directory: Directory of the run.
        images_per_step: Number of real images that a train step receives.
        step: The step at which the run starts or continues. Later rows in existing files are removed.
        loggers: Trackers that receive each row, too.
        writers: Functions `(step, row)` that receive each row, too.
    """

    def __init__(
        self,
        config: Config,
        info: RunInfo,
        directory: Path,
        *,
        images_per_step: int,
        step: int,
        loggers: Loggers,
        writers: Sequence[RowWriter] = (),
    ):
        self.started = time.monotonic()
        self._images_per_step, self._first_step = images_per_step, step
        self._metrics_file, self._timing_file = (JsonLines(directory / name, after_step=step or -1) for name in (METRICS, TIMING))
        self._writers = tuple(writers)
        self._policy = FailurePolicy(config, info, directory)  # Reads the rows that are left in metrics.jsonl.
        self.loggers = loggers

    @property
    def failure(self) -> Finding | None:
        """The finding that ends the run, see `FailurePolicy`."""
        return self._policy.failure

    def write(self, step: int, row: dict[str, float], bar: ProgressBar) -> None:
        """Writes one row of metrics.jsonl. Findings of the monitor are printed above the bar."""
        self._metrics_file.write({"step": step} | row)
        self.loggers.write_scalars(step, row)
        for writer in self._writers:
            writer(step, dict(row))
        self._policy.observe({"step": step} | row, bar.print_above)

    def flush(self, pending: tuple[int, dict[str, Array]] | None, bar: ProgressBar) -> None:
        """Waits for the metrics of a train step and writes them, with their time.

        Args:
            pending: The step and its metrics on the device. None writes nothing.
            bar: Shows the metrics.
        """
        if pending is None:
            return
        step, values = pending
        row = drop_unset({name: float(value) for name, value in jax.device_get(values).items()})
        self.write(step, row, bar)
        elapsed = time.monotonic() - self.started
        images_per_second = (step - self._first_step) * self._images_per_step / elapsed
        self._timing_file.write({"step": step, "time": elapsed, "images_per_second": images_per_second})
        bar.show(step, row)
