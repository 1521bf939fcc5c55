"""Every recipe builds and plays two steps, small, with finite results and gradients for both players."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_command_line import load_script

from gan_jax.build import build
from gan_jax.config import check, from_dict, to_dict
from gan_jax.models import MODELS

RECIPES = load_script("command_line").recipes()
SMALL = {"blocks": 1, "embedding_dim": 8, "shared_dim": 8, "group_size": 4}


def shrunk(config):
    """The recipe with narrow networks and small batches."""
    known = MODELS[config.model.name].options
    options = {name: value for name, value in SMALL.items() if name in known}
    widths = {"width": 8} if "width" in known else {}
    if config.model.name == "r3gan":
        widths, options = {"width": 8}, {"blocks": 1, "embedding_dim": 8, "group_size": 4}
    model = dataclasses.replace(config.model, **widths, options={**config.model.options, **options})
    return dataclasses.replace(config, model=model, batch_size=4, steps=10)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_plays(name):
    text, config = RECIPES[name]
    assert text.endswith(".") or ":" in text or "(" in text
    config = shrunk(check(config))
    points = config.model.name == "points"
    shape = (2,) if points else (config.data.image_size, config.data.image_size, 1)
    experiment = build(config, shape, 0 if points else 10)
    count = config.batch_size * experiment.strategy.rounds
    image = jax.random.normal(jax.random.key(0), (count, *shape))
    batch = {"image": image if points else (jnp.tanh(image) * 127 + 128).astype(jnp.uint8), "label": jnp.arange(count) % 10}
    params, state = jax.jit(experiment.gan.init)(jax.random.key(0))
    before = jax.tree.map(np.asarray, params)
    step = jax.jit(experiment.gan.train_step)
    for _ in range(2):
        params, state, metrics = step(params, state, batch, jax.random.key(1))
    assert all(np.isfinite(value) for value in metrics.values()), metrics
    still = [
        jax.tree_util.keystr(path)
        for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(params), strict=True)
        if np.array_equal(old, new) and config.model.name != "progressive"
    ]
    assert not still, f"parameters that did not move: {still}"


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_configuration_survives_yaml(name):
    _, config = RECIPES[name]
    assert from_dict(type(config), to_dict(config)) == config
