"""The records that the detectors look back on, what one asks of them, and what a detector answers."""

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gan_jax.typing import Players

Record = Mapping[str, Any]
KEPT = 400  # records of each kind
ROWS = 3  # records in a row that a state must last

# The discriminator's loss when it cannot tell: at logit 0, or in the middle between the two targets.
CHANCE = {
    "minimax": 2 * math.log(2),
    "non_saturating": 2 * math.log(2),
    "least_squares": 0.25,  # of the targets 1 and 0
    "hinge": 2.0,
    "relativistic": math.log(2),
    "relativistic_average": 2 * math.log(2),
}


class RunInfo(NamedTuple):
    """What the monitor knows of a run beside its records.

    Attributes:
        loss: name of the adversarial loss.
        chance: the loss of a discriminator that cannot tell, see `CHANCE`; None where nobody knows.
        steps: of the whole run.
        layers: `Players` of the names of the layers, in the order of `gan_jax.gan.updates.layers`.
        lipschitz: what controls the critic's slope: "none", "penalty", "clipping" or "spectral".
        slope: the slope that a gradient penalty asks for; 0 without one, or with a zero-centred one.
        is_images: whether the examples are images.
        mixed_statistics: whether the discriminator normalises reals and fakes over one batch.
        past_fakes: whether D may be shown fakes, or meet players, of the past.
        scale_free: `Players` of whether a player's weights are normalised (spectral or weight normalisation), so that its
            function does not depend on their size, and the norm of its gradient is arbitrary.
        freeze: `Players` of the number of first steps in which a player is not to move.
        accepts: whether the run's game could be played with a line of flags added, for advice that can be typed.
        discriminator_batch_norm: whether the discriminator normalises over the batch, and can be told not to.
    """

    loss: str = "non_saturating"
    chance: float | None = CHANCE["non_saturating"]
    steps: int = 1000
    layers: Players = Players((), ())
    lipschitz: str = "none"
    slope: float = 0.0
    is_images: bool = True
    mixed_statistics: bool = False
    past_fakes: bool = True
    scale_free: Players = Players(False, False)
    freeze: Players = Players(0, 0)
    accepts: Callable[[str], bool] = lambda line: True
    discriminator_batch_norm: bool = False


class History:
    """The latest records of a run, in order: log lines apart from lines about samples."""

    def __init__(self) -> None:
        self.logs: deque[Record] = deque(maxlen=KEPT)
        self.samples: deque[Record] = deque(maxlen=KEPT)

    def add(self, record: Record) -> None:
        """Takes in one record of metrics.jsonl."""
        if "discriminator_loss" in record:
            self.logs.append(record)
        if any(name.startswith("samples/") for name in record):
            self.samples.append(record)

    @property
    def step(self) -> int:
        """The step of the newest record."""
        return max((int(rows[-1]["step"]) for rows in (self.logs, self.samples) if rows), default=0)


class Detection(NamedTuple):
    """What a detector found.

    Attributes:
        since: step.
        confidence: in [0, 1]; from 0.8 on the run is called failing.
        evidence: names and numbers.
    """

    since: int
    confidence: float
    evidence: dict[str, float | str]


Detector = Callable[[History, RunInfo], Detection | None]


def number(record: Record, name: str) -> float:
    """A figure of a record; NaN where it has none, so that no comparison with it holds."""
    value = record.get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def streak(rows: deque[Record], holds: Callable[[Record], bool]) -> list[Record]:
    """The newest records in a row of which a condition holds, oldest first."""
    found: list[Record] = []
    for record in reversed(rows):
        if not holds(record):
            break
        found.append(record)
    return found[::-1]


def lasts(rows: list[Record], count: int, steps: int = 0) -> bool:
    """Whether a streak has so many records, over so many steps."""
    return len(rows) >= count and int(rows[-1]["step"]) - int(rows[0]["step"]) >= steps


def figures(record: Record, *names: str) -> dict[str, float]:
    """Those of the named figures that a record has."""
    return {name: float(record[name]) for name in names if isinstance(record.get(name), int | float)}
