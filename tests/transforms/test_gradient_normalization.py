"""Gradient normalisation of a critic against its authors' code, and its bounds."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gan_jax import losses, penalties
from gan_jax.transforms import gradient_normalized, gradient_normalized_network, normalize_gradient
from gan_jax.typing import DiscriminatorOutput, Network
from support.golden_networks import judge, layer

# GNGAN-PyTorch, commit b320584, see tests/golden/critics_torch.py.
FOLDER = pathlib.Path(__file__).parents[1] / "golden"
with np.load(FOLDER / "critics_torch.npz") as file:
    GOLDEN = {name.removeprefix("gradient_norm/"): file[name] for name in file if name.startswith("gradient_norm/")}
with np.load(FOLDER / "steps_torch.npz") as file:
    IMAGES = jnp.asarray(file["shared/reals"][:8])
SHAPES = {"conv_0": layer(3, 3, 3, 5), "conv_1": layer(3, 3, 5, 6), "dense": layer(24, 1)}
ZEROS = jax.tree.map(jnp.zeros, SHAPES, is_leaf=lambda node: isinstance(node, tuple))
UNRAVEL = ravel_pytree(ZEROS)[1]
PARAMS = UNRAVEL(jnp.asarray(GOLDEN["params"]))


def normalized(params, images):
    return gradient_normalized(lambda points: judge(params, points, None, None).logits)(images)


def test_the_logits_equal_those_of_the_authors():
    np.testing.assert_allclose(normalized(PARAMS, IMAGES), GOLDEN["logits"], rtol=1e-5)


@pytest.mark.parametrize(("name", "loss"), [("hinge", "hinge"), ("bce", "non_saturating"), ("wasserstein", "wasserstein")])
def test_losses_and_their_gradients_equal_those_of_the_authors(name, loss):
    def discriminator_loss(params):
        logits = normalized(params, IMAGES)
        return losses.ADVERSARIAL[loss].discriminator(logits[:4], logits[4:]).mean()

    def generator_loss(fake):
        return losses.ADVERSARIAL[loss].generator(normalized(PARAMS, fake)).mean()

    value, gradient = jax.jit(jax.value_and_grad(discriminator_loss))(PARAMS)
    np.testing.assert_allclose(value, GOLDEN[f"{name}/discriminator"], rtol=1e-5)
    expected = GOLDEN[f"{name}/discriminator_gradient"]
    np.testing.assert_allclose(ravel_pytree(gradient)[0], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    value, gradient = jax.jit(jax.value_and_grad(generator_loss))(IMAGES[4:])
    np.testing.assert_allclose(value, GOLDEN[f"{name}/generator"], rtol=1e-5)
    expected = GOLDEN[f"{name}/fake_gradient"]
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_a_value_by_hand():
    # f = 3 x + 4 y - 2 at (1, 1): its gradient has norm 5, so the result is 5 / (5 + 5).
    critic = gradient_normalized(lambda points: points @ jnp.array([3.0, 4.0]) - 2)
    np.testing.assert_allclose(critic(jnp.ones((1, 2))), [0.5])
    np.testing.assert_allclose(normalize_gradient(jnp.array([-2.0]), jnp.array([[3.0, 4.0]])), [-2 / 7])


def test_the_critic_is_bounded_has_the_sign_of_the_logits_and_does_not_depend_on_their_scale():
    logits = judge(PARAMS, IMAGES, None, None).logits
    values = normalized(PARAMS, IMAGES)
    assert jnp.all(jnp.abs(values) < 1)
    np.testing.assert_array_equal(jnp.sign(values), jnp.sign(logits))
    scaled = jax.tree.map(lambda x: 100 * x, PARAMS["dense"])
    np.testing.assert_allclose(normalized(PARAMS | {"dense": scaled}, IMAGES), values, rtol=1e-5)


def test_a_piecewise_linear_critic_becomes_one_lipschitz():
    # The bound of the paper: the new gradient has norm (|grad f| / (|grad f| + |f|))^2.
    def critic(points):
        return judge(PARAMS, points, None, None).logits

    logits, gradient = penalties.value_and_input_gradient(critic, IMAGES)
    norm = penalties.guarded_norm(gradient)
    new = penalties.guarded_norm(penalties.value_and_input_gradient(gradient_normalized(critic), IMAGES)[1])
    np.testing.assert_allclose(new, jnp.square(norm / (norm + jnp.abs(logits))), rtol=1e-4)
    assert jnp.all(new <= 1)


def test_a_dead_critic_is_zero_with_finite_gradients():
    value, gradient = jax.value_and_grad(lambda params: normalized(params, IMAGES).sum())(ZEROS)
    assert value == 0
    assert np.all(np.isfinite(ravel_pytree(gradient)[0]))


def test_a_network_keeps_its_features_and_its_state_and_receives_its_other_inputs():
    def apply(params, state, inputs, labels=None, context=None, *, rng=None, train=True):
        assert train is False
        logits = (params * inputs).sum(axis=1) + labels
        return DiscriminatorOutput(logits, {"first": inputs}, class_logits=2 * inputs), state + 1

    network = gradient_normalized_network(Network(lambda *_: (jnp.ones(2), 0), apply))
    inputs = jnp.array([[3.0, 4.0]])
    output, state = network.apply(jnp.ones(2), 4, inputs, jnp.array([1]), train=False)
    np.testing.assert_allclose(output.logits, [8 / (8 + 2**0.5)])
    np.testing.assert_array_equal(output.features["first"], inputs)
    np.testing.assert_array_equal(output.class_logits, 2 * inputs)
    assert state == 5


@pytest.mark.parametrize("shape", [(2, 3, 3), (2, 1)])
def test_maps_of_logits_are_refused(shape):
    with pytest.raises(ValueError, match="logits must have 1 dimensions"):
        gradient_normalized(lambda points: jnp.ones(shape) * points.sum())(jnp.ones((2, 2)))
    network = Network(lambda *_: ({}, {}), lambda params, state, x, *_, **__: (DiscriminatorOutput(jnp.ones(shape) * x.sum()), state))
    with pytest.raises(ValueError, match=r"one logit per example, \[batch\]; got \(2, "):
        gradient_normalized_network(network).apply({}, {}, jnp.ones((2, 2)))


def test_several_scales_are_refused():
    output = DiscriminatorOutput((jnp.ones(2), jnp.ones(2)))
    network = Network(lambda *_: ({}, {}), lambda params, state, x, *_, **__: (output, state))
    with pytest.raises(ValueError, match="got 2 scales"):
        gradient_normalized_network(network).apply({}, {}, jnp.ones((2, 2)))
