"""A GAN begins with the weights of another one: which layers fit, and that the samples are those of the other GAN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.checkpoint import snapshot
from gan_jax.gan.make import sampling_params
from gan_jax.gan.transfer import Weights, flat, match_layers, plain_weights, transfer, transferred_layers
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import Config, ModelConfig, OptimizerConfig, TransformConfig, check
from gan_jax.trainer.initial_weights import weights_of
from gan_jax.typing import Players

MODEL = ModelConfig(name="dcgan", width=4, latent_dim=6)
SHAPE = (8, 8, 1)


def built_with(shape=SHAPE, **groups):
    config = check(Config(**{"model": MODEL, "batch_size": 4, "steps": 10, **groups}))
    return build(config, shape)


@pytest.fixture(scope="module")
def parent():
    """A GAN after three steps, its parameters and its state."""
    built = built_with(optimizer=OptimizerConfig(ema_decay=0.9, ema_warmup=False))
    params, state = jax.jit(built.gan.init)(jax.random.key(0))
    step = jax.jit(built.gan.train_step)
    images = jax.random.randint(jax.random.key(1), (4, *SHAPE), 0, 256).astype(jnp.uint8)
    for _ in range(3):
        params, state, _ = step(params, state, {"image": images}, jax.random.key(2))
    return built, params, state


def weights(params, state):
    return weights_of(snapshot((params, state)).leaves)


def samples(built, params, state):
    return np.asarray(built.gan.sample(params, state, jax.random.key(5), 4))


def begin(built, given, seed=7):
    return transfer(built.spec, built.rule, built.gan.init, jax.random.key(seed), given)


def test_a_layer_fits_only_as_a_whole():
    def leaf(*shape):
        return np.zeros(shape, np.float32)

    template = {"first/kernel": leaf(3, 4), "first/bias": leaf(4), "second/kernel": leaf(4, 4), "third/kernel": leaf(4, 1), "gain": leaf(2)}
    given = {"first/kernel": leaf(2, 4), "first/bias": leaf(4), "second/kernel": leaf(4, 4), "other/kernel": leaf(1), "gain": leaf(2)}
    loaded, new = match_layers(template, given)
    assert loaded == ("second", "gain")
    assert new == {"first": "kernel is (2, 4), here (3, 4)", "third": "not in the file"}
    assert match_layers({"a/kernel": leaf(1)}, {"a/kernel": leaf(1), "a/bias": leaf(1)}).new == {"a": "bias is (1,), here absent"}


def test_the_weights_are_the_parents_and_the_rest_begins_anew(parent):
    built, params, state = parent
    child = built_with(optimizer=OptimizerConfig(ema_decay=0.9, ema_warmup=False))
    new_params, new_state = begin(child, weights(params, state))
    for old, new in zip(jax.tree.leaves((params, state.networks)), jax.tree.leaves((new_params, new_state.networks)), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(samples(built, params, state), samples(child, new_params, new_state))
    average, raw = sampling_params(params, state), params.generator
    assert not np.array_equal(jax.tree.leaves(average)[0], jax.tree.leaves(raw)[0])  # The average is another tree than the weights.
    fresh = child.gan.init(jax.random.key(7))[1]
    assert int(new_state.step) == 0
    moments = [path for path in flat(fresh.optimizer) if "/mu/" in path or "/nu/" in path or path.endswith("count")]
    assert moments
    for path in moments:
        np.testing.assert_array_equal(flat(new_state.optimizer)[path], flat(fresh.optimizer)[path])
    assert jax.tree.structure(fresh) == jax.tree.structure(new_state)


def test_a_generator_without_an_average_begins_at_the_parents_average(parent):
    built, params, state = parent
    child = built_with(optimizer=OptimizerConfig(ema_decay=0.0))
    np.testing.assert_array_equal(samples(built, params, state), samples(child, *begin(child, weights(params, state))))


def test_other_channels_begin_with_new_first_and_last_layers(parent):
    _, params, state = parent
    child = built_with(shape=(8, 8, 3))
    given = weights(params, state)
    layers = transferred_layers(child.spec, given)
    assert len(layers.generator.new) == len(layers.discriminator.new) == 1
    assert all("(4, 4, " in reason for player in layers for reason in player.new.values()), layers
    new_params, new_state = begin(child, given)
    assert samples(child, new_params, new_state).shape == (4, 8, 8, 3)
    fresh, _ = jax.jit(child.gan.init)(jax.random.key(7))
    (layer,) = layers.generator.new
    for path, leaf in flat(new_params.generator).items():
        expected = flat(fresh.generator)[path] if path.rpartition("/")[0] == layer else flat(params.generator)[path]
        np.testing.assert_array_equal(leaf, expected)


@pytest.mark.parametrize(
    ("of_parent", "of_child"),
    [
        ("spectral_norm", "spectral_norm"),
        ("spectral_norm", "none"),
        ("none", "spectral_norm"),
        ("weight_norm", "weight_norm"),
        ("weight_norm", "none"),
        ("none", "weight_norm"),
    ],
)
def test_reparametrised_weights_make_the_same_images(of_parent, of_child):
    def transforms(name):
        return {} if name == "none" else {"transform": TransformConfig(**{name: "generator"})}

    built, child = built_with(**transforms(of_parent)), built_with(**transforms(of_child))
    params, state = jax.jit(built.gan.init)(jax.random.key(0))
    if of_parent == "spectral_norm":  # Power iterations converge in training.
        for _ in range(60):
            _, state = built.spec.effective_params("generator", params.generator, state)
    if of_parent == "none":  # Kernels with a spectral norm of 1, so that normalising them again changes nothing.
        normalising = built_with(transform=TransformConfig(spectral_norm="generator"))
        _, normal = normalising.gan.init(jax.random.key(0))
        for _ in range(60):
            effective, normal = normalising.spec.effective_params("generator", params.generator, normal)
        params = params._replace(generator=effective)
        state = state._replace(optimizer=built.spec.optimizer.init(params))
    expected, made = samples(built, params, state), samples(child, *begin(child, weights(params, state)))
    np.testing.assert_allclose(made, expected, atol=0 if of_parent == of_child == "spectral_norm" else 2e-4)


def test_weight_norm_is_multiplied_out():
    # Column norms 5 and 2, gains 10 and 1: the columns are multiplied by 2 and by 1/2.
    given = {
        "direction/a/kernel": np.array([[3.0, 0.0], [4.0, 2.0]]),
        "direction/a/bias": np.ones(2),
        "gain/a/kernel": np.array([10.0, 1.0]),
    }
    plain = plain_weights(given)
    np.testing.assert_allclose(plain["a/kernel"], [[6.0, 0.0], [8.0, 1.0]])
    assert set(plain) == {"a/kernel", "a/bias"}


def test_what_depends_on_the_weights_begins_at_the_loaded_ones(parent):
    _, params, state = parent
    child = built_with(optimizer=OptimizerConfig(target_discriminator=True))
    _, new_state = begin(child, weights(params, state))
    averages = [leaf for path, leaf in flat(new_state.optimizer.discriminator).items() if "/params/" in f"/{path}"]
    assert averages
    for average, leaf in zip(averages, jax.tree.leaves(params.discriminator), strict=True):
        np.testing.assert_array_equal(average, leaf)


def test_without_a_discriminator_only_the_generator_is_taken_over(parent):
    built, params, state = parent
    effective = {path: np.asarray(leaf) for path, leaf in flat(sampling_params(params, state)).items()}
    networks = {path: np.asarray(leaf) for path, leaf in flat(state.networks.generator).items()}
    child = built_with()
    given = Weights(Players(effective, {}), effective, Players(networks, {}))
    assert not transferred_layers(child.spec, given).discriminator.loaded
    new_params, new_state = begin(child, given)
    np.testing.assert_array_equal(samples(built, params, state), samples(child, new_params, new_state))
    fresh, _ = jax.jit(child.gan.init)(jax.random.key(7))
    np.testing.assert_array_equal(jax.tree.leaves(new_params.discriminator)[0], jax.tree.leaves(fresh.discriminator)[0])
