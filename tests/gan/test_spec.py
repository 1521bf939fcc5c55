"""The hooks of the game: each does what it says, and nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import make_gan
from gan_jax.gan.make import build_gan
from gan_jax.gan.player_losses import discriminator_loss, generator_loss
from gan_jax.gan.state import named_key
from gan_jax.gan.types import GradientPenalty, LossTerm, normalize_images
from gan_jax.gan.update_rules import alternating
from gan_jax.gan.updates import discriminator_gradients, forward_generator, generator_gradients, group_by_layer
from gan_jax.losses import soft_targets
from gan_jax.optimizers import ema_params, per_player, ttur
from gan_jax.transforms import spectral_norm, weight_norm
from gan_jax.typing import Augmentation, ParamTransform, Players
from support.games import assert_close, assert_same_bytes, point_spec, points, started

RNG = jax.random.key(3)


def objectives(spec, batch=None):
    """(D's loss, G's loss, metrics, state after D) on one round."""
    _, params, state = started(spec)
    minibatch = spec.prepare_minibatch(batch or points(), RNG)
    fake, _ = spec.generate(params.generator, state, minibatch)
    d_loss, (after, d_metrics) = discriminator_loss(spec, params.discriminator, state, fake, minibatch, None)
    g_loss, (_, g_metrics, _) = generator_loss(spec, fake, params.discriminator, state, minibatch, params.generator, None)
    return d_loss, g_loss, d_metrics | g_metrics, after


def test_images_are_normalised_inside_the_step():
    values = jnp.array([0, 127, 128, 255], jnp.uint8)
    np.testing.assert_allclose(normalize_images(values), [-1, -0.5 / 127.5, 0.5 / 127.5, 1], atol=1e-6)
    floats = jnp.array([0.25])
    assert normalize_images(floats) is floats
    for dtype in (jnp.int32, jnp.int8, bool):
        with pytest.raises(TypeError, match=f"expected uint8 or floating point, got {jnp.dtype(dtype)}"):
            normalize_images(values.astype(dtype))


def test_a_batch_of_another_shape_is_refused():
    spec = point_spec()
    with pytest.raises(ValueError, match=r"must have shape \[batch, 2\]; got \(4, 3\)"):
        spec.prepare_minibatch({"image": jnp.zeros((4, 3))}, RNG)


def test_a_conditional_game_asks_for_labels():
    spec = point_spec(num_classes=10)
    with pytest.raises(ValueError, match=r"num_classes=10 needs batch\['label'\]; got only class, image"):
        spec.prepare_minibatch({"image": jnp.zeros((4, 2)), "class": jnp.zeros(4, jnp.int32)}, RNG)
    labels = jnp.array([3, 1, 0, 9])
    np.testing.assert_array_equal(spec.prepare_minibatch({"image": jnp.zeros((4, 2)), "label": labels}, RNG).labels, labels)


def test_named_keys_differ_by_name_only():
    assert_same_bytes(jax.random.key_data(named_key(RNG, "a")), jax.random.key_data(named_key(RNG, "a")))
    assert not np.array_equal(jax.random.key_data(named_key(RNG, "a")), jax.random.key_data(named_key(RNG, "b")))


def test_halved_loss_is_half_of_the_sum():
    whole, g_whole, _, _ = objectives(point_spec())
    half, g_half, _, _ = objectives(point_spec(halve_discriminator_loss=True))
    np.testing.assert_allclose(half, whole / 2, rtol=1e-6)
    np.testing.assert_allclose(g_half, g_whole)


def test_penalty_every_k_steps_is_rescaled_by_k():
    def gradient(penalty, step):
        spec = point_spec(penalties=(penalty,))
        _, params, state = started(spec)
        minibatch = spec.prepare_minibatch(points(), RNG)
        fake, _ = spec.generate(params.generator, state, minibatch)
        state = state._replace(step=jnp.int32(step))
        return discriminator_gradients(spec, params, state, minibatch, fake)[2]["penalty/square"]

    def square(critic, real, fake, rng):
        return critic(real) ** 2

    every = gradient(GradientPenalty("square", square, 1.0), 0)
    np.testing.assert_allclose(gradient(GradientPenalty("square", square, 1.0, 4), 0), 4 * every, rtol=1e-6)
    assert gradient(GradientPenalty("square", square, 1.0, 4), 3) == 0
    np.testing.assert_allclose(gradient(GradientPenalty("square", square, 1.0, 4), 8), 4 * every, rtol=1e-6)


def test_penalties_and_terms_are_weighed_and_added():
    plain, g_plain, _, _ = objectives(point_spec())
    penalty = GradientPenalty("one", lambda critic, real, fake, rng: jnp.full(real.shape[0], 2.0), 0.5)
    term = LossTerm("three", "generator", lambda context, state: (jnp.full(context.minibatch.real.shape[0], 3.0), state), 0.1)
    d_loss, g_loss, metrics, _ = objectives(point_spec(penalties=(penalty,), terms=(term,)))
    np.testing.assert_allclose(d_loss, plain + 1.0, rtol=1e-6)
    np.testing.assert_allclose(g_loss, g_plain + 0.3, rtol=1e-6)
    assert metrics["penalty/one"] == 2
    assert metrics["term/three"] == 3


def test_terms_carry_state():
    term = LossTerm("count", "discriminator", lambda context, n: (jnp.zeros(1), n + 1), init=lambda rng, params: jnp.int32(0))
    spec = point_spec(terms=(term,))
    gan, params, state = started(spec)
    for _ in range(3):
        params, state, _ = gan.train_step(params, state, points(), RNG)
    assert state.terms == (3,)


def test_gradient_norms_of_adversarial_and_task_terms_are_told_apart():
    term = LossTerm("pull", "generator", lambda context, state: (jnp.sum(context.fake.images**2, axis=1), state), 2.0)
    spec = point_spec(terms=(term,), adversarial_weight=0.0)
    _, params, state = started(spec)
    minibatch = spec.prepare_minibatch(points(), RNG)
    forward, _ = forward_generator(spec, params.generator, state, minibatch)
    _, _, metrics = generator_gradients(spec, params, state, minibatch, forward)
    assert metrics["adversarial_gradient_norm"] == 0
    np.testing.assert_allclose(metrics["task_gradient_norm"], jnp.linalg.norm(2 * 2 * forward.fake.images / 16), rtol=1e-5)


def test_batch_statistics_never_mix():
    spec = point_spec(batch_norm=True)
    _, params, state = started(spec)
    minibatch = spec.prepare_minibatch(points(), RNG)
    fake, _ = spec.generate(params.generator, state, minibatch)
    first = params.discriminator["dense_0"]
    means = [(images @ first["kernel"] + first["bias"]).mean(0) for images in (minibatch.real, fake.images)]
    _, (after, _) = discriminator_loss(spec, params.discriminator, state, fake, minibatch, None)
    # Two updates of momentum 0.9, the reals' before the fakes'; mixed batches would make one.
    assert_close(after.networks.discriminator["mean"], 0.9 * (0.1 * means[0]) + 0.1 * means[1])
    joint = point_spec(batch_norm=True, joint_batches=True)
    _, (after, _) = discriminator_loss(joint, params.discriminator, state, fake, minibatch, None)
    assert_close(after.networks.discriminator["mean"], 0.1 * (means[0] + means[1]) / 2)


def test_joint_batches_change_nothing_where_examples_do_not_meet():
    assert_close(objectives(point_spec())[:2], objectives(point_spec(joint_batches=True))[:2])


def test_targets_reach_the_loss():
    smooth = point_spec(targets=lambda rng, shape: (soft_targets(rng, shape, 0.9, 0.9), jnp.zeros(shape)))
    _, params, state = started(smooth)
    minibatch = smooth.prepare_minibatch(points(), RNG)
    fake, _ = smooth.generate(params.generator, state, minibatch)
    apply = smooth.discriminator.apply
    real_logits, fake_logits = (apply(params.discriminator, {}, images)[0].logits for images in (minibatch.real, fake.images))
    expected = optax.sigmoid_binary_cross_entropy(real_logits, 0.9).mean() + optax.sigmoid_binary_cross_entropy(fake_logits, 0.0).mean()
    np.testing.assert_allclose(discriminator_loss(smooth, params.discriminator, state, fake, minibatch, None)[0], expected, rtol=1e-6)


def test_input_transforms_apply_to_reals_and_fakes_and_keep_state():
    shift = Augmentation(lambda: jnp.float32(0), lambda images, state, rng, step: images + 1.0, lambda state, real, fake: state + 1)
    spec = point_spec(augmentations=(shift,))
    d_loss, _, _, after = objectives(spec)
    assert after.augmentations == (1,)
    _, params, state = started(spec)
    minibatch = spec.prepare_minibatch(points(), RNG)
    fake, _ = spec.generate(params.generator, state, minibatch)
    plain = point_spec()
    moved = fake._replace(images=fake.images + 1.0)
    state = state._replace(augmentations=())
    expected = discriminator_loss(plain, params.discriminator, state, moved, minibatch._replace(real=minibatch.real + 1.0), None)[0]
    np.testing.assert_allclose(d_loss, expected, rtol=1e-6)


def test_parameter_transforms_advance_once_a_turn_and_idle_in_sampling():
    halved = ParamTransform(lambda rng, params: jnp.int32(0), lambda params, n: (jax.tree.map(lambda leaf: leaf / 2, params), n + 1))
    spec = point_spec(transforms=Players((halved,), (halved,)))
    gan, params, state = started(spec)
    params, after, _ = gan.train_step(params, state, points(), RNG)
    assert after.transforms.discriminator == (1,)
    assert after.transforms.generator == (2,)  # one pass for D's turn, one for its own
    latents = jnp.ones((4, 3))
    expected = spec.generator.apply(jax.tree.map(lambda leaf: leaf / 2, params.generator), {}, latents)[0].images
    assert_close(gan.sample(params, after, RNG, 4, latents=latents), expected)


def nested(name):
    """A transformation that trains its parameters under a further name, and counts how often they were asked for."""

    def init(rng, params):
        return {name: jax.tree.structure(params[name]).num_leaves, "calls": jnp.int32(0)}

    return ParamTransform(init, lambda params, state: (params[name], {**state, "calls": state["calls"] + 1}), lambda params: {name: params})


def test_parameter_transforms_are_taken_off_in_the_order_opposite_to_that_of_their_preparation():
    spec = point_spec(transforms=Players((nested("inner"), nested("outer")), ()))
    gan, params, state = started(spec)
    assert list(params.generator) == ["outer"]
    assert list(params.generator["outer"]) == ["inner"]
    effective, after = spec.effective_params("generator", params.generator, state)
    assert_same_bytes(effective, params.generator["outer"]["inner"])
    assert [list(one) for one in after.transforms.generator] == [["calls", "inner"], ["calls", "outer"]]  # each at its own place
    assert [one["calls"] for one in after.transforms.generator] == [1, 1]
    gan.train_step(params, state, points(), RNG)


def test_normalised_directions_have_the_length_of_their_gains_over_the_spectral_norm():
    spec = point_spec(transforms=Players((), (spectral_norm(exact=True), weight_norm())))
    _, params, state = started(spec)
    doubled = jax.tree.map(lambda leaf: 2 * leaf, params.discriminator.gain)
    effective, _ = spec.effective_params("discriminator", params.discriminator._replace(gain=doubled), state)
    kernel = params.discriminator.direction["dense_0"]["kernel"]
    # All gains alike: twice the drawn kernel, and back to a largest singular value of 1.
    np.testing.assert_allclose(effective["dense_0"]["kernel"], kernel / jnp.linalg.norm(kernel, 2), rtol=1e-5)


def test_terms_begin_with_the_parameters_that_they_will_see():
    seen = LossTerm(
        "seen",
        "generator",
        lambda context, state: (jnp.sum(jnp.square(context.params["bias"] - state)), state),
        init=lambda rng, p: p["bias"],
    )
    halved = ParamTransform(lambda rng, params: (), lambda params, state: ({"bias": params["dense_0"]["bias"] + 1}, state))
    spec = point_spec(terms=(seen,))
    _, params, state = started(dataclasses.replace(spec, transforms=Players((halved,), ())))
    np.testing.assert_array_equal(state.terms[0], params.generator["dense_0"]["bias"] + 1)


@pytest.mark.parametrize("loss", ["relativistic", "relativistic_average"])
def test_two_fakes_for_each_real_are_both_compared_with_it(loss):
    spec = point_spec(loss=loss)
    _, params, state = started(spec)
    minibatch = spec.prepare_minibatch(points(), RNG)
    fake, _ = spec.generate(params.generator, state, minibatch)
    twice = fake._replace(images=jnp.concatenate([fake.images, fake.images + 1]))
    value, _ = generator_loss(spec, twice, params.discriminator, state, minibatch, params.generator, None)
    real, fakes = (np.asarray(spec.discriminator.apply(params.discriminator, {}, x)[0].logits) for x in (minibatch.real, twice.images))
    real = np.concatenate([real, real])
    if loss == "relativistic":
        expected = np.log1p(np.exp(real - fakes))
    else:
        expected = np.log1p(np.exp(real.mean() - fakes)) + np.log1p(np.exp(real - fakes.mean()))
    np.testing.assert_allclose(value, expected.mean(), rtol=1e-5)


def test_samples_come_from_the_moving_average():
    spec = point_spec(optimizer=ttur(0.1, 0.1, ema_decay=0.5))
    gan, params, state = started(spec)
    for _ in range(3):
        params, state, _ = gan.train_step(params, state, points(), RNG)
    latents = jnp.ones((4, 3))
    average = ema_params(state.optimizer)
    assert_close(gan.sample(params, state, RNG, 4, latents=latents), spec.generator.apply(average, {}, latents)[0].images)
    raw = gan.sample(params, state, RNG, 4, latents=latents, ema=False)
    assert_close(raw, spec.generator.apply(params.generator, {}, latents)[0].images)
    assert not np.allclose(raw, gan.sample(params, state, RNG, 4, latents=latents))


def test_truncation_bounds_the_latents():
    spec = point_spec()
    gan, params, state = started(spec)
    wide, narrow = (gan.sample(params, state, RNG, 64, truncation=threshold) for threshold in (None, 0.01))
    assert float(narrow.std()) < 0.1 * float(wide.std())


def test_layers_are_named_by_their_path():
    assert list(group_by_layer({"a": {"kernel": jnp.ones(2), "bias": jnp.ones(1)}, "b": jnp.ones(3)})) == ["a", "b"]
    spec = point_spec(layer_norms=True)
    gan, params, state = started(spec)
    _, _, metrics = gan.train_step(params, state, points(), RNG)
    total = sum(float(value) ** 2 for name, value in metrics.items() if name.startswith("gradient_norm/generator/")) ** 0.5
    np.testing.assert_allclose(total, metrics["generator_gradient_norm"], rtol=1e-5)


def test_make_gan_with_defaults_and_its_refusals():
    spec = point_spec()
    gan = make_gan(spec.generator, spec.discriminator, image_shape=(2,), latent_dim=3)
    params, state = gan.init(jax.random.key(0))
    params, state, _ = jax.jit(gan.train_step, donate_argnums=(0, 1))(params, state, points(), RNG)
    assert gan.sample(params, state, RNG, 5).shape == (5, 2)
    assert int(state.step) == 1
    with pytest.raises(ValueError, match="loss must be one of"):
        make_gan(spec.generator, spec.discriminator, image_shape=(2,), loss="best")
    with pytest.raises(TypeError, match="penalty"):
        make_gan(spec.generator, spec.discriminator, image_shape=(2,), penalty=3)


def test_the_first_state_can_be_donated():
    spec = point_spec(optimizer=ttur(0.1, 0.1, ema_decay=0.9))
    gan = build_gan(spec, alternating())
    for init in (gan.init, jax.jit(gan.init)):
        params, state = init(jax.random.key(0))
        kept = jax.tree.map(jnp.copy, (params, state))
        after, _, _ = jax.jit(gan.train_step, donate_argnums=(0, 1))(params, state, points(), RNG)
        assert_same_bytes(after, jax.jit(gan.train_step)(*kept, points(), RNG)[0])


def test_optimisers_of_both_players_are_their_own():
    spec = point_spec(optimizer=per_player(optax.sgd(0.0), optax.sgd(0.1)))
    gan, params, state = started(spec)
    after, _, _ = gan.train_step(params, state, points(), RNG)
    assert_same_bytes(params.generator, after.generator)
    assert not np.array_equal(params.discriminator["dense_0"]["kernel"], after.discriminator["dense_0"]["kernel"])
