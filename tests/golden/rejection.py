"""Writes rejection.json: acceptance probabilities and a calibration in NumPy and SciPy, in float64.

    python tests/golden/rejection.py       # made with NumPy 2.4.6 and SciPy

The acceptance follows `rejection_sample` of uber-research/metropolis-hastings-gans, mhgan/mh.py, commit dd3f969: the running maximum, F,
the percentile of F, and the logistic function. The calibration minimises its objective with SciPy's BFGS.
"""

import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

OUTPUT = Path(__file__).with_suffix(".json")


def accepted(logits: np.ndarray, maximum: float, percentile: float | None, epsilon: float) -> np.ndarray:
    """The probabilities."""
    delta = logits - np.maximum(maximum, np.maximum.accumulate(logits))
    values = delta - np.log(1 - np.exp(delta - epsilon))
    return expit(values if percentile is None else values - np.percentile(values, percentile))


def calibrated(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the regression."""
    both = np.concatenate([real, fake])
    mean, deviation = both.mean(), both.std()

    def objective(solution: np.ndarray) -> float:
        of = [solution[0] * (logits - mean) / deviation + solution[1] for logits in (real, fake)]
        return (np.logaddexp(0, -of[0]).mean() + np.logaddexp(0, of[1]).mean()) / 2 + solution[0] ** 2 / (2 * len(both))

    slope, offset = minimize(objective, np.zeros(2), method="BFGS", options={"gtol": 1e-10}).x
    return slope / deviation, offset - slope * mean / deviation


def main() -> None:
    """Writes the file."""
    rng = np.random.default_rng(5)
    logits = np.round(rng.normal(0, 1.5, 40), 3)
    cases = []
    for maximum, percentile, epsilon in ((3.0, 95.0, 1e-6), (0.5, 80.0, 1e-6), (4.0, None, 1e-6), (2.0, 60.0, 1e-3)):
        values = accepted(logits, maximum, percentile, epsilon).tolist()
        cases.append({"maximum": maximum, "percentile": percentile, "epsilon": epsilon, "values": values})
    real, fake = np.round(rng.normal(7, 2, 60), 3), np.round(rng.normal(4, 3, 90), 3)
    apart = np.round(rng.normal(40, 1, 20), 3)
    calibrations = [
        {"real": real.tolist(), "fake": fake.tolist(), "values": calibrated(real, fake)},
        {"real": apart.tolist(), "fake": fake.tolist(), "values": calibrated(apart, fake)},  # D separates all of them.
    ]
    OUTPUT.write_text(json.dumps({"logits": logits.tolist(), "acceptance": cases, "calibration": calibrations}, indent=1) + "\n")


if __name__ == "__main__":
    main()
