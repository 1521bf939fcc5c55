"""What a run writes while it trains: metrics, times, findings, samples. Only the process that writes makes `MetricWriter`."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from gan_jax.monitor import Finding
from gan_jax.trainer.build.gan import BuiltGAN
from gan_jax.trainer.config import Config
from gan_jax.trainer.failure_policy import FailurePolicy, describe_run, drop_unset
from gan_jax.trainer.probes import Probes
from gan_jax.trainer.progress import ProgressBar
from gan_jax.trainer.report import LivePage, ReportError
from gan_jax.trainer.run_directory import METRICS, TIMING
from gan_jax.trainer.writers.jsonl import JsonLines
from gan_jax.trainer.writers.samples import bounds_of, forget_samples, sampler, write_samples
from gan_jax.trainer.writers.tensorboard import tensorboard_writer
from gan_jax.typing import Array, Players, PyTree


class MetricWriter:
    """The growing files of a run, its monitor and its samples.

    Args:
        config, experiment, source, directory: of the run.
        steps: that it is to take.
        step: where it begins or goes on; later lines and grids of samples are forgotten.
        state: (params, opt_state), on one device.
        start: the generator's parameters at step 0, where an average of them is tracked; None otherwise.
    """

    def __init__(
        self,
        config: Config,
        built: BuiltGAN,
        source: Any,
        directory: Path,
        *,
        steps: int,
        step: int,
        state: tuple[Players, Any],
        start: PyTree | None,
    ):
        self._directory, self._first_step, self.started = directory, step, time.monotonic()
        self._images_per_step = config.batch_size * built.rule.batches_per_step
        self._metrics_file, self._timing_file = (JsonLines(directory / name, after_step=step or -1) for name in (METRICS, TIMING))
        forget_samples(directory, after_step=step)
        self._watch = FailurePolicy(config, describe_run(config, built, *state, steps), directory)
        self._probes = Probes(config, built, source, start) if config.monitor.enabled and config.sample_every else None
        self._tensorboard = config.tensorboard
        self._draw_samples = sampler(config, built, source)
        self._bounds = None if source.is_images else bounds_of(source)
        self._live_page = LivePage(directory)
        self._say: Callable[[str], Any] = print

    @functools.cached_property
    def _board(self) -> Any:
        """The TensorBoard writer. Made with the first line: importing it is slow, which the device's first steps hide."""
        return tensorboard_writer(self._directory, self._first_step) if self._tensorboard else None

    def beside(self, bar: ProgressBar) -> None:
        """Says from now on what there is to say above this bar."""
        self._say = bar.say

    @property
    def failure(self) -> Finding | None:
        """The finding that ends the run."""
        return self._watch.failure

    def write(self, at: int, figures: dict[str, float]) -> None:
        """One line of metrics; the monitor looks at it."""
        self._metrics_file.write({"step": at} | figures)
        self._watch.observe({"step": at} | figures, self._say)

    def flush(self, pending: tuple[int, dict[str, Array]] | None, bar: ProgressBar) -> None:
        """Waits for the metrics of a step, and writes them."""
        if pending is None:
            return
        at, values = pending
        figures = drop_unset({name: float(value) for name, value in jax.device_get(values).items()})
        self.write(at, figures)
        elapsed = time.monotonic() - self.started
        self._timing_file.write(
            {"step": at, "time": elapsed, "images_per_second": (at - self._first_step) * self._images_per_step / elapsed}
        )
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(name, value, at)
        bar.show(at, figures)

    def show(self, at: int, state: tuple[Players, Any]) -> None:
        """Draws, writes and probes a grid of samples."""
        samples = self._draw_samples(*state)
        warn_on_oserror("the samples", lambda: write_samples(self._directory, at, samples, self._bounds), self._say)
        if self._probes is not None:
            self.write(at, self._probes(samples, *state))
        warn_on_oserror("the report", self._live_page, self._say)

    def close(self) -> None:
        """Closes what is open."""
        if self.__dict__.get("_board") is not None:
            self._board.close()


def warn_on_oserror(what: str, write: Callable[[], Any], say: Callable[[str], Any]) -> Any:
    """Writes something that a run can do without; a disk that refuses it is a line, not the end of the training."""
    try:
        return write()
    except (OSError, ReportError) as error:
        say(f"{what} could not be written ({getattr(error, 'strerror', None) or error}); going on without")
        return None
