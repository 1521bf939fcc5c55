import jax
import jax.numpy as jnp
import numpy as np
import pytest
from residual_checks import check_model, inputs_of, parameter_counts, random_variables

from gan_jax.models import MODELS
from gan_jax.models.residual import DiscriminatorBlock, GeneratorBlock
from gan_jax.nn import average_pool, resize_bilinear


# torch-mimicry, commit a7fda06, PyTorch's `numel` over the parameters of SNGANGenerator32 ...64 and SNGANDiscriminator32 ...64.
@pytest.mark.parametrize(("size", "published"), [(32, (4_276_739, 1_053_825)), (64, (12_220_675, 10_141_441))])
def test_parameters_number_as_published(size, published):
    assert parameter_counts("sngan", 128, image_size=size) == published


@pytest.mark.parametrize(
    "options",
    [
        {"channels": 3, "num_classes": 3, "image_size": 64, "width": 2},
        {"channels": 3, "num_classes": 3, "auxiliary": True, "up": "bilinear", "activation": "leaky_relu"},
        {"channels": 1, "dtype": "bfloat16", "norm": "switchable"},
    ],
    ids=["64-conditional", "auxiliary", "1-channel-bfloat16"],
)
def test_shapes_and_gradients_of_every_parameter(options):
    options = {"width": 4, **options}
    images, judged = check_model("sngan", **options)
    assert np.abs(images).max() <= 1
    assert list(judged.features) == [f"block_{n}" for n in range(5 if options.get("image_size") == 64 else 4)]
    assert (judged.class_logits is not None) == options.get("auxiliary", False)


# The order of the published blocks: convolution behind the resize and the pooling in front of it, 1x1 convolutions included.
def test_shortcuts_commute_with_resizing_and_pooling():
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    for block, resized in ((GeneratorBlock(5, "none", up="bilinear"), resize_bilinear), (DiscriminatorBlock(5, 4), average_pool)):
        params = block.init(jax.random.key(1), x)["params"]
        zeroed = {**params, "conv_2": jax.tree.map(jnp.zeros_like, params["conv_2"])}
        kernel, bias = params["shortcut"]["kernel"][0, 0], params["shortcut"]["bias"] + 0.5
        zeroed["shortcut"] = {"kernel": params["shortcut"]["kernel"], "bias": bias}
        expected = resized(x) @ kernel + bias
        np.testing.assert_allclose(block.apply({"params": zeroed}, x), expected, atol=1e-5)


def test_labels_change_both_players():
    options = {"width": 2, "num_classes": 3}
    modules = MODELS["sngan"](**options)
    latents, images, labels = inputs_of(options)
    for module, inputs in zip(modules, (latents, images)):
        variables = random_variables(module, inputs, labels)
        run = jax.jit(lambda labels, m=module, v=variables, x=inputs: m.apply(v, x, labels, train=False))
        one, other = run(labels), run((labels + 1) % 3)
        one, other = (getattr(output, "logits", output) for output in (one, other))
        assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size": 48}, "image_size 48"),
        ({"norm": "virtual_batch"}, "norm must be one of"),
        ({"up": "transposed"}, "up must be one of"),
        ({"auxiliary": True}, "num_classes above 0"),
        ({"output_kernel": 2}, "output_kernel must be one of"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        MODELS["sngan"](**options)


def test_a_conditional_network_needs_labels():
    generator, _ = MODELS["sngan"](width=1, num_classes=3)
    with pytest.raises(ValueError, match="needs labels"):
        generator.init(jax.random.key(0), jnp.zeros((2, 8)))
