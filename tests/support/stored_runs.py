"""Runs that were never trained: a configuration and the first checkpoint in a directory, or a run in memory."""

import dataclasses
import functools

import jax

from gan_jax.checkpoint import Checkpointer
from gan_jax.data import load_source
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import Config, DataConfig, ModelConfig, check, save_config
from gan_jax.trainer.loaded_run import LoadedRun
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


@functools.cache
def loaded_mlp(hidden="8"):
    """A conditional run with 8x8 images in memory."""
    source = load_source("mnist5k", image_size=8)
    options = {"discriminator_hidden": "4", "generator_hidden": hidden}
    model = ModelConfig(name="mlp", latent_dim=5, conditional=True, options=options)
    config = check(Config(batch_size=4, model=model, data=DataConfig(image_size=8)))
    built = build(config, source.shape, 10)
    params, opt_state = jax.jit(built.gan.init)(jax.random.key(0))
    # Larger weights, so that the samples differ visibly.
    params = params._replace(generator=jax.tree.map(lambda leaf: 3 * leaf, params.generator))
    return LoadedRun(config, source, built, params, opt_state, 0)
