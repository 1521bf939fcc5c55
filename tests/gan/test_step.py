"""The train step as a whole: what it draws anew, how deep it is, what it costs, and that what it needs is declared."""

import dataclasses
import traceback

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.conditioning import CONDITIONS
from gan_jax.gan.diagnostics import with_diagnostics
from gan_jax.gan.make import build_gan
from gan_jax.gan.update_rules import UPDATE_RULES, alternating, extragradient
from gan_jax.losses import ADVERSARIAL
from gan_jax.typing import AdversarialLoss
from support.games import point_spec, points, started

RNG = jax.random.key(3)


def recording(seen):
    """A distribution of latents that records what it was asked for, and what it returned."""

    def sample(rng, shape):
        latents = jax.random.normal(rng, shape)
        jax.debug.callback(
            lambda key, values: seen.append((tuple(np.asarray(key).tolist()), np.asarray(values))), jax.random.key_data(rng), latents
        )
        return latents

    return sample


def latents_of_steps(rule, steps):
    """The latents that each of the steps draws from the same batch and the same key."""
    drawn = []
    gan, params, state = started(point_spec(), rule)
    seen = []
    gan = build_gan(point_spec(sample_latents=recording(seen)), rule)
    step = jax.jit(gan.train_step)
    for _ in range(steps):
        seen.clear()
        params, state, _ = step(params, state, points(), RNG)
        jax.effects_barrier()
        drawn.append(sorted(seen, key=lambda pair: pair[0]))
    return drawn


@pytest.mark.parametrize("name", sorted(UPDATE_RULES))
def test_two_consecutive_steps_draw_differently(name):
    first, second = latents_of_steps(UPDATE_RULES[name](), 2)
    assert not {key for key, _ in first} & {key for key, _ in second}


@pytest.mark.parametrize(
    "rule", [alternating(), alternating(discriminator_steps=2, generator_steps=2), extragradient()], ids=["once", "twice", "extragradient"]
)
def test_every_update_of_a_step_draws_its_own_latents(rule):
    (drawn,) = latents_of_steps(rule, 1)
    values = [latents.tobytes() for _, latents in drawn]
    assert len(values) == len(set(values)) >= 2


def frames_to_the_loss(rule, player):
    """The frames of the package between the update rule and the loss of a player."""
    depths = []

    def record(values):
        frames = [frame.name for frame in traceback.extract_stack() if "/gan_jax/gan/" in frame.filename]
        names = [number for number, name in enumerate(frames) if name == "train_step"]
        depths.append(len(frames) - names[-1] - 1)
        return values

    losses = {"discriminator": lambda real, fake: real - fake, "generator": lambda fake, real=None: fake}
    losses[player] = (lambda plain: lambda *logits: record(plain(*logits)))(losses[player])
    gan, params, state = started(dataclasses.replace(point_spec(), loss=AdversarialLoss(**losses)), rule)
    jax.eval_shape(gan.train_step, params, state, points(), RNG)
    return max(depths)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("name", sorted(UPDATE_RULES))
def test_the_loss_is_at_most_seven_frames_below_the_update_rule(name, player):
    assert frames_to_the_loss(UPDATE_RULES[name](), player) <= 7


def flops(gan):
    params, state = jax.eval_shape(gan.init, RNG)
    return jax.jit(gan.train_step).lower(params, state, points(), RNG).compile().cost_analysis()["flops"]


def test_a_step_without_diagnostics_neither_computes_nor_carries_them():
    spec, rule = point_spec(), alternating()
    plain, observed = build_gan(spec, rule), with_diagnostics(spec, rule)
    (params, state), (same_params, same_state) = plain.init(RNG), observed.init(RNG)
    assert state.diagnostics == ()
    assert same_state.diagnostics != ()
    params, state, metrics = jax.jit(plain.train_step)(params, state, points(), RNG)
    same_params, same_state, more = jax.jit(observed.train_step)(same_params, same_state, points(), RNG)
    assert state.diagnostics == ()
    assert not [name for name in metrics if name.startswith(("monitor/", "_"))]
    assert {name for name in more if not name.startswith("monitor/")} == set(metrics)
    for a, b in zip(jax.tree.leaves((params, state)), jax.tree.leaves((same_params, same_state._replace(diagnostics=()))), strict=True):
        np.testing.assert_array_equal(a, b)
    assert flops(plain) < flops(observed)


@pytest.mark.parametrize("kind", CONDITIONS)
def test_conditions_declare_whether_they_draw(kind):
    condition, real = CONDITIONS[kind], jax.random.normal(RNG, (2, 8, 8, 1))
    different = [condition(jax.random.key(seed), real) for seed in range(5)]
    draws = any(not np.array_equal(different[0], other) for other in different[1:]) if different[0] is not None else False
    assert condition.draws == draws


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_losses_declare_whether_the_generator_needs_reals(name):
    loss, logits = ADVERSARIAL[name], jnp.array([0.3, -0.2])
    if loss.needs_real:
        with pytest.raises((TypeError, ValueError)):
            loss.generator(logits)
    else:
        assert loss.generator(logits).shape == (2,)
