"""The figure of a run on points in the plane: D's surface with the real points and the samples."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.metrics import mode_coverage
from gan_jax.trainer import image_grid
from gan_jax.trainer.sample_renderer import Figure, SampleRenderer
from gan_jax.trainer.surface import discriminator_surface, grid_points

SIDE, CELL = 64, 4  # D is computed on SIDE x SIDE points, and each of them becomes CELL x CELL pixels.
SHOWN = 1024  # Number of real points, and of samples.
LOW, MIDDLE, HIGH = (244, 165, 110), (255, 255, 255), (140, 190, 240)
REAL, FAKE = (36, 80, 122), (176, 42, 0)


def discriminator_surface_figure(renderer: SampleRenderer) -> Figure | None:
    """D's output over the plane, with real points and samples. None if the points do not lie in a plane, or if a value is not finite."""
    run = renderer.run
    if run.source.shape != (2,):
        return None
    real = np.asarray(run.source.images[:SHOWN])
    bounds = 1.2 * float(np.abs(real).max())
    latents = renderer.latents(SHOWN, 3)
    labels = jnp.arange(SHOWN) % run.built.spec.num_classes if run.built.spec.num_classes else None
    pack = run.config.augment.pack

    @jax.jit
    def observe(params: Any, opt_state: Any) -> tuple[Any, Any]:
        fake = run.built.gan.sample(params, opt_state, renderer.rng, SHOWN, labels, latents=latents)
        grid = jnp.asarray(grid_points(bounds, SIDE))
        return fake, discriminator_surface(run.built.spec, params.discriminator, opt_state, grid, renderer.rng, pack=pack)

    fake, surface = (np.asarray(values) for values in observe(run.params, run.opt_state))
    if not (np.isfinite(fake).all() and np.isfinite(surface).all()):
        return None
    image = surface_image(surface.reshape(SIDE, SIDE))
    draw = functools.partial(image_grid.draw_dots, image)
    draw(real, bounds, REAL)
    draw(fake, bounds, FAKE)
    modes = ""
    if run.source.centers is not None and run.source.std is not None:
        found = mode_coverage(fake, run.source.centers, run.source.std)
        modes = (
            f" {found.modes} of {len(run.source.centers)} modes have a sample, and {100 * found.high_quality:.0f}% of the samples lie "
            "within three standard deviations of a mode."
        )
    of_class = " It is that of class 0." if labels is not None else ""
    outside = int((np.abs(fake) > bounds).any(axis=1).sum())
    beyond = f" {outside} samples lie outside of the figure." if outside else ""
    caption = (
        f"D's output over the plane, from {surface.min():.3g} (orange) to {surface.max():.3g} (blue).{of_class} Dark blue: {len(real):,} "
        f"training points. Red: {SHOWN:,} samples.{modes}{beyond}"
    )
    alt = f"Map of the discriminator's output with {len(real):,} training points and {SHOWN:,} samples.{modes}"
    return Figure(image, caption, alt)


def surface_image(surface: np.ndarray) -> np.ndarray:
    """A surface as colours: orange at its lowest value, white half way, blue at its highest value.

    Args:
        surface: float [side, side], rows ascending in y.

    Returns:
        uint8 [side * CELL, side * CELL, 3], with y upwards.
    """
    low, high = float(surface.min()), float(surface.max())
    share = (surface[::-1] - low) / (high - low) if high > low else np.full(surface.shape, 0.5)
    colors = np.stack([np.interp(share, [0, 0.5, 1], channel) for channel in zip(LOW, MIDDLE, HIGH, strict=True)], axis=-1)
    return np.rint(colors).astype(np.uint8).repeat(CELL, axis=0).repeat(CELL, axis=1)
