"""The contexts of a generator that is conditioned on images, and the examples that they come from."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.data import Source
from gan_jax.gan.make import sampling_params
from gan_jax.gan.spec import GANSpec
from gan_jax.models import MODELS
from gan_jax.trainer.build.gan import BuiltGAN
from gan_jax.trainer.config import Config


def context_shape(built: BuiltGAN) -> tuple[int, ...] | None:
    """Shape of the image on which the generator is conditioned when it samples. None if it is not conditioned on images."""
    spec = built.spec
    if spec.two_domains:
        return spec.sample_shape
    real = jax.ShapeDtypeStruct((2, *spec.image_shape), jnp.float32)
    context = jax.eval_shape(functools.partial(spec.context.example, jax.random.key(0)), real)
    return None if context is None else context.shape[1:]


def needs_context(built: BuiltGAN) -> bool:
    """Whether the generator is conditioned on images."""
    return context_shape(built) is not None


def read_examples(source: Source, indices: Iterable[int]) -> tuple[np.ndarray, np.ndarray | None]:
    """Real images, and their inputs if the data have them, as arguments of `contexts_of`.

    Args:
        source: The data set.
        indices: Indices of the examples. Those beyond the last one begin again at the first.

    Returns:
        float32 [count, ...] in [-1, 1], both. The second is None without inputs.
    """
    chosen = np.fromiter(indices, np.int64)
    inputs = None if source.inputs is None else normalized(source.inputs[chosen % len(source.inputs)])
    return normalized(source.images[chosen % len(source)]), inputs


def contexts_of(spec: GANSpec, rng: Any, real: Any, inputs: Any) -> Any:
    """The images that the generator translates when it samples, or the other contexts of real images. See `read_examples`.

    A generator between two domains translates the inputs, which are images of domain A.
    """
    return inputs if spec.two_domains else spec.context(rng, real, inputs)


CYCLE = ("A", "A to B", "A to B to A", "B", "B to A", "B to A to B")


def cycle_of(built: BuiltGAN, ema: bool = True) -> Callable[..., tuple[Any, ...]]:
    """A jitted function (params, opt_state, a, b) -> the images of `CYCLE`, each float [batch, height, width, channels]."""
    spec = built.spec

    @jax.jit
    def cycle(params: Any, opt_state: Any, a: Any, b: Any) -> tuple[Any, ...]:
        weights = sampling_params(params, opt_state) if ema else params.generator
        effective, _ = spec.effective_params("generator", weights, opt_state)
        joined = jnp.concatenate([a, b], axis=-1)
        latents = spec.sample_latents(jax.random.key(0), (len(a), spec.latent_dim))
        output, _ = spec.generator.apply(effective, opt_state.networks.generator, latents, None, joined, rng=jax.random.key(0), train=False)
        fake_a, fake_b = jnp.split(output.images, 2, axis=-1)
        cycled_a, cycled_b = jnp.split(output.extras["cycled"], 2, axis=-1)
        return a, fake_b, cycled_a, b, fake_a, cycled_b

    return cycle


def normalized(images: np.ndarray) -> np.ndarray:
    """uint8 images as float32 in [-1, 1]."""
    return np.asarray(images, np.float32) / np.float32(127.5) - np.float32(1)


def translates(config: Config, built: BuiltGAN) -> bool:
    """Whether the generator translates images: it is conditioned on images that are not those that it shall make."""
    of_model = built.own.networks is None and MODELS[config.model.name].context in ("image", "masked", "small", "domains")
    return built.spec.context.shape is not None or of_model


def as_image(context: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A context as images: without its mask channel, and enlarged by whole pixels to the side of images of `shape`."""
    context = context[..., : shape[3]]
    factor = max(1, shape[1] // context.shape[1])
    return context.repeat(factor, axis=1).repeat(factor, axis=2)
