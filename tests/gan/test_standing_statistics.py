"""Standing statistics are the plain mean over batches, whatever the momentum."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.gan.spec import GANSpec
from gan_jax.gan.standing_statistics import standing_statistics
from gan_jax.gan.state import named_key
from gan_jax.latents import normal
from gan_jax.losses import ADVERSARIAL
from gan_jax.models import as_network
from gan_jax.optimizers import ttur
from support.games import perceptron, point_spec


def spec_of(generator, dim=2):
    """A GAN of points whose generator is a module with batch norm."""
    return GANSpec(
        as_network(generator, player="generator"),
        perceptron((4, 1), discriminator=True),
        ADVERSARIAL["hinge"],
        ttur(0.1, 0.1),
        image_shape=(dim,),
        latent_dim=3,
        sample_latents=normal,
    )


class Normalized(nn.Module):
    """One dense layer and batch norm."""

    momentum: float

    @nn.compact
    def __call__(self, latents, *, train=True):
        return nn.BatchNorm(not train, momentum=self.momentum)(nn.Dense(2)(latents))


@pytest.mark.parametrize("momentum", [0.9, 0.5])
def test_mean_over_batches(momentum):
    spec = spec_of(Normalized(momentum))
    params, state = jax.jit(spec.init)(jax.random.key(0))
    rng = jax.random.key(5)
    found = standing_statistics(spec, params, state, rng, batches=3, batch_size=8).networks.generator["batch_stats"]["BatchNorm_0"]
    dense = params.generator["Dense_0"]
    outputs = [normal(named_key(key, "latents"), (8, 3)) @ dense["kernel"] + dense["bias"] for key in jax.random.split(rng, 3)]
    np.testing.assert_allclose(found["mean"], jnp.stack([x.mean(0) for x in outputs]).mean(0), atol=1e-5)
    np.testing.assert_allclose(found["var"], jnp.stack([x.var(0) for x in outputs]).mean(0), rtol=1e-4)


def test_nothing_to_do_and_refusals():
    spec = point_spec()
    params, state = jax.jit(spec.init)(jax.random.key(0))
    assert standing_statistics(spec, params, state, jax.random.key(0)) is state
    with pytest.raises(ValueError, match="got 0 and 64"):
        standing_statistics(spec, params, state, jax.random.key(0), batches=0)


class PartlyNormalized(nn.Module):
    """Large activations through batch norm, and a second one that no pass updates."""

    size: float

    @nn.compact
    def __call__(self, latents, *, train=True):
        x = nn.BatchNorm(not train, momentum=0.9)(self.size * nn.Dense(2)(latents))
        return nn.BatchNorm(True)(x)


@pytest.mark.parametrize("size", [1e-6, 300.0, 1e4])
def test_digits_are_kept_at_any_scale_and_averages_that_no_pass_updates_stay(size):
    spec = spec_of(PartlyNormalized(size))
    params, state = jax.jit(spec.init)(jax.random.key(0))
    frozen = {"mean": jnp.array([0.3, -7.0]), "var": jnp.array([2.1, 0.7])}
    kept = {"batch_stats": {**state.networks.generator["batch_stats"], "BatchNorm_1": frozen}}
    state = state._replace(networks=state.networks._replace(generator=kept))
    rng = jax.random.key(5)
    found = standing_statistics(spec, params, state, rng, batches=3, batch_size=64).networks.generator["batch_stats"]
    jax.tree.map(np.testing.assert_array_equal, found["BatchNorm_1"], frozen)
    dense = params.generator["Dense_0"]
    latents = np.stack([normal(named_key(key, "latents"), (64, 3)) for key in jax.random.split(rng, 3)])
    outputs = size * (np.float64(latents) @ np.float64(dense["kernel"]) + np.float64(dense["bias"]))
    np.testing.assert_allclose(found["BatchNorm_0"]["var"], outputs.var(1).mean(0), rtol=2e-5)
    np.testing.assert_allclose(found["BatchNorm_0"]["mean"], outputs.mean(1).mean(0), rtol=2e-5, atol=1e-6 * size)


class Centred(nn.Module):
    """Averages of a batch whose mean is exactly zero."""

    @nn.compact
    def __call__(self, latents, *, train=True):
        return nn.BatchNorm(not train, momentum=0.9)(jnp.concatenate([latents, -latents]))


def test_a_statistic_of_zero_replaces_what_was_there():
    spec = spec_of(Centred(), dim=3)
    params, state = jax.jit(spec.init)(jax.random.key(0))
    moved = jax.tree.map(lambda leaf: leaf + 1, state.networks.generator)
    state = state._replace(networks=state.networks._replace(generator=moved))
    found = standing_statistics(spec, params, state, jax.random.key(5), batches=2, batch_size=8).networks.generator["batch_stats"]
    np.testing.assert_array_equal(found["BatchNorm_0"]["mean"], 0)
