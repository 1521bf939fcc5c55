"""Runs that were never trained: a configuration and the first checkpoint in a directory."""

import dataclasses

import jax

from gan_jax.checkpoint import Checkpointer
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import save_config
from support.small_recipes import RECIPES


def store(directory, recipe, **changes):
    """Writes a run of a recipe with width 4, latents of dimension 3 and the given changes. Returns its directory."""
    config = RECIPES[recipe][1]
    model = dataclasses.replace(config.model, width=4, latent_dim=3, **changes.pop("model", {}))
    config = dataclasses.replace(config, model=model, **changes)
    size = config.data.image_size
    gan = build(config, (size, size, 1), 10).gan
    manager = Checkpointer(directory / "checkpoints")
    manager.save(1, jax.jit(gan.init)(jax.random.key(0)), {"step": 1})
    manager.close()
    save_config(config, directory / "config.yaml")
    return directory
