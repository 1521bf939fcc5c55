import jax
import jax.numpy as jnp
import numpy as np
import pytest
from residual_checks import check_model, inputs_of, parameter_counts, random_variables

from gan_jax.models import MODELS
from gan_jax.models.r3gan import ResNeXtBlock


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
        {"channels": 3, "image_size": 64, "num_classes": 3, "blocks": 1},
        {"channels": 1, "image_size": 8, "dtype": "bfloat16"},
    ],
    ids=["64-conditional", "1-channel-bfloat16"],
)
def test_shapes_and_gradients_of_every_parameter(options):
    check_model("r3gan", **{"width": 8, "group_size": 4, "embedding_dim": 5, **options})


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


@pytest.mark.parametrize(("options", "words"), [({"image_size": 12}, "image_size 12"), ({"width": 20}, "group_size=16 must divide")])
def test_options_that_do_not_fit_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        MODELS["r3gan"](**options)
