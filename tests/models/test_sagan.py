import jax
import numpy as np
import pytest
from residual_checks import check_model, inputs_of, parameter_counts, random_variables

from gan_jax.models import MODELS


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
    [{"channels": 3, "num_classes": 3, "image_size": 64, "width": 8}, {"channels": 1, "dtype": "bfloat16"}],
    ids=["64-conditional", "1-channel-bfloat16"],
)
def test_shapes_and_gradients_of_every_parameter(options):
    # Self-attention takes at least 8 channels: at 64 pixels the discriminator has `width` of them there.
    check_model("sagan", **{"width": 4, **options})


def test_attention_maps_can_be_had_from_both_players():
    options = {"width": 4}
    generator, discriminator = MODELS["sagan"](**options)
    latents, images, _ = inputs_of(options)
    for module, inputs in ((generator, latents), (discriminator, images)):
        variables = random_variables(module, inputs)
        _, state = jax.jit(lambda v, x, m=module: m.apply(v, x, train=False, mutable=["intermediates"]))(variables, inputs)
        attention = state["intermediates"]["attention_16"]["attention_map"][0]
        assert attention.shape == (4, 16, 16, 8, 8)
        np.testing.assert_allclose(attention.sum(axis=(3, 4)), 1, atol=1e-5)


def test_sizes_that_it_cannot_make_are_refused():
    with pytest.raises(ValueError, match="32, 64, 128"):
        MODELS["sagan"](image_size=28)
