"""Inversion of a generator with styles: the style and the noise images that make a given image."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.export.generator import Generator
from gan_jax.latents import LATENTS
from gan_jax.models import build_model
from gan_jax.nn.resize import average_pool
from gan_jax.typing import Array, PyTree


class StyleStatistics(NamedTuple):
    """Mean and deviation of the styles of random latents.

    Attributes:
        mean: float32 [dim].
        deviation: Root of the mean squared distance from the mean, float32 [].
    """

    mean: Array
    deviation: Array


class StyleInversion(NamedTuple):
    """A style that makes a given image.

    Attributes:
        generator: The generator with the noise images that were found. `generator(styles)` makes the image.
        styles: float32 [1, layers, dim].
        distances: Feature distance at each step, float32 [steps].
    """

    generator: Generator
    styles: Array
    distances: Array


def style_statistics(generator: Generator, rng: Array, *, count: int = 10_000, label: int | None = None) -> StyleStatistics:
    """Mean and deviation of the styles of `count` random latents, for `invert_styles`."""
    latents = LATENTS[generator.config.latents](rng, (count, generator.config.option("latent_dim")))
    return _statistics(generator, latents, label)


def _statistics(generator: Generator, latents: Array, label: int | None) -> StyleStatistics:
    labels = None if label is None else jnp.full(len(latents), label, jnp.int32)
    styles = jax.jit(generator.styles)(latents, labels)[:, 0]
    mean = styles.mean(axis=0)
    return StyleStatistics(mean, jnp.sqrt(jnp.square(styles - mean).sum() / len(styles)))


def noise_regularisation(images: PyTree) -> Array:
    """Squared correlation of noise images with themselves, shifted by one pixel, at every scale down to 8 pixels.

    References:
        Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, appendix D.
    """
    total = jnp.float32(0)
    for image in jax.tree.leaves(images):
        while True:
            total += sum(jnp.square((image * jnp.roll(image, 1, axis)).mean()) for axis in (0, 1))
            if image.shape[0] <= 8:
                break
            image = average_pool(image[None, :, :, None])[0, :, :, 0]
    return total


def invert_styles(
    generator: Generator,
    target: Array,
    rng: Array,
    *,
    embed: Callable[[Array], Array],
    steps: int = 1000,
    learning_rate: float = 0.1,
    style_noise: float = 0.05,
    style_noise_end: float = 0.75,
    rampup: float = 0.05,
    rampdown: float = 0.25,
    noise_weight: float = 1e5,
    per_layer: bool = False,
    label: int | None = None,
    statistics: StyleStatistics | None = None,
    noise: PyTree = None,
) -> StyleInversion:
    """Finds the style and the noise images with which a generator makes an image.

    Adam minimises |embed(G(w + n)) - embed(target)|^2 + noise_weight * `noise_regularisation`. The search starts at the mean style. The
    added noise n decreases to 0, and the noise images are normalised to mean 0 and variance 1 after each step.

    Args:
        generator: A generator with styles.
        target: Image, float [height, width, channels] in [-1, 1].
        rng: Typed key.
        embed: `images -> vectors`, float [batch, dim], such as `gan_jax.metrics.perceptual_embedding`. The distance is the sum of squares.
        steps: Number of steps.
        learning_rate: Largest learning rate of Adam.
        style_noise: Standard deviation of n at the first step, in units of the deviation of the styles.
        style_noise_end: Share of the steps after which n is 0.
        rampup, rampdown: Shares of the steps over which the learning rate rises at the start and falls at the end.
        noise_weight: Weight of the regularisation of the noise images.
        per_layer: Whether each layer has a style of its own (the space W+). It fits better and edits worse.
        label: Class, for the statistics of a conditional model.
        statistics: By default `style_statistics` of the generator.
        noise: Initial noise images, the collection "noise" of the generator's state. By default random ones.

    Returns:
        The styles, the generator with the noise images, and the distances.

    Raises:
        ValueError: If the generator has no styles, or if the target has another shape.

    References:
        Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, appendix D. projector.py of
        NVlabs/stylegan2-ada-pytorch.
    """
    config = generator.config
    if generator.network.mapping is None:
        raise ValueError(f"the model {config.model!r} has no styles")
    if target.shape != generator.image_shape:
        raise ValueError(f"target must be of shape {generator.image_shape}; got {target.shape}")
    for_statistics, for_noise, for_steps = jax.random.split(rng, 3)
    statistics = style_statistics(generator, for_statistics, label=label) if statistics is None else statistics
    fixed = dataclasses.replace(config, options={**config.options, "noise_mode": "const" if config.option("noise") else "none"})
    network = build_model(fixed.model, **fixed.options).generator
    images = generator.state.get("noise", {}) if noise is None else noise
    if noise is None:
        leaves, structure = jax.tree.flatten(images)
        keys = jax.random.split(for_noise, max(len(leaves), 1))
        images = jax.tree.unflatten(structure, [jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves)])
    layers = jax.eval_shape(generator.styles, jnp.zeros((1, config.option("latent_dim"))), _label(label)).shape[1]
    shape = (1, layers if per_layer else 1, statistics.mean.shape[0])
    optimizer, wanted = optax.scale_by_adam(), embed(jnp.asarray(target, jnp.float32)[None])

    def image_of(style: Array, images: PyTree) -> Array:
        state = {**generator.state, "noise": images} if images else generator.state
        styles = jnp.broadcast_to(style, (1, layers, style.shape[-1]))
        return network.apply(generator.params, state, styles, train=False)[0].images

    def step(carry: tuple[Any, Any], number: Array) -> tuple[tuple[Any, Any], Array]:
        variables, opt_state = carry
        t = number / steps
        scale = statistics.deviation * style_noise * jnp.maximum(0.0, 1 - t / style_noise_end) ** 2
        ramp = 0.5 - 0.5 * jnp.cos(jnp.pi * jnp.minimum(1.0, (1 - t) / rampdown))
        rate = learning_rate * ramp * jnp.minimum(1.0, t / rampup)
        added = scale * jax.random.normal(jax.random.fold_in(for_steps, number), shape)

        def loss(variables: tuple[Array, PyTree]) -> tuple[Array, Array]:
            style, images = variables
            distance = jnp.square(embed(image_of(style + added, images)) - wanted).sum()
            return distance + noise_weight * noise_regularisation(images), distance

        gradients, distance = jax.grad(loss, has_aux=True)(variables)
        updates, opt_state = optimizer.update(gradients, opt_state)
        style, images = jax.tree.map(lambda value, update: value - rate * update, variables, updates)
        return ((style, jax.tree.map(_normalised, images)), opt_state), distance

    variables = (jnp.broadcast_to(statistics.mean, shape), images)
    run = jax.jit(lambda carry: jax.lax.scan(step, carry, jnp.arange(steps)))
    ((style, images), _), distances = run((variables, optimizer.init(variables)))
    state = {**generator.state, "noise": images} if images else generator.state
    found = dataclasses.replace(generator, network=network, state=state, config=fixed)
    return StyleInversion(found, jnp.broadcast_to(style, (1, layers, shape[-1])), distances)


def _label(label: int | None) -> Array | None:
    return None if label is None else jnp.full(1, label, jnp.int32)


def _normalised(image: Array) -> Array:
    image = image - image.mean()
    return image * jax.lax.rsqrt(jnp.square(image).mean())
