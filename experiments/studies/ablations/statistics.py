"""Whether a trick helps: intervals of paired differences, and main and pair effects of factorial designs."""

import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from scipy import stats

Verdict: TypeAlias = Literal["helps", "hurts", "trades", "unclear", "no effect"]


class Interval(NamedTuple):
    """An estimate with the bounds of its confidence interval, in the unit of the measured outcome."""

    mean: float
    low: float
    high: float

    @property
    def leaves_out_zero(self) -> bool:
        """Whether the whole interval is on one side of 0."""
        return self.low > 0 or self.high < 0


class Effect(NamedTuple):
    """Effect of one factor or of a pair of factors on the outcome of a design.

    Attributes:
        factors: One name, or two.
        interval: For one factor, the mean outcome with it minus the mean outcome without it, averaged over the other factors. For a
            pair, the effect of the first factor if the second is on minus its effect if the second is off. Both orders give the
            same value.
    """

    factors: tuple[str, ...]
    interval: Interval


def t_interval(differences, *, level: float = 0.95) -> Interval:
    """Student's interval of the mean of paired differences: mean +- t s / sqrt(n), where s is their sample deviation.

    It is exact for normally distributed differences.

    Args:
        differences: Float [pairs], at least two. The outcome with the trick minus the outcome without it, from the same seed.
        level: Confidence level in (0, 1).

    Returns:
        The mean and the bounds.

    Raises:
        ValueError: There are fewer than two differences, they are not finite numbers in one row, or `level` is not in (0, 1).

    References:
        Student, "The probable error of a mean", 1908.
    """
    values = _checked(differences, level, at_least=2)
    mean, reach = float(values.mean()), float(stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values))
    return Interval(mean, mean - reach, mean + reach)


def verdict(changes: Sequence[tuple[float, float, bool]], *, level: float = 0.05) -> Verdict:
    """Summarises the changes of all outcomes of a trick in one word.

    A change counts if its adjusted p-value is at most `level`. The verdict is "helps" if an outcome improves and none gets worse, "hurts"
    if one gets worse and none improves, and "trades" if some improve and others get worse. It is "no effect" if all changes are exactly
    0. Otherwise it is "unclear", which does not mean that there is no effect.

    Args:
        changes: For each outcome the mean difference, its adjusted p-value, and whether a larger outcome is better.
        level: Largest adjusted p-value that counts.
    """
    if not any(mean for mean, _, _ in changes):
        return "no effect"
    better = [(mean > 0) == higher for mean, p, higher in changes if p <= level and mean]
    if not better:
        return "unclear"
    return "helps" if all(better) else "trades" if any(better) else "hurts"


def holm(p_values) -> np.ndarray:
    """Adjusted p-values that control the probability of any false discovery (familywise error).

        adjusted_(k) = max_{j <= k} min((m - j + 1) p_(j), 1),  p_(1) <= ... <= p_(m)

    Args:
        p_values: Float [tests] in [0, 1].

    Returns:
        Float [tests], in the order of the argument. A test is a discovery at level a if its adjusted p-value is at most a.

    Raises:
        ValueError: The p-values are not in [0, 1], or not one row.

    References:
        Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    values = np.asarray(p_values, np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p_values must be [tests] in [0, 1]; got {p_values}")
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate((len(values) - np.arange(len(values))) * values[order]), 1)
    return adjusted


class PairedTest(NamedTuple):
    """Two paired tests of a mean difference of 0.

    Attributes:
        student: Two-sided p-value of Student's paired t-test. 1 if all differences are 0.
        wilcoxon: Two-sided p-value of Wilcoxon's signed-rank test, exact for few pairs without ties. 1 if all differences are 0.
        detectable: The mean difference that the t-test would find with 80% probability, given the deviation of these differences.
    """

    student: float
    wilcoxon: float
    detectable: float


def paired_test(differences, *, level: float = 0.95) -> PairedTest:
    """Tests paired differences by Student's t and by Wilcoxon's signed ranks, and states what could have been found.

    Args:
        differences: As in `t_interval`.
        level: 1 minus the level of significance, for `detectable`.

    Raises:
        ValueError: As in `t_interval`.

    References:
        Student, "The probable error of a mean", 1908. Wilcoxon, "Individual comparisons by ranking methods", 1945.
    """
    values = _checked(differences, level, at_least=2)
    if not values.any():
        return PairedTest(1.0, 1.0, 0.0)
    freedom = len(values) - 1
    # The power of the t-test by its usual approximation with quantiles of t: (t_{1-a/2} + t_{0.8}) s / sqrt(n).
    detectable = (stats.t.ppf((1 + level) / 2, freedom) + stats.t.ppf(0.8, freedom)) * stats.sem(values)
    student = 0.0 if not values.std() else float(stats.ttest_1samp(values, 0.0).pvalue)
    return PairedTest(student, float(stats.wilcoxon(values).pvalue), float(detectable))


def fractional_factorial(base: int, generators: Sequence[Sequence[int]]) -> np.ndarray:
    """Two-level fractional factorial design.

    The design holds all combinations of `base` factors. Each further factor is a product of some of them.

    Args:
        base: Number of factors that are combined fully.
        generators: For each further factor, the positions of the base factors in its product.

    Returns:
        int8 [2 ** base, base + len(generators)] of -1 (off) and +1 (on). Every column is balanced, and any two columns are orthogonal.
        The generators decide which products of columns are orthogonal. With 7 base factors, (0, 1, 2, 6), (1, 2, 3, 4) and
        (0, 2, 3, 5) keep all ten main effects and all their pairs apart.

    Raises:
        ValueError: A generator has fewer than two factors, or a position that is no base factor.

    References:
        Box and Hunter, "The 2^(k-p) fractional factorial designs", 1961.
    """
    for generator in generators:
        if len(set(generator)) < 2 or not all(0 <= position < base for position in generator):
            raise ValueError(f"a generator must have two or more positions below {base}; got {tuple(generator)}")
    full = np.array(list(itertools.product((-1, 1), repeat=base)), np.int8)
    return np.column_stack([full, *(full[:, list(generator)].prod(axis=1) for generator in generators)])


def factorial_effects(design, outcomes, names: Sequence[str], *, level: float = 0.95) -> list[Effect]:
    """Main effects and pair effects of a two-level design, by least squares.

        outcome = a + sum_i b_i x_i + sum_{i<j} b_ij x_i x_j + noise,  x in {-1, +1}

    The main effect is 2 b_i and the pair effect is 4 b_ij. The intervals are Student's with the residual variance, so joint effects of
    three or more factors count as noise.

    Args:
        design: [runs, factors] of -1 (off) and +1 (on). It need not be balanced.
        outcomes: Float [runs].
        names: Names of the factors.
        level: Confidence level of each interval.

    Returns:
        The main effects in the order of the names, then the pairs in the order of `itertools.combinations`.

    Raises:
        ValueError: The shapes disagree, `design` has another entry, an outcome is not finite, or the runs are too few or too similar
            to estimate all effects.

    References:
        Box, Hunter and Hunter, "Statistics for Experimenters", 2nd edition, 2005, chapters 5 and 6.
    """
    design, outcomes = np.asarray(design, np.float64), np.asarray(outcomes, np.float64)
    if design.ndim != 2 or design.shape != (len(outcomes), len(names)) or outcomes.ndim != 1:
        raise ValueError(f"design must be [{np.shape(outcomes)}, {len(names)}] of outcomes and names; got shape {design.shape}")
    if not np.isin(design, (-1, 1)).all():
        raise ValueError("design must hold -1 (off) and +1 (on) only")
    if not np.isfinite(outcomes).all():
        raise ValueError("outcomes must be finite")
    pairs = list(itertools.combinations(range(len(names)), 2))
    columns = np.column_stack([np.ones(len(design)), design, *(design[:, i] * design[:, j] for i, j in pairs)])
    freedom = len(columns) - columns.shape[1]
    if freedom < 1 or np.linalg.matrix_rank(columns) < columns.shape[1]:
        raise ValueError(f"{len(columns)} runs cannot tell {columns.shape[1] - 1} effects apart")
    coefficients = np.linalg.lstsq(columns, outcomes)[0]
    variance = np.square(outcomes - columns @ coefficients).sum() / freedom
    errors = np.sqrt(variance * np.diagonal(np.linalg.inv(columns.T @ columns)))
    scales = np.array([0.0, *[2.0] * len(names), *[4.0] * len(pairs)])
    values, reaches = scales * coefficients, scales * errors * stats.t.ppf((1 + level) / 2, freedom)
    factors = [(name,) for name in names] + [(names[i], names[j]) for i, j in pairs]
    bounds = zip(values[1:], reaches[1:])
    return [Effect(of, Interval(float(mean), float(mean - reach), float(mean + reach))) for of, (mean, reach) in zip(factors, bounds)]


def _checked(differences, level: float, at_least: int) -> np.ndarray:
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or len(values) < at_least or not np.isfinite(values).all():
        raise ValueError(f"differences must be finite numbers [pairs], at least {at_least}; got shape {values.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1); got {level}")
    return values
