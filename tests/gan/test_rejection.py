"""Discriminator rejection sampling: values of the authors' formula, exactness, and the gain on a ring where it is known."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.data.mixtures import ring_centers
from gan_jax.gan.rejection import acceptance_probabilities, calibrate_logits
from gan_jax.metrics import mode_coverage

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "rejection.json").read_text())


# The values are those of golden/rejection.py, NumPy in float64.
@pytest.mark.parametrize("case", GOLDEN["acceptance"], ids=lambda case: f"{case['percentile']}")
def test_probabilities_are_those_of_the_formula(case):
    logits = jnp.array(GOLDEN["logits"])
    options = {"gamma_percentile": case["percentile"], "epsilon": case["epsilon"]}
    found, maximum = acceptance_probabilities(logits, case["maximum"], **options)
    np.testing.assert_allclose(found, case["values"], rtol=2e-3, atol=1e-6)
    assert maximum == max(case["maximum"], np.float32(max(GOLDEN["logits"])))


# The values are SciPy's, in float64.
@pytest.mark.parametrize("case", GOLDEN["calibration"], ids=["overlapping", "apart"])
def test_calibration_is_the_minimum(case):
    found = calibrate_logits(jnp.array(case["real"]), jnp.array(case["fake"]))
    np.testing.assert_allclose(found, case["values"], rtol=2e-3)
    np.testing.assert_allclose(found(jnp.array([2.0])), 2 * case["values"][0] + case["values"][1], rtol=2e-3)


def test_calibration_undoes_a_change_of_scale():
    real, fake = jnp.array(GOLDEN["calibration"][0]["real"]), jnp.array(GOLDEN["calibration"][0]["fake"])
    plain, changed = calibrate_logits(real, fake), calibrate_logits(100 * real - 30, 100 * fake - 30)
    np.testing.assert_allclose(changed(100 * real - 30), plain(real), rtol=1e-3, atol=1e-3)
    constant = calibrate_logits(jnp.ones(5), jnp.ones(7))
    np.testing.assert_allclose(constant(jnp.ones(1)), 0, atol=1e-5)


def test_without_gamma_it_is_exact_rejection_sampling():
    """p = exp(D - M), the ratio of the densities over its maximum."""
    logits = jnp.array([-3.0, 0.5, -1.0, 0.0])
    found, _ = acceptance_probabilities(logits, 1.0, gamma_percentile=None, epsilon=1e-7)
    np.testing.assert_allclose(found, np.exp(np.asarray(logits) - 1.0), rtol=1e-4)
    # A logit above the maximum is accepted, and is the maximum of what follows.
    found, maximum = acceptance_probabilities(jnp.array([2.0, 1.0]), 0.0, gamma_percentile=None)
    np.testing.assert_allclose(found, [1.0, np.exp(-1)], rtol=1e-4)
    assert maximum == 2.0


def test_a_higher_percentile_accepts_fewer():
    logits = jnp.array(GOLDEN["logits"])
    rates = [float(acceptance_probabilities(logits, 3.0, gamma_percentile=value)[0].mean()) for value in (0, 50, 80, 100)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.8
    assert rates[-1] < 0.2


def uneven_ring(count, seed=0):
    """Samples of G and the logit of the optimal D: mode k has the share 0.8 k / 36, and 20% lie on no mode, where there are no data."""
    rng = np.random.default_rng(seed)
    shares = 0.8 * np.arange(1, 9) / 36
    mode = rng.choice(9, count, p=[*shares, 0.2])
    points = np.where((mode < 8)[:, None], ring_centers()[mode % 8], rng.uniform(-0.5, 0.5, (count, 2)))
    points = points + 0.01 * rng.standard_normal((count, 2))
    logits = np.append(np.log(1 / 8 / shares), -30.0)[mode]
    return points, logits.astype(np.float32), mode


def test_the_gain_on_a_ring():
    """The largest ratio is that of mode 1, (1 / 8) / (0.8 / 36) = 5.625, so a share of 1 / 5.625 is accepted, as many of each mode."""
    points, logits, mode = uneven_ring(40_000)
    probabilities, maximum = acceptance_probabilities(jnp.array(logits), -jnp.inf, gamma_percentile=None)
    np.testing.assert_allclose(maximum, np.log(5.625), rtol=1e-5)
    later = mode[1000:]  # The first samples have no burn-in.
    for number in range(8):
        np.testing.assert_allclose(np.asarray(probabilities)[1000:][later == number], 1 / (number + 1), rtol=1e-3)
    accepted = np.random.default_rng(1).random(len(points)) < np.asarray(probabilities)
    np.testing.assert_allclose(accepted.mean(), 1 / 5.625, atol=0.006)
    before, after = (mode_coverage(chosen, ring_centers(), 0.01) for chosen in (points, points[accepted]))
    assert before.high_quality < 0.81
    assert after.high_quality > 0.98
    assert before.reverse_kl > 0.08
    assert after.reverse_kl < 0.003


def test_it_runs_inside_jit():
    logits = jnp.array(GOLDEN["logits"])
    found = jax.jit(lambda logits: acceptance_probabilities(logits, 3.0))(logits)
    np.testing.assert_allclose(found[0], acceptance_probabilities(logits, 3.0)[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma_percentile": 101.0}, "gamma_percentile must be between 0 and 100; got 101.0"),
        ({"epsilon": 0.0}, "epsilon must be positive; got 0.0"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        acceptance_probabilities(jnp.zeros(3), 0.0, **arguments)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="logits"):
        acceptance_probabilities(jnp.zeros((3, 2)), 0.0)
    with pytest.raises(ValueError, match="fake_logits"):
        calibrate_logits(jnp.zeros(3), jnp.zeros(0))
    with pytest.raises(TypeError, match="real_logits"):
        calibrate_logits(jnp.zeros(3, int), jnp.zeros(3))
