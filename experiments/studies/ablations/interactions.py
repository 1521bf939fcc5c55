"""The parts of docs/evidence.md on tricks in combination: main effects and pairs, from the design of `factors.py`."""

from pathlib import Path

import numpy as np

from docs._generate.tables import table
from experiments.studies.ablations import factors, results
from experiments.studies.ablations.statistics import Effect, factorial_effects
from experiments.studies.ablations.tricks import as_flags

OUTCOME = "reverse_kl"  # Lower is better.


def outcomes(path: Path, data: str) -> tuple[np.ndarray, np.ndarray, int]:
    """The measured rows of the design, their mean outcome over the seeds that all of them have, and the number of these seeds."""
    measured = results.runs(path)
    design = factors.design()
    found = [measured.get(results.key(data, factors.changes_of(levels)), []) for levels in design]
    kept = [index for index, rows in enumerate(found) if rows]
    shared = set.intersection(*({row["seed"] for row in found[index]} for index in kept)) if kept else set()
    # A diverged run has no divergence, and a combination with one is left out.
    kept = [index for index in kept if all(row[OUTCOME] is not None for row in found[index] if row["seed"] in shared)]
    means = [float(np.mean([row[OUTCOME] for row in found[index] if row["seed"] in shared])) for index in kept] if shared else []
    return design[kept] if shared else design[:0], np.array(means), len(shared)


def clear_pairs(effects: list[Effect], wider: list[Effect]) -> list[Effect]:
    """The pairs among `effects` whose interval in `wider`, at a higher level, leaves out 0. The largest comes first."""
    wide = {effect.factors: effect.interval for effect in wider}
    pairs = [effect for effect in effects if len(effect.factors) == 2 and wide[effect.factors].leaves_out_zero]
    return sorted(pairs, key=lambda effect: -abs(effect.interval.mean))


def _effects_table(name: str, effects: list[Effect]) -> str:
    cells = ((" and ".join(effect.factors), effect.interval) for effect in effects)
    rows = [(factor, f"{mean:+.3f}", f"{low:+.3f} to {high:+.3f}") for factor, (mean, low, high) in cells]
    return table([name, "effect on reverse KL", "95% interval"], rows)


def analysis(path: Path, data: str) -> str:
    """The effects on one source as tables, or a line that says how many combinations are missing."""
    design, means, seeds = outcomes(path, data)
    names = list(factors.FACTORS)
    try:
        effects = factorial_effects(design, means, names)
    except ValueError:
        return f"Not measured yet: {len(means)} of {len(factors.design())} combinations."
    pairs = clear_pairs(effects, factorial_effects(design, means, names, level=1 - 0.05 / len(effects)))
    best = np.argsort(means)[:3]
    on = [", ".join(name for name, level in zip(names, design[index]) if level > 0) or "none of them" for index in best]
    return "\n\n".join(
        [
            f"The effects are from {len(means)} of {len(factors.design())} combinations, with {seeds} seeds each.",
            _effects_table("trick", [effect for effect in effects if len(effect.factors) == 1]),
            _effects_table("pair", pairs) if pairs else "No pair has an interval that leaves out 0.",
            "These combinations have the smallest mean of reverse KL:",
            "\n".join(f"- {means[index]:.3f}: {names_on}" for index, names_on in zip(best, on)),
        ]
    )


def factor_list() -> str:
    """The factors with their flags."""
    return "\n".join(f"- {name}: `{as_flags(changes)}`" for name, changes in factors.FACTORS.items())
