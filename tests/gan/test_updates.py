"""Updates of one player: what each loss is constant in, past opponents, top-k weights, and the draws of micro batches."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.gan.player_losses import discriminator_loss, generator_loss
from gan_jax.gan.state import named_key
from gan_jax.gan.update_rules import alternating, resample_latents
from gan_jax.gan.updates import both_gradients, split_minibatch, update_discriminator, update_generator
from gan_jax.penalties import top_k_weights
from gan_jax.replay import PlayerPoolState, player_pool
from support.games import assert_close, assert_same_bytes, perceptron, point_spec, points, started

RNG = jax.random.key(3)


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_each_loss_is_constant_in_the_other_player_unless_told_otherwise(stop_gradient):
    spec = point_spec()
    _, params, state = started(spec)
    minibatch = spec.prepare_minibatch(points(), RNG)
    fake, _ = spec.generate(params.generator, state, minibatch)

    def of_discriminator(fake):
        return discriminator_loss(spec, params.discriminator, state, fake, minibatch, None, stop_gradient=stop_gradient)[0]

    def of_generator(discriminator):
        return generator_loss(spec, fake, discriminator, state, minibatch, params.generator, None, stop_gradient=stop_gradient)[0]

    for loss, argument in ((of_discriminator, fake), (of_generator, params.discriminator)):
        largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(jax.jit(jax.grad(loss))(argument)))
        assert (largest == 0) == stop_gradient


def test_a_past_opponent_replaces_the_current_one():
    spec = point_spec()
    _, params, state = started(spec)
    minibatch = spec.prepare_minibatch(points(), RNG)
    past = jax.tree.map(lambda leaf: leaf + 1, params)
    after, _, _ = update_discriminator(spec, params, state, minibatch, generator=past.generator)
    expected, _, _ = update_discriminator(spec, params._replace(generator=past.generator), state, minibatch)
    assert_same_bytes(after, expected._replace(generator=params.generator))
    after, _, _ = update_generator(spec, params, state, minibatch, discriminator=past.discriminator)
    expected, _, _ = update_generator(spec, params._replace(discriminator=past.discriminator), state, minibatch)
    assert_same_bytes(after, expected._replace(discriminator=params.discriminator))


def test_inside_a_window_both_players_are_updated_against_the_pool():
    spec = point_spec()
    gan, params, state = started(spec, alternating(pool=player_pool(capacity=1, interval=3, duration=1)))
    past = jax.tree.map(lambda leaf: leaf + 1, params)
    pool = PlayerPoolState(jax.tree.map(lambda leaf: leaf[None], past), count=jnp.int32(1), chosen=jnp.int32(-1))
    state = state._replace(step=jnp.int32(3), update_rule=pool)
    after, _, _ = jax.jit(gan.train_step)(params, state, points(), RNG)
    minibatch = spec.prepare_minibatch(points(), named_key(jax.random.fold_in(RNG, 3), "round/0"))
    expected, state, _ = update_discriminator(spec, params, state, minibatch, generator=past.generator)
    minibatch = resample_latents(spec, minibatch, "generator/0")
    expected, _, _ = update_generator(spec, expected, state, minibatch, discriminator=past.discriminator)
    assert_close(after, expected)


def test_top_k_keeps_the_fakes_that_the_discriminator_takes_for_real():
    """Half of the fakes, those with the larger logits, have weight 2 and the others 0."""
    spec = point_spec(top_k=lambda logits, step: top_k_weights(logits, logits.size // 2))
    _, params, state = started(spec)
    minibatch = spec.prepare_minibatch(points(), RNG)
    fake, _ = spec.generate(params.generator, state, minibatch)
    value, _ = generator_loss(spec, fake, params.discriminator, state, minibatch, params.generator, None)
    logits = np.sort(np.asarray(spec.discriminator.apply(params.discriminator, {}, fake.images)[0].logits, np.float64))
    np.testing.assert_allclose(value, np.log1p(np.exp(-logits[8:])).mean(), rtol=1e-5)


def test_parts_of_a_minibatch_have_keys_and_examples_of_their_own():
    minibatch = point_spec().prepare_minibatch(points(), RNG)
    parts = split_minibatch(minibatch, 4)
    assert len(np.unique(jax.random.key_data(parts.rng), axis=0)) == 4
    assert_same_bytes(parts.real.reshape(16, 2), minibatch.real)
    assert_same_bytes(parts.latents.reshape(16, 3), minibatch.latents)


def test_the_gradients_of_both_players_advance_the_statistics_of_both():
    spec = dataclasses.replace(point_spec(batch_norm=True), generator=perceptron((8, 2), batch_norm=True))
    _, params, state = started(spec)
    _, new, _ = both_gradients(spec, params, state, spec.prepare_minibatch(points(), RNG))
    _, generated = spec.generate(params.generator, state, spec.prepare_minibatch(points(), RNG))
    assert_close(new.networks.generator, generated.networks.generator)
    assert float(jnp.abs(new.networks.generator["mean"]).max()) > 0
    assert float(jnp.abs(new.networks.discriminator["mean"]).max()) > 0
