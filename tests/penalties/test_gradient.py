"""Gradient penalties against PyTorch, closed forms, finite differences and the corners."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import penalties
from gan_jax.typing import DiscriminatorOutput

# PyTorch 2.13.0, see the script of the same name.
GOLDEN = json.loads((pathlib.Path(__file__).parent.parent / "golden" / "penalties_torch.json").read_text())["penalties"]
RNG = jax.random.key(0)


def mlp(parameters, x):
    return jnp.tanh(x @ parameters["w1"] + parameters["b1"]) @ parameters["w2"]


def torch_row(name, parameters, points):
    def critic(x):
        return mlp(parameters, x)

    if name == "r1":
        return penalties.r1_penalty(critic, points)
    # Between two equal points lies only that point, whatever the key.
    options = {"wgan_gp": {}, "wgan_gp_target_0.7": {"target": 0.7}, "wgan_gp_one_sided": {"one_sided": True}}[name]
    return penalties.gradient_penalty(critic, points, points, RNG, **options)


@pytest.mark.parametrize("name", ["wgan_gp", "wgan_gp_target_0.7", "wgan_gp_one_sided", "r1"])
def test_values_and_parameter_gradients_equal_pytorch(name):
    with jax.enable_x64(True):
        parameters = {key: jnp.asarray(value) for key, value in GOLDEN["parameters"].items()}
        points = jnp.asarray(GOLDEN["points"])
        np.testing.assert_allclose(torch_row(name, parameters, points), GOLDEN[name]["values"], rtol=1e-10)
        gradients = jax.grad(lambda p: torch_row(name, p, points).mean())(parameters)
        for key, expected in GOLDEN[name]["gradients"].items():
            np.testing.assert_allclose(gradients[key], expected, rtol=1e-9, atol=1e-12)


def test_r2_and_zero_centered_and_r1_agree_where_points_agree():
    parameters = {key: jnp.asarray(value) for key, value in GOLDEN["parameters"].items()}
    points = jnp.asarray(GOLDEN["points"])

    def critic(x):
        return mlp(parameters, x)

    np.testing.assert_allclose(penalties.r2_penalty(critic, points), GOLDEN["r1"]["values"], rtol=1e-5)
    np.testing.assert_allclose(penalties.zero_centered_gradient_penalty(critic, points, points, RNG), GOLDEN["r1"]["values"], rtol=1e-5)
    np.testing.assert_allclose(penalties.dragan_penalty(critic, points, RNG, std=0.0), GOLDEN["wgan_gp"]["values"], rtol=1e-4)


def test_linear_critic_has_the_squared_norm_of_its_weights():
    weights = jnp.asarray([3.0, 4.0])
    points = jax.random.normal(RNG, (6, 2))
    np.testing.assert_allclose(penalties.r1_penalty(lambda x: x @ weights + 7, points), 25.0, rtol=1e-6)
    np.testing.assert_allclose(penalties.gradient_penalty(lambda x: x @ weights, points, -points, RNG), 16.0, rtol=1e-6)
    np.testing.assert_allclose(penalties.gradient_penalty(lambda x: x @ weights, points, -points, RNG, target=7.0, one_sided=True), 0.0)
    np.testing.assert_allclose(penalties.dragan_penalty(lambda x: x @ weights, points, RNG, target=2.0), 9.0, rtol=1e-6)


def test_points_of_the_penalties_are_where_they_should_be():
    # D(x) = |x|^2 / 2 has gradient x: the penalty tells which point was used.
    def critic(x):
        return 0.5 * jnp.sum(x * x, axis=1)

    real, fake = jnp.full((2000, 1), 1.0), jnp.full((2000, 1), 3.0)
    where = np.sqrt(penalties.zero_centered_gradient_penalty(critic, real, fake, RNG))
    assert where.min() >= 1
    assert where.max() <= 3
    np.testing.assert_allclose([where.mean(), where.std()], [2.0, 2 / np.sqrt(12)], atol=0.05)
    where = np.sqrt(penalties.gradient_penalty(critic, real, fake, RNG, target=0.0))
    np.testing.assert_allclose(where.mean(), 2.0, atol=0.05)
    np.testing.assert_allclose(penalties.r1_penalty(critic, real), 1.0)
    np.testing.assert_allclose(penalties.r2_penalty(critic, fake), 9.0)
    # DRAGAN: 1 + e * 0.5 * 4 * u, e and u uniform: mean 1.5, mean square of the excess 4 / 9.
    near = np.sqrt(penalties.dragan_penalty(critic, real, RNG, target=0.0, std=4.0))
    np.testing.assert_allclose([near.mean(), ((near - 1) ** 2).mean()], [1.5, 4 / 9], atol=0.05)


def test_interpolates_have_one_weight_per_example():
    real, fake = jnp.ones((50, 4, 3)), jnp.zeros((50, 4, 3))
    points = np.asarray(penalties.random_interpolates(RNG, real, fake))
    assert np.ptp(points.reshape(50, -1), axis=1).max() == 0
    assert len(np.unique(points)) == 50
    assert points.min() >= 0
    assert points.max() <= 1


def test_patch_maps_and_scales_are_summed_over_each_example():
    x = jax.random.normal(RNG, (3, 4, 4, 2))

    def patches(x):
        return x.sum(-1) ** 2

    def total(x):
        return patches(x).sum((1, 2)) + 3 * x.sum((1, 2, 3))

    pair = penalties.r1_penalty(lambda x: (patches(x), 3 * x.sum((1, 2, 3))), x)
    assert pair.shape == (3,)
    np.testing.assert_allclose(pair, penalties.r1_penalty(total, x), rtol=1e-5)
    # By hand: d/dx_ijc of sum (x_ij0 + x_ij1)^2 + 3 x is 2 (x_ij0 + x_ij1) + 3 for both channels.
    np.testing.assert_allclose(pair, (2 * (2 * x.sum(-1) + 3) ** 2).sum((1, 2)), rtol=1e-5)


def test_the_primal_output_is_returned_and_the_critic_is_called_once():
    calls = []

    def critic(x):
        calls.append(1)
        return x.sum(1) ** 2

    x = jax.random.normal(RNG, (4, 3))
    logits, gradient = penalties.value_and_input_gradient(critic, x)
    assert len(calls) == 1
    np.testing.assert_allclose(logits, x.sum(1) ** 2, rtol=1e-6)
    np.testing.assert_allclose(gradient, np.repeat(2 * x.sum(1)[:, None], 3, axis=1), rtol=1e-6)


def test_a_critic_that_couples_examples_gets_the_gradient_of_the_whole_batch():
    x = jax.random.normal(RNG, (4, 1))
    # Each logit is x_i minus the batch mean: the sum of all logits is constant, so its gradient vanishes.
    np.testing.assert_allclose(penalties.r1_penalty(lambda x: (x - x.mean(0))[:, 0], x), 0.0, atol=1e-12)


def test_packed_critics_are_allowed_and_reduced_ones_are_not():
    x = jax.random.normal(RNG, (4, 3))
    assert penalties.r1_penalty(lambda x: x.reshape(2, 6).sum(1), x).shape == (4,)
    for reduced in (lambda x: x.mean(), lambda x: x.sum(0)[:3]):
        with pytest.raises(ValueError, match=r"one row of logits per example.*4.*\(4, 3\); got shape"):
            penalties.r1_penalty(reduced, x)


def test_custom_vjp_critics_can_be_penalised_and_differentiated():
    @jax.custom_vjp
    def square(x):
        return x * x

    square.defvjp(lambda x: (square(x), x), lambda x, g: (2 * x * g,))

    def loss(scale, x):
        return penalties.r1_penalty(lambda x: scale * square(x).sum(1), x).mean()

    x = jnp.asarray([[1.0, 2.0]])
    # |2 s x|^2 = 4 s^2 |x|^2 = 20 s^2: value 20 and slope 40 at s = 1.
    value, slope = jax.value_and_grad(loss)(1.0, x)
    np.testing.assert_allclose([value, slope], [20.0, 40.0], rtol=1e-6)


def test_hessian_vector_product_equals_finite_differences():
    with jax.enable_x64(True):
        parameters = {key: jnp.asarray(value) for key, value in GOLDEN["parameters"].items()}
        points = jnp.asarray(GOLDEN["points"])

        def slope(p):
            return jax.grad(lambda p: torch_row("wgan_gp", p, points).mean())(p)

        _, pull = jax.vjp(slope, parameters)
        direction = jax.tree.map(jnp.cos, parameters)
        (product,) = pull(direction)
        step = 1e-5
        ahead = slope(jax.tree.map(lambda p, d: p + step * d, parameters, direction))
        behind = slope(jax.tree.map(lambda p, d: p - step * d, parameters, direction))
        for key in parameters:
            np.testing.assert_allclose(product[key], (ahead[key] - behind[key]) / (2 * step), rtol=1e-6, atol=1e-8)


def test_errors_name_what_was_expected_and_what_came():
    x = jnp.ones((4, 3))

    def critic(x):
        return x.sum(1)

    with pytest.raises(ValueError, match=r"real and fake must have one shape; got \(4, 3\) and \(2, 3\)"):
        penalties.gradient_penalty(critic, x, x[:2], RNG)
    with pytest.raises(ValueError, match="not be empty"):
        penalties.r1_penalty(critic, x[:0])
    with pytest.raises(TypeError, match="floating point; got int32"):
        penalties.r1_penalty(critic, jnp.ones((4, 3), jnp.int32))
    with pytest.raises(TypeError, match="logits must be floating point; got int32"):
        penalties.r1_penalty(lambda x: jnp.ones(4, jnp.int32), x)
    with pytest.raises(TypeError, match="DiscriminatorOutput"):
        penalties.r1_penalty(lambda x: DiscriminatorOutput(x.sum(1)), x)
    with pytest.raises(ValueError, match=r"target must not be negative; got -1"):
        penalties.gradient_penalty(critic, x, x, RNG, target=-1.0)
    with pytest.raises(ValueError, match=r"scale must not be negative; got -0.5"):
        penalties.dragan_penalty(critic, x, RNG, scale=-0.5)
