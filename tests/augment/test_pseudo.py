"""Adaptive pseudo augmentation (APA): its controller against the authors' code, and its place in D's loss."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.augment import mix_pseudo, pseudo_augment
from gan_jax.gan.player_losses import discriminator_loss, generator_loss
from gan_jax.gan.types import GradientPenalty, LossTerm
from gan_jax.gan.updates import further_fakes
from gan_jax.penalties import PENALTIES
from support.games import point_spec, points, started

# DeceiveD, commit 042c5c4, see tests/golden/critics_torch.py.
with np.load(pathlib.Path(__file__).parents[1] / "golden" / "critics_torch.npz") as file:
    AUTHORS = {name.removeprefix("apa_control/"): file[name] for name in file if name.startswith("apa_control/")}
RNG = jax.random.key(3)


def test_the_probability_follows_the_authors_code_to_its_floor():
    pseudo = pseudo_augment(0.6, interval=4, images_to_full=100)
    state, update, found = pseudo.init(), jax.jit(pseudo.update), []
    for logits in AUTHORS["logits"]:
        state = update(state, logits, logits)
        found.append(float(pseudo.probability(state)))
    np.testing.assert_allclose(found, AUTHORS["probabilities"], atol=1e-6)
    assert max(found) > 0.4
    assert found[-5:] == pytest.approx([0.0] * 5, abs=1e-6)  # It would fall below 0 at the last adjustment.


def test_the_probability_ends_at_its_bound():
    pseudo = pseudo_augment(0.6, interval=1, images_to_full=4, max_probability=0.9, images_per_logit=2)
    state = pseudo.update(pseudo.init(), jnp.ones(1), jnp.ones(1))
    assert pseudo.probability(state) == pytest.approx(0.5)  # one logit of two images, of four
    assert pseudo.probability(pseudo.update(state, jnp.ones(1), jnp.ones(1))) == pytest.approx(0.9)


@pytest.mark.parametrize("shape", [(4000, 2), (4000, 2, 3, 1)])
def test_each_real_is_replaced_as_a_whole_by_its_own_fake(shape):
    real, fake = jnp.arange(4000.0).reshape(-1, *[1] * (len(shape) - 1)) * jnp.ones(shape), -1 - jnp.arange(np.prod(shape)).reshape(shape)
    mixed = np.asarray(mix_pseudo(real, fake, RNG, 0.3)).reshape(4000, -1)
    posing = (mixed < 0).all(axis=1)
    np.testing.assert_array_equal(mixed[posing], np.asarray(fake).reshape(4000, -1)[posing])
    np.testing.assert_array_equal(mixed[~posing], np.asarray(real).reshape(4000, -1)[~posing])
    assert posing.mean() == pytest.approx(0.3, abs=0.03)


def test_at_the_ends_all_or_none_is_replaced_and_the_fakes_have_no_gradient():
    real, fake = jnp.ones((8, 2)), jnp.zeros((8, 2))
    np.testing.assert_array_equal(mix_pseudo(real, fake, RNG, 0.0), real)
    np.testing.assert_array_equal(mix_pseudo(real, fake, RNG, 1.0), fake)
    np.testing.assert_array_equal(jax.grad(lambda fake: mix_pseudo(real, fake, RNG, 0.5).sum())(fake), 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 1.5}, r"target must be in \[-1, 1\]; got 1.5"),
        ({"initial_probability": -0.1}, r"initial_probability must be in \[0, 1\]"),
        ({"max_probability": 2.0}, r"max_probability must be in \[0, 1\]"),
        ({"interval": 0}, "interval must be at least 1"),
        ({"images_to_full": 0}, "images_to_full positive; got 4 and 0"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        pseudo_augment(**options)
    with pytest.raises(ValueError, match="real and fake must have one shape"):
        mix_pseudo(jnp.ones((2, 2)), jnp.ones((3, 2)), RNG, 0.5)


def see_reals(context, state):
    return context.minibatch.real.sum(axis=-1), state


def of_discriminator(spec, *, real=None, latents=None):
    """(loss of D, its metrics, the state after it) with given reals, and the fakes of given latents."""
    _, params, state = started(spec)
    minibatch = spec.prepare_minibatch(points(), RNG)
    if real is not None:
        minibatch = minibatch._replace(real=real)
    fake, after = spec.generate(params.generator, state, minibatch)
    generate = further_fakes(spec, params.generator, state, minibatch)
    loss, (after, metrics) = discriminator_loss(spec, params.discriminator, state, fake, minibatch, generate)
    return loss, metrics, after, (params, state, minibatch, fake, generate)


PENALISED = {
    "penalties": (GradientPenalty("r1", PENALTIES["r1"], 0.5),),
    "terms": (LossTerm("seen", "discriminator", see_reals, 0.1),),
}


def test_losses_penalties_and_terms_of_d_see_the_posing_fakes_and_g_does_not():
    spec = point_spec(loss="relativistic", **PENALISED, pseudo_augmentation=pseudo_augment(initial_probability=1.0))
    loss, metrics, after, (params, state, minibatch, fake, generate) = of_discriminator(spec)
    posing = []

    def remember(real, fake, rng, probability):
        posing.append(fake)
        return mix_pseudo(real, fake, rng, probability)

    pseudo = spec.pseudo_augmentation
    with jax.disable_jit():
        of_discriminator(dataclasses.replace(spec, pseudo_augmentation=pseudo._replace(mix=remember)))
    assert len(posing) == 1
    # They are fakes of other latents, with the distribution of G.
    assert posing[0].shape == fake.images.shape
    assert not np.any(np.isclose(posing[0], fake.images).all(axis=-1))
    plain = dataclasses.replace(spec, pseudo_augmentation=None)
    expected, expected_metrics, *_ = of_discriminator(plain, real=posing[0])
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for name, value in expected_metrics.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)
    assert metrics["pseudo_probability"] == 1
    assert after.pseudo_augmentation.updates == 1
    of_g = [generator_loss(one, fake, params.discriminator, state, minibatch, params.generator, generate)[0] for one in (spec, plain)]
    assert of_g[0] == of_g[1]


def test_at_probability_zero_the_loss_is_that_without_it_and_no_fakes_are_made():
    spec = point_spec(**PENALISED, pseudo_augmentation=pseudo_augment())
    loss, metrics, *_ = of_discriminator(spec)
    expected, *_ = of_discriminator(dataclasses.replace(spec, pseudo_augmentation=None))
    assert loss == expected
    assert metrics["pseudo_probability"] == 0

    def refuse(*_):
        raise AssertionError("fakes were made")

    with jax.disable_jit():
        of_discriminator(dataclasses.replace(spec, pseudo_augmentation=spec.pseudo_augmentation._replace(mix=refuse)))


def test_the_signs_of_the_mixed_reals_move_the_probability():
    spec = point_spec(pseudo_augmentation=pseudo_augment(0.0, interval=1, images_to_full=64, initial_probability=0.5))
    _, metrics, after, _ = of_discriminator(spec)
    share = metrics["real_accuracy"]  # of the mixed reals
    np.testing.assert_allclose(after.pseudo_augmentation.overfitting, 2 * share - 1, atol=1e-6)
    count = len(points()["image"])
    expected = np.clip(0.5 + np.sign(2 * share - 1) * count / 64, 0, 1)
    np.testing.assert_allclose(after.pseudo_augmentation.probability, expected, atol=1e-6)
