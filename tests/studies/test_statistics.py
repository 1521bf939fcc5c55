"""Intervals and effects: against SciPy, NumPy's least squares, and values worked by hand."""

import itertools

import numpy as np
import pytest
from scipy import stats

from experiments.studies.ablations.statistics import (
    Interval,
    factorial_effects,
    fractional_factorial,
    holm,
    paired_test,
    t_interval,
    verdict,
)

SAMPLE = np.random.default_rng(3).normal(0.4, 1.0, 30)


def test_t_interval_is_scipys():
    expected = stats.ttest_1samp(SAMPLE, 0.0).confidence_interval(0.9)
    np.testing.assert_allclose(t_interval(SAMPLE, level=0.9)[1:], expected, rtol=1e-12)


def test_t_interval_by_hand():
    # Mean 2, sample deviation 1, t_{0.975}(2) = 4.302653 (any table): 2 +- 4.302653 / sqrt(3).
    np.testing.assert_allclose(t_interval([1.0, 2.0, 3.0]), (2.0, -0.484138, 4.484138), atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_refused(level):
    with pytest.raises(ValueError, match="level"):
        t_interval([1.0, 2.0], level=level)
    for bad in ([], [1.0], [np.nan, 1.0], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="finite numbers"):
            t_interval(bad)


def test_t_interval_needs_two():
    with pytest.raises(ValueError, match="at least 2"):
        t_interval([1.0])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([(-0.1, 0.01, False), (0.2, 0.02, True)], "helps"),
        ([(-0.1, 0.01, False), (0.2, 0.9, True)], "helps"),
        ([(-0.1, 0.01, False), (-0.2, 0.9, True)], "helps"),
        ([(-0.1, 0.01, False), (-0.2, 0.01, True)], "trades"),
        ([(0.1, 0.01, False), (0.2, 0.05, True)], "trades"),
        ([(0.1, 0.01, False), (0.2, 0.9, True)], "hurts"),
        ([(0.1, 0.9, False), (-0.2, 0.0, True)], "hurts"),
        ([(0.1, 0.06, False), (-0.2, 0.9, True)], "unclear"),
        ([(0.0, 1.0, False), (0.0, 1.0, True)], "no effect"),
        ([], "no effect"),
    ],
)
def test_verdict(changes, expected):
    assert verdict(changes) == expected


def test_interval_leaves_out_zero():
    assert Interval(1, 0.1, 2).leaves_out_zero
    assert Interval(-1, -2, -0.1).leaves_out_zero
    assert not Interval(0, -1, 1).leaves_out_zero


def test_fractional_factorial_by_hand():
    np.testing.assert_array_equal(fractional_factorial(2, [(0, 1)]), [[-1, -1, 1], [-1, 1, -1], [1, -1, -1], [1, 1, 1]])
    with pytest.raises(ValueError, match="two or more positions below 2"):
        fractional_factorial(2, [(0, 2)])
    with pytest.raises(ValueError, match="two or more"):
        fractional_factorial(2, [(1,)])


def test_the_documented_design_keeps_mains_and_pairs_apart():
    design = fractional_factorial(7, ((0, 1, 2, 6), (1, 2, 3, 4), (0, 2, 3, 5))).astype(int)
    assert design.shape == (128, 10)
    columns = [np.ones(128, int), *design.T, *(design[:, i] * design[:, j] for i, j in itertools.combinations(range(10), 2))]
    gram = np.array(columns) @ np.array(columns).T
    np.testing.assert_array_equal(gram, 128 * np.eye(56))


def test_effects_of_a_known_function():
    # y = 5 + 2 [a on] + 3 [a on and b on]: on minus off of a is 2 + 3/2 on average, of b 3/2, of c 0; a's effect grows by 3 with b.
    design = fractional_factorial(3, []).repeat(2, axis=0)
    on = design > 0
    noise = np.tile([1e-3, -1e-3], 8)
    effects = factorial_effects(design, 5 + 2 * on[:, 0] + 3 * (on[:, 0] & on[:, 1]) + noise, ["a", "b", "c"])
    assert [effect.factors for effect in effects] == [("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c")]
    np.testing.assert_allclose([effect.interval.mean for effect in effects], [3.5, 1.5, 0, 3, 0, 0], atol=1e-9)
    assert [effect.interval.leaves_out_zero for effect in effects] == [True, True, False, True, False, False]


def test_effects_have_the_intervals_of_a_regression():
    # One factor, unbalanced: the regression's slope is half the effect, its interval half of ours (scipy.stats.linregress).
    rng = np.random.default_rng(0)
    x = np.array([-1, -1, -1, 1, 1, 1, 1, 1])
    y = 0.3 * x + rng.normal(size=8)
    fit = stats.linregress(x, y)
    reach = 2 * fit.stderr * stats.t.ppf(0.95, 6)
    (effect,) = factorial_effects(x[:, None], y, ["a"], level=0.9)
    np.testing.assert_allclose(effect.interval, (2 * fit.slope, 2 * fit.slope - reach, 2 * fit.slope + reach), rtol=1e-10)


def test_effects_refuse_what_they_cannot_tell():
    design = fractional_factorial(2, [])
    with pytest.raises(ValueError, match="4 runs cannot tell 3 effects apart"):
        factorial_effects(design, np.arange(4.0), ["a", "b"])
    with pytest.raises(ValueError, match="cannot tell"):
        factorial_effects(np.column_stack([design[:, 0], design[:, 0]]).repeat(3, axis=0), np.arange(12.0), ["a", "b"])
    with pytest.raises(ValueError, match="-1"):
        factorial_effects([[0.0], [1.0], [1.0]], np.arange(3.0), ["a"])
    with pytest.raises(ValueError, match="finite"):
        factorial_effects([[1.0], [-1.0], [1.0]], [1, np.inf, 2], ["a"])
    with pytest.raises(ValueError, match="design must be"):
        factorial_effects(design, np.arange(4.0), ["a"])


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.2: times 4, 3, 2, 1 is 0.04, 0.06, 0.06, 0.2, already increasing.
    np.testing.assert_allclose(holm([0.03, 0.01, 0.2, 0.02]), [0.06, 0.04, 0.2, 0.06])
    # 0.04 * 2 = 0.08 must not fall to 0.045 afterwards, and nothing exceeds 1.
    np.testing.assert_allclose(holm([0.045, 0.04]), [0.08, 0.08])
    np.testing.assert_allclose(holm([0.9, 0.8, 0.7]), [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="p_values"):
        holm([0.5, 1.5])


def test_paired_tests_are_scipys():
    found = paired_test(SAMPLE)
    assert found.student == pytest.approx(stats.ttest_rel(SAMPLE, np.zeros(30)).pvalue)
    assert found.wilcoxon == pytest.approx(stats.wilcoxon(SAMPLE).pvalue)
    assert paired_test([0.0, 0.0, 0.0]) == (1.0, 1.0, 0.0)


def test_detectable_difference_is_found_in_four_of_five_repetitions():
    rng = np.random.default_rng(0)
    draws = rng.normal(0.0, 1.0, (800, 10))
    target = np.mean([paired_test(row).detectable for row in draws])
    found = np.mean([stats.ttest_1samp(row + target, 0.0).pvalue < 0.05 for row in draws])
    assert 0.74 < found < 0.86
