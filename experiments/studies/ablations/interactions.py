"""The section of docs/evidence.md on tricks in combination: main effects and pairs, from the design of `factors.py`."""

from pathlib import Path

import numpy as np

from experiments.studies.ablations import factors, results
from experiments.studies.ablations.statistics import Effect, factorial_effects
from experiments.studies.ablations.tricks import GROUPS, as_flags

OUTCOME = "recovered"


def outcomes(path: Path, data: str) -> tuple[np.ndarray, np.ndarray, int]:
    """The rows of the design that were played, their outcome averaged over the seeds that all of them have, and the number of these."""
    played = results.runs(path)
    design = factors.design()
    found = [played.get(results.key(data, factors.changes_of(levels)), []) for levels in design]
    kept = [index for index, rows in enumerate(found) if rows]
    shared = set.intersection(*({row["seed"] for row in found[index]} for index in kept)) if kept else set()
    means = [float(np.mean([row[OUTCOME] for row in found[index] if row["seed"] in shared])) for index in kept] if shared else []
    return design[kept] if shared else design[:0], np.array(means), len(shared)


def sure(effects: list[Effect], path_effects: list[Effect]) -> list[Effect]:
    """The pairs among `effects` whose interval in `path_effects`, of a higher level, leaves out 0; the largest first."""
    wide = {effect.factors: effect.interval for effect in path_effects}
    pairs = [effect for effect in effects if len(effect.factors) == 2 and wide[effect.factors].leaves_out_zero]
    return sorted(pairs, key=lambda effect: -abs(effect.interval.mean))


def _line(effect: Effect) -> str:
    mean, low, high = effect.interval
    return f"| {' and '.join(effect.factors)} | {mean:+.3f} | {low:+.3f} to {high:+.3f} |"


def analysis(path: Path, data: str) -> str:
    """One source's effects as text and tables, or a line that says what is missing."""
    design, means, seeds = outcomes(path, data)
    names = list(factors.FACTORS)
    try:
        effects = factorial_effects(design, means, names)
    except ValueError:
        return f"### On the {data}\nNot run yet: {len(means)} of {len(factors.design())} combinations.\n"
    level = 1 - 0.05 / len(effects)
    pairs = sure(effects, factorial_effects(design, means, names, level=level))
    best = np.argsort(means)[::-1][:3]
    combinations = [
        f"{means[index]:.3f}: {', '.join(name for name, on in zip(names, design[index] > 0) if on) or 'none of them'}" for index in best
    ]
    heading = "| {} | effect on recovered | 95% |\n|---|---|---|"
    lines = [f"### On the {data}", f"{len(means)} of {len(factors.design())} combinations, {seeds} seeds each.", ""]
    lines += [heading.format("trick"), *(_line(effect) for effect in effects if len(effect.factors) == 1), ""]
    lines += [heading.format("pair"), *map(_line, pairs)] if pairs else ["No pair is sure."]
    lines += ["", "The best combinations that were played:", "", *(f"- {text}" for text in combinations), ""]
    return "\n".join(lines)


def section(path: Path) -> str:
    """The section."""
    rows = "\n".join(f"- {name}: `{as_flags(changes)}`" for name, changes in factors.FACTORS.items())
    return f"""## Ten tricks together
Does a trick still help where another one is on? Ten of them on the mixtures, in 128 of their 1,024 combinations: a 2^(10-3) design of
resolution V (main effects and pairs do not blur each other; `experiments/ablations/factors.py`), and a least-squares fit of all ten
effects and all 45 pairs.

{rows}

Label smoothing is not among them, because relativistic losses have no labels; neither is minibatch standard deviation, because the
perceptrons have no such layer. The effect of a trick is the mean outcome with it minus without it, the others averaged over. The effect
of a pair is how much more the first does where the second is on than where it is off. Pairs are listed where an interval at the level
1 - 0.05 / 55 leaves out 0 (Bonferroni's correction for all effects at once).

{"".join(analysis(path, data) + chr(10) for data in GROUPS["mixture"])}"""
