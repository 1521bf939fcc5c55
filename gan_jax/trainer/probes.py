"""Measurements of a grid of samples for the monitor."""

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
from gan_jax.trainer.contexts import needs_context
from gan_jax.trainer.features import choose_extractor
from gan_jax.typing import Array, Players, PyTree


def critic_slope(built: BuiltGAN) -> Callable[..., Array]:
    """A jitted function (params, opt_state, real, fake) -> mean gradient norm of D on points between reals and fakes, a scalar.

    The points are x + t (G(z) - x) with t evenly spaced from 0 to 1. The function supports networks without labels and contexts.
    """
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
def moved_distances(average: PyTree, params: PyTree, start: PyTree) -> tuple[Array, Array]:
    """The distances that the average and the parameters have moved: |average - start| and |params - start|.

    Their ratio is the progress of the average. It is taken on the host, because it is undefined while the parameters have not changed.

    Args:
        average: The moving average of the parameters.
        params: The parameters, same tree.
        start: The parameters at step 0, same tree.

    Returns:
        Two scalars.
    """

    def distance(tree: PyTree) -> Array:
        return optax.global_norm(jax.tree.map(jnp.subtract, tree, start))

    return distance(average), distance(params)


def grid_labels(count: int, num_classes: int) -> np.ndarray:
    """The classes of a grid of samples, int [count]. With `num_classes` columns each column has one class."""
    return np.arange(count) % num_classes


class Probes:
    """Measures samples for the monitor. The result is a function of the state alone, so a resumed run measures the same.

    Args:
        config: The configuration of the run.
        built: The GAN of the run.
        source: The data set of the run.
        start: Parameters of G at step 0 if their moving average is tracked. Otherwise None.
    """

    def __init__(self, config: Config, built: BuiltGAN, source: Any, start: PyTree | None):
        self._start = start
        size = int(np.prod(source.shape))
        limit = NEAREST if isinstance(source.images, np.ndarray) else 256  # Images outside of memory are read one by one.
        count = min(limit, max(64, 2**24 // size))
        chosen = np.random.default_rng(0).permutation(len(source))[:count]
        real = np.asarray(source.images[np.sort(chosen)])
        # Labels that G draws itself (InfoGAN) are no classes of the data.
        classes = built.spec.num_classes if built.spec.sample_labels is None and source.labels is not None else 0
        self._labels = grid_labels(config.sample_grid**2, classes) if classes else None
        real_labels = np.asarray(source.labels)[np.sort(chosen)] if classes else None
        self._reference = monitor.make_reference(real, config.sample_grid**2, real_labels)
        self._classifier = None
        if len(source.shape) == 3 and choose_extractor(config, source) == "digit_classifier":
            self._classifier = metrics.feature_extractor("digit_classifier", config.evaluation.weights)
        unconditional = not built.spec.num_classes and not needs_context(built) and not built.spec.augmentations
        self._slope = critic_slope(built) if config.loss.name == "wasserstein" and unconditional else None
        self._real = self._reference.images[: config.sample_grid**2].reshape(-1, *source.shape)

    def __call__(self, samples: np.ndarray, params: Players, opt_state: TrainState) -> dict[str, float]:
        """Measures a grid of samples.

        Args:
            samples: float [n, ...], the samples.
            params: Parameters of G and D, on one device.
            opt_state: The rest of the state.

        Returns:
            Metric -> value. The names begin with `samples/`.
        """
        row = monitor.sample_figures(samples, self._reference)
        if "samples/finite" in row:
            return row
        if self._classifier is not None:
            row |= monitor.class_figures(self._classifier.extract(image_grid.to_uint8(samples)).probabilities)
        if self._labels is not None:
            row |= monitor.spread_within_classes(samples, self._labels[: len(samples)], self._reference)
        if self._slope is not None:
            count = min(len(samples), len(self._real))
            row["samples/critic_slope"] = float(self._slope(params, opt_state, self._real[:count], samples[:count]))
        if self._start is not None:
            average, moved = map(float, moved_distances(sampling_params(params, opt_state), params.generator, self._start))
            row |= {"samples/ema_progress": average / moved} if moved > 0 and np.isfinite([average, moved]).all() else {}
        return row
