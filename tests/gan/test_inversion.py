"""Inversion of G: against the closed solution of a linear G, and for every distribution of latents."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.gan.inversion import PROJECTIONS, invert
from gan_jax.latents import LATENTS

DRAWS = np.random.default_rng(0)
LINEAR = DRAWS.normal(size=(4, 12)).astype(np.float32)
TARGET = DRAWS.normal(size=12).astype(np.float32)


def distance(images):
    return jnp.mean(jnp.square(images - TARGET), axis=-1)


@functools.partial(jax.jit, static_argnames=("steps", "prior", "latents"))
def search(starts, steps=400, prior=0.0, latents="normal"):
    return invert(lambda z: z @ LINEAR, distance, starts, steps=steps, learning_rate=0.1, prior_weight=prior, project=PROJECTIONS[latents])


# NumPy's closed solution of min mean((z A - x)^2) + w mean(z^2): the normal equations of ridge regression.
@pytest.mark.parametrize("prior", [0.0, 0.5])
def test_a_linear_generator_is_inverted_exactly(prior):
    expected = np.linalg.solve(LINEAR @ LINEAR.T / 12 + prior * np.eye(4) / 4, LINEAR @ TARGET / 12)
    result = search(jnp.asarray(DRAWS.normal(size=(3, 4)), jnp.float32), prior=prior)
    if prior == 0:
        np.testing.assert_allclose(result.latents, np.tile(expected, (3, 1)), atol=2e-3)
        np.testing.assert_allclose(result.distances, np.mean((expected @ LINEAR - TARGET) ** 2), rtol=1e-4)
    # With a prior the smallest distance on the way can be smaller than that of the end, never larger.
    assert (result.distances <= np.mean((expected @ LINEAR - TARGET) ** 2) + 1e-4).all()
    assert result.history.shape == (400, 3)
    assert (result.history[-1] < result.history[0]).all()


def test_the_smallest_distance_is_kept_for_each_start():
    result = search(jnp.zeros((2, 4)), steps=5)
    assert (result.distances <= result.history.min(axis=0)).all()
    np.testing.assert_allclose(distance(result.latents @ LINEAR), result.distances, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(LATENTS))
def test_latents_stay_in_their_distribution(name):
    latents = np.asarray(search(LATENTS[name](jax.random.key(0), (3, 4)), steps=30, latents=name).latents)
    if name == "spherical":
        np.testing.assert_allclose(np.linalg.norm(latents, axis=1), 2.0, rtol=1e-5)
    else:
        assert np.abs(latents).max() <= {"uniform": 1.0, "truncated_normal": 2.0, "normal": np.inf}[name]
    assert PROJECTIONS.keys() == LATENTS.keys()


def test_arguments_that_are_wrong():
    with pytest.raises(ValueError, match="steps must be at least 1; got 0"):
        invert(lambda z: z, distance, jnp.zeros((2, 12)), steps=0)
    with pytest.raises(ValueError, match=r"starts must be \[starts, latent_dim\]"):
        invert(lambda z: z, distance, jnp.zeros(12))
