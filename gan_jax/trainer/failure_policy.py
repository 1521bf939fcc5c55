"""Connects a run to the monitor: describes the run, reports findings, and decides which of them ends the run."""

import json
import shlex
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gan_jax import monitor
from gan_jax._internal.files import read_text
from gan_jax.gan.state import TrainState
from gan_jax.gan.updates import group_by_layer
from gan_jax.models import MODELS
from gan_jax.monitor import FAILURE_CONFIDENCE, Finding, Monitor, RunInfo
from gan_jax.monitor.history import KEPT
from gan_jax.trainer.build.gan import BuiltGAN, build
from gan_jax.trainer.config import Config, ConfigError, check
from gan_jax.trainer.config.flags import settings_as_flags
from gan_jax.trainer.own_parts import NO_OWN_PARTS, OwnParts
from gan_jax.trainer.run_directory import FINDINGS, METRICS
from gan_jax.trainer.writers.jsonl import JsonLines
from gan_jax.typing import Players

REPLAYED = 5000  # A resumed run with at most this many rows in metrics.jsonl passes all of them to the monitor again.


def describe_run(config: Config, built: BuiltGAN, params: Players, opt_state: TrainState, steps: int) -> RunInfo:
    """The description of a run that the monitor needs.

    Args:
        config: The configuration of the run.
        built: The GAN of the run.
        params: Parameters of G and D, or their shapes.
        opt_state: The rest of the state, or its shapes.
        steps: Number of steps of the run.
    """
    chance = monitor.CHANCE.get(config.loss.name)
    if config.loss.name == "least_squares":
        real, fake = np.mean(config.loss.real_target or 1.0), np.mean(config.loss.fake_target or 0.0)
        chance = float((real - fake) / 2) ** 2 * (2 if built.spec.two_domains else 1)  # Two discriminators, each with its loss.
    if config.penalty.wgan_gp:
        lipschitz = "penalty"
    elif config.optimizer.clip_weights:
        lipschitz = "clipping"
    elif config.transform.spectral_norm in ("discriminator", "both"):
        lipschitz = "spectral"
    elif config.transform.gradient_normalization:
        lipschitz = "gradient_normalization"
    else:
        penalised = config.penalty.r1 or config.penalty.r2 or config.penalty.zero_centered or config.penalty.dragan
        lipschitz = "penalty" if penalised else "none"
    network_state = opt_state.networks.discriminator
    normalises = isinstance(network_state, Mapping) and bool(jax.tree.leaves(network_state.get("batch_stats", {})))
    input_shape = built.spec.sample_shape if built.spec.two_domains else built.spec.context.shape
    return RunInfo(
        loss=config.loss.name,
        chance=None if chance is None else chance * _adversarial_losses(config, built.own) / (2 if config.loss.halve else 1),
        steps=steps,
        layers=Players(*(tuple(group_by_layer(player)) for player in params)),
        lipschitz=lipschitz,
        slope=config.penalty.target if config.penalty.wgan_gp else 0.0,
        is_images=len(built.spec.image_shape) == 3,
        mixed_statistics=config.update.joint_batches and normalises,
        past_fakes=bool(config.replay.size or config.update.pool_size),
        scale_free=Players(*(_normalised(config, player) for player in Players._fields)),
        freeze=Players(config.update.freeze_generator, max(config.update.freeze_discriminator, config.loss.adversarial_start)),
        format_settings=partial(
            accepted_flags, config, built.spec.sample_shape, built.spec.num_classes, own=built.own, input_shape=input_shape
        ),
        discriminator_batch_norm=normalises and built.own.networks is None and "discriminator_norm" in MODELS[config.model.name].options,
        num_classes=0 if config.model.codes else built.spec.num_classes,
    )


def _adversarial_losses(config: Config, own: OwnParts) -> int:
    """Number of outputs of D whose adversarial losses are added: scales, or images and pixels."""
    if own.networks is not None:
        return 1
    if config.model.name == "multiscale":
        return int(config.model.options.get("scales", MODELS["multiscale"].options["scales"]))
    return 2 if config.model.name == "unet_gan" else 1


def accepted_flags(
    config: Config,
    image_shape: tuple[int, ...],
    num_classes: int,
    settings: str,
    *,
    own: OwnParts = NO_OWN_PARTS,
    input_shape: tuple[int, ...] | None = None,
) -> str | None:
    """The flags of settings, or None if the configuration is invalid with them. The monitor gives no advice with such flags.

    Errors that depend on the data or the devices are not detected. Without tyro, which reads the flags, all settings are accepted.

    Args:
        config: The configuration.
        image_shape: Shape of one image or point of the data.
        num_classes: Number of classes of the data.
        settings: A line of advice, e.g. "penalty.r1 1".
        own: Parts of the caller of `train`.
        input_shape: Shape of one input if the data have inputs and targets.
    """
    flags = settings_as_flags(settings)
    try:
        import tyro
    except ModuleNotFoundError:
        return flags
    try:
        changed = check(tyro.cli(Config, args=shlex.split(flags), default=config, console_outputs=False))
        build(changed, image_shape, num_classes, own=own, input_shape=input_shape)
    except (ConfigError, SystemExit, OSError):
        return None
    return flags


def _normalised(config: Config, player: str) -> bool:
    """Whether the weights of a player, or D's logits, are normalised, so that the scale of the weights has no effect."""
    if player == "discriminator" and config.transform.gradient_normalization:
        return True
    return any(chosen in (player, "both") for chosen in (config.transform.spectral_norm, config.transform.weight_norm))


class FailurePolicy:
    """Passes the rows of metrics.jsonl to the monitor, writes and prints its findings, and keeps the one that ends the run.

    Findings are a function of the rows, so a resumed run finds them again, without printing them. If metrics.jsonl has more than
    `REPLAYED` rows, only the rows that the detectors still need are read again, and earlier findings are taken from findings.jsonl.

    Args:
        config: The configuration of the run.
        info: The description of the run, see `describe_run`.
        directory: Directory of the run. Its metrics.jsonl ends at the step where the run continues.

    Attributes:
        failure: The first finding with a confidence of at least `FAILURE_CONFIDENCE`. Always None with `--monitor.on-failure warn`.
    """

    def __init__(self, config: Config, info: RunInfo, directory: Path):
        self.failure: Finding | None = None
        self._enabled, self._ends = config.monitor.enabled, config.monitor.on_failure != "warn"
        self._monitor = Monitor(info)
        lines = read_text(directory / METRICS, errors="replace").splitlines() if (directory / METRICS).exists() else []
        known = recorded_findings(directory, int(json.loads(lines[-1])["step"])) if len(lines) > REPLAYED else []
        self._file = JsonLines(directory / FINDINGS, after_step=-1)
        if not self._enabled:
            return
        for finding in known:
            self._monitor.findings[finding.id] = finding
            self._file.write(finding._asdict())
        if len(lines) > REPLAYED:
            for row in replay_window(lines):
                self._monitor.history.add(row)
            return
        for line in lines:
            for finding in self._monitor.observe(json.loads(line)):
                self._file.write(finding._asdict())

    def observe(self, row: dict[str, Any], print_line: Callable[[str], None]) -> None:
        """Passes a row of metrics.jsonl to the monitor.

        Args:
            row: The row.
            print_line: Prints new findings.
        """
        if not self._enabled:
            return
        for finding in self._monitor.observe(row):
            self._file.write(finding._asdict())
            print_line(describe(finding))
            if self._ends and finding.confidence >= FAILURE_CONFIDENCE and self.failure is None:
                self.failure = finding


def recorded_findings(directory: Path, until: int) -> list[Finding]:
    """The findings in findings.jsonl up to a step. Lines that cannot be read are skipped."""
    findings = []
    path = directory / FINDINGS
    for line in read_text(path, errors="replace").splitlines() if path.exists() else []:
        try:
            finding = Finding(**json.loads(line))
            if finding.step <= until:
                findings.append(finding)
        except (ValueError, TypeError, RecursionError):
            continue
    return findings


def replay_window(lines: list[str]) -> list[dict[str, Any]]:
    """The rows, in their order, that a `History` of all rows would still hold.

    Args:
        lines: All lines of metrics.jsonl.
    """
    held, logs, samples = list[dict[str, Any]](), 0, 0
    for line in reversed(lines):
        if logs >= KEPT and (samples >= KEPT or '"samples/' not in line):
            continue
        row = json.loads(line)
        is_log, is_sample = "discriminator_loss" in row, any(name.startswith("samples/") for name in row)
        if (is_log and logs < KEPT) or (is_sample and samples < KEPT):
            held.append(row)
        logs, samples = logs + is_log, samples + is_sample
    return held[::-1]


def describe(finding: Finding) -> str:
    """A finding as text for the terminal: the failure, its first step, the evidence, and flags to try."""
    evidence = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in finding.evidence.items()
    )
    lines = [f"step {finding.step}: {finding.message} (since step {finding.since_step}, confidence {finding.confidence:.2g})"]
    lines += [f"    evidence: {evidence}"] if evidence else []
    lines += [f"    try: {flags}" for flags in finding.advice[:3]]
    return "\n".join(lines)


def drop_unset(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics of a step without those of the monitor that are -1, which means that nothing has happened yet."""
    unset_by_minus_one = ("_layer", "_ratio", "nonfinite_step", "nonfinite_place")
    return {name: value for name, value in metrics.items() if not (value == -1 and name.endswith(unset_by_minus_one))}
