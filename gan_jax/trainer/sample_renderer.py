"""Samples for the figures of a report: one compiled program with fixed draws, labels and contexts."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.trainer.contexts import contexts_of, needs_context, read_examples
from gan_jax.trainer.loaded_run import LoadedRun

ROWS, COLUMNS = 8, 8  # The grid of interpolations. All figures sample with one compiled program of ROWS * COLUMNS latents.
STREAM = 4  # Folded into the key of the run. Training and evaluation use 0 to 3.


class Figure(NamedTuple):
    """A figure of the report.

    Attributes:
        image: uint8 [height, width, 1 or 3].
        caption: The text under the image.
        alt: The alternative text for screen readers.
    """

    image: np.ndarray
    caption: str
    alt: str


class SampleRenderer:
    """Samples from a run's generator with one compiled program and fixed labels and contexts.

    Args:
        run: The run.

    Attributes:
        run: The run.
        rng: Typed key of all draws.
        labels: int32 [ROWS * COLUMNS], one class in each row. None for an unconditional model.
        real: float [ROWS * COLUMNS, ...] in [-1, 1], one image in each row. None if G is not conditioned on images.
        context: The contexts made from `real`, or None.
    """

    def __init__(self, run: LoadedRun):
        self.run = run
        spec = run.built.spec
        self.rng = jax.random.fold_in(jax.random.key(run.config.seed), STREAM)
        self.labels = jnp.repeat(jnp.arange(ROWS) % spec.num_classes, COLUMNS) if spec.num_classes else None
        self.real = self.context = None
        if needs_context(run.built):
            held_out = run.source.held_out or run.source
            chosen = np.random.default_rng(0).permutation(len(held_out))[np.arange(ROWS) % len(held_out)]
            rows, inputs = read_examples(held_out, chosen)
            self.real = jnp.repeat(jnp.asarray(rows), COLUMNS, axis=0)
            contexts = contexts_of(spec, jax.random.fold_in(self.rng, 1), self.real[::COLUMNS], inputs)
            self.context = jnp.repeat(contexts, COLUMNS, axis=0)
        self._compiled = jax.jit(self._sample)

    def _sample(self, params: Any, opt_state: Any, latents: Any, labels: Any, context: Any, truncation: Any) -> Any:
        gan = self.run.built.gan
        if self.run.built.spec.generator.mapping is None:
            return gan.sample(params, opt_state, self.rng, len(latents), labels, context, latents=latents)

        # Each image has the same noise, so that only the latents change from one to the next.
        def one(latent: Any, label: Any) -> Any:
            label = None if label is None else label[None]
            return gan.sample(params, opt_state, self.rng, 1, label, latents=latent[None], truncation=truncation)[0]

        return jax.vmap(one)(latents, labels)

    def latents(self, count: int, stream: int) -> Any:
        """Latents of the run's distribution, float [count, dim]. Another `stream` gives other latents."""
        spec = self.run.built.spec
        return spec.sample_latents(jax.random.fold_in(self.rng, stream), (count, spec.latent_dim))

    def sample(self, latents: Any, labels: Any = None, truncation: float = 1.0) -> np.ndarray | None:
        """The samples of ROWS * COLUMNS latents, float in [-1, 1]. None if one of them is not finite.

        Args:
            latents: float [ROWS * COLUMNS, latent_dim].
            labels: int32 [ROWS * COLUMNS]. By default `self.labels`.
            truncation: Truncation of the styles. It has no effect on generators without styles.
        """
        labels = self.labels if labels is None else labels
        samples = np.asarray(self._compiled(self.run.params, self.run.opt_state, latents, labels, self.context, truncation))
        return samples if np.isfinite(samples).all() else None
