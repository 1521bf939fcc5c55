"""What a configuration may hold: the range of every field, and the error that names the flag."""

import dataclasses
import math
from typing import Any

from gan_jax.trainer.config.schema import Config


class ConfigError(ValueError):
    """A value that cannot be: one line that names the flag, what came, and what may come."""


def flag(path: str) -> str:
    """The flag of a field: `data.image_size` -> `--data.image-size`."""
    return "--" + path.replace("_", "-")


# path -> (lowest, highest, whether the ends are excluded)
_RANGES: dict[str, tuple[float, float]] = {
    "steps": (0, 10**9),
    "epochs": (0, 10**7),
    "seed": (0, 2**32 - 1),
    "batch_size": (1, 2**20),
    "scan_steps": (1, 10**4),
    "log_every": (1, 10**9),
    "sample_every": (0, 10**9),
    "sample_grid": (2, 64),  # the spread over one sample is not defined
    "checkpoint_every": (0, 10**9),
    "keep_checkpoints": (1, 10**6),
    "data.image_size": (2, 4096),
    "data.channels": (1, 4),
    "data.workers": (0, 512),
    "model.latent_dim": (1, 10**5),
    "model.phase_steps": (1, 10**9),
    "model.width": (1, 10**5),
    "model.dropout": (0, 0.999),
    "model.discriminator_dropout": (0, 0.999),
    "loss.flip_probability": (0, 1),
    "model.codes": (0, 10**4),
    "loss.adversarial_weight": (0, 1e9),
    "loss.top_k": (1e-6, 1),
    "loss.top_k_decay": (1e-6, 1),
    "loss.top_k_interval": (1, 10**9),
    "penalty.interval": (1, 10**6),
    "penalty.target": (0, 1e9),
    "transform.power_iterations": (1, 100),
    "optimizer.generator_lr": (0, 1e6),
    "optimizer.discriminator_lr": (0, 1e6),
    "optimizer.b1": (0, 1),
    "optimizer.b2": (0, 1),
    "optimizer.ema_decay": (0, 1),
    "optimizer.ema_start": (0, 10**9),
    "optimizer.clip_weights": (0, 1e9),
    "optimizer.clip_gradients": (0, 1e9),
    "optimizer.adaptive_clip": (0, 1e9),
    "optimizer.historical_averaging": (0, 1e9),
    "optimizer.target_decay": (0, 1),
    "update.discriminator_steps": (1, 1000),
    "update.generator_steps": (1, 1000),
    "update.micro_batches": (1, 10**5),
    "update.unroll_steps": (0, 1000),
    "update.consensus_weight": (0, 1e9),
    "update.max_discriminator_steps": (1, 1000),
    "update.freeze_generator": (0, 10**9),
    "update.freeze_discriminator": (0, 10**9),
    "update.pool_size": (0, 1000),
    "update.pool_interval": (1, 10**9),
    "update.pool_duration": (1, 10**9),
    "augment.instance_noise": (0, 1e3),
    "augment.instance_noise_steps": (1, 10**9),
    "augment.ada": (0, 1),
    "augment.pack": (1, 64),
    "replay.size": (0, 10**7),
    "replay.share": (0, 1),
    "evaluation.samples": (0, 10**7),
    "evaluation.every": (0, 10**9),
    "monitor.rollbacks": (0, 1000),
    "parallel.devices": (1, 10**5),
    "distributed.num_processes": (1, 10**5),
    "distributed.process_id": (0, 10**5),
    "distributed.heartbeat_seconds": (1, 10**6),
}
_HALF_OPEN = ("optimizer.b1", "optimizer.b2", "optimizer.ema_decay", "optimizer.target_decay")
_NOT_NEGATIVE = (
    *("loss.feature_matching", "loss.classifier", "loss.reconstruction", "loss.feature_reconstruction", "loss.total_variation"),
    *("loss.perceptual", "loss.style", "loss.kl"),
)


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """All fields of a configuration by dotted path."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value, path = getattr(config, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            found |= flatten(value, f"{path}.")
        else:
            found[path] = value
    return found


def check(config: Config) -> Config:
    """Returns the configuration, or raises ConfigError naming the first flag whose value cannot be."""
    for path, value in flatten(config).items():
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise ConfigError(f"{flag(path)} {number}: must be a finite number")
        low, high = _RANGES.get(path, (0, 1e9) if path.startswith("penalty.") or path in _NOT_NEGATIVE else (None, None))
        if low is None or value is None or isinstance(value, bool):
            continue
        if path in _HALF_OPEN and not low <= value < high:
            raise ConfigError(f"{flag(path)} {value}: must be in [{low}, {high})")
        if not low <= value <= high:
            limit = f"at least {low}" if value < low else f"at most {high}"
            raise ConfigError(f"{flag(path)} {value}: must be {limit}")
    for path in ("loss.real_target", "loss.fake_target"):
        bounds = flatten(config)[path]
        if bounds is not None and not bounds[0] <= bounds[1]:
            raise ConfigError(f"{flag(path)} {bounds[0]} {bounds[1]}: the first must not be above the second")
    turns = config.update.micro_batches * config.augment.pack
    if config.batch_size % turns:
        raise ConfigError(f"--batch-size {config.batch_size}: must be a multiple of {turns} (--update.micro-batches times --augment.pack)")
    if config.update.pool_size and config.update.pool_duration >= config.update.pool_interval:
        raise ConfigError(f"--update.pool-duration {config.update.pool_duration}: must be below --update.pool-interval")
    if config.optimizer.target_discriminator and not config.optimizer.target_decay:
        raise ConfigError("--optimizer.target-decay 0: a target network needs a decay above 0")
    _check_evaluation(config)
    _check_placement(config)
    return config


def _check_evaluation(config: Config) -> None:
    """How many samples the metrics are defined for."""
    samples, every = config.evaluation.samples, config.evaluation.every
    if samples == 1:
        raise ConfigError("--evaluation.samples 1: must be at least 2, or 0 for no evaluation")
    if samples == 0 and every:
        raise ConfigError(f"--evaluation.samples 0: must be at least 2 with --evaluation.every {every}")


def _check_placement(config: Config) -> None:
    """What the ways of placing a step cannot do, whatever the devices."""
    parallel, distributed = config.parallel, config.distributed
    if parallel.placement == "jit" and parallel.statistics == "local":
        raise ConfigError("--parallel.statistics local: jit sees the batch as one; take --parallel.placement shard_map or pmap")
    if parallel.placement != "jit":
        if parallel.shard_parameters:
            raise ConfigError(
                f"--parallel.shard-parameters: {parallel.placement} keeps them whole on every device; take --parallel.placement jit"
            )
        if config.update.joint_batches:
            raise ConfigError(
                f"--update.joint-batches: the order of a joint batch is another under {parallel.placement}; take --parallel.placement jit"
            )
    if not distributed.coordinator and (distributed.num_processes or distributed.process_id is not None):
        raise ConfigError("--distributed.num-processes, --distributed.process-id: need --distributed.coordinator HOST:PORT")
    if distributed.coordinator and distributed.coordinator != "auto":
        if distributed.num_processes is None or distributed.process_id is None:
            raise ConfigError("--distributed.coordinator: needs --distributed.num-processes and --distributed.process-id; or is auto")
        if distributed.process_id >= distributed.num_processes:
            raise ConfigError(f"--distributed.process-id {distributed.process_id}: must be below {distributed.num_processes}")
