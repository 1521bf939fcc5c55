"""Inversion of styles against the authors' projector."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from gan_jax.export import Generator, StyleStatistics, invert_styles, noise_regularisation, style_statistics, stylegan2_generator
from gan_jax.models import build_model
from support.stylegan2_golden import LATENT, channels, inputs, state_dict_shapes, weight
from support.stylegan2_names import embed, load

GOLDEN = load()


@pytest.fixture(scope="module")
def generator():
    sizes = channels(32)
    shapes, _ = state_dict_shapes(32, 0, sizes["channel_base"], sizes["channel_max"])
    config, params, state = stylegan2_generator({name: weight(name, shape) for name, shape in shapes.items()})
    params, state = jax.tree.map(jnp.asarray, (params, state))
    return Generator(build_model(config.model, **config.options).generator, params, state, config)


def statistics_of(generator):
    """The statistics of the projector's latents."""
    latents = jnp.asarray(np.random.RandomState(123).randn(50, LATENT), jnp.float32)
    styles = np.asarray(jax.jit(generator.styles)(latents))[:, 0]
    return StyleStatistics(jnp.asarray(styles.mean(axis=0)), jnp.sqrt(np.square(styles - styles.mean(axis=0)).sum() / 50))


def test_five_steps_equal_those_of_the_projector(generator):
    noise = jax.tree.map(lambda leaf: jnp.asarray(weight(f"noise/{leaf.shape}", leaf.shape)), generator.state["noise"])
    options = {"steps": 5, "style_noise": 0.0, "statistics": statistics_of(generator), "noise": noise}
    found = invert_styles(generator, jnp.asarray(inputs("32")["reals"][0]), jax.random.key(0), embed=embed, **options)
    # Adam divides by the size of the gradients, so the styles move by about the learning rate, 0.1.
    np.testing.assert_allclose(found.styles[0, 0], GOLDEN["inversion/styles"][-1], atol=2e-3)
    np.testing.assert_array_equal(found.styles, np.broadcast_to(found.styles[:, :1], found.styles.shape))
    for image in jax.tree.leaves(found.generator.state["noise"]):
        np.testing.assert_allclose([image.mean(), image.var()], [0, 1], atol=1e-4)


@pytest.mark.slow
def test_an_image_of_the_generator_is_found_again(generator):
    latents = jax.random.normal(jax.random.key(3), (1, LATENT))
    statistics = style_statistics(generator, jax.random.key(1), count=200)
    flat = jax.tree.map(jnp.zeros_like, generator.state["noise"])
    silent = Generator(generator.network, generator.params, {**generator.state, "noise": flat}, generator.config)
    found = invert_styles(
        silent,
        jax.jit(lambda z: silent(z, rng=jax.random.key(0)))(latents)[0],
        jax.random.key(0),
        embed=embed,
        steps=60,
        per_layer=True,
        statistics=statistics,
        noise_weight=0.0,
    )
    assert found.distances[-1] < found.distances[0] / 3
    assert found.generator(found.styles).shape == (1, 32, 32, 3)


def test_noise_regularisation_is_the_correlation_of_neighbours_at_each_scale():
    image = np.random.default_rng(0).normal(size=(16, 16))
    coarse = ndimage.uniform_filter(image, 2, origin=-1)[::2, ::2]
    expected = sum(np.mean(a * np.roll(a, 1, axis)) ** 2 for a in (image, coarse) for axis in (0, 1))
    np.testing.assert_allclose(noise_regularisation({"a": jnp.asarray(image)}), expected, rtol=1e-4)


def test_what_does_not_fit_is_refused(generator):
    with pytest.raises(ValueError, match=r"target must be of shape \(32, 32, 3\); got \(16, 16, 3\)"):
        invert_styles(generator, jnp.zeros((16, 16, 3)), jax.random.key(0), embed=embed)
    other = functools.partial(Generator, params={}, state={})
    plain = build_model("mlp", image_size=4, channels=1).generator
    from gan_jax.export import GeneratorConfig

    with pytest.raises(ValueError, match="the model 'mlp' has no styles"):
        invert_styles(other(plain, config=GeneratorConfig("mlp", {})), jnp.zeros((4, 4, 1)), jax.random.key(0), embed=embed)
