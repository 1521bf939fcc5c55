"""Measurements of the samples for the monitor."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_jax import metrics, monitor
from gan_jax.gan.make import sampling_params
from gan_jax.gan.state import TrainState
from gan_jax.monitor.samples import NEAREST
from gan_jax.trainer import image_grid
from gan_jax.trainer.build.gan import BuiltGAN
from gan_jax.trainer.config import Config
from gan_jax.trainer.evaluate import extractor_of, needs_context
from gan_jax.typing import Array, Players, PyTree


def critic_slope(built: BuiltGAN) -> Callable[..., Array]:
    """A jitted function of (params, opt_state, real, fake): the mean gradient norm of the critic on points between reals and fakes."""
    spec = built.spec

    @jax.jit
    def slope(params: Players, opt_state: TrainState, real: Array, fake: Array) -> Array:
        effective, _ = spec.effective_params("discriminator", params.discriminator, opt_state)
        shares = jnp.linspace(0, 1, len(real)).reshape(-1, *[1] * (real.ndim - 1))

        def total(images: Array) -> Array:
            output, _ = spec.discriminator.apply(
                effective, opt_state.networks.discriminator, images, None, None, rng=jax.random.key(0), train=True
            )
            return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(output.logits))

        gradient = jax.grad(total)(real + shares * (fake - real))
        return jnp.mean(jnp.sqrt(jnp.sum(jnp.square(gradient), axis=tuple(range(1, gradient.ndim)))))

    return slope


@jax.jit
def ema_progress(average: PyTree, params: PyTree, start: PyTree) -> Array:
    """How far the average has come from the start, as a share of how far the parameters have; NaN where they have not moved."""

    def way(to: PyTree) -> Array:
        return optax.global_norm(jax.tree.map(jnp.subtract, to, start))

    return jnp.where(way(params) > 0, way(average) / way(params), jnp.nan)


def grid_labels(count: int, num_classes: int) -> np.ndarray:
    """The classes of a grid of samples, int [count]: one a column where there are as many columns."""
    return np.arange(count) % num_classes


class Probes:
    """Measures samples for the monitor. A pure function of the state of the game: a resumed run measures the same.

    Args:
        config, experiment, source: of the run.
        start: the generator's parameters at step 0, where an average of them is tracked; None otherwise.
    """

    def __init__(self, config: Config, built: BuiltGAN, source: Any, start: PyTree | None):
        self._start = start
        size = int(np.prod(source.shape))
        at_hand = NEAREST if isinstance(source.images, np.ndarray) else 256  # others are read or made one by one
        count = min(at_hand, max(64, 2**24 // size))
        chosen = np.random.default_rng(0).permutation(len(source))[:count]
        real = np.asarray(source.images[np.sort(chosen)])
        # The grid's columns; codes that are not in the data have no images of their own to vary like.
        asked = built.spec.num_classes if built.spec.sample_labels is None and source.labels is not None else 0
        self._labels = grid_labels(config.sample_grid**2, asked) if asked else None
        of_real = np.asarray(source.labels)[np.sort(chosen)] if asked else None
        self._reference = monitor.make_reference(real, config.sample_grid**2, of_real)
        self._classifier = None
        if len(source.shape) == 3 and extractor_of(config, source) == "digit_classifier":
            self._classifier = metrics.feature_extractor("digit_classifier", config.evaluation.weights)
        plain = not built.spec.num_classes and not needs_context(built) and not built.spec.augmentations
        self._slope = critic_slope(built) if config.loss.name == "wasserstein" and plain else None
        self._real = self._reference.images[: config.sample_grid**2].reshape(-1, *source.shape)

    def __call__(self, samples: np.ndarray, params: Players, opt_state: TrainState) -> dict[str, float]:
        """The figures of a grid of samples, float [n, ...], under `samples/`."""
        figures = monitor.sample_figures(samples, self._reference)
        if "samples/finite" in figures:
            return figures
        if self._classifier is not None:
            figures |= monitor.class_figures(self._classifier.extract(image_grid.to_uint8(samples)).probabilities)
        if self._labels is not None:
            figures |= monitor.spread_within_classes(samples, self._labels[: len(samples)], self._reference)
        if self._slope is not None:
            count = min(len(samples), len(self._real))
            figures["samples/critic_slope"] = float(self._slope(params, opt_state, self._real[:count], samples[:count]))
        if self._start is not None:
            progress = float(ema_progress(sampling_params(params, opt_state), params.generator, self._start))
            figures |= {"samples/ema_progress": progress} if np.isfinite(progress) else {}
        return figures
