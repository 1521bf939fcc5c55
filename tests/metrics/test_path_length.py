"""Perceptual path length against the authors' sampler, and worked by hand for linear generators."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.export.stylegan2 import stylegan2_generator
from gan_jax.metrics import path_distances, perceptual_embedding, perceptual_path_length
from gan_jax.models import build_model
from support.stylegan2_golden import BATCH, LATENT, channels, state_dict_shapes, weight
from support.stylegan2_names import embed, load

GOLDEN = load()


@functools.cache
def generator():
    sizes = channels(32)
    shapes, _ = state_dict_shapes(32, 0, sizes["channel_base"], sizes["channel_max"])
    config, params, state = stylegan2_generator({name: weight(name, shape) for name, shape in shapes.items()}, noise_mode="const")
    noise = jax.tree.map(lambda leaf: jnp.asarray(weight(f"noise/{leaf.shape}", leaf.shape)), state["noise"])
    return build_model(config.model, **config.options).generator, params, {**state, "noise": noise}


@pytest.mark.parametrize(
    ("space", "crop"),
    [pytest.param("w", False, marks=pytest.mark.slow), ("w", True), ("z", False), pytest.param("z", True, marks=pytest.mark.slow)],
)
def test_distances_equal_the_authors_sampler(space, crop):
    network, params, state = generator()
    latents, position = weight("path/latents", (2 * BATCH, LATENT)), jnp.linspace(0.1, 0.8, BATCH)

    @jax.jit
    def distances(first, second):
        return path_distances(
            lambda inputs, labels, rng: network.apply(params, state, inputs, train=False)[0].images,
            embed,
            first,
            second,
            position,
            jax.random.key(0),
            mapping=(lambda latents, labels: network.mapping(params, state, latents)) if space == "w" else None,
            epsilon=0.01,
            crop=crop,
        )

    expected = GOLDEN[f"path/{space}{'_crop' if crop else ''}"]
    # The difference of two float32 vectors, divided by epsilon^2, keeps about three digits.
    np.testing.assert_allclose(distances(latents[:BATCH], latents[BATCH:]), expected, rtol=5e-3)


def test_a_linear_generator_worked_by_hand():
    """G(w) = 3 w: the distance of a pair is |3 (w' - w)|^2 wherever the point lies, and the mean leaves out the extremes."""
    matrix = jnp.float32(3.0)
    result = perceptual_path_length(
        lambda styles, labels, rng: (matrix * styles).reshape(-1, 1, 2, 1),
        lambda images: images.reshape(len(images), -1),
        lambda rng, count: jax.random.normal(rng, (count, 2)),
        jax.random.key(0),
        count=100,
        batch_size=40,
        mapping=lambda latents, labels: latents[:, None],
        epsilon=0.5,
    )
    assert result.distances.shape == (100,)
    # |w' - w|^2 has the mean 4 in two dimensions.
    assert 20 < result.distances.mean() < 52
    ordered = np.sort(result.distances)
    np.testing.assert_allclose(result.value, ordered[0:100][(ordered >= ordered[0]) & (ordered <= ordered[99])].mean(), rtol=0.1)
    assert result.value <= result.distances.mean()


def test_the_embedding_is_lpips_worked_by_hand():
    maps = jnp.array([[[[3.0, 4.0], [0.0, 0.0]]], [[[4.0, 3.0], [0.0, 2.0]]]])  # [2, 1, 2, 2]
    vectors = perceptual_embedding(lambda images: {"a": maps}, {"a": np.array([1.0, 4.0])})(jnp.zeros((2, 1, 2, 3)))
    # ((0.6 - 0.8)^2 + 4 (0.8 - 0.6)^2 + 0 + 4 * 1) / 2 pixels = 2.1
    np.testing.assert_allclose(jnp.square(vectors[0] - vectors[1]).sum(), 2.1, rtol=1e-5)
    gradient = jax.grad(lambda maps: perceptual_embedding(lambda images: {"a": maps})(maps).sum())(maps)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("options", "words"), [({"sampling": "middle"}, "sampling must be full or end"), ({"count": 1}, "count must be at")]
)
def test_what_does_not_fit_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        perceptual_path_length(None, None, None, jax.random.key(0), **options)


def test_weights_of_other_features_are_refused():
    with pytest.raises(ValueError, match=r"weights\['a'\] must have shape \(2,\); got \(3,\)"):
        perceptual_embedding(lambda images: {"a": jnp.ones((1, 2, 2, 2))}, {"a": np.ones(3)})(None)
