"""Closed-form factorisation: values of the authors' formula, and what the directions mean."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.gan.directions import closed_form_directions

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "directions.json").read_text())


# The values are those of golden/directions.py: the formula of genforce/sefa in NumPy.
def test_directions_are_those_of_the_authors():
    directions, values = closed_form_directions([jnp.array(weight) for weight in GOLDEN["weights"]])
    np.testing.assert_allclose(directions, GOLDEN["directions"], atol=2e-5)
    np.testing.assert_allclose(values, GOLDEN["values"], rtol=1e-5)


def test_the_leading_direction_moves_the_layer_most():
    """|A^T n|^2 is the eigenvalue, and no other unit vector has a larger one."""
    weight = np.asarray(GOLDEN["weights"][0])
    directions, values = (np.asarray(result) for result in closed_form_directions([jnp.array(weight)]))
    normalised = weight / np.linalg.norm(weight, axis=0)
    np.testing.assert_allclose(np.square(directions @ normalised).sum(axis=1), values, rtol=1e-4)
    np.testing.assert_allclose(directions @ directions.T, np.eye(5), atol=1e-5)
    others = np.random.default_rng(0).standard_normal((200, 5))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    assert np.square(others @ normalised).sum(axis=1).max() < values[0]
    assert (np.diff(values) <= 0).all()


def test_worked_by_hand():
    """Both columns become (1, 0) and (0, 1) and (1, 0): A A^T = diag(2, 1). A column of zeros changes nothing."""
    directions, values = closed_form_directions([jnp.array([[3.0, 0.0, -0.1, 0.0], [0.0, 2.0, 0.0, 0.0]])])
    np.testing.assert_allclose(directions, np.eye(2), atol=1e-6)
    np.testing.assert_allclose(values, [2.0, 1.0], rtol=1e-6)


def test_the_scale_of_a_column_has_no_effect():
    weight = jnp.array(GOLDEN["weights"][0])
    plain, scaled = closed_form_directions([weight]), closed_form_directions([weight * jnp.arange(1.0, 8.0)])
    np.testing.assert_allclose(plain[0], scaled[0], atol=1e-5)


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="at least one matrix"):
        closed_form_directions([])
    with pytest.raises(ValueError, match="one number of rows"):
        closed_form_directions([jnp.zeros((3, 2)), jnp.zeros((4, 2))])
    with pytest.raises(ValueError, match="weights"):
        closed_form_directions([jnp.zeros(3)])
    with pytest.raises(TypeError, match="weights"):
        closed_form_directions([jnp.zeros((3, 2), int)])
