import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import MODELS, as_network
from gan_jax.models.r3gan import R3ganDiscriminator, R3ganGenerator, ResNeXtBlock
from support import model_golden as golden
from support.residual_checks import check_model, inputs_of, output_with, parameter_counts, random_variables


# brownvc/R3GAN, commit 19a7ddf: Generator and Discriminator of preset CIFAR10, PyTorch's `numel`; and a small one.
@pytest.mark.parametrize(
    ("options", "published"),
    [
        ({"width": 768}, (20_732_160, 20_683_776)),
        ({"width": 768, "num_classes": 10}, (20_781_952, 21_280_512)),
        ({"width": 48, "blocks": 1}, (96_912, 93_888)),
    ],
)
def test_parameters_number_as_in_the_authors_code(options, published):
    assert parameter_counts("r3gan", 64, **options) == published


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"channels": 3, "image_size": 64, "num_classes": 3, "blocks": 1}, id="64-conditional", marks=pytest.mark.slow),
        pytest.param({"channels": 1, "image_size": 8, "num_classes": 3, "blocks": 1, "dtype": "bfloat16"}, id="8-bfloat16"),
    ],
)
def test_shapes_and_gradients_of_every_parameter(options):
    check_model("r3gan", **{"width": 8, "group_size": 4, "embedding_dim": 5, **options})


def block_of(weights, name):
    block = {layer: golden.pointwise(weights, f"{name}.{layer}") for layer in ("expand", "contract")}
    return block | {"grouped": golden.conv(weights, f"{name}.grouped")} | {bias: weights[f"{name}.{bias}"] for bias in ("bias_1", "bias_2")}


def test_generator_equals_pytorch():
    weights, latents, expected = golden.load("r3gan_generator")
    params = {f"block_{index}_0": block_of(weights, f"block_{index}") for index in (0, 1)}
    params |= {"project": golden.dense(weights, "project"), "basis": weights["basis"].transpose(1, 2, 0)}
    params |= {"transition_1": golden.pointwise(weights, "transition"), "output": golden.pointwise(weights, "output")}
    network = as_network(R3ganGenerator(channels=3, widths=(4, 2), blocks=1, group_size=2))
    np.testing.assert_allclose(output_with(network, params, latents).images, expected, rtol=1e-5, atol=1e-5)


def test_discriminator_equals_pytorch():
    weights, images, expected = golden.load("r3gan_discriminator")
    params = {f"block_{index}_0": block_of(weights, f"block_{index}") for index in (0, 1)}
    params |= {"basis": weights["basis.weight"][:, 0].transpose(1, 2, 0), "head": golden.dense(weights, "head")}
    params |= {"transition_1": golden.pointwise(weights, "transition"), "input": golden.pointwise(weights, "input")}
    network = as_network(R3ganDiscriminator(widths=(2, 4), blocks=1, group_size=2))
    np.testing.assert_allclose(output_with(network, params, images).logits, expected, rtol=1e-5, atol=1e-5)


def test_a_block_starts_as_the_identity():
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 8))
    y, _ = ResNeXtBlock(4, 8).init_with_output(jax.random.key(1), x)
    np.testing.assert_array_equal(y, x)


def test_initial_deviations_are_those_of_fix_up():
    # sqrt(2 / (1 + 0.2^2)) * 16^(-1/4) / sqrt(fan_in), worked by hand: 0.693375 / sqrt(64) and, in groups of 32, 0.693375 / sqrt(288).
    x = jnp.zeros((1, 4, 4, 64))
    params = ResNeXtBlock(4, 16).init(jax.random.key(0), x)["params"]
    np.testing.assert_allclose(params["expand"]["kernel"].std(), 0.693375 / 8, rtol=0.03)
    np.testing.assert_allclose(params["grouped"]["kernel"].std(), 0.693375 / 288**0.5, rtol=0.03)


def test_second_derivatives_that_r1_takes_are_finite_and_reach_the_parameters():
    options = {"width": 8, "group_size": 4, "image_size": 8, "blocks": 1}
    _, discriminator = MODELS["r3gan"](**options)
    images = inputs_of(options)[1]

    params = random_variables(discriminator, images)["params"]

    @jax.jit
    @jax.grad
    def penalty_gradient(params):
        return jnp.sum(jax.grad(lambda x: discriminator.apply({"params": params}, x).logits.sum())(images) ** 2)

    gradient = penalty_gradient(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert np.any(gradient["block_0_0"]["grouped"]["kernel"])


@pytest.mark.parametrize(
    ("options", "words"), [({"image_size": 13}, "the nearest sizes are 12 and 14"), ({"width": 20}, "group_size=16 must divide")]
)
def test_options_that_do_not_fit_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        MODELS["r3gan"](**options)
