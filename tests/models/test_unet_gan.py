"""U-Net GAN: the discriminator against its authors' code, and what every model must do."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from gan_jax.models import MODELS, build_model
from gan_jax.models.unet_gan import unet_gan
from gan_jax.transforms import spectral_norm
from support.model_checks import build_small, fill, parameter_count, run

# boschresearch/unetgan, commit 37adcf0, see tests/golden/critics_torch.py.
with np.load(pathlib.Path(__file__).parents[1] / "golden" / "critics_torch.npz") as file:
    GOLDEN = {name.removeprefix("unet/"): file[name] for name in file if name.startswith("unet/")}


def nested(prefix):
    leaves = {name.removeprefix(f"{prefix}/"): jnp.asarray(GOLDEN[name]) for name in GOLDEN if name.startswith(f"{prefix}/")}
    return traverse_util.unflatten_dict(leaves, sep="/")


def test_parameters_number_as_in_the_authors_code():
    for size, expected in zip((128, 256), GOLDEN["parameters"], strict=True):
        discriminator = build_model("unet_gan", image_size=size).discriminator
        assert parameter_count(discriminator, jnp.zeros((1, size, size, 3))) == expected


def test_outputs_and_gradients_are_those_of_the_authors_code():
    discriminator = build_model("unet_gan", image_size=128, width=1, num_classes=3).discriminator
    rng = np.random.default_rng(11)
    images = jnp.asarray(rng.uniform(-1, 1, (2, 128, 128, 3)).astype(np.float32))
    weights = jnp.asarray(rng.normal(size=(2, 128, 128)).astype(np.float32))

    params = nested("params")

    def total(params):
        logits, pixels = discriminator.apply(params, {}, images, jnp.array([2, 0]))[0].logits
        return logits @ jnp.array([0.5, -1.0]) + (pixels * weights).mean(), (logits, pixels)

    (_, (logits, pixels)), gradients = jax.jit(jax.value_and_grad(total, has_aux=True))(params)
    np.testing.assert_allclose(logits, GOLDEN["logits"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(pixels[:, ::8, ::8], GOLDEN["pixels"], rtol=1e-4, atol=1e-5)
    expected = nested("gradients")
    assert jax.tree.structure(gradients) == jax.tree.structure(expected)
    for (path, found), wanted in zip(jax.tree_util.tree_leaves_with_path(gradients), jax.tree.leaves(expected), strict=True):
        scale = float(jnp.abs(wanted).max())
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * scale, err_msg=jax.tree_util.keystr(path))


@pytest.mark.parametrize("options", [{}, {"num_classes": 3, "shared_dim": 5, "dtype": "bfloat16"}], ids=str)
def test_both_outputs_of_a_small_network_have_their_shapes_and_depend_on_every_parameter(options):
    networks, latents, images, labels, _ = build_small("unet_gan", **options)
    variables = [fill(network, inputs, labels) for network, inputs in zip(networks, (latents, images), strict=True)]
    generated = run(networks.generator, *variables[0], latents, labels).images
    assert (generated.shape, generated.dtype) == (images.shape, jnp.float32)
    logits, pixels = run(networks.discriminator, *variables[1], images, labels).logits
    assert (logits.shape, pixels.shape) == (images.shape[:1], images.shape[:3])
    assert logits.dtype == pixels.dtype == jnp.float32

    def total(params):
        logits, pixels = networks.discriminator.apply(params, {}, images, labels)[0].logits
        return jnp.sum(jnp.sin(logits)) + jnp.sum(jnp.sin(pixels))

    gradients = jax.jit(jax.grad(total))(variables[1][0])
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradients))


def test_rectangles_have_a_logit_for_each_pixel():
    networks = build_model("unet_gan", image_size=(24, 16), channels=1, width=4)
    images = jax.ShapeDtypeStruct((2, 24, 16, 1), jnp.float32)
    params, state = jax.eval_shape(networks.discriminator.init, jax.random.key(0), images)
    logits, pixels = jax.eval_shape(networks.discriminator.apply, params, state, images)[0].logits
    assert (logits.shape, pixels.shape) == ((2,), (2, 24, 16))


def test_a_logit_of_a_pixel_sees_its_own_surroundings_and_the_whole_image():
    networks, _, images, labels, _ = build_small("unet_gan")
    params, state = fill(networks.discriminator, images, labels)
    gradient = jax.jit(jax.grad(lambda x: networks.discriminator.apply(params, state, x)[0].logits[1][0, 3, 12]))(images)[0, ..., 0]
    size = np.abs(np.asarray(gradient))
    assert np.all(size > 0)
    assert size[1:6, 10:15].mean() > 2 * size.mean()


def test_spectral_normalisation_leaves_the_last_layer_as_the_authors_do():
    networks, _, images, labels, _ = build_small("unet_gan", num_classes=3, shared_dim=5)
    params, _ = fill(networks.discriminator, images, labels)
    vectors = spectral_norm().init(jax.random.key(0), params).vectors
    assert not any("pixel_head/weight" in path for path in vectors)
    assert {"pixel_head/embedding/embedding", "head/embedding/embedding", "head/linear/kernel", "up_1/shortcut/kernel"} <= set(vectors)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_size": 8}, "image_size 8: model 'unet_gan' makes images with sides up to 512"),
        ({"up": "transposed"}, "up must be one of nearest, bilinear"),
        ({"num_classes": 3, "shared_dim": 0}, "skip_latents needs shared_dim"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        unet_gan(**options)


def test_a_conditional_discriminator_asks_for_labels():
    discriminator = MODELS["unet_gan"](image_size=16, width=4, num_classes=3).discriminator
    with pytest.raises(ValueError, match="needs labels"):
        jax.eval_shape(discriminator.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
