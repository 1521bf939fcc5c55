"""Terms of either player's loss, from the outputs of D alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import penalties, terms
from gan_jax.config import Config, ConfigError, LossConfig, ModelConfig
from gan_jax.pieces import Play, Round
from gan_jax.typing import DiscriminatorOutput, GeneratorOutput

LABELS = jnp.array([0, 2])
REAL = jnp.array([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
FAKE = jnp.array([[0.0, 3.0, 0.0], [0.0, 0.0, 0.0]])


def play_of(real, fake, labels=LABELS):
    """What a term sees of two examples, with these class logits."""
    images = jnp.zeros((2, 4, 4, 1))
    outputs = [DiscriminatorOutput(jnp.zeros(2), {}, logits) for logits in (real, fake)]
    seen = Round(real=images, labels=labels, context=None, latents=jnp.zeros((2, 3)), rng=jax.random.key(0))
    return Play(seen, GeneratorOutput(images), *outputs, params={}, discriminate=None, generate=None, step=jnp.int32(0))


def cross_entropy(logits, label):
    """By hand: log of the sum of exponentials, minus the logit of the label."""
    return np.log(np.exp(np.asarray(logits, np.float64)).sum()) - float(logits[label])


def test_the_classifier_of_the_discriminator_sees_reals_and_fakes_or_reals_alone():
    real, fake = (np.array([cross_entropy(row, label) for row, label in zip(logits, LABELS)]) for logits in (REAL, FAKE))
    play = play_of(REAL, FAKE)
    np.testing.assert_allclose(terms.classify_real_and_fake(play), real + fake, rtol=1e-6)
    np.testing.assert_allclose(terms.classify_real(play), real, rtol=1e-6)
    np.testing.assert_allclose(terms.classify_fake(play), fake, rtol=1e-6)


def test_a_code_is_told_from_the_fakes_alone_by_both_players():
    config = Config(model=ModelConfig(auxiliary=True, codes=3, condition="none"))
    found = [term for term in terms.build_terms(config, 0) if term.name.startswith("classifier")]
    assert [term.player for term in found] == ["discriminator", "generator"]
    for term in found:
        np.testing.assert_allclose(term.function(play_of(REAL, FAKE), ())[0], terms.classify_fake(play_of(-REAL, FAKE)))


@pytest.mark.parametrize("classify_fakes", [True, False])
def test_a_flag_decides_whether_the_discriminator_classifies_fakes(classify_fakes):
    config = Config(model=ModelConfig(auxiliary=True), loss=LossConfig(classify_fakes=classify_fakes))
    term = next(term for term in terms.build_terms(config, 3) if term.name == "classifier_discriminator")
    values = [term.function(play_of(REAL, fake), ())[0].sum() for fake in (FAKE, -FAKE)]
    assert (values[0] != values[1]) == classify_fakes


def test_a_classifier_without_classes_is_one_clear_line():
    with pytest.raises(ConfigError, match=r"--model\.auxiliary"):
        terms.classify_fake(play_of(REAL, None))


def test_lecam_takes_the_mean_of_each_kind_where_there_are_two_fakes_for_each_real():
    """A VAE-GAN's: (D(x) - a_F)^2 over the reals plus (D(G(z)) - a_R)^2 over all fakes, with anchors that are the means so far."""
    real, fake = jnp.array([2.0, 4.0]), jnp.array([-1.0, -3.0, 1.0, 1.0])
    play = play_of(None, None)._replace(real_output=DiscriminatorOutput(real, {}), fake_output=DiscriminatorOutput(fake, {}))
    values, _ = terms.lecam(play, penalties.init_lecam())
    expected = ((2 + 0.5) ** 2 + (4 + 0.5) ** 2) / 2 + ((-1 - 3) ** 2 + (-3 - 3) ** 2 + 2 * (1 - 3) ** 2) / 4
    np.testing.assert_allclose(values.mean(), expected, rtol=1e-6)
