import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax.errors import InvalidRngError

from gan_jax.models import MODELS, as_network, build_model
from gan_jax.models.options import ModelOptions
from gan_jax.typing import DiscriminatorOutput, GeneratorOutput


class Plain(nn.Module):
    """Takes nothing but its inputs; its class name does not say which player it is."""

    @nn.compact
    def __call__(self, inputs):
        return nn.Dense(2)(inputs)


class Full(nn.Module):
    """Uses all there is: labels, context, training, noise, dropout, batch statistics and a state of its own."""

    player = "discriminator"

    @nn.compact
    def __call__(self, inputs, labels=None, context=None, *, train=True):
        calls = self.variable("counter", "calls", lambda: jnp.zeros(()))
        if train and not self.is_initializing():
            calls.value += 1
        x = nn.BatchNorm(not train)(inputs + context + labels[:, None])
        x = nn.Dropout(0.5, deterministic=False)(x)
        return (nn.Dense(1)(x)[:, 0] + jax.random.normal(self.make_rng("noise"), x.shape[:1]),)


INPUTS, LABELS, CONTEXT = jnp.arange(8.0).reshape(4, 2), jnp.arange(4), jnp.ones((4, 2))


def test_a_bare_array_is_wrapped_for_its_player():
    for player, kind in (("generator", GeneratorOutput), ("discriminator", DiscriminatorOutput)):
        network = as_network(Plain(), player=player)
        params, state = network.init(jax.random.key(0), INPUTS)
        output, new_state = network.apply(params, state, INPUTS)
        assert isinstance(output, kind)
        assert output[0].shape == (4, 2)
        assert state == new_state == {}


def test_arguments_that_a_module_does_not_take_are_left_out():
    network = as_network(Plain(), player="generator")
    params, state = network.init(jax.random.key(0), INPUTS, LABELS, CONTEXT)
    with_them, _ = network.apply(params, state, INPUTS, LABELS, CONTEXT, rng=jax.random.key(1), train=False)
    without, _ = network.apply(params, state, INPUTS)
    assert jnp.array_equal(with_them.images, without.images)


def test_a_player_that_cannot_be_told_is_refused():
    with pytest.raises(ValueError, match="player must be one of"):
        as_network(Plain())


def test_init_is_pure_and_may_be_jitted():
    network = as_network(Full())
    eager = network.init(jax.random.key(0), INPUTS, LABELS, CONTEXT)
    jitted = jax.jit(network.init)(jax.random.key(0), INPUTS, LABELS, CONTEXT)
    assert jax.tree.map(jnp.shape, eager) == jax.tree.map(jnp.shape, jitted)
    assert jnp.allclose(eager[0]["Dense_0"]["kernel"], jitted[0]["Dense_0"]["kernel"])
    assert sorted(eager[1]) == ["batch_stats", "counter"]


def test_training_advances_the_state_and_evaluation_does_not():
    network = as_network(Full())
    params, state = network.init(jax.random.key(0), INPUTS, LABELS, CONTEXT)
    _, trained = network.apply(params, state, INPUTS, LABELS, CONTEXT, rng=jax.random.key(1), train=True)
    _, kept = network.apply(params, trained, INPUTS, LABELS, CONTEXT, rng=jax.random.key(1), train=False)
    assert trained["counter"]["calls"] == 1
    # Flax's momentum 0.99: 0.01 of the batch mean of inputs + 1 + labels, (3 + 1 + 1.5, 4 + 1 + 1.5), beside zeros.
    assert jnp.allclose(trained["batch_stats"]["BatchNorm_0"]["mean"], jnp.array([0.055, 0.065]))
    assert kept is trained


def test_draws_follow_the_key_and_need_one():
    network = as_network(Full())
    params, state = network.init(jax.random.key(0), INPUTS, LABELS, CONTEXT)

    def logits(seed):
        return network.apply(params, state, INPUTS, LABELS, CONTEXT, rng=jax.random.key(seed), train=False)[0].logits[0]

    assert jnp.array_equal(logits(1), logits(1))
    assert not jnp.array_equal(logits(1), logits(2))
    with pytest.raises(InvalidRngError):
        network.apply(params, state, INPUTS, LABELS, CONTEXT)


@pytest.mark.parametrize("name", MODELS)
def test_every_row_says_what_it_does_not_know(name):
    with pytest.raises(ValueError, match=rf"model '{name}' has no option colour; it has .*latent_dim"):
        build_model(name, colour="red")
    if "image_size" in MODELS[name].options and name != "mlp":
        with pytest.raises(ValueError, match=r"image_size 30.*makes (square )?images (of|with) .*32"):
            build_model(name, image_size=30)
    if "output_activation" in MODELS[name].options:
        with pytest.raises(ValueError, match="output_activation must be one of tanh, linear; got 'sin'"):
            build_model(name, output_activation="sin")


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"model must be one of mlp, .*dcgan.*; got 'dcgam'"):
        build_model("dcgam")


def test_a_fixed_option_is_not_offered():
    assert "gamma" in MODELS["vaegan"].options
    assert "gamma" not in MODELS["klgan"].options
    assert MODELS["klgan"]().generator.gamma == 1.0


def test_the_typed_options_are_those_of_the_models():
    assert set(ModelOptions.__annotations__) == {option for row in MODELS.values() for option in row.options}
