"""The monitor beside a run: what it is told of the game and its samples, what it says, and what a failure leads to."""

import dataclasses
import json
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_jax import metrics, monitor, pictures, run_directory
from gan_jax.build import Experiment, build
from gan_jax.checkpoint import Checkpointer
from gan_jax.config import Config, ConfigError, check, save_config
from gan_jax.evaluation import extractor_of, needs_context
from gan_jax.gan import sampling_params
from gan_jax.models import MODELS
from gan_jax.monitor import SURE, Finding, Monitor, Setting
from gan_jax.monitor.history import KEPT
from gan_jax.monitor.samples import NEAREST
from gan_jax.moves import layers
from gan_jax.pieces import GameState
from gan_jax.run_directory import FINDINGS, METRICS, JsonLines
from gan_jax.typing import Array, Players, PyTree

REPLAYED = 5000  # records that a resumed run goes through again


def describe_setting(config: Config, experiment: Experiment, params: Players, opt_state: GameState, steps: int) -> Setting:
    """What the monitor has to know of a game."""
    chance = monitor.CHANCE.get(config.loss.name)
    if config.loss.name == "least_squares":
        real, fake = np.mean(config.loss.real_target or 1.0), np.mean(config.loss.fake_target or 0.0)
        chance = float((real - fake) / 2) ** 2
    if config.penalty.wgan_gp:
        lipschitz = "penalty"
    elif config.ttur.clip_weights:
        lipschitz = "clipping"
    elif config.transform.spectral_norm in ("discriminator", "both"):
        lipschitz = "spectral"
    else:
        penalised = config.penalty.r1 or config.penalty.r2 or config.penalty.zero_centered or config.penalty.dragan
        lipschitz = "penalty" if penalised else "none"
    normalises = bool(jax.tree.leaves(opt_state.networks.discriminator.get("batch_stats", {})))
    return Setting(
        loss=config.loss.name,
        chance=chance if chance is None or not config.loss.halve else chance / 2,
        steps=steps,
        layers=Players(*(tuple(layers(player)) for player in params)),
        lipschitz=lipschitz,
        slope=config.penalty.target if config.penalty.wgan_gp else 0.0,
        is_images=len(experiment.game.image_shape) == 3,
        mixed_statistics=config.strategy.joint_batches and normalises,
        past_fakes=bool(config.inputs.replay_size or config.strategy.pool_size),
        scale_free=Players(*(_normalised(config, player) for player in Players._fields)),
        freeze=Players(config.strategy.freeze_generator, config.strategy.freeze_discriminator),
        accepts=partial(accepts_flags, config, experiment.game.image_shape, experiment.game.num_classes),
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


def critic_slope(experiment: Experiment) -> Callable[..., Array]:
    """A jitted function of (params, opt_state, real, fake): the mean gradient norm of the critic on points between reals and fakes."""
    game = experiment.game

    @jax.jit
    def slope(params: Players, opt_state: GameState, real: Array, fake: Array) -> Array:
        effective, _ = game.effective_params("discriminator", params.discriminator, opt_state)
        shares = jnp.linspace(0, 1, len(real)).reshape(-1, *[1] * (real.ndim - 1))

        def total(images: Array) -> Array:
            output, _ = game.discriminator.apply(
                effective, opt_state.networks.discriminator, images, None, None, rng=jax.random.key(0), train=True
            )
            return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(output.logits))

        gradient = jax.grad(total)(real + shares * (fake - real))
        return jnp.mean(jnp.sqrt(jnp.sum(jnp.square(gradient), axis=tuple(range(1, gradient.ndim)))))

    return slope


@jax.jit
def ema_progress(average: PyTree, params: PyTree, start: PyTree) -> Array:
    """How far the average has come from the start, as a share of how far the parameters have; NaN where they have not moved."""

    def way(to: PyTree) -> Array:
        return optax.global_norm(jax.tree.map(jnp.subtract, to, start))

    return jnp.where(way(params) > 0, way(average) / way(params), jnp.nan)


def grid_labels(count: int, num_classes: int) -> np.ndarray:
    """The classes of a grid of samples, int [count]: one a column where there are as many columns."""
    return np.arange(count) % num_classes


class Probes:
    """Measures samples for the monitor. A pure function of the state of the game: a resumed run measures the same.

    Args:
        config, experiment, source: of the run.
        start: the generator's parameters at step 0, where an average of them is tracked; None otherwise.
    """

    def __init__(self, config: Config, experiment: Experiment, source: Any, start: PyTree | None):
        self._start = start
        size = int(np.prod(source.shape))
        at_hand = NEAREST if isinstance(source.images, np.ndarray) else 256  # others are read or made one by one
        count = min(at_hand, max(64, 2**24 // size))
        chosen = np.random.default_rng(0).permutation(len(source))[:count]
        real = np.asarray(source.images[np.sort(chosen)])
        # The grid's columns; codes that are not in the data have no images of their own to vary like.
        asked = experiment.game.num_classes if experiment.game.sample_labels is None and source.labels is not None else 0
        self._labels = grid_labels(config.sample_grid**2, asked) if asked else None
        of_real = np.asarray(source.labels)[np.sort(chosen)] if asked else None
        self._reference = monitor.make_reference(real, config.sample_grid**2, of_real)
        self._classifier = None
        if len(source.shape) == 3 and extractor_of(config, source) == "digit_classifier":
            self._classifier = metrics.feature_extractor("digit_classifier", config.evaluation.weights)
        plain = not experiment.game.num_classes and not needs_context(experiment) and not experiment.game.input_transforms
        self._slope = critic_slope(experiment) if config.loss.name == "wasserstein" and plain else None
        self._real = self._reference.images[: config.sample_grid**2].reshape(-1, *source.shape)

    def __call__(self, samples: np.ndarray, params: Players, opt_state: GameState) -> dict[str, float]:
        """The figures of a grid of samples, float [n, ...], under `samples/`."""
        figures = monitor.sample_figures(samples, self._reference)
        if "samples/finite" in figures:
            return figures
        if self._classifier is not None:
            figures |= monitor.class_figures(self._classifier.extract(pictures.to_uint8(samples)).probabilities)
        if self._labels is not None:
            figures |= monitor.spread_within_classes(samples, self._labels[: len(samples)], self._reference)
        if self._slope is not None:
            count = min(len(samples), len(self._real))
            figures["samples/critic_slope"] = float(self._slope(params, opt_state, self._real[:count], samples[:count]))
        if self._start is not None:
            progress = float(ema_progress(sampling_params(params, opt_state), params.generator, self._start))
            figures |= {"samples/ema_progress": progress} if np.isfinite(progress) else {}
        return figures


class Watch:
    """Follows the records of a run, writes and says what the monitor finds, and keeps the failure that ends it.

    Args:
        config: of the run.
        setting: see `describe_setting`.
        directory: of the run; its metrics.jsonl, cut to the step where the run continues, is gone through first.

    Attributes:
        failure: the first finding that is sure, where `--monitor.on-failure` is not "warn".
    """

    def __init__(self, config: Config, setting: Setting, directory: Path):
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
            for record in still_looked_back_on(lines):
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
            if self._ends and finding.confidence >= SURE and self.failure is None:
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


def still_looked_back_on(lines: list[str]) -> list[dict[str, Any]]:
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


def visible(figures: dict[str, float]) -> dict[str, float]:
    """The metrics of a step without those of the monitor that say that nothing happened yet."""
    known_by_minus_one = ("_layer", "_ratio", "nonfinite_step", "nonfinite_place")
    return {name: value for name, value in figures.items() if not (value == -1 and name.endswith(known_by_minus_one))}


def roll_back(config: Config, directory: Path, keeper: Checkpointer, failure: Finding) -> tuple[Config, dict[str, Any]]:
    """Goes back to the newest checkpoint from before a failure, or to the beginning, with half the learning rates.

    Returns:
        The changed configuration, already the run's own, and what happened, for run.json.
    """
    keeper.wait()
    healthy = max((step for step in keeper.steps() if step < failure.since_step), default=None)
    keeper.discard_after(-1 if healthy is None else healthy)
    rates = {name: getattr(config.ttur, name) / 2 for name in ("generator_lr", "discriminator_lr")}
    changed = dataclasses.replace(config, ttur=dataclasses.replace(config.ttur, **rates))
    save_config(dataclasses.replace(changed, out=None), directory / "config.yaml")
    settings = {f"ttur.{name}": value for name, value in rates.items()}
    return changed, {"finding": failure.id, "at_step": failure.step, "to_step": healthy or 0, "changed": settings}


def rollbacks(directory: Path) -> list[dict[str, Any]]:
    """The rollbacks that a run's record tells of."""
    path = directory / "run.json"
    told = run_directory.read_record(directory).get("rollbacks", []) if path.exists() else []
    if not isinstance(told, list) or not all(isinstance(row, dict) and isinstance(row.get("to_step"), int) for row in told):
        raise run_directory.RunError(f"{path}: what it says of rollbacks cannot be read")
    return told
