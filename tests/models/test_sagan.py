import jax
import numpy as np
import pytest

from gan_jax.models import MODELS
from gan_jax.models.network import as_networks
from support import model_golden as golden
from support.residual_checks import check_model, inputs_of, output_with, parameter_counts, random_variables


# 128: BigGAN-PyTorch, commit 9845943, its SAGAN (attention at 32, 1000 classes, no shared embedding); torch-mimicry's
# SAGANGenerator128, commit a7fda06, has as many. 32: torch-mimicry's SAGANGenerator32 and SAGANDiscriminator32, 10 classes.
@pytest.mark.parametrize(
    ("options", "published"),
    [
        ({"image_size": 128, "num_classes": 1000}, (42_078_852, 39_463_618)),
        ({"image_size": 32, "num_classes": 10}, (4_386_308, 1_075_586)),
    ],
)
def test_parameters_number_as_published(options, published):
    assert parameter_counts("sagan", 128, **options) == published


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"channels": 3, "num_classes": 3, "image_size": 64, "width": 8}, id="64-conditional", marks=pytest.mark.slow),
        pytest.param({"channels": 1, "dtype": "bfloat16"}, id="1-channel-bfloat16"),
    ],
)
def test_shapes_and_gradients_of_every_parameter(options):
    # Self-attention takes at least 8 channels: at 64 pixels the discriminator has `width` of them there.
    check_model("sagan", **{"width": 4, **options})


# torch-mimicry (nets/sagan/sagan_32.py): behind the generator's second block, 16x16, and the discriminator's second, 8x8.
def test_attention_maps_can_be_had_from_both_players():
    options = {"width": 4}
    generator, discriminator = MODELS["sagan"](**options)
    latents, images, _ = inputs_of(options)
    for module, inputs, side in ((generator, latents, 16), (discriminator, images, 8)):
        variables = random_variables(module, inputs)
        _, state = jax.jit(lambda v, x, m=module: m.apply(v, x, train=False, mutable=["intermediates"]))(variables, inputs)
        assert list(state["intermediates"]) == [f"attention_{side}"]
        attention = state["intermediates"][f"attention_{side}"]["attention_map"][0]
        assert attention.shape == (4, side, side, side // 2, side // 2)
        np.testing.assert_allclose(attention.sum(axis=(3, 4)), 1, atol=1e-5)


def test_sizes_that_it_cannot_make_are_refused():
    with pytest.raises(ValueError, match="the nearest sizes are 32 and 40"):
        MODELS["sagan"](image_size=28)


# The places of attention are those of torch-mimicry's networks of 32 pixels.
def test_generator_equals_pytorch():
    weights, latents, expected = golden.load("sagan_generator")
    network = as_networks(MODELS["sagan"](width=2, channels=1, num_classes=3)).generator
    params = golden.residual_generator(weights, "table") | {"attention_16": golden.attention(weights, "attention.0")}
    found = output_with(network, params, latents, golden.labels("sagan_generator")).images
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_discriminator_equals_pytorch():
    weights, images, expected = golden.load("sagan_discriminator")
    network = as_networks(MODELS["sagan"](width=4, channels=1, num_classes=3)).discriminator
    params = golden.residual_discriminator(weights) | {"attention_8": golden.attention(weights, "attention.0")}
    found = output_with(network, params, images, golden.labels("sagan_discriminator")).logits
    np.testing.assert_allclose(found, expected, rtol=2e-5)
