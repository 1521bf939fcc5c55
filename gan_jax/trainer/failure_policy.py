"""What the monitor is told about a run, what it finds, and what a failure leads to."""

import json
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gan_jax import monitor
from gan_jax.gan.state import TrainState
from gan_jax.gan.updates import group_by_layer
from gan_jax.models import MODELS
from gan_jax.monitor import FAILURE_CONFIDENCE, Finding, Monitor, RunInfo
from gan_jax.monitor.history import KEPT
from gan_jax.trainer.build.gan import BuiltGAN, build
from gan_jax.trainer.config import Config, ConfigError, check
from gan_jax.trainer.run_directory import FINDINGS, METRICS
from gan_jax.trainer.writers.jsonl import JsonLines
from gan_jax.typing import Players

REPLAYED = 5000  # records that a resumed run goes through again


def describe_run(config: Config, built: BuiltGAN, params: Players, opt_state: TrainState, steps: int) -> RunInfo:
    """What the monitor has to know of a game."""
    chance = monitor.CHANCE.get(config.loss.name)
    if config.loss.name == "least_squares":
        real, fake = np.mean(config.loss.real_target or 1.0), np.mean(config.loss.fake_target or 0.0)
        chance = float((real - fake) / 2) ** 2
    if config.penalty.wgan_gp:
        lipschitz = "penalty"
    elif config.optimizer.clip_weights:
        lipschitz = "clipping"
    elif config.transform.spectral_norm in ("discriminator", "both"):
        lipschitz = "spectral"
    else:
        penalised = config.penalty.r1 or config.penalty.r2 or config.penalty.zero_centered or config.penalty.dragan
        lipschitz = "penalty" if penalised else "none"
    normalises = bool(jax.tree.leaves(opt_state.networks.discriminator.get("batch_stats", {})))
    return RunInfo(
        loss=config.loss.name,
        chance=chance if chance is None or not config.loss.halve else chance / 2,
        steps=steps,
        layers=Players(*(tuple(group_by_layer(player)) for player in params)),
        lipschitz=lipschitz,
        slope=config.penalty.target if config.penalty.wgan_gp else 0.0,
        is_images=len(built.spec.image_shape) == 3,
        mixed_statistics=config.update.joint_batches and normalises,
        past_fakes=bool(config.replay.size or config.update.pool_size),
        scale_free=Players(*(_normalised(config, player) for player in Players._fields)),
        freeze=Players(config.update.freeze_generator, config.update.freeze_discriminator),
        accepts=partial(accepts_flags, config, built.spec.image_shape, built.spec.num_classes),
        discriminator_batch_norm=normalises and "discriminator_norm" in MODELS[config.model.name].options,
    )


def accepts_flags(config: Config, image_shape: tuple[int, ...], num_classes: int, line: str) -> bool:
    """Whether a configuration makes a game with a line of flags added, e.g. "--penalty.r1 1"; True where tyro is not there to read it.

    What only the data or the devices would refuse is not asked.
    """
    try:
        import tyro
    except ModuleNotFoundError:
        return True
    try:
        build(check(tyro.cli(Config, args=shlex.split(line), default=config, console_outputs=False)), image_shape, num_classes)
    except (ConfigError, SystemExit, OSError):
        return False
    return True


def _normalised(config: Config, player: str) -> bool:
    """Whether a transformation takes the size out of a player's weights."""
    return any(chosen in (player, "both") for chosen in (config.transform.spectral_norm, config.transform.weight_norm))


class FailurePolicy:
    """Follows the records of a run, writes and says what the monitor finds, and keeps the failure that ends it.

    Args:
        config: of the run.
        setting: see `describe_run`.
        directory: of the run; its metrics.jsonl, cut to the step where the run continues, is gone through first.

    Attributes:
        failure: the first finding that is sure, where `--monitor.on-failure` is not "warn".
    """

    def __init__(self, config: Config, setting: RunInfo, directory: Path):
        self.failure: Finding | None = None
        self._enabled, self._ends = config.monitor.enabled, config.monitor.on_failure != "warn"
        self._monitor = Monitor(setting)
        lines = (directory / METRICS).read_text(errors="replace").splitlines() if (directory / METRICS).exists() else []
        known = recorded_findings(directory, int(json.loads(lines[-1])["step"])) if len(lines) > REPLAYED else []
        self._file = JsonLines(directory / FINDINGS, after_step=-1)
        if not self._enabled:
            return
        # Findings are a function of the records: those of a resumed run are found again, without a word. Of very many records, only
        # those that the detectors still look back on are read again, and what was found before is taken from the run's own file.
        for finding in known:
            self._monitor.found[finding.id] = finding
            self._file.write(finding._asdict())
        if len(lines) > REPLAYED:
            for record in replay_window(lines):
                self._monitor.history.add(record)
            return
        for line in lines:
            for finding in self._monitor.observe(json.loads(line)):
                self._file.write(finding._asdict())

    def observe(self, record: dict[str, Any], say: Callable[[str], None]) -> None:
        """Takes in a record that was written to metrics.jsonl."""
        if not self._enabled:
            return
        for finding in self._monitor.observe(record):
            self._file.write(finding._asdict())
            say(describe(finding))
            if self._ends and finding.confidence >= FAILURE_CONFIDENCE and self.failure is None:
                self.failure = finding


def recorded_findings(directory: Path, until: int) -> list[Finding]:
    """The findings of findings.jsonl up to a step; lines that are none are passed over."""
    found = []
    path = directory / FINDINGS
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            finding = Finding(**json.loads(line))
            if finding.step <= until:
                found.append(finding)
        except (ValueError, TypeError, RecursionError):
            continue
    return found


def replay_window(lines: list[str]) -> list[dict[str, Any]]:
    """Of all the lines of metrics.jsonl, the records that a `History` of all of them would still hold, in their order."""
    held, logs, samples = list[dict[str, Any]](), 0, 0
    for line in reversed(lines):
        if logs >= KEPT and (samples >= KEPT or '"samples/' not in line):
            continue
        record = json.loads(line)
        is_log, is_sample = "discriminator_loss" in record, any(name.startswith("samples/") for name in record)
        if (is_log and logs < KEPT) or (is_sample and samples < KEPT):
            held.append(record)
        logs, samples = logs + is_log, samples + is_sample
    return held[::-1]


def describe(finding: Finding) -> str:
    """A finding for the terminal: what, since when, on what evidence, and what to try."""
    evidence = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in finding.evidence.items()
    )
    lines = [f"step {finding.step}: {finding.what} (since step {finding.since_step}, confidence {finding.confidence:.2g})"]
    lines += [f"    seen: {evidence}"] if evidence else []
    lines += [f"    try:  {flags}" for flags in finding.advice[:3]]
    return "\n".join(lines)


def drop_unset(figures: dict[str, float]) -> dict[str, float]:
    """The metrics of a step without those of the monitor that say that nothing happened yet."""
    known_by_minus_one = ("_layer", "_ratio", "nonfinite_step", "nonfinite_place")
    return {name: value for name, value in figures.items() if not (value == -1 and name.endswith(known_by_minus_one))}
