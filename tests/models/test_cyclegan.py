"""CycleGAN's networks: sizes of the authors' code, what they make of one domain and of two, and errors."""

import jax
import jax.numpy as jnp
import pytest

from gan_jax.models import MODELS, build_model
from gan_jax.models.cyclegan import cyclegan
from gan_jax.trainer.resume import RUN_ONCE
from support.model_checks import build_small, count, fill


def shapes(network, *inputs):
    return jax.eval_shape(network.init, jax.random.key(0), *inputs)[0]


def test_the_sizes_are_those_of_the_authors_code():
    # pytorch-CycleGAN-and-pix2pix prints 11.378 M for `resnet_9blocks` and 2.765 M for `basic` with instance norm.
    networks = build_model("cyclegan")
    context = jax.ShapeDtypeStruct((1, 256, 256, 6), jnp.float32)
    generator, discriminator = (shapes(network, inputs, None, context) for network, inputs in zip(networks, (jnp.zeros((1, 1)), context)))
    assert {name: count(tree) for name, tree in generator.items()} == {"a_to_b": 11_378_179, "b_to_a": 11_378_179}
    assert {name: count(tree) for name, tree in discriminator.items()} == {"a": 2_764_737, "b": 2_764_737}


def test_an_image_of_one_domain_is_translated_one_way():
    """That it is the right way is in tests/trainer/test_cyclegan.py."""
    networks, latents, _, _, context = build_small("cyclegan", blocks=1)
    params = shapes(networks.generator, latents, None, context)
    # A generator that was initialised with images of one domain has the parameters of both ways.
    assert jax.tree.structure(shapes(networks.generator, latents, None, context[..., :1])) == jax.tree.structure(params)
    for inputs, extras in ((context, {"cycled", "identity"}), (context[..., :1], set())):
        output, _ = jax.eval_shape(lambda params, inputs: networks.generator.apply(params, {}, latents, None, inputs), params, inputs)
        assert (output.images.shape, set(output.extras)) == (inputs.shape, extras)


def test_each_discriminator_sees_its_domain_only():
    networks, *_, context = build_small("cyclegan", blocks=1)
    params, state = fill(networks.discriminator, context)

    def totals(images):
        return jnp.stack([logits.sum() for logits in networks.discriminator.apply(params, state, images, train=True)[0].logits])

    gradients = jax.jit(jax.jacrev(totals), compiler_options=RUN_ONCE)(context)
    for domain in (0, 1):
        assert float(jnp.abs(gradients[domain, ..., domain]).max()) > 0
        assert float(jnp.abs(gradients[domain, ..., 1 - domain]).max()) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"image_size": 30},
            "image_size 30: model 'cyclegan' makes images with sides that are multiples of 4, from 8 to 1024; the nearest",
        ),
        ({"image_size": [4, 2000]}, "image_size 4x2000: .* the nearest sizes are 8x1024$"),
        ({"image_size": 16, "patch_layers": 3}, "patch_layers=3 needs images of at least 24 pixels a side"),
    ],
)
def test_sizes_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        cyclegan(**options)


def test_the_context_and_the_blocks():
    assert [MODELS["cyclegan"](image_size=size).generator.blocks for size in (128, 256, [256, 64])] == [6, 9, 6]
    networks, latents, *_, context = build_small("cyclegan", blocks=1)
    for wrong in (None, context[..., :1].repeat(3, axis=-1)):
        with pytest.raises(ValueError, match=r"context must be \[batch, height, width, 1 or 2\], images to translate"):
            networks.generator.init(jax.random.key(0), latents, None, wrong)
