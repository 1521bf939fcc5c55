"""Every update rule trains every model. The hardest rules are traced, some pairs are compiled, and all of them in the long tests.

tests/recipes/test_recipes.py has the rule `alternating`.
"""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from gan_jax.gan.update_rules import UPDATE_RULES
from gan_jax.trainer.config import UpdateConfig
from support.small_recipes import RECIPES, one_recipe_per_model, shrunk, started

# Second derivatives through both players; gradients that flow through a step of D's optimiser.
HARDEST = ("consensus", "unrolled")
# Models whose second derivatives take seconds to trace.
LARGE = {"stylegan2", "r3gan", "progressive", "biggan", "sagan", "sngan", "inpaint", "multiscale", "pix2pix", "unet_gan"}
LARGE |= {"cyclegan"}
PAIRS = [(model, rule) for model in one_recipe_per_model() for rule in UPDATE_RULES]


def small_config(model, rule):
    """The smallest form of a recipe of the model, under another strategy."""
    config = shrunk(RECIPES[one_recipe_per_model()[model]][1])
    if rule == "loss_balanced":  # whose number of updates no schedule can know
        config = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, schedule="constant"))
    return dataclasses.replace(config, update=UpdateConfig(name=rule, unroll_steps=1))


def play_once(model, rule):
    built, batch = started(small_config(model, rule))
    before, state = jax.jit(built.gan.init)(jax.random.key(0))
    after, state, metrics = jax.jit(built.gan.train_step)(before, state, batch, jax.random.key(1))
    assert all(np.isfinite(value) for value in metrics.values()), metrics
    for player in ("generator", "discriminator"):
        moved = [np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (getattr(before, player), getattr(after, player))), strict=True)]
        assert any(moved), f"no parameter of the {player} moved"
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after))


@functools.cache
def shapes_at_the_start(model):
    """Shapes of parameters and state; no strategy here carries a state of its own."""
    built, _ = started(small_config(model, "alternating"))
    return jax.eval_shape(built.gan.init, jax.random.key(0))


@pytest.mark.parametrize(
    ("model", "rule"),
    [pytest.param(model, rule, marks=pytest.mark.slow if model in LARGE else ()) for model, rule in PAIRS if rule in HARDEST],
)
def test_a_step_can_be_traced_and_keeps_every_shape(model, rule):
    built, batch = started(small_config(model, rule))
    before = shapes_at_the_start(model)
    *after, metrics = jax.eval_shape(built.gan.train_step, *before, batch, jax.random.key(1))
    assert tuple(after) == before
    assert {metric.shape for metric in metrics.values()} == {()}
    assert {"generator_loss", "discriminator_loss", "generator_gradient_norm", "discriminator_gradient_norm"} <= set(metrics)


@pytest.mark.parametrize(
    ("model", "rule"),
    [
        ("dcgan", "consensus"),
        *(
            pytest.param(*pair, marks=pytest.mark.slow)
            for pair in (("vaegan", "unrolled"), ("mlp", "extragradient"), ("mlp", "simultaneous"), ("mlp", "loss_balanced"))
        ),
    ],
)
def test_a_step_runs(model, rule):
    play_once(model, rule)


@pytest.mark.long
@pytest.mark.parametrize(("model", "rule"), PAIRS)
def test_every_step_runs(model, rule):
    play_once(model, rule)
