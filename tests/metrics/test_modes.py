import jax
import numpy as np
import pytest

from gan_jax import metrics
from gan_jax.metrics import classifier

CORNERS = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])


# By hand, std 0.1: 3 samples within 0.3 of the first corner, 1 of the second, 1 nearest to the third but too far.
def test_samples_worked_by_hand():
    samples = np.array([[0, 0], [0.29, 0], [0, 0.1], [1, 0.1], [0.3, 0.75]])
    result = metrics.mode_coverage(samples, CORNERS, 0.1)
    assert result.modes == 2
    assert result.high_quality == pytest.approx(0.8)
    np.testing.assert_array_equal(result.counts, [3, 1, 0, 0])
    assert result.reverse_kl == pytest.approx(0.6 * np.log(0.6 * 4) + 2 * 0.2 * np.log(0.2 * 4))
    assert metrics.mode_coverage(samples[:1], CORNERS, 0.1).reverse_kl == pytest.approx(np.log(4))  # one mode only


def test_weights_and_reach_count():
    samples = np.array([[0, 0], [0, 0], [0, 0], [1, 0.31]])
    weighted = metrics.mode_coverage(samples, CORNERS[:2], 0.1, weights=[6, 2])
    assert weighted.reverse_kl == pytest.approx(0)
    assert weighted.modes == 1
    assert metrics.mode_coverage(samples, CORNERS[:2], 0.1, within=3.2).modes == 2
    assert metrics.mode_coverage(samples, CORNERS[:2], 0.1, weights=[1, 0]).reverse_kl == np.inf


def test_the_mixture_itself_is_covered():
    generator = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), axis=-1).reshape(-1, 2) * 2
    samples = grid[generator.integers(0, 25, 2500)] + 0.05 * generator.standard_normal((2500, 2))
    result = metrics.mode_coverage(samples, grid, 0.05)
    assert result.modes == 25
    assert result.high_quality == pytest.approx(1 - np.exp(-4.5), abs=0.01)  # Rayleigh: within 3 deviations in the plane
    assert result.reverse_kl == pytest.approx(24 / 5000, rel=0.7)
    assert result.counts.sum() == pytest.approx(2500 * result.high_quality)


def test_classes_are_modes():
    result = metrics.class_coverage(np.array([0, 0, 2]), 4)
    assert result.modes == 2
    np.testing.assert_array_equal(result.counts, [2, 0, 1, 0])
    assert result.reverse_kl == pytest.approx(2 / 3 * np.log(8 / 3) + np.log(4 / 3) / 3)


def test_stacked_digits_are_counted_by_their_three_channels():
    # A classifier that reads the class off the first dense feature: brightness in ten steps.
    params = {name: np.zeros_like(value) for name, value in classifier.init(jax.random.key(0)).items()}
    params["conv_0/kernel"][2, 2, 0, 0] = 1
    params["conv_0/bias"][0] = 1
    params["conv_1/kernel"][2, 2, 0, 0] = params["conv_2/kernel"][1, 1, 0, 0] = 1
    params["dense/kernel"][5 * 64, 0] = 1  # some place in the middle
    steps = np.arange(10) / 4.5  # brightness + 1
    params["logits/kernel"][0] = 2 * steps
    params["logits/bias"][:] = -(steps**2)
    digits = np.array([[0, 0, 0], [9, 4, 1], [9, 4, 1], [2, 8, 5]])
    images = np.broadcast_to((digits / 9 * 255).round()[:, None, None, :], (4, 32, 32, 3)).astype(np.uint8)
    result = metrics.stacked_digit_coverage(images, params=params, batch_size=3)
    assert result.modes == 3
    np.testing.assert_array_equal(np.flatnonzero(result.counts), [0, 285, 941])
    assert result.counts[941] == 2
    assert result.reverse_kl == pytest.approx(0.5 * np.log(500) + 0.5 * np.log(250))


def test_samples_that_cannot_be_counted_are_refused():
    with pytest.raises(ValueError, match="finite"):
        metrics.mode_coverage(np.array([[np.nan, 0]]), CORNERS, 0.1)
    with pytest.raises(ValueError, match="one width"):
        metrics.mode_coverage(np.zeros((3, 3)), CORNERS, 0.1)
    with pytest.raises(ValueError, match="above 0; got 0"):
        metrics.mode_coverage(CORNERS, CORNERS, 0)
    for weights, got in (
        ([1, 2], r"shape \(2,\)"),
        ([1, -2, 1, 1], "-2"),
        ([1, 1, np.nan, 1], "nan"),
        ([np.inf, 1, 1, 1], "inf"),
        ([0] * 4, "all 0"),
    ):
        with pytest.raises(ValueError, match=f"weights must be 4 finite numbers.*{got}"):
            metrics.mode_coverage(CORNERS, CORNERS, 0.1, weights=weights)
    for labels, got in (([0, 3], "3"), ([2, -4, 1], "-4"), ([0.5], r"float64 of shape \(1,\)"), ([[1]], r"int64 of shape \(1, 1\)")):
        with pytest.raises(ValueError, match=rf"integers \[samples\] in \[0, 3\) and not be empty; got {got}$"):
            metrics.class_coverage(np.array(labels), 3)
    with pytest.raises(ValueError, match=r"\[batch, 28, 28, 3\]"):
        metrics.stacked_digit_coverage(np.zeros((1, 28, 28, 1), np.uint8), params={})
