"""The contexts of a generator that is conditioned on images, and the examples that they come from."""

import functools
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.data import Source
from gan_jax.models import MODELS
from gan_jax.trainer.build.gan import BuiltGAN
from gan_jax.trainer.config import Config


def context_shape(built: BuiltGAN) -> tuple[int, ...] | None:
    """Shape of the context of one example, on which the generator is conditioned. None if it is not conditioned on images."""
    spec = built.spec
    real = jax.ShapeDtypeStruct((2, *spec.image_shape), jnp.float32)
    context = jax.eval_shape(functools.partial(spec.context.example, jax.random.key(0)), real)
    return None if context is None else context.shape[1:]


def needs_context(built: BuiltGAN) -> bool:
    """Whether the generator is conditioned on images."""
    return context_shape(built) is not None


def read_examples(source: Source, indices: Iterable[int]) -> tuple[np.ndarray, np.ndarray | None]:
    """Real images, and their inputs if the data have them, as arguments of `GANSpec.context`.

    Args:
        source: The data set.
        indices: Indices of the examples. Those beyond the last one begin again at the first.

    Returns:
        float32 [count, ...] in [-1, 1], both. The second is None without inputs.
    """
    chosen = np.fromiter(indices, np.int64) % len(source)
    real, inputs = (None if images is None else normalized(images[chosen]) for images in (source.images, source.inputs))
    assert real is not None
    return real, inputs


def normalized(images: np.ndarray) -> np.ndarray:
    """uint8 images as float32 in [-1, 1]."""
    return np.asarray(images, np.float32) / np.float32(127.5) - np.float32(1)


def translates(config: Config, built: BuiltGAN) -> bool:
    """Whether the generator translates images: it is conditioned on images that are not those that it shall make."""
    of_model = built.own.networks is None and MODELS[config.model.name].context in ("image", "masked", "small")
    return built.spec.context.shape is not None or of_model


def as_image(context: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A context as images: without its mask channel, and enlarged by whole pixels to the side of images of `shape`."""
    context = context[..., : shape[3]]
    factor = max(1, shape[1] // context.shape[1])
    return context.repeat(factor, axis=1).repeat(factor, axis=2)
