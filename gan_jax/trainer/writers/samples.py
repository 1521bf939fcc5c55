"""Grids of samples during training, and their animation."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.gan.state import named_key
from gan_jax.trainer import image_grid
from gan_jax.trainer.build.gan import BuiltGAN
from gan_jax.trainer.config import Config
from gan_jax.trainer.contexts import as_image, contexts_of, cycle_of, needs_context, read_examples, translates
from gan_jax.trainer.probes import Probes, grid_labels
from gan_jax.trainer.progress import ProgressBar
from gan_jax.trainer.report import LivePage
from gan_jax.trainer.report.reading import sample_grids
from gan_jax.trainer.writers.errors import warn_on_oserror
from gan_jax.trainer.writers.metric_writer import MetricWriter
from gan_jax.typing import Players, PyTree

REALS_SHOWN = 2000  # Number of training points behind the samples.


class SampleWriter:
    """Writes grids of samples, measures them for the monitor and updates the live report.

    Args:
        config: The configuration of the run.
        built: The GAN of the run.
        source: The data set of the run.
        directory: Directory of the run.
        metrics: Receives the measurements of the samples.
        step: The step at which the run starts or continues. Later grids are deleted.
        start: Parameters of G at step 0 if their moving average is tracked. Otherwise None.
    """

    def __init__(
        self, config: Config, built: BuiltGAN, source: Any, directory: Path, metrics: MetricWriter, *, step: int, start: PyTree | None
    ):
        self._directory, self._metrics = directory, metrics
        forget_samples(directory, after_step=step)
        self._probes = Probes(config, built, source, start) if config.monitor.enabled and config.sample_every else None
        self._sample = sampler(config, built, source)
        self._pairs = translation_rows(config, built, source)
        self._bounds = None if source.is_images else bounds_of(source)
        self._real = None if source.is_images else np.asarray(source.images[:REALS_SHOWN])
        self._live_page = LivePage(directory)

    def write(self, step: int, state: tuple[Players, Any], bar: ProgressBar) -> None:
        """Samples, writes and measures the grid of a step.

        Args:
            step: The step.
            state: (params, opt_state) on one device.
            bar: Warnings and findings are printed above it.
        """
        samples = self._sample(*state)
        shown, columns = (samples, None) if self._pairs is None else self._pairs(samples, *state)
        written = partial(write_samples, self._directory, step, shown, self._bounds, columns=columns, real=self._real)
        grid = warn_on_oserror("the samples", written, bar.print_above)
        if grid is not None:
            self._metrics.loggers.write_image(step, grid)
            bar.show_samples(step, grid)
        if self._probes is not None:
            self._metrics.write(step, self._probes(samples, *state), bar)
        warn_on_oserror("the report", self._live_page, bar.print_above)


def sampler(config: Config, built: BuiltGAN, source: Any) -> Callable[[Players, Any], np.ndarray]:
    """A function (params, opt_state) -> samples of the grid, float [sample_grid^2, ...], from latents that stay the same.

    A conditional model draws one class in each column. A generator that is conditioned on images receives held-out images.
    `translation_rows` puts these beside the samples.
    """
    count = config.sample_grid**2
    rng, spec = _grid_key(config), built.spec
    labels = jnp.asarray(grid_labels(count, spec.num_classes)) if spec.num_classes else None
    context = grid_contexts(config, built, source)[1] if needs_context(built) else None
    sample = jax.jit(lambda params, opt_state: built.gan.sample(params, opt_state, rng, count, labels, context))
    return lambda params, opt_state: np.asarray(sample(params, opt_state))


def grid_contexts(config: Config, built: BuiltGAN, source: Any) -> tuple[np.ndarray, Any]:
    """The held-out images of the grid, float [sample_grid^2, ...], and the contexts that belong to them."""
    real, inputs = read_examples(source.held_out or source, range(config.sample_grid**2))
    return real, contexts_of(built.spec, named_key(_grid_key(config), "context"), jnp.asarray(real), inputs)


def translation_rows(config: Config, built: BuiltGAN, source: Any) -> Callable[..., tuple[np.ndarray, int]] | None:
    """A function that puts the input, the output and the target of a translation side by side. None if G does not translate images.

    It takes the samples of the grid, the parameters and the state. It returns images [count, height, 3 width, channels] and the number of
    columns of their grid. The grid has sample_grid rows, and is about as wide as one of single samples. A generator between two domains
    has A, A to B, A to B to A, B, B to A, and B to A to B side by side.
    """
    if not translates(config, built):
        return None
    real, contexts = grid_contexts(config, built, source)
    columns = max(1, config.sample_grid // (6 if built.spec.two_domains else 3))
    count = columns * config.sample_grid
    given = np.broadcast_to(as_image(np.asarray(contexts[:count]), real.shape), real[:count].shape)

    cycle = cycle_of(built)

    def rows(samples: np.ndarray, params: Players, opt_state: Any) -> tuple[np.ndarray, int]:
        if built.spec.two_domains:
            return np.concatenate(cycle(params, opt_state, given, real[:count]), axis=2), columns
        return np.concatenate([given, samples[:count], real[:count]], axis=2), columns

    return rows


def _grid_key(config: Config) -> Any:
    return jax.random.fold_in(jax.random.key(config.seed), 2)


def bounds_of(source: Any) -> float:
    """Half the side of the scatter images of points: 1.25 times the largest coordinate of the training points.

    All scatter images of a run have this scale, so that they show how the samples spread and contract.
    """
    return 1.25 * float(np.abs(source.images[:, :2]).max())


def forget_samples(directory: Path, after_step: int) -> None:
    """Deletes the grids of samples after a step. If there were any, it also deletes their animation."""
    later = [path for step, path in sample_grids(directory / "samples") if step > after_step]
    for path in later:
        path.unlink(missing_ok=True)
    if later:
        (directory / "samples" / "animation.gif").unlink(missing_ok=True)


def write_samples(
    directory: Path,
    step: int,
    samples: np.ndarray,
    bounds: float | None = None,
    *,
    columns: int | None = None,
    real: np.ndarray | None = None,
) -> np.ndarray:
    """Writes the grid of samples of a step. Small images are enlarged.

    Args:
        directory: Directory of the run.
        step: The step.
        samples: Images [count, height, width, channels], or points [count, dim], which become a scatter image.
        bounds: The scatter image shows [-bounds, bounds] in both directions.
        columns: Number of columns of the grid. By default it is nearly square.
        real: Real points for the scatter image, float [count, dim].

    Returns:
        The grid in its own size, uint8 [height, width, channels].
    """
    grid = image_grid.image_grid(samples, cols=columns) if samples.ndim == 4 else image_grid.scatter(samples, bounds=bounds, real=real)
    scale = 2 if samples.ndim == 4 and samples.shape[1] <= 32 else 1
    image_grid.save_png(directory / "samples" / f"step_{step:08d}.png", grid, scale=scale)
    return grid


def write_animation(directory: Path) -> None:
    """Writes the grids of samples as an animation.

    The frames of an animation have one shape. Grids with another shape than the last one, e.g. from before a resume with another
    `--sample-grid`, are left out.
    """
    grids = sample_grids(directory / "samples")
    if grids:
        shapes = [image_grid.png_shape(file) for _, file in grids]
        alike = [grid for grid, shape in zip(grids, shapes) if shape == shapes[-1]]
        # Frames are selected before they are read, because all grids of a long run would not fit into memory.
        chosen = [alike[index] for index in image_grid.spread(len(alike), image_grid.MAX_GIF_FRAMES)]
        frames = [image_grid.load_png(file) for _, file in chosen]
        image_grid.save_gif(directory / "samples" / "animation.gif", frames, labels=[f"step {step}" for step, _ in chosen])
