"""Checks that the values of a configuration are allowed. The errors name the flag."""

import math
import re

from gan_jax.trainer.config.fields import flag, flatten, schema_fields
from gan_jax.trainer.config.schema import Config
from gan_jax.typing import Players


class ConfigError(ValueError):
    """Invalid configuration. The message is one line that names the flag, the value and what is allowed.

    Attributes:
        reason: The message without advice.
        fields: Paths of the fields that exclude each other. The conflict is solved if one of them takes its default.
    """

    def __init__(self, reason: str, *, fields: tuple[str, ...] = (), advice: str = "") -> None:
        super().__init__(f"{reason}; {advice}" if advice else reason)
        self.reason, self.fields = reason, fields


def check(config: Config) -> Config:
    """Returns the configuration if all its values are allowed.

    Raises:
        ConfigError: A number is not finite or outside its range, a name is unknown, or two fields contradict each other.
    """
    if not re.fullmatch(r"(\w[\w.-]*)?", config.recipe):  # It names the directory of the run.
        raise ConfigError(f"recipe {config.recipe!r}: must be a name of letters, digits, '_', '-' and '.'")
    if not config.data.cache or "\0" in config.data.cache:
        raise ConfigError(f"--data.cache {config.data.cache!r}: must be auto, off, or a folder")
    fields = schema_fields()
    for path, value in flatten(config).items():
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise ConfigError(f"{flag(path)} {number}: must be a finite number")
        if value is None or isinstance(value, bool):
            continue
        field = fields[path]
        if field.choices and value not in field.choices:
            raise ConfigError(f"{flag(path)} {value}: must be one of {', '.join(field.choices)}")
        problem = field.range and field.range.problem(value)
        if problem:
            raise ConfigError(f"{flag(path)} {value}: {problem}")
    for name in ("real_target", "fake_target"):
        bounds = getattr(config.loss, name)
        if bounds is not None and not bounds[0] <= bounds[1]:
            raise ConfigError(f"{flag(f'loss.{name}')} {bounds[0]} {bounds[1]}: the first must not be above the second")
    parts = config.update.micro_batches * config.augment.pack
    if config.batch_size % parts:
        reason = f"--batch-size {config.batch_size}: must be a multiple of {parts} (--update.micro-batches times --augment.pack)"
        raise ConfigError(reason, fields=("update.micro_batches", "augment.pack"))
    if config.update.pool_size and config.update.pool_duration >= config.update.pool_interval:
        raise ConfigError(f"--update.pool-duration {config.update.pool_duration}: must be below --update.pool-interval")
    if config.optimizer.target_discriminator and not config.optimizer.target_decay:
        raise ConfigError("--optimizer.target-decay 0: a target network needs a decay above 0")
    frozen_layers(config)
    if config.fork is not None and config.init_from is not None:
        raise ConfigError("--fork, --init-from: exclude each other; --fork continues a whole state, --init-from takes only weights")
    _check_evaluation(config)
    _check_placement(config)
    return config


def frozen_layers(config: Config) -> Players:
    """`Players` of the regular expression of the layers that --update.freeze-layers freezes, or None.

    Raises:
        ConfigError: A value is not PLAYER:REGEX.
    """
    patterns: dict[str, list[str]] = {player: [] for player in Players._fields}
    for value in config.update.freeze_layers:
        player, colon, pattern = value.partition(":")
        if not (colon and pattern) or player not in patterns:
            raise ConfigError(f"--update.freeze-layers {value}: must be generator:REGEX or discriminator:REGEX")
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"--update.freeze-layers {value}: no regular expression: {error}") from None
        patterns[player].append(f"(?:{pattern})")
    return Players(*("|".join(parts) or None for parts in patterns.values()))


def _check_evaluation(config: Config) -> None:
    samples, every = config.evaluation.samples, config.evaluation.every
    if samples == 1:
        raise ConfigError("--evaluation.samples 1: must be at least 2, or 0 for no evaluation")
    if config.evaluation.patience and not every:
        reason = f"--evaluation.patience {config.evaluation.patience}: needs --evaluation.every N"
        raise ConfigError(reason, fields=("evaluation.patience",))
    if samples == 0 and every:
        reason = f"--evaluation.samples 0: must be at least 2 with --evaluation.every {every}"
        raise ConfigError(reason, fields=("evaluation.every", "evaluation.samples"))


def _check_placement(config: Config) -> None:
    parallel, distributed = config.parallel, config.distributed
    placement, advice = parallel.placement, "use --parallel.placement jit"
    if placement == "jit" and parallel.statistics == "local":
        reason = "--parallel.statistics local: jit computes statistics over the whole batch"
        raise ConfigError(reason, fields=("parallel.statistics",), advice="use --parallel.placement shard_map or pmap")
    if placement != "jit" and parallel.shard_parameters:
        reason = f"--parallel.shard-parameters: {placement} replicates the parameters on every device"
        raise ConfigError(reason, fields=("parallel.shard_parameters", "parallel.placement"), advice=advice)
    if placement != "jit" and config.update.joint_batches:
        reason = f"--update.joint-batches: {placement} orders the examples of a joint batch differently"
        raise ConfigError(reason, fields=("update.joint_batches", "parallel.placement"), advice=advice)
    if not distributed.coordinator and (distributed.num_processes or distributed.process_id is not None):
        raise ConfigError("--distributed.num-processes, --distributed.process-id: need --distributed.coordinator HOST:PORT")
    if distributed.coordinator and distributed.coordinator != "auto":
        if distributed.num_processes is None or distributed.process_id is None:
            raise ConfigError(
                "--distributed.coordinator: needs --distributed.num-processes and --distributed.process-id, or the value auto"
            )
        if distributed.process_id >= distributed.num_processes:
            raise ConfigError(f"--distributed.process-id {distributed.process_id}: must be below {distributed.num_processes}")
