"""Failures named early: what the step watches, what samples give away, what follows from it, and what usually helps.

`accumulate_diagnostics` runs inside the jitted step and costs a few scalars. `sample_figures` looks at a grid of samples on the host. Both end up
as metrics, and a `Monitor` that is shown the records of metrics.jsonl, in order, says what is wrong: its findings are a function of those
records and of nothing else, so that a resumed run finds what an uninterrupted one does.
"""

from typing import Any, NamedTuple

from gan_jax.gan.diagnostics import PLACES, Diagnostics, accumulate_diagnostics, init_diagnostics, update_diagnostics
from gan_jax.monitor.advice import ADVICE, SUPPRESSES, applicable
from gan_jax.monitor.detectors import DETECTORS
from gan_jax.monitor.history import CHANCE, Detection, History, Record, RunInfo
from gan_jax.monitor.samples import Reference, class_figures, make_reference, sample_figures, spread_within_classes

FAILURE_CONFIDENCE = 0.8


class Finding(NamedTuple):
    """A failure, as it is written to findings.jsonl.

    Attributes:
        id: a row of `ADVICE`.
        what: one sentence.
        step: when it was found.
        since_step: since when it holds.
        evidence: name -> number or text.
        confidence: in [0, 1]; from `FAILURE_CONFIDENCE` on the run counts as failing.
        causes: likely ones.
        advice: flags that usually help.
        trick: the row of the list of tricks.
    """

    id: str
    what: str
    step: int
    since_step: int
    evidence: dict[str, Any]
    confidence: float
    causes: list[str]
    advice: list[str]
    trick: str


class Monitor:
    """Finds failures in the stream of a run's records; each is reported once.

    Args:
        setting: of the run.
    """

    def __init__(self, setting: RunInfo):
        self.setting = setting
        self.history = History()
        self.found: dict[str, Finding] = {}

    def observe(self, record: Record) -> list[Finding]:
        """Takes in one record of metrics.jsonl; returns what it adds to the findings, the most urgent first.

        What follows from a failure that is named already (`SUPPRESSES`) is left out. Once a value is not finite, nothing else is looked
        for: all the rest follows from it.
        """
        self.history.add(record)
        new = []
        for id, detect in DETECTORS.items():
            if "non_finite" in self.found:
                break
            if id in self.found or any(id in SUPPRESSES.get(cause, ()) for cause in self.found):
                continue
            seen = detect(self.history, self.setting)
            if seen is not None:
                self.found[id] = self._finding(id, seen, int(record["step"]))
                new.append(self.found[id])
        return new

    def _finding(self, id: str, seen: Detection, step: int) -> Finding:
        row = ADVICE[id]
        evidence = {name: round(value, 6) if isinstance(value, float) else value for name, value in seen.evidence.items()}
        advice = applicable(row.advice, self.setting)
        return Finding(id, row.what, step, seen.since, evidence, seen.confidence, list(row.causes), advice, row.trick)


__all__ = [
    "ADVICE",
    "CHANCE",
    "DETECTORS",
    "PLACES",
    "SUPPRESSES",
    "SURE",
    "Diagnostics",
    "Finding",
    "Monitor",
    "Reference",
    "Setting",
    "accumulate_diagnostics",
    "class_figures",
    "init_diagnostics",
    "make_reference",
    "sample_figures",
    "spread_within_classes",
    "update_diagnostics",
]
