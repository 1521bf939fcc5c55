"""Every recipe trains two small steps with finite results, and every parameter of both players changes.

Compiling takes several seconds for each. Recipes that use the same functions as another one are only traced here. They are compiled in
the slow and in the long tests.
"""

import ast
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.gan.state import named_key
from gan_jax.trainer.config import from_dict, to_dict
from support.scripts import load_script
from support.small_recipes import RECIPES, shrunk, started

COMPILED = {"acgan", "mlp_mnist", "ring", "vaegan"}
COMPILED_IN_SLOW_TESTS = {"pix2pix", "progressive", "r3gan", "stacked"}
# They have the models of other recipes at other sizes.
TRACED_IN_SLOW_TESTS = {"sngan_celeba", "sngan_cifar10", "projection_cifar10"}


def may_stand_still(config, path, leaf):
    """Whether a parameter has no gradient in the first steps by construction."""
    # Layers of later stages of progressive growing.
    if config.model.name == "progressive":
        return True
    # Instance norm without a bias of its own cancels the biases in front of it.
    if config.model.name == "cyclegan" and path.endswith("['bias']"):
        return True
    # The last bias of D shifts the logits of reals and fakes alike, and the gradients of these losses cancel.
    cancels = config.loss.name in ("hinge", "relativistic", "wasserstein")
    return cancels and leaf.size == 1 and path.startswith(".discriminator") and path.endswith("['bias']")


def marked(quick, slow=()):
    """The names of all recipes. Those outside the sets are marked `long`."""
    marks = dict.fromkeys(quick, ()) | dict.fromkeys(slow, pytest.mark.slow)
    return [pytest.param(name, marks=marks.get(name, pytest.mark.long)) for name in sorted(RECIPES)]


@pytest.mark.parametrize("name", marked(COMPILED, COMPILED_IN_SLOW_TESTS))
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


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in TRACED_IN_SLOW_TESTS else ()) for name in sorted(RECIPES.keys() - COMPILED)],
)
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


def test_mlp_mnist_is_the_step_of_the_script():
    """PyTorch-GAN's gan.py: G moves first, against the old D. D then learns on the same fakes, with half the sum of its losses."""
    built, batch = started(shrunk(RECIPES["mlp_mnist"][1]))
    spec, key = built.spec, jax.random.key(1)
    params, state = jax.jit(built.gan.init)(jax.random.key(0))
    after, _, _ = jax.jit(built.gan.train_step)(params, state, batch, key)
    minibatch = spec.prepare_minibatch(batch, named_key(jax.random.fold_in(key, 0), "round/0"))

    def fakes(generator):
        return spec.generator.apply(generator, state.networks.generator, minibatch.latents, rng=key, train=True)[0].images

    def logits(discriminator, images):
        return spec.discriminator.apply(discriminator, state.networks.discriminator, images, rng=key, train=True)[0].logits

    def generator_loss(generator):
        return jax.nn.softplus(-logits(params.discriminator, fakes(generator))).mean()

    def discriminator_loss(discriminator):
        real, fake = logits(discriminator, minibatch.real), logits(discriminator, fakes(params.generator))
        return (jax.nn.softplus(-real).mean() + jax.nn.softplus(fake).mean()) / 2

    # A bias in front of batch norm has a gradient of rounding errors, which Adam makes as large as any other.
    adam, compared = optax.adam(2e-4, b1=0.5, b2=0.999), 0
    for loss, old, new in zip((generator_loss, discriminator_loss), params, after, strict=True):
        gradients = jax.jit(jax.grad(loss))(old)
        updates, _ = adam.update(gradients, adam.init(old))
        for gradient, *values in zip(*map(jax.tree.leaves, (gradients, new, optax.apply_updates(old, updates))), strict=True):
            clear = np.abs(gradient) > 1e-5
            np.testing.assert_allclose(*(np.asarray(value)[clear] for value in values), atol=2e-6)
            compared += clear.sum()
    assert compared > 300


@pytest.mark.parametrize(("name", "clipped"), [("wgan", True), pytest.param("wgan_gp", False, marks=pytest.mark.slow)])
def test_wasserstein_critics_have_no_batch_norm_and_five_updates(name, clipped):
    config = RECIPES[name][1]
    built, batch = started(shrunk(config))
    params, state = jax.jit(built.gan.init)(jax.random.key(0))
    assert jax.tree.leaves(state.networks.generator)
    assert not jax.tree.leaves(state.networks.discriminator)
    assert config.update.discriminator_steps == 5
    after, _, _ = jax.jit(built.gan.train_step)(params, state, batch, jax.random.key(1))
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(after.discriminator))
    assert (largest <= 0.01) == clipped


def test_r3gan_has_the_schedules_of_the_authors_preset():
    """brownvc/R3GAN's train.py, preset CIFAR10, at the ends and in the middle of the burn-in."""
    config = RECIPES["r3gan"][1]
    built, _ = started(shrunk(config))
    r1, r2 = built.spec.penalties
    for step, gamma, rate in ((0, 0.05, 2e-4), (2.5, 0.0275, 1.25e-4), (5, 0.005, 5e-5), (10, 0.005, 5e-5)):
        np.testing.assert_allclose([2 * r1.weight(step), 2 * r2.weight(step)], gamma, rtol=1e-5)
        np.testing.assert_allclose(built.spec.learning_rates(step)["learning_rate/generator"], rate, rtol=1e-5)
    assert (config.optimizer.b1, config.optimizer.b2, config.optimizer.b2_final) == (0.0, 0.9, 0.99)
    assert (config.augment.ada_probability, config.augment.ada_probability_final) == (None, 0.55)
    # D and G have reals of their own.
    assert built.rule.batches_per_step == 2
