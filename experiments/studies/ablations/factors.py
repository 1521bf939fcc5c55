"""The ten tricks whose interactions are measured, and the design that selects 128 of their 1,024 combinations."""

from typing import Any

import numpy as np

from experiments.studies.ablations.statistics import fractional_factorial
from experiments.studies.ablations.tricks import POINT_LR, POINT_R1, Changes

# All combinations of them are valid. Label smoothing is missing because relativistic losses have no labels. Minibatch layers are missing
# because the perceptrons of the mixtures have none. The schedule of the baseline is a factor, too.
FACTORS: dict[str, Changes] = {
    "spectral norm in D": {"transform.spectral_norm": "discriminator"},
    "R1": {"penalty.r1": POINT_R1},
    "relativistic": {"loss.name": "relativistic"},
    "moving average of G": {"optimizer.ema_decay": 0.999},
    "D twice as fast": {"optimizer.discriminator_lr": 2 * POINT_LR},
    "2 steps of D": {"update.discriminator_steps": 2},
    "instance noise": {"augment.instance_noise": 0.1},
    "packing 2": {"augment.pack": 2},
    "cosine schedule": {"optimizer.schedule": "cosine"},
    "gradients clipped at 1": {"optimizer.clip_gradients": 1.0},
}
# The changes that switch off the factors of the baseline.
OFF: Changes = {"optimizer.schedule": "constant"}

# Each further factor is the product of these of the first seven. The design has resolution V: main effects and pairs are not confounded.
GENERATORS = ((0, 1, 2, 6), (1, 2, 3, 4), (0, 2, 3, 5))


def design() -> np.ndarray:
    """The design, [128, 10] of -1 (off) and +1 (on). Its columns are `FACTORS` in their order."""
    return fractional_factorial(len(FACTORS) - len(GENERATORS), GENERATORS)


def changes_of(levels: Any) -> Changes:
    """The changes of the baseline for one row of the design."""
    found = dict(OFF)
    for level, changes in zip(levels, FACTORS.values(), strict=True):
        found |= changes if level > 0 else {}
    return found
