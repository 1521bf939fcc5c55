"""Vector fields and local convergence: against fields and eigenvalues worked by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.dynamics import consensus_field, game_gradients, spectral_radius, step_eigenvalues, trajectory
from gan_jax.typing import Players


def bilinear():
    """The gradients of min over x, max over y of x y, i.e. (y, -x)."""
    return game_gradients(lambda p: p.generator * p.discriminator, lambda p: -p.generator * p.discriminator)


def descend(field, size):
    """A simultaneous step of gradient descent that counts its calls."""
    return lambda players, count: (jax.tree.map(lambda value, slope: value - size * slope, players, field(players)), count + 1)


def test_each_player_has_the_gradient_of_its_own_loss():
    # d/dx (x^2 y) = 2 x y and d/dy (x y^3) = 3 x y^2 at (2, 3).
    field = game_gradients(lambda p: p.generator**2 * p.discriminator, lambda p: p.generator * p.discriminator**3)
    np.testing.assert_allclose(field(Players(jnp.asarray(2.0), jnp.asarray(3.0))), (12.0, 54.0))


def test_consensus_adds_half_the_squared_norm():
    def field(players):
        return Players(players.generator**2 + players.discriminator, 3 * players.generator * players.discriminator)

    players = Players(jnp.asarray(0.7), jnp.asarray(-1.2))
    plain, total = field(players), consensus_field(field, weight=2.0)(players)
    extra = jax.grad(lambda p: 0.5 * sum(g**2 for g in field(p)))(players)
    np.testing.assert_allclose(np.asarray(total), np.asarray(plain) + 2 * np.asarray(extra), rtol=1e-6)
    with pytest.raises(ValueError, match="weight must not be negative; got -1"):
        consensus_field(field, weight=-1)


def test_eigenvalues_of_the_bilinear_game():
    # The step is [[1, -h], [h, 1]], so its eigenvalues are 1 +- i h.
    players = Players(jnp.asarray(0.0), jnp.asarray(0.0))
    found = sorted(step_eigenvalues(descend(bilinear(), 0.3), players, 0), key=np.imag)
    np.testing.assert_allclose(found, [1 - 0.3j, 1 + 0.3j], rtol=1e-6)
    np.testing.assert_allclose(spectral_radius(descend(bilinear(), 0.3), players, 0), math.sqrt(1.09), rtol=1e-6)


def test_central_differences_see_what_a_step_stops():
    """A train step stops the gradient between the players, so its derivative lacks the terms that couple them."""

    def stopping(players, count):
        generator, discriminator = jax.lax.stop_gradient(players)
        return Players(players.generator - 0.3 * discriminator, players.discriminator + 0.3 * generator), count

    players = Players(jnp.asarray(0.0), jnp.asarray(0.0))
    np.testing.assert_allclose(spectral_radius(stopping, players, 0), 1.0, rtol=1e-6)
    np.testing.assert_allclose(spectral_radius(stopping, players, 0, difference=0.5), math.sqrt(1.09), rtol=1e-6)


def test_consensus_makes_the_bilinear_game_converge():
    # |g|^2 / 2 = (x^2 + y^2) / 2, so the field is A w + gamma w and |1 - h gamma +- i h| < 1 for gamma = 1, h = 0.3.
    players = Players(jnp.asarray(0.0), jnp.asarray(0.0))
    step = descend(consensus_field(bilinear(), weight=1.0), 0.3)
    np.testing.assert_allclose(spectral_radius(step, players, 0), math.hypot(0.7, 0.3), rtol=1e-6)


def test_a_trajectory_begins_at_the_start_and_has_every_step():
    path = trajectory(descend(bilinear(), 0.3), Players(jnp.asarray(1.0), jnp.asarray(1.0)), 0, steps=20)
    assert path.generator.shape == (21,)
    np.testing.assert_allclose(jnp.hypot(*path), math.sqrt(2) * math.sqrt(1.09) ** np.arange(21), rtol=1e-5)
