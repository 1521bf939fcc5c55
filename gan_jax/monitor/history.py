"""The records that the detectors read, what they know about the run, and the result of a detector."""

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gan_jax._internal.diagnostics import FORGET, LARGE_GRADIENT
from gan_jax.typing import Players

Record = Mapping[str, Any]
KEPT = 400  # Maximum number of records of each kind.
ROWS = 3  # Number of consecutive records in which a condition must hold.

# Loss of a discriminator that cannot separate reals from fakes. Its logit is 0, or half way between the two targets.
CHANCE = {
    "minimax": 2 * math.log(2),
    "non_saturating": 2 * math.log(2),
    "least_squares": 0.25,  # for the targets 1 and 0
    "hinge": 2.0,
    "relativistic": math.log(2),
    "relativistic_average": 2 * math.log(2),
}


class RunInfo(NamedTuple):
    """What the monitor knows about a run besides its records.

    Attributes:
        loss: Name of the adversarial loss.
        chance: Loss of a discriminator that cannot separate reals from fakes, see `CHANCE`. None if it is unknown.
        steps: Number of steps of the run.
        layers: `Players` of the names of the layers, in the order in which the train step numbers them.
        lipschitz: Method that controls the critic's slope: "none", "penalty", "clipping", "spectral" or
            "gradient_normalization".
        slope: Slope that the gradient penalty requires. 0 without such a penalty, or if it is zero-centred.
        is_images: Whether the examples are images.
        mixed_statistics: Whether the discriminator normalises reals and fakes in one batch.
        past_fakes: Whether D can receive fakes of the past, or be trained against past players.
        scale_free: `Players` of whether a player's weights are normalised (spectral, weight or gradient normalisation). Its function then
            does not depend on their size, and the norm of its gradient is arbitrary.
        freeze: `Players` of the number of steps at the start in which a player is not updated.
        format_settings: Writes a line of `ADVICE` as the user applies it, e.g. as flags. Returns None if the line is incompatible with the
            configuration of the run.
        discriminator_batch_norm: Whether the discriminator has batch norm that an option of its model removes.
        num_classes: Number of classes of a conditional GAN, otherwise 0.
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
    format_settings: Callable[[str], str | None] = lambda settings: settings
    discriminator_batch_norm: bool = False
    num_classes: int = 0


class History:
    """The latest records of a run in order, one queue for log lines and one for lines about samples."""

    def __init__(self) -> None:
        self.logs: deque[Record] = deque(maxlen=KEPT)
        self.samples: deque[Record] = deque(maxlen=KEPT)
        self._averages: dict[str, tuple[float, float]] = {}
        self._large: dict[str, float] = {}

    def add(self, record: Record) -> Record:
        """Adds one record of metrics.jsonl, or of the losses and gradient norms of another training loop. Returns it completed.

        A record without "step" gets the next number. The running figures that the train step of gan_jax reports are computed from the
        records if they are missing.
        """
        record = self._completed({"step": self.step + 1 if self.logs or self.samples else 0} | dict(record))
        if "discriminator_loss" in record:
            self.logs.append(record)
        if any(name.startswith("samples/") for name in record):
            self.samples.append(record)
        return record

    def _completed(self, record: dict[str, Any]) -> dict[str, Any]:
        passed = max(int(record["step"]) - self.step, 1) if self.logs else 1
        for player in Players._fields:
            loss, norm = number(record, f"{player}_loss"), number(record, f"{player}_gradient_norm")
            if f"monitor/{player}_mean" not in record and math.isfinite(loss):
                mean, variance = self._averages.get(player, (loss, 0.0))
                variance = (1 - FORGET) * (variance + FORGET * (loss - mean) ** 2)
                self._averages[player] = mean + FORGET * (loss - mean), variance
                record |= {f"monitor/{player}_mean": self._averages[player][0], f"monitor/{player}_deviation": math.sqrt(variance)}
            if f"monitor/{player}_large_gradients" not in record and not math.isnan(norm):
                self._large[player] = self._large.get(player, 0.0) + passed * (norm > LARGE_GRADIENT)
                record[f"monitor/{player}_large_gradients"] = self._large[player]
        return record

    @property
    def step(self) -> int:
        """Step of the newest record."""
        return max((int(rows[-1]["step"]) for rows in (self.logs, self.samples) if rows), default=0)


class Detection(NamedTuple):
    """The result of a detector.

    Attributes:
        since: Step since which the failure holds.
        confidence: In [0, 1]. From 0.8 on the run counts as failing.
        evidence: Names and values of the figures that show it.
    """

    since: int
    confidence: float
    evidence: dict[str, float | str]


Detector = Callable[[History, RunInfo], Detection | None]


def number(record: Record, name: str) -> float:
    """A figure of a record. NaN if the record does not have it, so that every comparison with it is false."""
    value = record.get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def index(record: Record, name: str) -> int:
    """An index of a record, or -1 if the record does not have it."""
    value = number(record, name)
    return int(value) if math.isfinite(value) else -1


def streak(rows: deque[Record], holds: Callable[[Record], bool]) -> list[Record]:
    """The longest run of newest records for which a condition holds, oldest first."""
    rows_in_streak: list[Record] = []
    for record in reversed(rows):
        if not holds(record):
            break
        rows_in_streak.append(record)
    return rows_in_streak[::-1]


def lasts(rows: list[Record], count: int, steps: int = 0) -> bool:
    """Whether a streak has at least `count` records that span at least `steps` steps."""
    return len(rows) >= count and int(rows[-1]["step"]) - int(rows[0]["step"]) >= steps


def figures(record: Record, *names: str) -> dict[str, float]:
    """The named figures of a record, without those that it does not have."""
    return {name: float(record[name]) for name in names if isinstance(record.get(name), int | float)}


def detection(rows: list[Record], confidence: float, *names: str, count: int = ROWS, steps: int = 0) -> Detection | None:
    """The detection of a streak that lasts, with the named figures of its newest record as evidence. None if it does not last."""
    return Detection(int(rows[0]["step"]), confidence, figures(rows[-1], *names)) if lasts(rows, count, steps) else None
