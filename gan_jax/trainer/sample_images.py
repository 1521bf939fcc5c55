"""Samples images or points from a generator in batches, and checks that they are finite."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.data import Source
from gan_jax.nn.fast_conv.forms import is_cpu
from gan_jax.trainer import image_grid
from gan_jax.trainer.build.gan import BuiltGAN
from gan_jax.trainer.config import ConfigError
from gan_jax.trainer.contexts import contexts_of, needs_context, read_examples
from gan_jax.typing import Players

SAMPLE_BATCH = 256
FORWARD_BATCH = 64  # Images of one forward pass on a CPU. More do not fit into its caches (docs/performance.md).


class SamplesNotFinite(ConfigError):
    """Samples hold NaN or infinity.

    Attributes:
        broken: Number of these samples.
    """

    def __init__(self, broken: int, count: int) -> None:
        super().__init__(f"{broken} of {count} samples are not finite: they hold NaN or infinity")
        self.broken = broken


def sample_images(
    built: BuiltGAN,
    params: Players,
    opt_state: Any,
    count: int,
    *,
    seed: int,
    source: Source | None = None,
    ema: bool = True,
    truncation: float | None = None,
    labels: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Samples from the generator in batches.

    Args:
        built: The GAN.
        params: Parameters of G and D.
        opt_state: The rest of the state.
        count: Number of samples.
        seed: Random seed of the latents and contexts.
        source: The images from which contexts are made, for a generator that is conditioned on images.
        ema: Whether to sample with the moving average of the parameters.
        truncation: See `GAN.sample`.
        labels: int [count], the classes for a conditional model. By default each class in turn.

    Returns:
        images: uint8 [count, height, width, channels]. Points are float [count, dim].
        labels: int [count] for a conditional model, otherwise None.

    Raises:
        SamplesNotFinite: Images are not finite. They would be measured as black.
    """
    spec = built.spec
    if spec.num_classes and labels is None:
        labels = np.arange(count) % spec.num_classes
    rng = jax.random.fold_in(jax.random.key(seed), 3)
    size = min(SAMPLE_BATCH, count)

    @jax.jit
    def sample(params: Players, opt_state: Any, rng: Any, labels: Any, real: Any, inputs: Any) -> Any:
        context = None if real is None else contexts_of(spec, jax.random.fold_in(rng, 1), real, inputs)
        parts = FORWARD_BATCH if is_cpu() else None
        return built.gan.sample(params, opt_state, rng, size, labels, context, ema=ema, truncation=truncation, batch_size=parts)

    batches = []
    for start in range(0, count, size):
        indices = np.arange(start, start + size)
        batch_labels = None if labels is None else jnp.asarray(labels[indices % len(labels)], jnp.int32)
        real = inputs = None
        if source is not None and needs_context(built):
            real, inputs = read_examples(source, indices)
        batches.append(np.asarray(sample(params, opt_state, jax.random.fold_in(rng, start), batch_labels, real, inputs)))
    samples = np.concatenate(batches)[:count]
    if samples.ndim == 4 and (broken := not_finite(samples)):
        raise SamplesNotFinite(broken, count)
    return (image_grid.to_uint8(samples) if samples.ndim == 4 else samples), (None if labels is None else labels[:count])


def not_finite(samples: np.ndarray) -> int:
    """The number of samples that hold NaN or infinity.

    Args:
        samples: float [n, ...].
    """
    return int((~np.isfinite(samples).reshape(len(samples), -1).all(axis=1)).sum())
