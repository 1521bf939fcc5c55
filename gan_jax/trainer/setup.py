"""How a run starts: its data, its game, its devices, a directory of its own, and the state it begins or goes on with."""

import dataclasses
from pathlib import Path
from typing import IO, Any, NamedTuple

import jax
import jax.numpy as jnp
from rich.console import Console

from gan_jax.checkpoint import Checkpointer, config_hash
from gan_jax.data import DataError, Feed, Source, check_unchanged
from gan_jax.distributed import (
    Placement,
    any_across_processes,
    broadcast_text,
    decide_on_process_zero,
    is_main_process,
    make_placement,
    process_count,
    state_shardings,
    to_local,
)
from gan_jax.trainer import environment, run_directory
from gan_jax.trainer.build.data import build_feed, load_data
from gan_jax.trainer.build.gan import BuiltGAN, build
from gan_jax.trainer.config import CHANGEABLE_ON_RESUME, Config, ConfigError, DistributedConfig, flatten, save_config
from gan_jax.trainer.config.flags import name_flag
from gan_jax.trainer.evaluate import best_mode, extractor_of
from gan_jax.trainer.progress import say
from gan_jax.trainer.rollback import rollbacks
from gan_jax.trainer.run_directory import RunError
from gan_jax.trainer.writers.metric_writer import MetricWriter
from gan_jax.typing import Players

# For programs that run once, and quickly: compiling them would take longer than running them unoptimised.
RUN_ONCE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def config_fingerprint(config: Config) -> dict[str, Any]:
    """The part of a configuration that decides the bytes of the weights; a resumed run must agree in it."""
    values = flatten(config)
    depends_on_steps = (
        config.optimizer.schedule != "constant"
        or (config.augment.instance_noise and not config.augment.instance_noise_steps)
        or (config.model.name == "progressive" and not config.model.phase_steps)
    )
    dropped = [name for name in CHANGEABLE_ON_RESUME if not (name == "steps" and depends_on_steps)]
    local = config.parallel.statistics == "local"
    if local:  # then the batch that is normalised is a device's
        values["parallel.shares"] = devices_of(config) * process_count()
    else:
        dropped.append("parallel")  # so that a run from before there was such a choice goes on
    kept = {path: value for path, value in values.items() if not any(path == name or path.startswith(f"{name}.") for name in dropped)}
    return {
        path: list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value for path, value in kept.items()
    }


def with_steps(config: Config, examples: int) -> int:
    """The number of steps: as configured, or as many as `epochs` passes over the data take."""
    if not config.epochs:
        return config.steps
    return config.epochs * max(1, examples // (config.batch_size * config.update.discriminator_steps))


class TrainingRun(NamedTuple):
    """What does not change while a run trains.

    Attributes:
        config, console: as given.
        source, experiment, placement, feed: the data, the game, its devices (None for one), and how the one comes to the other.
        steps: to take.
        directory: of the run.
        resumed: whether it was there before.
        rolled_back: what its record tells of rollbacks.
        record: for run.json.
        keeper: of the checkpoints.
        locks: that keep other processes out of the directory.
    """

    config: Config
    console: Console
    source: Source
    built: BuiltGAN
    placement: Placement | None
    feed: Feed
    steps: int
    directory: Path
    resumed: bool
    rolled_back: list[dict[str, Any]]
    record: dict[str, Any]
    manager: Checkpointer
    locks: list[IO[str]]

    def release(self) -> None:
        """Lets other processes into the directory again."""
        for lock in self.locks:
            lock.close()

    def save(self, step: int, state: tuple[Players, Any], metrics: dict[str, float] | None = None) -> None:
        """Saves a checkpoint."""
        details = {"step": step, "seed": self.config.seed, "data_position": step, "metrics": metrics or {}}
        self.manager.save(step, state, details)

    def say(self, text: str) -> None:
        """Prints a line for a person, as it is."""
        say(self.console, text)

    def write(self, more: dict[str, Any]) -> None:
        """Writes run.json."""
        run_directory.write_json(self.directory / "run.json", self.record | more)


def devices_of(config: Config) -> int:
    """The devices of each process: as asked for, all accelerators, or one CPU device."""
    return config.parallel.devices or (1 if jax.default_backend() == "cpu" else jax.local_device_count())


def placement_of(config: Config) -> Placement | None:
    """How the devices of a run share its step; None for one device in one process."""
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


def setup_run(config: Config, resume: Path | None, command: str, console: Console) -> TrainingRun:
    """The data, the game, and a directory of its own, or that of the run to continue."""
    best_mode(config.evaluation.best)
    source = load_data(config)
    if source.is_images and (config.evaluation.samples or config.evaluation.every):
        extractor_of(config, source)  # refuses now what would be refused after the training
    steps = with_steps(config, len(source))
    # Schedules, fading noise and growing networks span the run: from here on its length is a number of steps.
    config = dataclasses.replace(config, steps=steps, epochs=0)
    placement = placement_of(config)
    built = build(config, source.shape, source.num_classes, placement)
    feed = build_feed(config, source, batches_per_step=built.rule.batches_per_step, placement=placement)

    held: list[IO[str]] = []  # by the process that writes

    def own_directory() -> str:
        directory = resume or config.out or run_directory.free_directory(config.recipe)
        if resume is None:
            held.append(run_directory.claim(directory))
            save_config(dataclasses.replace(config, distributed=DistributedConfig()), directory / "config.yaml")
            return str(directory)
        held.append(run_directory.hold(directory))
        if (directory / "run.json").exists():
            check_unchanged(run_directory.recorded_data(directory), source)
        return str(directory)

    directory = Path(decide_on_process_zero(own_directory, RunError))
    check_alike(config, source)
    rolled_back = rollbacks(directory)
    record = environment.describe(command, config.seed) | {
        "recipe": config.recipe,
        "steps": steps,
        "data": source.describe(),
        "rollbacks": rolled_back,
        "processes": process_count(),
        "devices_used": placement.devices if placement else 1,
    }
    manager = Checkpointer(
        directory / "checkpoints",
        config=config_fingerprint(config),
        keep=config.keep_checkpoints,
        best_metric=config.evaluation.best,
        best_mode=best_mode(config.evaluation.best),
    )
    return TrainingRun(
        config, console, source, built, placement, feed, steps, directory, resume is not None, rolled_back, record, manager, held
    )


def check_alike(config: Config, source: Source) -> None:
    """Raises DataError in every process unless all of them have the same data and the same flags."""
    if process_count() == 1:
        return
    mine = f"{source.fingerprint()} {config_hash(config_fingerprint(config))}"
    same = broadcast_text(mine) == mine
    if any_across_processes(not same):
        whose = "the data or flags of another process" if same else f"process {jax.process_index()}: its data or flags"
        raise DataError(f"{whose} are not those of process 0; every process must be given the same")


def init_or_restore(run: TrainingRun) -> tuple[tuple[Players, Any], int, MetricWriter | None]:
    """The state, drawn or restored to the byte, its step, and the records that go on there; None where another process writes."""
    config, manager, init = run.config, run.manager, run.built.gan.init
    rng = jax.random.fold_in(jax.random.key(config.seed), 0)
    places = {} if run.placement is None else {"out_shardings": state_shardings(run.placement, jax.eval_shape(init, rng))}
    state, step = jax.jit(init, compiler_options=RUN_ONCE, **places)(rng), 0
    start = None
    if config.monitor.enabled and config.optimizer.ema_decay:
        start = jax.tree.map(jnp.copy, to_local(run.placement, state[0].generator))
    latest = decide_on_process_zero(lambda: str(manager.latest()), RunError) if run.resumed else "None"
    if latest != "None":
        changed = bool(run.rolled_back) and int(latest) == run.rolled_back[-1]["to_step"]
        restored: list[Any] = []

        def restore(step: int | None = None) -> str:
            restored[:] = manager.restore(state, step, any_configuration=changed)
            return str(restored[1]["step"])

        step = int(decide_on_process_zero(restore, RunError))
        if not is_main_process():
            restore(step)
        state = restored[0]
        run.say(f"resuming {run.directory} at step {step}")
    run.record["parameters"] = {p: sum(leaf.size for leaf in jax.tree.leaves(getattr(state[0], p))) for p in Players._fields}
    whole = to_local(run.placement, state)
    if not is_main_process():
        return state, step, None
    run.write({})
    settings = {"steps": run.steps, "step": step, "state": whole, "start": start}
    return state, step, MetricWriter(config, run.built, run.source, run.directory, **settings)
