"""Terms of either player's loss, from the outputs of D alone."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import losses, penalties
from gan_jax.distributed import distribute, make_placement
from gan_jax.gan import loss_terms
from gan_jax.gan.make import build_gan
from gan_jax.gan.state import named_key
from gan_jax.gan.types import LossContext, LossTerm, Minibatch
from gan_jax.gan.update_rules import alternating, extragradient, simultaneous, unrolled
from gan_jax.trainer.build import terms
from gan_jax.trainer.config import Config, LossConfig, ModelConfig
from gan_jax.typing import DiscriminatorOutput, GeneratorOutput
from support.games import assert_close, perceptron, point_spec, points

LABELS = jnp.array([0, 2])
REAL = jnp.array([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
FAKE = jnp.array([[0.0, 3.0, 0.0], [0.0, 0.0, 0.0]])


def context_of(real, fake, labels=LABELS):
    """What a term sees of two examples, with these class logits."""
    images = jnp.zeros((2, 4, 4, 1))
    outputs = [DiscriminatorOutput(jnp.zeros(2), {}, logits) for logits in (real, fake)]
    seen = Minibatch(real=images, labels=labels, context=None, latents=jnp.zeros((2, 3)), rng=jax.random.key(0))
    return LossContext(
        seen, GeneratorOutput(images), *outputs, params={}, raw_params={}, discriminate=None, generate=None, step=jnp.int32(0)
    )


def cross_entropy(logits, label):
    """By hand: log of the sum of exponentials, minus the logit of the label."""
    return np.log(np.exp(np.asarray(logits, np.float64)).sum()) - float(logits[label])


def test_the_classifier_of_the_discriminator_sees_reals_and_fakes_or_reals_alone():
    real, fake = (np.array([cross_entropy(row, label) for row, label in zip(logits, LABELS)]) for logits in (REAL, FAKE))
    context = context_of(REAL, FAKE)
    np.testing.assert_allclose(loss_terms.classify_real_and_fake(context), real + fake, rtol=1e-6)
    np.testing.assert_allclose(loss_terms.classify_real(context), real, rtol=1e-6)
    np.testing.assert_allclose(loss_terms.classify_fake(context), fake, rtol=1e-6)


def test_a_code_is_told_from_the_fakes_alone_by_both_players():
    config = Config(model=ModelConfig(auxiliary=True, codes=3, condition="none"))
    found = [term for term in terms.build_terms(config, 0) if term.name.startswith("classifier")]
    assert [term.player for term in found] == ["discriminator", "generator"]
    for term in found:
        np.testing.assert_allclose(term.function(context_of(REAL, FAKE), ())[0], loss_terms.classify_fake(context_of(-REAL, FAKE)))


@pytest.mark.parametrize("classify_fakes", [True, False])
def test_a_flag_decides_whether_the_discriminator_classifies_fakes(classify_fakes):
    config = Config(model=ModelConfig(auxiliary=True), loss=LossConfig(classify_fakes=classify_fakes))
    term = next(term for term in terms.build_terms(config, 3) if term.name == "classifier_discriminator")
    values = [term.function(context_of(REAL, fake), ())[0].sum() for fake in (FAKE, -FAKE)]
    assert (values[0] != values[1]) == classify_fakes


def test_a_classifier_without_classes_is_one_clear_line():
    with pytest.raises(ValueError, match="class logits"):
        loss_terms.classify_fake(context_of(REAL, None))


def test_lecam_takes_the_mean_of_each_kind_where_there_are_two_fakes_for_each_real():
    """A VAE-GAN's: (D(x) - a_F)^2 over the reals plus (D(G(z)) - a_R)^2 over all fakes, with anchors that are the means so far."""
    real, fake = jnp.array([2.0, 4.0]), jnp.array([-1.0, -3.0, 1.0, 1.0])
    context = context_of(None, None)._replace(real_output=DiscriminatorOutput(real, {}), fake_output=DiscriminatorOutput(fake, {}))
    values, _ = loss_terms.lecam(context, penalties.init_lecam())
    expected = ((2 + 0.5) ** 2 + (4 + 0.5) ** 2) / 2 + ((-1 - 3) ** 2 + (-3 - 3) ** 2 + 2 * (1 - 3) ** 2) / 4
    np.testing.assert_allclose(values.mean(), expected, rtol=1e-6)


def test_lecam_of_several_scales_has_one_value_for_each_of_their_logits():
    """Anchors are the means over all logits: a_R = (2 + 4 + 3 * 4) / 6 = 3, a_F = (-1 - 3 + 1 * 4) / 6 = 0."""
    real, fake = ((jnp.array([2.0, 4.0]), jnp.full((2, 1, 2), 3.0)), (jnp.array([-1.0, -3.0]), jnp.full((2, 1, 2), 1.0)))
    context = context_of(None, None)._replace(real_output=DiscriminatorOutput(real, {}), fake_output=DiscriminatorOutput(fake, {}))
    (coarse, fine), state = loss_terms.lecam(context, penalties.init_lecam())
    np.testing.assert_allclose(coarse, [(2 - 0) ** 2 + (3 + 1) ** 2, (4 - 0) ** 2 + (3 + 3) ** 2], rtol=1e-5)
    np.testing.assert_allclose(fine, np.full((2, 1, 2), (3 - 0) ** 2 + (3 - 1) ** 2), rtol=1e-5)
    np.testing.assert_allclose([state.real / state.weight, state.fake / state.weight], [3.0, 0.0], atol=1e-5)


def test_balanced_consistency_where_there_are_two_fakes_for_each_real():
    """Each real's value beside each of its fakes': the mean is that over the reals plus that over all fakes."""
    real, fake = jax.random.normal(jax.random.key(1), (2, 8, 8, 1)), jax.random.normal(jax.random.key(2), (4, 8, 8, 1))

    def critic(images):
        return (images * jnp.arange(8.0)[:, None]).sum((1, 2, 3))

    seen = context_of(None, None)._replace(
        fake=GeneratorOutput(fake), discriminate=lambda images, name: DiscriminatorOutput(critic(images))
    )
    seen = seen._replace(minibatch=seen.minibatch._replace(real=real))
    key = named_key(seen.minibatch.rng, "balanced_consistency")
    of_real, of_fake = (
        penalties.consistency_penalty(critic, images, penalties.random_flip_shift(named_key(key, name), images, flip=False))
        for name, images in (("real", real), ("fake", fake))
    )
    values = loss_terms.balanced_consistency(seen, flip=False)
    np.testing.assert_array_equal(values, jnp.concatenate([of_real, of_real]) + of_fake)
    assert float(jnp.minimum(of_real.max(), of_fake.max())) > 0


def with_outputs(real, fake, **extras):
    """What a term sees of outputs of D with these features, and of a generator with these extras."""
    context = context_of(None, None)
    real_output, fake_output = (DiscriminatorOutput(jnp.zeros(2), features) for features in (real, fake))
    return context._replace(real_output=real_output, fake_output=fake_output, fake=context.fake._replace(extras=extras))


def test_features_of_the_reals_are_constant_in_the_terms_of_the_generator():
    """The mean features are matched: |(1 + 3) / 2 - (0 + 2) / 2|^2 = 1, whose gradient is that of the fakes alone."""
    real, fake = {"last": jnp.array([[1.0], [3.0]])}, {"last": jnp.array([[0.0], [2.0]])}

    def matching(real, fake):
        return jnp.sum(loss_terms.feature_matching(with_outputs(real, fake)))

    def reconstruction(real, fake):
        context = with_outputs(real, fake)._replace(discriminate=lambda images, name: DiscriminatorOutput(jnp.zeros(2), fake))
        return jnp.sum(loss_terms.feature_reconstruction(context))

    for term, expected in ((matching, 1.0), (reconstruction, 0.5 * (1 + 1))):
        value, (of_real, of_fake) = jax.value_and_grad(term, argnums=(0, 1))(real, fake)
        np.testing.assert_allclose(value, expected)
        np.testing.assert_array_equal(of_real["last"], 0)
        assert np.all(np.asarray(of_fake["last"]) != 0)


def test_the_last_features_are_reconstructed():
    """Half of the squared distance, summed over an example: (4^2 + 2^2) / 2 and (1^2 + 0^2) / 2."""
    wanted = {"first": jnp.zeros((2, 1)), "last": jnp.array([[4.0, 2.0], [1.0, 0.0]])}
    made = {"first": jnp.full((2, 1), 9.0), "last": jnp.zeros((2, 2))}
    context = with_outputs(wanted, made)._replace(discriminate=lambda images, name: DiscriminatorOutput(jnp.zeros(2), made))
    np.testing.assert_allclose(loss_terms.feature_reconstruction(context), [10.0, 0.5])


def test_the_reconstruction_and_the_coarse_image_are_compared_with_the_target():
    """The target is 0. The fake is 0, the reconstruction 2 and the coarse image -3, so the mean distances are 2 and 3."""
    images = jnp.ones((2, 4, 4, 1))
    plain = with_outputs({}, {})
    assert float(jnp.abs(loss_terms.reconstruction(plain)).max()) == 0
    np.testing.assert_allclose(loss_terms.reconstruction(with_outputs({}, {}, reconstruction=2 * images)), [2.0, 2.0])
    coarse = with_outputs({}, {}, reconstruction=2 * images, coarse=-3 * images)
    np.testing.assert_allclose(loss_terms.reconstruction(coarse), [5.0, 5.0])
    np.testing.assert_array_equal(loss_terms.images_of(coarse), 2 * images)


def test_spectral_regularisation_has_the_half_of_its_paper():
    """A diagonal kernel with entries 3 and 1 has the norm 3: 3^2 / 2."""
    params = {"kernel": jnp.diag(jnp.array([3.0, 1.0]))}
    state = penalties.init_spectral_norm_penalty(jax.random.key(0), params)
    for _ in range(20):
        value, state = loss_terms.spectral_regularisation(context_of(None, None)._replace(params=params), state)
    np.testing.assert_allclose(value, 4.5, rtol=1e-5)


@pytest.mark.parametrize(("step", "active"), [(2, False), (3, True), (4, True)])
def test_lecam_acts_from_its_start_step_on(step, active):
    logits = DiscriminatorOutput(jnp.array([2.0, 4.0]), {}), DiscriminatorOutput(jnp.array([-1.0, -3.0]), {})
    context = context_of(None, None)._replace(real_output=logits[0], fake_output=logits[1], step=jnp.int32(step))
    values, _ = loss_terms.lecam(context, penalties.init_lecam(), start_step=3)
    assert (float(values.min()) > 0) == active


def test_drift_is_that_of_the_logits_of_the_reals():
    real, fake = (jnp.array([2.0, -3.0]), jnp.ones((2, 1, 2))), (jnp.zeros(2), jnp.zeros((2, 1, 2)))
    context = context_of(None, None)._replace(real_output=DiscriminatorOutput(real, {}), fake_output=DiscriminatorOutput(fake, {}))
    coarse, fine = loss_terms.drift(context)
    np.testing.assert_allclose(coarse, [4.0, 9.0])
    np.testing.assert_allclose(fine, np.ones((2, 1, 2)))


def with_dropout(network):
    """The generator with half of its output dropped, by draws of its own."""

    def apply(*arguments, rng, **keywords):
        output, state = network.apply(*arguments, rng=rng, **keywords)
        return output._replace(images=output.images * jax.random.bernoulli(rng, 0.5, output.images.shape)), state

    return network._replace(apply=apply)


@pytest.mark.parametrize(
    ("rule", "std"),
    [
        pytest.param(alternating(), 0.03, id="perturbed"),
        pytest.param(alternating(), 0.0, id="alternating"),
        pytest.param(alternating(fakes="shared", order="generator_first"), 0.0, id="shared"),
        pytest.param(simultaneous(), 0.0, id="simultaneous"),
        pytest.param(unrolled(unroll_steps=1), 0.0, id="unrolled"),
        pytest.param(extragradient(), 0.0, id="extragradient"),
    ],
)
def test_a_fake_of_other_latents_is_made_under_the_same_draws(rule, std, monkeypatch):
    """zCR compares G(z) with G(T(z)): with T the identity they are one, whatever else G draws."""
    monkeypatch.setattr(penalties, "perturb_latents", partial(penalties.perturb_latents, std=std))
    of_player = {"discriminator": loss_terms.latent_consistency, "generator": loss_terms.latent_diversity}
    rows = tuple(LossTerm(player, player, loss_terms.stateless(function)) for player, function in of_player.items())
    spec = point_spec(terms=rows)
    gan = build_gan(dataclasses.replace(spec, generator=with_dropout(spec.generator)), rule)
    params, state = gan.init(jax.random.key(0))
    _, _, metrics = gan.train_step(params, state, points(), jax.random.key(3))
    for player in of_player:
        assert (metrics[f"term/{player}"] == 0) == (std == 0)


def embedding_discriminator():
    """A discriminator of points with an embedding, and one vector for each of three classes."""
    body = perceptron((8, 5), discriminator=True)

    def init(rng, inputs, labels=None, context=None):
        return body.init(rng, inputs)[0] | {"proxies": jnp.eye(3, 5)}, {}

    def apply(params, state, inputs, labels=None, context=None, *, rng=None, train=True):
        output, state = body.apply({name: layer for name, layer in params.items() if name != "proxies"}, state, inputs)
        return output._replace(embeddings=output.features["last"], proxies=params["proxies"][labels]), state

    return body._replace(init=init, apply=apply)


def test_embeddings_on_four_devices_are_compared_with_the_whole_batch():
    def loss(*arrays, axis_name):
        values = (function(*arrays, axis_name=axis_name) for function in (losses.data_to_data_cross_entropy_loss, contrast))
        return sum(values)

    contrast = losses.conditional_contrastive_loss
    functions = {"discriminator": loss_terms.embed_real, "generator": loss_terms.embed_fake}
    rows = tuple(LossTerm(player, player, loss_terms.stateless(partial(term, loss=loss))) for player, term in functions.items())
    spec, batch = point_spec(discriminator=embedding_discriminator(), terms=rows, num_classes=3), points(16)
    batch["label"] = jnp.arange(16) % 3
    gan, placement = build_gan(spec, alternating()), make_placement("shard_map", devices=4)
    start = gan.init(jax.random.key(0))
    one, _, metrics = gan.train_step(*start, batch, jax.random.key(3))
    step = jax.jit(build_gan(spec, distribute(alternating(), placement)).train_step, out_shardings=placement.replicated)
    placed = jax.device_put(start, placement.replicated), jax.device_put(batch, placement.batch)
    many, _, of_devices = step(*placed[0], placed[1], jax.random.key(3))
    assert_close(jax.device_get(many), one, tolerance=1e-5)
    for player in functions:
        np.testing.assert_allclose(of_devices[f"term/{player}"], metrics[f"term/{player}"], rtol=1e-5)
