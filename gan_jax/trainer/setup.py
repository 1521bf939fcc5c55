"""Sets up a run: data, GAN, devices and directory."""

import contextlib
import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from gan_jax.checkpoint import Checkpointer, config_hash
from gan_jax.data import DataError, Source, check_unchanged
from gan_jax.distributed import (
    Placement,
    any_across_processes,
    broadcast_text,
    decide_on_process_zero,
    is_main_process,
    make_placement,
    process_count,
)
from gan_jax.trainer import run_directory
from gan_jax.trainer.build.data import build_feed, check_pairs, load_data
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import CHANGEABLE_ON_RESUME, Config, ConfigError, DistributedConfig, flatten, save_config
from gan_jax.trainer.config.flags import name_flag
from gan_jax.trainer.data_record import summarize_data, summary_lines
from gan_jax.trainer.evaluate import best_mode
from gan_jax.trainer.features import choose_extractor
from gan_jax.trainer.fork import Fork, check_same_settings, read_fork
from gan_jax.trainer.initial_weights import InitialWeights, initial_weights
from gan_jax.trainer.own_parts import NO_OWN_PARTS, OwnParts, check_own_parts
from gan_jax.trainer.run_directory import RunError
from gan_jax.trainer.run_record import RunRecord
from gan_jax.trainer.small_data import fit_batch
from gan_jax.trainer.training_run import TrainingRun
from gan_jax.trainer.writers.loggers import check_loggers


def config_fingerprint(config: Config) -> dict[str, Any]:
    """The fields of a configuration that decide the bytes of the weights. A resumed run must have the same fingerprint."""
    values = flatten(config)
    depends_on_steps = (
        config.optimizer.schedule != "constant"
        or (
            config.augment.instance_noise
            and not config.augment.instance_noise_steps
            and config.augment.instance_noise_schedule != "constant"
        )
        or (config.model.name == "progressive" and not config.model.phase_steps)
    )
    dropped = [name for name in CHANGEABLE_ON_RESUME if not (name == "steps" and depends_on_steps)]
    if config.parallel.statistics == "local":  # The statistics of a batch then depend on the number of devices that share it.
        values["parallel.shares"] = devices_of(config) * process_count()
    else:
        dropped.append("parallel")
    kept = {path: value for path, value in values.items() if not any(path == name or path.startswith(f"{name}.") for name in dropped)}
    return {
        path: list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value for path, value in kept.items()
    }


def with_steps(config: Config, examples: int) -> int:
    """The number of train steps: `config.steps`, or the steps of `config.epochs` passes over a number of examples."""
    if not config.epochs:
        return config.steps
    update = config.update
    parts = update.discriminator_steps + (update.generator_steps if update.generator_reals == "fresh" else 0)
    return config.epochs * max(1, examples // (config.batch_size * parts))


def devices_of(config: Config) -> int:
    """The number of devices of each process: `config.parallel.devices`, or by default all accelerators or one CPU device."""
    return config.parallel.devices or (1 if jax.default_backend() == "cpu" else jax.local_device_count())


def placement_of(config: Config) -> Placement | None:
    """How the devices of a run share its train step. None for one device in one process.

    Raises:
        ConfigError: The devices do not exist, or the configuration cannot run on several of them.
    """
    parallel, devices = config.parallel, devices_of(config)
    if devices * process_count() == 1:
        return None
    if process_count() > 1 and config.monitor.on_failure == "rollback":
        raise ConfigError("--monitor.on-failure rollback: one process only; take warn or stop")
    try:
        return make_placement(
            parallel.placement, devices=devices, statistics=parallel.statistics, shard_parameters=parallel.shard_parameters
        )
    except ValueError as error:
        raise ConfigError(name_flag(error, "parallel")) from error


def setup_run(
    config: Config, resume: Path | None, command: str, console: Console, own: OwnParts = NO_OWN_PARTS, *, may_restart: bool = False
) -> TrainingRun:
    """Loads the data, builds the GAN, and makes or locks the directory of the run.

    Args:
        config: The checked configuration.
        resume: Directory of the run to continue. None starts a new run.
        command: The command line for run.json.
        console: Where the run prints.
        own: Parts of the caller of `train`.
        may_restart: Whether a resumed run without a checkpoint starts again at step 0. Otherwise that is an error.

    Raises:
        RunError: The directory cannot be used.
        ConfigError: The configuration does not suit the data or the devices.
        DataError: The data cannot be loaded, are not those of the resumed run, or differ between processes.
    """
    best_mode(config.evaluation.best)
    check_loggers(config)
    if resume is not None:
        check_own_parts(resume, own, "resume it in Python with train(config, resume=..., {missing})")
        check_same_settings(resume, config_fingerprint(config) | own.fingerprint(), config)
    source = load_data(config) if own.source is None else own.source
    if own.networks is None:
        check_pairs(config, source)
    if source.is_images and (config.evaluation.samples or config.evaluation.every):
        choose_extractor(config, source)  # An error of the evaluation is raised now, not after the training.
    config, shrunk = fit_batch(config, source, devices=devices_of(config) * process_count())
    # Schedules, instance noise and growing networks depend on the length of the run, so it becomes a number of steps.
    config = dataclasses.replace(config, steps=with_steps(config, len(source)), epochs=0)
    placement = placement_of(config)
    built = build(config, source.shape, source.num_classes, placement, own=own, input_shape=source.input_shape)
    initial, fork = None, None
    if resume is None or not Checkpointer(resume / "checkpoints", owner=False).steps():
        initial, fork = initial_weights(config, built), read_fork(config, built)
    # The checkpoint of this moment.
    config = dataclasses.replace(config, init_from=initial.path) if initial else config
    config = dataclasses.replace(config, fork=fork.path) if fork else config
    feed = build_feed(config, source, batches_per_step=built.rule.batches_per_step, placement=placement)
    check_alike(config, source)
    locks: list[run_directory.DirectoryLock] = []
    directory = Path(decide_on_process_zero(partial(claim_directory, config, resume, source, locks), RunError))
    rolled_back, (summary, data) = run_directory.recorded_rollbacks(directory), summarize_data(source, flatten(config))
    about_data = [*(summary_lines(summary) if resume is None else ()), *([shrunk] if shrunk else ())]
    devices = {"processes": process_count(), "devices_used": placement.devices if placement else 1}
    facts = describe_start(config, data, rolled_back, own, initial, fork)
    record = RunRecord(directory, command, facts, devices, resumed=resume is not None) if is_main_process() else None
    manager = Checkpointer(
        directory / "checkpoints",
        config=config_fingerprint(config) | own.fingerprint(),
        keep=config.keep_checkpoints,
        best_metric=config.evaluation.best,
        best_mode=best_mode(config.evaluation.best),
        before_write=locks[0].check if locks else None,
        owner=False,  # A refused command must not change the directory, see `init_or_restore`.
    )
    return TrainingRun(
        config=config,
        console=console,
        source=source,
        data=data,
        built=built,
        placement=placement,
        feed=feed,
        directory=directory,
        resumed=resume is not None,
        rolled_back=rolled_back,
        record=record,
        may_restart=may_restart,
        manager=manager,
        locks=locks,
        initial=initial,
        fork=fork,
        about_data=about_data,
    )


def claim_directory(config: Config, resume: Path | None, source: Source, locks: list[run_directory.DirectoryLock]) -> str:
    """Makes the directory of a new run, or takes that of a resumed one, and appends its lock to `locks`.

    Raises:
        RunError: The directory cannot be used.
        DataError: The data are not those of the resumed run.
    """
    directory = resume or config.out or run_directory.free_directory(config.recipe)
    if resume is None:
        locks.append(run_directory.claim(directory))
        save_config(dataclasses.replace(config, out=None, distributed=DistributedConfig()), directory / "config.yaml")
        return str(directory)
    with contextlib.ExitStack() as refused:
        lock = refused.enter_context(run_directory.lock(directory))
        if (directory / "run.json").exists():
            check_unchanged(run_directory.recorded_data(directory), source)
        locks.append(lock)
        refused.pop_all()
    return str(directory)


def describe_start(
    config: Config,
    data: dict[str, Any],
    rolled_back: list[dict[str, Any]],
    own: OwnParts,
    initial: InitialWeights | None,
    fork: Fork | None,
) -> dict[str, Any]:
    """What run.json says about a run from its first start on."""
    facts = {"recipe": config.recipe, "seed": config.seed, "steps": config.steps, "data": data, "rollbacks": rolled_back}
    facts |= own.recorded()
    if initial is not None:
        facts["init_from"] = initial.describe()
    if fork is not None:
        facts["parent"] = fork.describe()
    return facts | ({"choices": config.choices.splitlines()} if config.choices else {})


def check_alike(config: Config, source: Source) -> None:
    """Raises DataError in every process unless all processes have the same data and the same configuration."""
    if process_count() == 1:
        return
    text = f"{source.fingerprint()} {config_hash(config_fingerprint(config))}"
    same = broadcast_text(text) == text
    if any_across_processes(not same):
        whose = "the data or flags of another process" if same else f"process {jax.process_index()}: its data or flags"
        raise DataError(f"{whose} are not those of process 0; every process must be given the same")
