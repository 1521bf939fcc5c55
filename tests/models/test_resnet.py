import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import MODELS
from gan_jax.models.network import as_networks
from gan_jax.models.residual import DiscriminatorBlock, GeneratorBlock, ResNetDiscriminator, ResNetGenerator
from gan_jax.nn import average_pool, resize_bilinear
from support import model_golden as golden
from support.residual_checks import check_model, inputs_of, output_with, parameter_counts, random_variables


# torch-mimicry, commit a7fda06, PyTorch's `numel` over the parameters of SNGANGenerator32 ...64 and SNGANDiscriminator32 ...64.
@pytest.mark.parametrize(("size", "published"), [(32, (4_276_739, 1_053_825)), (64, (12_220_675, 10_141_441))])
def test_parameters_number_as_published(size, published):
    assert parameter_counts("sngan", 128, image_size=size) == published


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"channels": 3, "num_classes": 3, "image_size": 64, "width": 2}, id="64-conditional", marks=pytest.mark.slow),
        pytest.param({"channels": 3, "num_classes": 3, "auxiliary": True, "up": "bilinear", "activation": "leaky_relu"}, id="auxiliary"),
        pytest.param({"channels": 1, "num_classes": 3, "proxy_dim": 5}, id="proxies"),
        pytest.param({"channels": 1, "num_classes": 3, "fake_class": True}, id="fake-class", marks=pytest.mark.slow),
        pytest.param({"channels": 1, "dtype": "bfloat16", "norm": "switchable"}, id="1-channel-bfloat16", marks=pytest.mark.slow),
    ],
)
def test_shapes_and_gradients_of_every_parameter(options):
    options = {"width": 4, **options}
    images, judged = check_model("sngan", **options)
    assert np.abs(images).max() <= 1
    assert list(judged.features) == [f"block_{n}" for n in range(5 if options.get("image_size") == 64 else 4)]
    classes = options.get("num_classes", 0) + options.get("fake_class", False)
    shown = (4, classes) if options.get("auxiliary") or options.get("fake_class") else None
    assert getattr(judged.class_logits, "shape", None) == shown
    for vectors in (judged.embeddings, judged.proxies):
        assert getattr(vectors, "shape", None) == ((4, options["proxy_dim"]) if "proxy_dim" in options else None)


def test_generator_equals_pytorch():
    weights, latents, expected = golden.load("sngan_generator")
    network = as_networks(MODELS["sngan"](width=1, channels=1)).generator
    found = output_with(network, golden.residual_generator(weights), latents).images
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_discriminator_equals_pytorch():
    weights, images, expected = golden.load("sngan_discriminator")
    network = as_networks(MODELS["sngan"](width=2, channels=1, num_classes=3)).discriminator
    found = output_with(network, golden.residual_discriminator(weights), images, golden.labels("sngan_discriminator")).logits
    np.testing.assert_allclose(found, expected, rtol=2e-5)


# Glorot uniform is within gain * sqrt(6 / (fan_in + fan_out)); torch-mimicry (modules/resblocks.py, nets/sngan) has the gain sqrt(2)
# in both 3x3 convolutions of a block and 1 elsewhere. Bounds by hand: of 32 channels sqrt(2) * sqrt(6 / (2 * 9 * 32)) = 0.144338 in
# 3x3 and sqrt(6 / 64) = 0.306186 in 1x1; sqrt(6 / (8 + 16 * 32)) = 0.107417; sqrt(6 / (9 * 32 + 9 * 3)) = 0.138013;
# sqrt(6 / 33) = 0.426401.
@pytest.mark.slow
def test_initial_weights_have_their_gains():
    generator = ResNetGenerator(3, 32, (32,)).init(jax.random.key(0), jnp.zeros((1, 8)))["params"]
    discriminator = ResNetDiscriminator((32, 32), (True, True)).init(jax.random.key(1), jnp.zeros((1, 8, 8, 3)))["params"]
    for block in (generator["block_0"], discriminator["block_1"]):
        for layer, bound in (("conv_1", 0.144338), ("conv_2", 0.144338), ("shortcut", 0.306186)):
            check_uniform(block[layer]["kernel"], bound)
    check_uniform(generator["project"]["kernel"], 0.107417)
    check_uniform(generator["output"]["kernel"], 0.138013)
    assert abs(discriminator["head"]["linear"]["kernel"]).max() <= 0.426401


def check_uniform(kernel, bound):
    assert 0.97 * bound < np.abs(kernel).max() <= bound * (1 + 1e-5)
    np.testing.assert_allclose(np.std(kernel), bound / 3**0.5, rtol=0.06)


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
        ({"image_size": 28}, "the nearest sizes are 32 and 40"),
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
