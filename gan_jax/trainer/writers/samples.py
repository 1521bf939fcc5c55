"""Grids of samples and their animation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.trainer import image_grid
from gan_jax.trainer.build.gan import BuiltGAN
from gan_jax.trainer.config import Config
from gan_jax.trainer.evaluate import needs_context
from gan_jax.trainer.probes import grid_labels
from gan_jax.trainer.report.reading import sample_grids
from gan_jax.typing import Players


def sampler(config: Config, built: BuiltGAN, source: Any) -> Callable[[Players, Any], np.ndarray]:
    """The grid of samples from fixed latents (and labels, one a column; and contexts, of held-out images)."""
    count = config.sample_grid**2
    rng = jax.random.fold_in(jax.random.key(config.seed), 2)
    spec = built.spec
    labels = jnp.asarray(grid_labels(count, spec.num_classes)) if spec.num_classes else None
    context = None
    if needs_context(built):
        shown = source.held_out if source.held_out is not None else source
        real = jnp.asarray(np.stack([shown.images[index % len(shown)] for index in range(count)]))
        context = spec.prepare_minibatch({"image": real, "label": jnp.zeros(count, jnp.int32)}, rng).context
    draw = jax.jit(lambda params, opt_state: built.gan.sample(params, opt_state, rng, count, labels, context))
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
    picture = image_grid.image_grid(samples) if samples.ndim == 4 else image_grid.scatter(samples, bounds=bounds)
    image_grid.save_png(
        directory / "samples" / f"step_{step:08d}.png", picture, scale=2 if samples.ndim == 4 and samples.shape[1] <= 32 else 1
    )


def write_animation(directory: Path) -> None:
    """Gathers the grids of samples into an animation; without those from before a resume with another `--sample-grid`."""
    grids = sample_grids(directory / "samples")
    if grids:
        # An animation has frames of one shape: that of the grid that the run drew last.
        shapes = [image_grid.png_shape(file) for _, file in grids]
        alike = [grid for grid, shape in zip(grids, shapes) if shape == shapes[-1]]
        # Chosen before they are read: the grids of a long run would fill the memory.
        chosen = [alike[index] for index in image_grid.spread(len(alike), image_grid.MAX_GIF_FRAMES)]
        frames = [image_grid.load_png(file) for _, file in chosen]
        image_grid.save_gif(directory / "samples" / "animation.gif", frames, labels=[f"step {step}" for step, _ in chosen])
