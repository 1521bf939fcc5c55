"""Soft and flipped targets: ranges, frequencies, independence, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.losses import flip_targets, soft_targets

RNG = jax.random.key(0)


def test_soft_targets_are_uniform_over_their_range():
    targets = np.asarray(soft_targets(RNG, (20_000,), 0.7, 1.2))
    assert targets.min() >= 0.7
    assert targets.max() < 1.2
    # Mean and deviation of U(0.7, 1.2): 0.95 and 0.5 / sqrt(12); five standard errors of 20,000 draws.
    assert targets.mean() == pytest.approx(0.95, abs=5 * 0.1443 / np.sqrt(20_000))
    assert targets.std() == pytest.approx(0.5 / np.sqrt(12), rel=0.03)


def test_soft_targets_of_one_value_are_that_value():
    np.testing.assert_array_equal(soft_targets(RNG, (3,), 0.9, 0.9), np.full(3, 0.9, np.float32))


def test_soft_targets_refuse_an_empty_range():
    with pytest.raises(ValueError, match=r"low must not be above high; got low=1.2 and high=0.7"):
        soft_targets(RNG, (3,), 1.2, 0.7)


def test_flips_at_probability_0_and_1():
    real, fake = jnp.linspace(0.7, 1.2, 6), jnp.linspace(0.0, 0.3, 6)
    same = flip_targets(RNG, real, fake, 0.0)
    np.testing.assert_array_equal(same[0], real)
    np.testing.assert_array_equal(same[1], fake)
    exchanged = flip_targets(RNG, real, fake, 1.0)
    np.testing.assert_array_equal(exchanged[0], fake)
    np.testing.assert_array_equal(exchanged[1], real)


def test_each_example_flips_alone_with_the_probability():
    count = 20_000
    real, fake = flip_targets(RNG, 1.0, 0.0, 0.05, shape=(count,))
    error = 5 * np.sqrt(0.05 * 0.95 / count)
    assert float((real == 0).mean()) == pytest.approx(0.05, abs=error)
    assert float((fake == 1).mean()) == pytest.approx(0.05, abs=error)
    # Reals and fakes flip independently: both at once in 0.25% of the places.
    assert float(((real == 0) & (fake == 1)).mean()) == pytest.approx(0.0025, abs=5 * np.sqrt(0.0025 / count))


def test_flips_work_under_jit_with_a_traced_probability():
    real, fake = jax.jit(lambda p: flip_targets(RNG, jnp.ones(4), jnp.zeros(4), p))(1.0)
    assert real.tolist() == [0, 0, 0, 0]
    assert fake.tolist() == [1, 1, 1, 1]


def test_flip_errors():
    with pytest.raises(ValueError, match=r"probability must be in \[0, 1\]; got -0.1"):
        flip_targets(RNG, 1.0, 0.0, -0.1)
    with pytest.raises(ValueError, match=r"must broadcast to shape \(1,\); got \(4,\)"):
        flip_targets(RNG, jnp.ones(4), 0.0, 0.1, shape=(1,))
