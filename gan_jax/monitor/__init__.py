"""The monitor: detects training failures in the metrics of a run and names likely causes and remedies.

The train step reports `monitor/...` metrics, and `sample_figures` measures `samples/...` metrics of generated samples on the host. A
`Monitor` receives the records of metrics.jsonl in order and returns findings. The findings are a function of these records alone, so a
resumed run has the findings of an uninterrupted one.
"""

from typing import Any, NamedTuple

from gan_jax.monitor.advice import ADVICE, SUPPRESSES, applicable
from gan_jax.monitor.detectors import DETECTORS
from gan_jax.monitor.history import CHANCE, Detection, History, Record, RunInfo
from gan_jax.monitor.samples import Reference, class_figures, make_reference, sample_figures, spread_within_classes

FAILURE_CONFIDENCE = 0.8


class Finding(NamedTuple):
    """A failure, as it is written to findings.jsonl.

    Attributes:
        id: Key of `ADVICE`.
        message: What the failure is, in one sentence.
        step: Step at which it was detected.
        since_step: Step since which it holds.
        evidence: Names and values of the figures that show it.
        confidence: In [0, 1]. From `FAILURE_CONFIDENCE` on the run counts as failing.
        causes: Likely causes.
        advice: Changes of the configuration that usually help, as `RunInfo.format_settings` writes them.
        trick: Row of the list of tricks.
    """

    id: str
    message: str
    step: int
    since_step: int
    evidence: dict[str, Any]
    confidence: float
    causes: list[str]
    advice: list[str]
    trick: str


class Monitor:
    """Detects failures in the stream of a run's records. Each failure is reported once.

    Args:
        info: What the detectors need to know about the run.

    Attributes:
        findings: The findings so far, by id.
    """

    def __init__(self, info: RunInfo):
        self.info = info
        self.history = History()
        self.findings: dict[str, Finding] = {}

    def observe(self, record: Record) -> list[Finding]:
        """Adds one record of metrics.jsonl, and returns the new findings, the most urgent first.

        A record of another training loop needs "discriminator_loss". With "generator_loss", "discriminator_gradient_norm",
        "generator_gradient_norm", "real_logits" and "fake_logits" more failures are detected. A missing figure is never an error.

        Secondary failures (`SUPPRESSES`) of a failure that is already reported are not reported. After a value was not finite, nothing
        else is reported.
        """
        record = self.history.add(record)
        new = []
        for id, detect in DETECTORS.items():
            if "non_finite" in self.findings:
                break
            if id in self.findings or any(id in SUPPRESSES.get(cause, ()) for cause in self.findings):
                continue
            detection = detect(self.history, self.info)
            if detection is not None:
                self.findings[id] = self._finding(id, detection, int(record["step"]))
                new.append(self.findings[id])
        return new

    def _finding(self, id: str, detection: Detection, step: int) -> Finding:
        row = ADVICE[id]
        evidence = {name: round(value, 6) if isinstance(value, float) else value for name, value in detection.evidence.items()}
        advice = applicable(row.advice, self.info)
        return Finding(id, row.message, step, detection.since, evidence, detection.confidence, list(row.causes), advice, row.trick)


__all__ = [
    "ADVICE",
    "CHANCE",
    "DETECTORS",
    "FAILURE_CONFIDENCE",
    "SUPPRESSES",
    "Detection",
    "Finding",
    "Monitor",
    "Reference",
    "RunInfo",
    "class_figures",
    "make_reference",
    "sample_figures",
    "spread_within_classes",
]
