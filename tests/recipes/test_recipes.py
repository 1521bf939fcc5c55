"""Every recipe trains two small steps with finite results, and every parameter of both players changes.

Compiling takes several seconds for each. Recipes that use the same functions as another one are only traced here and compiled in the
long tests.
"""

import ast
from pathlib import Path

import jax
import numpy as np
import pytest

from gan_jax.trainer.config import from_dict, to_dict
from support.scripts import load_script
from support.small_recipes import RECIPES, shrunk, started

COMPILED = {"acgan", "mlp_mnist", "pix2pix", "progressive", "r3gan", "ring", "stacked", "vaegan"}


def may_stand_still(config, path, leaf):
    """Whether a parameter has no gradient in the first steps by construction."""
    # Layers of later stages of progressive growing.
    if config.model.name == "progressive":
        return True
    # The last bias of D shifts the logits of reals and fakes alike, and the gradients of these losses cancel.
    cancels = config.loss.name in ("hinge", "relativistic", "wasserstein")
    return cancels and leaf.size == 1 and path.startswith(".discriminator") and path.endswith("['bias']")


@pytest.mark.parametrize("name", [name if name in COMPILED else pytest.param(name, marks=pytest.mark.long) for name in sorted(RECIPES)])
def test_recipe_trains(name):
    config = shrunk(RECIPES[name][1])
    built, batch = started(config)
    params, state = jax.jit(built.gan.init)(jax.random.key(0))
    before = jax.tree.map(np.asarray, params)
    step = jax.jit(built.gan.train_step)
    # Layers behind a gain of zero get their first gradient in the second step.
    for _ in range(2):
        params, state, metrics = step(params, state, batch, jax.random.key(1))
    assert all(np.isfinite(value) for value in metrics.values()), metrics
    still = {
        jax.tree_util.keystr(path)
        for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(params), strict=True)
        if np.array_equal(old, new) and not may_stand_still(config, jax.tree_util.keystr(path), old)
    }
    assert not still, f"parameters that did not move: {still}"


@pytest.mark.parametrize("name", sorted(RECIPES.keys() - COMPILED))
def test_recipe_can_be_traced(name):
    built, batch = started(shrunk(RECIPES[name][1]))
    before = jax.eval_shape(built.gan.init, jax.random.key(0))
    *after, metrics = jax.eval_shape(built.gan.train_step, *before, batch, jax.random.key(1))
    assert tuple(after) == before
    assert {"generator_loss", "discriminator_loss"} <= set(metrics)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_opens_with_its_command(name):
    path = Path(__file__).parents[2] / "gan_jax" / "recipes" / f"{name}.py"
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring.splitlines()[2].split("#")[0].strip() == f"gan-jax train {name} --seed 0"
    fields = load_script("recipe_table").fields_of(docstring)
    assert list(fields) == ["Takes", "Reaches", "Paper", "Differs"]
    assert all(fields.values())


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_configuration_survives_yaml(name):
    _, config = RECIPES[name]
    assert from_dict(type(config), to_dict(config)) == config
