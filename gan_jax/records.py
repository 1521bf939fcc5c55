"""What a run writes while it trains: metrics, times, findings, samples. Only the process that writes makes `Records`."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import pictures
from gan_jax.build import Experiment
from gan_jax.config import Config
from gan_jax.evaluation import needs_context
from gan_jax.monitor import Finding
from gan_jax.progress import ProgressBar
from gan_jax.report import LivePage, ReportError
from gan_jax.report.reading import sample_grids
from gan_jax.run_directory import METRICS, TIMING, JsonLines
from gan_jax.typing import Array, Players, PyTree
from gan_jax.watch import Probes, Watch, describe_setting, grid_labels, visible


class Records:
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
        experiment: Experiment,
        source: Any,
        directory: Path,
        *,
        steps: int,
        step: int,
        state: tuple[Players, Any],
        start: PyTree | None,
    ):
        self._directory, self._first_step, self.started = directory, step, time.monotonic()
        self._images_per_step = config.batch_size * experiment.strategy.rounds
        self._metrics_file, self._timing_file = (JsonLines(directory / name, after_step=step or -1) for name in (METRICS, TIMING))
        forget_samples(directory, after_step=step)
        self._watch = Watch(config, describe_setting(config, experiment, *state, steps), directory)
        self._probes = Probes(config, experiment, source, start) if config.monitor.enabled and config.sample_every else None
        self._tensorboard = config.tensorboard
        self._draw_samples = sampler(config, experiment, source)
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
        figures = visible({name: float(value) for name, value in jax.device_get(values).items()})
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
        survive("the samples", lambda: write_samples(self._directory, at, samples, self._bounds), self._say)
        if self._probes is not None:
            self.write(at, self._probes(samples, *state))
        survive("the report", self._live_page, self._say)

    def close(self) -> None:
        """Closes what is open."""
        if self.__dict__.get("_board") is not None:
            self._board.close()


def survive(what: str, write: Callable[[], Any], say: Callable[[str], Any]) -> Any:
    """Writes something that a run can do without; a disk that refuses it is a line, not the end of the training."""
    try:
        return write()
    except (OSError, ReportError) as error:
        say(f"{what} could not be written ({getattr(error, 'strerror', None) or error}); going on without")
        return None


def sampler(config: Config, experiment: Experiment, source: Any) -> Callable[[Players, Any], np.ndarray]:
    """The grid of samples from fixed latents (and labels, one a column; and contexts, of held-out images)."""
    count = config.sample_grid**2
    rng = jax.random.fold_in(jax.random.key(config.seed), 2)
    game = experiment.game
    labels = jnp.asarray(grid_labels(count, game.num_classes)) if game.num_classes else None
    context = None
    if needs_context(experiment):
        shown = source.held_out if source.held_out is not None else source
        real = jnp.asarray(np.stack([shown.images[index % len(shown)] for index in range(count)]))
        context = game.deal({"image": real, "label": jnp.zeros(count, jnp.int32)}, rng).context
    draw = jax.jit(lambda params, opt_state: experiment.gan.sample(params, opt_state, rng, count, labels, context))
    return lambda params, opt_state: np.asarray(draw(params, opt_state))


def bounds_of(source: Any) -> float:
    """How far from the origin the pictures of points reach: a quarter beyond the outermost coordinate of a training point.

    One figure for the whole run: pictures that each had a scale of their own would hide how the points spread and come together.
    """
    return 1.25 * float(np.abs(source.images[:, :2]).max())


def forget_samples(directory: Path, after_step: int) -> None:
    """Deletes the grids of samples of later steps, which a branch of the run left that was given up, and the animation of them."""
    later = [path for step, path in sample_grids(directory / "samples") if step > after_step]
    for path in later:
        path.unlink(missing_ok=True)
    if later:
        (directory / "samples" / "animation.gif").unlink(missing_ok=True)


def write_samples(directory: Path, step: int, samples: np.ndarray, bounds: float | None = None) -> None:
    """Writes a grid of samples; points become a scatter picture of [-bounds, bounds] in both directions."""
    picture = pictures.image_grid(samples) if samples.ndim == 4 else pictures.scatter(samples, bounds=bounds)
    pictures.save_png(
        directory / "samples" / f"step_{step:08d}.png", picture, scale=2 if samples.ndim == 4 and samples.shape[1] <= 32 else 1
    )


def write_animation(directory: Path) -> None:
    """Gathers the grids of samples into an animation; without those from before a resume with another `--sample-grid`."""
    grids = sample_grids(directory / "samples")
    if grids:
        # An animation has frames of one shape: that of the grid that the run drew last.
        shapes = [pictures.png_shape(file) for _, file in grids]
        alike = [grid for grid, shape in zip(grids, shapes) if shape == shapes[-1]]
        # Chosen before they are read: the grids of a long run would fill the memory.
        chosen = [alike[index] for index in pictures.spread(len(alike), pictures.MAX_GIF_FRAMES)]
        frames = [pictures.load_png(file) for _, file in chosen]
        pictures.save_gif(directory / "samples" / "animation.gif", frames, labels=[f"step {step}" for step, _ in chosen])


def tensorboard_writer(directory: Path, step: int) -> Any:
    """A TensorBoard writer, where tensorboardX is installed."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(directory / "tensorboard"), purge_step=step + 1 if step else None)
