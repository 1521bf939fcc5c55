"""Summarises the state of a run in one word and a few sentences, from its status, findings and metrics."""

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from gan_jax.trainer.report.quality import assess
from gan_jax.trainer.report.reading import Run, since
from gan_jax.trainer.report.values import is_number, number

_SURE = 0.8
_SILENT = 1800  # Seconds without a new line in the log.
_WORDS = {"high": 0.9, "certain": 1.0, "medium": 0.6, "low": 0.3}


class Verdict(NamedTuple):
    """The state of a run.

    Attributes:
        level: "good", "warning", "bad" or "unknown".
        headline: One sentence.
        reasons: Further sentences.
    """

    level: str
    headline: str
    reasons: list[str]


def judge(run: Run, *, now: datetime | None = None) -> Verdict:
    """Summarises the state of a run.

    The level is "bad" for a finding of confidence 0.8 or more or a value that is not finite. It is "warning" for a weaker finding or a run
    that ended early, or if the samples are far from real images (`gan_jax.trainer.report.quality.assess`). It is "good" for a finished run
    without findings whose samples are near. Otherwise it is "unknown".

    Args:
        run: The run.
        now: The current time, to detect a run that was killed. The default is that of the clock.
    """
    reasons = []
    sure = [finding for finding in run.findings if confidence(finding) >= _SURE]
    broken = {name: series for name, series in run.series.items() if series.broken_count}
    for finding in run.findings[:3]:
        reasons.append(f"{message(finding)}, since step {since(finding):,}.")
    if len(run.findings) > 3:
        reasons.append(f"{len(run.findings) - 3} more below.")
    if broken:
        name, series = min(broken.items(), key=lambda item: item[1].broken[0])
        reasons.append(f"{name} was not finite at step {series.broken[0]:,} ({series.broken_count:,} times in all).")
    quality = assess(run.metrics)
    reasons += critic(run) + ([quality.sentence] if quality.sentence else figures(run))
    if sure or broken:
        return Verdict("bad", f"Failing: {message(sure[0]).rstrip('.') if sure else 'values that are not finite'}", reasons)
    if run.findings:
        return Verdict("warning", f"Look closer: {message(run.findings[0]).rstrip('.')}", reasons)
    if run.status in ("failed", "stopped", "interrupted"):
        how = "ended with an error" if run.status == "failed" else f"was {run.status}"
        return Verdict("warning", f"The run {how}: no failure of the training was found", reasons)
    if run.status == "finished, not saved":
        return Verdict("warning", "The run finished, but its last weights could not be saved", reasons)
    silent = ((now or datetime.now(UTC)) - run.updated).total_seconds() if run.updated else 0.0
    if run.status == "running" and silent > _SILENT:
        reasons.append("The run was probably killed. gan-jax train --resume continues it from its last checkpoint.")
        return Verdict("warning", f"The status is running, but nothing was logged for {silent / 60:,.0f} minutes", reasons)
    if run.status == "running":
        return Verdict("unknown", "Running: no failure found so far", reasons)
    if not run.series and not run.metrics:
        return Verdict("unknown", "No metrics were recorded", reasons)
    if not run.metrics:
        return Verdict("unknown", "No failure found, but the run was not evaluated", reasons)
    if run.status != "finished":
        return Verdict("unknown", "No failure found, but whether the run finished is not recorded", reasons)
    if quality.near is None:
        return Verdict("unknown", "No failure found, but nothing tells how near the samples are to real images", reasons)
    if not quality.near:
        return Verdict("warning", "No failure found, but the samples are not yet near real images", reasons)
    return Verdict("good", "No failure found, and the samples are near real images", reasons)


def critic(run: Run) -> list[str]:
    """For a Wasserstein loss, a sentence about the distance that the critic estimates, minus its loss. It should approach 0."""
    spec = re.search(r"^loss:\n(?: .*\n)*? +name: wasserstein\b", run.config_text, re.M)
    series = run.series.get("discriminator_adversarial_loss") or run.series.get("discriminator_loss")
    if spec is None or series is None or series.count < 10:
        return []
    last = series.values[-max(1, len(series.values) // 10) :]
    most, end = number(float(f"{-series.lowest:.3g}")), number(float(f"{-sum(last) / len(last):.3g}"))
    return [f"The critic estimated a distance of at most {most}, and of {end} in the last tenth of the run. It should approach 0."]


def figures(run: Run) -> list[str]:
    """A sentence for each of at most four metrics that are also known for real images."""
    sentences = []
    for record in run.metrics:
        value, real = record.get("value"), record.get("real")
        if is_number(value) and is_number(real) and real:
            sentences.append(f"{record['metric']} {number(value)}; real against held-out real: {number(real)}.")
        if len(sentences) == 4:
            break
    return sentences


def confidence(finding: dict[str, Any]) -> float:
    """The confidence of a finding in [0, 1]. A word such as "high" is converted, and a missing value is 0.8."""
    value = finding.get("confidence")
    if isinstance(value, str):
        return _WORDS.get(value.lower(), _SURE)
    return float(value) if is_number(value) else _SURE


def message(finding: dict[str, Any]) -> str:
    """The message of a finding, or its id."""
    return str(finding.get("message") or finding.get("id") or "a finding without a name")
