import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import as_network, build_model
from gan_jax.models.unet import UNetGenerator
from support import model_golden as golden
from support.model_checks import build_small, check_both, fill, parameter_count, run


def test_published_parameter_counts():
    # The authors' pytorch-CycleGAN-and-pix2pix prints 54.414 M for `unet_256` and 2.769 M for `basic`.
    networks = build_model("pix2pix")
    images, latents = jnp.zeros((1, 256, 256, 3)), jnp.zeros((1, 1))
    assert parameter_count(networks.generator, latents, None, images) == 54_413_955
    assert parameter_count(networks.discriminator, images, None, images) == 2_768_705


def test_generator_equals_pytorch():
    weights, context, expected = golden.load("unet")
    network = as_network(UNetGenerator(3, width=2, dropout=0.0))
    params = {f"down_{i}": golden.conv(weights, f"down.{i}") for i in range(4)}
    params |= {f"down_norm_{i}": golden.norm(weights, f"down_norm.{i}") for i in (1, 2)}
    params |= {f"up_{i}": golden.conv_transpose(weights, f"up.{i}") for i in (1, 2, 3)}
    params |= {f"up_norm_{i}": golden.norm(weights, f"up_norm.{i}") for i in (1, 2, 3)}
    params["output"] = golden.conv_transpose(weights, "output")
    _, state = fill(network, None, None, context)
    np.testing.assert_allclose(run(network, params, state, None, None, context).images, expected, atol=1e-5)


@pytest.mark.parametrize("options", [pytest.param({}, marks=pytest.mark.slow), {"channels": 3, "dtype": "bfloat16", "norm": "instance"}])
def test_both_players_train(options):
    results = check_both("pix2pix", **options)
    assert results.generator[2].images.shape == (4, 16, 16, options.get("channels", 1))


def test_dropout_stays_on_in_sampling_and_latents_do_not_matter():
    networks, latents, _, _, context = build_small("pix2pix")
    params, state = fill(networks.generator, latents, None, context)
    first, second = (run(networks.generator, params, state, latents, None, context, seed=seed, train=False).images for seed in (1, 2))
    assert not jnp.allclose(first, second)
    assert jnp.array_equal(first, run(networks.generator, params, state, -latents, None, context, seed=1, train=False).images)


def test_a_context_with_even_sides_is_needed():
    networks, latents, *_ = build_small("pix2pix")
    for context in (None, jnp.zeros((4, 16, 7, 1)), jnp.zeros((4, 15, 15, 1))):
        with pytest.raises(ValueError, match=r"context must (be|have)"):
            fill(networks.generator, latents, None, context)


def test_more_patch_layers_than_the_image_bears_are_refused():
    with pytest.raises(ValueError, match="patch_layers=3 needs images of at least 24 pixels a side; got image_size=16"):
        build_model("pix2pix", image_size=16, patch_layers=3)
    build_model("pix2pix", image_size=16, patch_layers=2)
