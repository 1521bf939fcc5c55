"""How a run stands, in one word and a few sentences, from its status, its findings and its numbers."""

import math
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from gan_jax.trainer.report.reading import Run, since

_SURE = 0.8
_SILENT = 1800  # seconds without a line in the log
_WORDS = {"high": 0.9, "certain": 1.0, "medium": 0.6, "low": 0.3}


class Verdict(NamedTuple):
    """How a run stands.

    Attributes:
        level: "good", "warning", "bad" or "unknown".
        headline: one sentence.
        reasons: more sentences.
    """

    level: str
    headline: str
    reasons: list[str]


def judge(run: Run, *, now: datetime | None = None) -> Verdict:
    """Judges a run: a finding of confidence 0.8 or more is bad, a weaker one, or a run that ended early, a warning.

    Args:
        run: as read.
        now: the time, to tell a run that was killed from one that goes on; by default that of the clock.

    Returns:
        The verdict. "good" needs a finished run whose samples were measured, and no findings; a run without findings that still goes on,
        or was not measured, or does not say how it ended, is "unknown".
    """
    reasons = []
    sure = [finding for finding in run.findings if confidence(finding) >= _SURE]
    broken = {name: series for name, series in run.series.items() if series.broken_count}
    for finding in run.findings[:3]:
        reasons.append(f"{what(finding)}, since step {since(finding):,}.")
    if len(run.findings) > 3:
        reasons.append(f"{len(run.findings) - 3} more below.")
    if broken:
        name, series = min(broken.items(), key=lambda item: item[1].broken[0])
        reasons.append(f"{name} was not finite at step {series.broken[0]:,} ({series.broken_count:,} times in all).")
    reasons += critic(run) + figures(run)
    if sure or broken:
        return Verdict("bad", f"Failing: {what(sure[0]).rstrip('.') if sure else 'values that are not finite'}", reasons)
    if run.findings:
        return Verdict("warning", f"Look closer: {what(run.findings[0]).rstrip('.')}", reasons)
    if run.status in ("failed", "stopped", "interrupted"):
        how = "ended with an error" if run.status == "failed" else f"was {run.status}"
        return Verdict("warning", f"The run {how}: no failure of the training was found", reasons)
    silent = ((now or datetime.now(UTC)) - run.updated).total_seconds() if run.updated else 0.0
    if run.status == "running" and silent > _SILENT:
        reasons.append("A run that was killed cannot say so; experiments/train.py --resume goes on from its last checkpoint.")
        return Verdict("warning", f"Said to be running, but nothing was logged for {silent / 60:,.0f} minutes", reasons)
    if run.status == "running":
        return Verdict("unknown", "Running: no failure found so far", reasons)
    if not run.series and not run.metrics:
        return Verdict("unknown", "Nothing to judge by: no metrics were recorded", reasons)
    if not run.metrics:
        return Verdict("unknown", "No failure found, but how good the samples are was not measured", reasons)
    if run.status != "finished":
        return Verdict("unknown", "No failure found, but whether the run finished is not recorded", reasons)
    return Verdict("good", "No failure found", reasons)


def critic(run: Run) -> list[str]:
    """For a Wasserstein game a sentence on the critic's loss: minus the distance that it sees, which should approach 0."""
    spec = re.search(r"^loss:\n(?:[ ]+.*\n)*?[ ]+name: wasserstein\b", run.config_text, re.M)
    series = run.series.get("discriminator_adversarial_loss") or run.series.get("discriminator_loss")
    if spec is None or series is None or series.count < 10:
        return []
    last = series.values[-max(1, len(series.values) // 10) :]
    most, end = number(float(f"{-series.lowest:.3g}")), number(float(f"{-sum(last) / len(last):.3g}"))
    return [f"The critic saw a distance of {most} at most, and of {end} in the last tenth of the run; it should approach 0."]


def figures(run: Run) -> list[str]:
    """A sentence for each number that can be held against the same number of real images."""
    sentences = []
    for record in run.metrics:
        value, real = record.get("value"), record.get("real")
        if is_number(value) and is_number(real) and real:
            sentences.append(f"{record['metric']} {number(value)}; real against held-out real: {number(real)}.")
        if len(sentences) == 4:
            break
    return sentences


def confidence(finding: dict[str, Any]) -> float:
    """The confidence of a finding in [0, 1]; a word such as "high" counts as a number, none at all as sure."""
    value = finding.get("confidence")
    if isinstance(value, str):
        return _WORDS.get(value.lower(), _SURE)
    return float(value) if is_number(value) else _SURE


def what(finding: dict[str, Any]) -> str:
    """What a finding says, or its id."""
    return str(finding.get("what") or finding.get("id") or "a finding without a name")


def is_number(value: Any) -> bool:
    """Whether a value from JSON is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any) -> str:
    """A value from JSON for a reader: four significant digits, thousands apart, anything else as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    if not math.isfinite(value):
        return {True: "∞", False: "−∞"}[value > 0] if math.isinf(value) else "NaN"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e9):
        return f"{int(value):,}".replace("-", "−")
    return f"{value:,.4g}".replace("-", "−")
