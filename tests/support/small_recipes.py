"""The recipes with the smallest images, the narrowest networks and minibatches of four, for tests."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from gan_jax.models import MODELS
from gan_jax.recipes import recipes
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import check

RECIPES = recipes()
SMALL = {"blocks": 1, "embedding_dim": 8, "shared_dim": 8, "mapping_layers": 2, "group_size": 2, "discriminator_width": 4}
SIZES = {"mlp": 4, "dcgan": 8, "r3gan": 8, "progressive": 8, "multiscale": 16, "pix2pix": 16, "inpaint": 16, "stacked": 16}
SIZES |= {"vaegan": 8, "klgan": 8, "stylegan2": 16, "unet_gan": 16, "cyclegan": 8}
# Self-attention needs at least 8 channels.
WIDTHS = {"sagan": 8}


def shrunk(config):
    """Returns the recipe with small images, networks and batches. Its losses, penalties and update rule stay."""
    name = config.model.name
    known = MODELS[name].options
    options = {option: value for option, value in SMALL.items() if option in known}
    if name in ("mlp", "points"):
        options |= {"generator_hidden": "8,8", "discriminator_hidden": "8"}
    if name == "multiscale":
        options |= {"patch_layers": 1}
    latent_dim = min(config.model.latent_dim, 8)
    width = {"width": WIDTHS.get(name, 4)} if "width" in known else {}
    model = dataclasses.replace(config.model, **width, latent_dim=latent_dim, options={**config.model.options, **options})
    data = dataclasses.replace(config.data, image_size=SIZES.get(name, 32))
    steps = min(config.update.discriminator_steps, 2)
    rule = dataclasses.replace(config.update, discriminator_steps=steps)
    return dataclasses.replace(check(config), model=model, data=data, update=rule, batch_size=4, steps=10, epochs=0)


def started(config, shape=None):
    """Returns the GAN of a small configuration, and a batch for it, of images of `shape` if it is given."""
    points = config.model.name == "points"
    sides = (config.data.image_size,) * 2
    shape = shape or ((2,) if points else (*sides, 3 if config.data.source == "stacked_mnist" else 1))
    domains = MODELS[config.model.name].context == "domains"
    built = build(config, shape, 0 if points else 10, input_shape=shape if domains else None)
    count = config.batch_size * built.rule.batches_per_step
    image = jax.random.normal(jax.random.key(0), (count, *shape))
    if not points:
        image = (jnp.tanh(image) * 127 + 128).astype(jnp.uint8)
    inputs = {"input": image[::-1]} if domains else {}
    return built, {"image": image, "label": jnp.arange(count) % 10} | inputs


@functools.cache
def one_recipe_per_model():
    """Returns for each model the first recipe that has it, by name."""
    found = {}
    for name, (_, config) in sorted(RECIPES.items()):
        found.setdefault(config.model.name, name)
    return found
