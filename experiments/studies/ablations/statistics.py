"""Whether a trick helps: paired intervals of differences, and main and pair effects of factorial designs; plain NumPy."""

import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

Verdict: TypeAlias = Literal["helps", "hurts", "unclear", "no effect"]


class Interval(NamedTuple):
    """An estimate with the bounds of its confidence interval, in the unit of what was measured."""

    mean: float
    low: float
    high: float

    @property
    def leaves_out_zero(self) -> bool:
        """Whether the whole interval is on one side of 0."""
        return self.low > 0 or self.high < 0


class Effect(NamedTuple):
    """What a factor, or a pair of factors, does to the outcome of a design.

    Attributes:
        factors: one name, or two.
        interval: of one factor: mean outcome with it minus without it, the others averaged over; of two: the first one's effect where the
            second is on minus its effect where the second is off (the same the other way round).
    """

    factors: tuple[str, ...]
    interval: Interval


def paired_bootstrap(differences, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0) -> Interval:
    """Percentile bootstrap interval of the mean of paired differences.

    The pairs are drawn again with replacement, `resamples` times; the bounds are the (1 - level) / 2 and (1 + level) / 2 quantiles of their
    means. With few pairs it is too narrow: of three it spans the least and the greatest difference, at most.

    Args:
        differences: float [pairs], with the trick minus without it, each pair of one seed.
        level: of confidence, in (0, 1).
        resamples: how often to draw.
        seed: of the draws.

    Returns:
        The mean and the bounds.

    Raises:
        ValueError: there are no differences, they are not finite numbers [pairs], or the level is not in (0, 1).

    References:
        Efron, "Bootstrap methods: another look at the jackknife", 1979.
    """
    values = _checked(differences, level, at_least=1)
    draws = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def t_interval(differences, *, level: float = 0.95) -> Interval:
    """Student's interval of the mean of paired differences: mean +- t s / sqrt(n), s their sample deviation.

    Exact for normal differences of any number; wider than the bootstrap's where there are few.

    Args:
        differences: as for `paired_bootstrap`, two or more.
        level: of confidence, in (0, 1).

    Returns:
        The mean and the bounds.

    Raises:
        ValueError: there are fewer than two differences, they are not finite numbers [pairs], or the level is not in (0, 1).

    References:
        Student, "The probable error of a mean", 1908.
    """
    values = _checked(differences, level, at_least=2)
    reach = _student_quantile(level, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Interval(float(values.mean()), float(values.mean() - reach), float(values.mean() + reach))


def verdict(differences, *, higher_is_better: bool = True, level: float = 0.95) -> Verdict:
    """Says what paired differences show: "helps" or "hurts" where both `paired_bootstrap` and `t_interval` leave out 0, "no effect" where
    all of them are exactly 0, else "unclear".

    Both, because the bootstrap is too sure of a few pairs, and Student's interval of differences far from normal.

    Args:
        differences: as for `t_interval`.
        higher_is_better: whether a larger outcome is the better one.
        level: of confidence of each of the two.

    Raises:
        ValueError: as for `t_interval`.
    """
    if not np.any(_checked(differences, level, at_least=2)):
        return "no effect"
    intervals = t_interval(differences, level=level), paired_bootstrap(differences, level=level)
    if not all(interval.leaves_out_zero for interval in intervals):
        return "unclear"
    return "helps" if (intervals[0].mean > 0) == higher_is_better else "hurts"


def fractional_factorial(base: int, generators: Sequence[Sequence[int]]) -> np.ndarray:
    """Two-level fractional factorial design: all combinations of `base` factors, each further factor a product of some of them.

    Args:
        base: number of factors that are combined fully.
        generators: for each further factor, the positions of the base factors whose product it is.

    Returns:
        int8 [2 ** base, base + len(generators)] of -1 (off) and +1 (on). Every column is balanced, and any two are orthogonal; which
        products of columns are orthogonal depends on the generators (of 7 base factors, (0, 1, 2, 6), (1, 2, 3, 4) and (0, 2, 3, 5)
        keep all ten main effects and all their pairs apart).

    Raises:
        ValueError: a generator has fewer than two factors, or one that is no base factor.

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

        outcome = a + sum_i b_i x_i + sum_{i<j} b_ij x_i x_j + noise,  x in {-1, +1};  main effect 2 b_i, pair effect 4 b_ij

    The intervals are Student's, with the residual variance: what three and more factors do together counts as noise.

    Args:
        design: [runs, factors] of -1 (off) and +1 (on); not necessarily balanced.
        outcomes: float [runs].
        names: of the factors.
        level: of confidence of each interval.

    Returns:
        The main effects in the order of the names, then the pairs in the order of `itertools.combinations`.

    Raises:
        ValueError: shapes that disagree, entries other than -1 and +1, outcomes that are not finite, or too few or too similar runs to
            tell the effects apart.

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
    values, reaches = scales * coefficients, scales * errors * _student_quantile(level, freedom)
    factors = [(name,) for name in names] + [(names[i], names[j]) for i, j in pairs]
    bounds = zip(values[1:], reaches[1:])
    return [Effect(of, Interval(float(mean), float(mean - reach), float(mean + reach))) for of, (mean, reach) in zip(factors, bounds)]


def _student_quantile(level: float, freedom: int) -> float:
    """The t with P(|T| < t) = level."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


def _checked(differences, level: float, at_least: int) -> np.ndarray:
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or len(values) < at_least or not np.isfinite(values).all():
        raise ValueError(f"differences must be finite numbers [pairs], at least {at_least}; got shape {values.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1); got {level}")
    return values
