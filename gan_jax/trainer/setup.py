"""Sets up a run: data, GAN, devices, directory, and the state with which it starts or continues."""

import contextlib
import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from rich.console import Console

from gan_jax.checkpoint import Checkpointer, CheckpointNotFound, config_hash
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
from gan_jax.trainer import run_directory
from gan_jax.trainer.build.data import build_feed, check_pairs, load_data
from gan_jax.trainer.build.gan import BuiltGAN, build
from gan_jax.trainer.config import CHANGEABLE_ON_RESUME, Config, ConfigError, DistributedConfig, flatten, load_config, save_config
from gan_jax.trainer.config.flags import name_flag
from gan_jax.trainer.data_record import summarize_data, summary_lines
from gan_jax.trainer.evaluate import best_mode
from gan_jax.trainer.failure_policy import describe_run
from gan_jax.trainer.features import choose_extractor
from gan_jax.trainer.fork import Fork, check_same_settings, read_fork
from gan_jax.trainer.initial_weights import InitialWeights, initial_weights
from gan_jax.trainer.own_parts import NO_OWN_PARTS, OwnParts, check_own_parts
from gan_jax.trainer.progress import print_text
from gan_jax.trainer.run_directory import DirectoryLost, RunError
from gan_jax.trainer.run_record import RunRecord
from gan_jax.trainer.small_data import fit_batch
from gan_jax.trainer.writers.errors import warn_on_oserror
from gan_jax.trainer.writers.loggers import Loggers, check_loggers
from gan_jax.trainer.writers.metric_writer import MetricWriter
from gan_jax.trainer.writers.samples import SampleWriter
from gan_jax.typing import Players

# Compiler options for programs that run once and quickly. Compiling them with optimisation takes longer than running them without.
RUN_ONCE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


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


@dataclasses.dataclass(frozen=True)
class TrainingRun:
    """The parts of a run that stay the same while it trains. As a context manager it releases the lock on the directory at the end.

    Attributes:
        config: The configuration. `config.steps` is the length of the run and `config.epochs` is 0.
        console: Where the run prints.
        source: The data set.
        data: The description of the data set for run.json.
        built: The GAN.
        placement: How several devices share the train step. None for one device.
        feed: Brings minibatches to the devices.
        directory: Directory of the run.
        resumed: Whether the run existed before.
        rolled_back: The rollbacks in run.json before this start.
        record: Writes run.json. None in processes other than process 0.
        may_restart: Whether a resumed run without a checkpoint starts again at step 0.
        manager: Saves and restores checkpoints.
        locks: The lock on the directory. Empty in processes other than process 0.
        initial: The weights with which a new run begins (`--init-from`), or None.
        fork: The state with which a new run begins (`--fork`), or None.
        about_data: Lines about the data, which the run prints when it starts.
    """

    config: Config
    console: Console
    source: Source
    data: dict[str, Any]
    built: BuiltGAN
    placement: Placement | None
    feed: Feed
    directory: Path
    resumed: bool
    rolled_back: list[dict[str, Any]]
    record: RunRecord | None
    may_restart: bool
    manager: Checkpointer
    locks: list[run_directory.DirectoryLock]
    initial: InitialWeights | None = None
    fork: Fork | None = None
    about_data: Sequence[str] = ()

    def __enter__(self) -> "TrainingRun":
        return self

    def __exit__(self, *_: object) -> None:
        for lock in self.locks:
            lock.close()

    @contextlib.contextmanager
    def recording_errors(self) -> Iterator[None]:
        """Writes an error that ends the training into run.json and raises it again. An error before training continues changes nothing."""
        try:
            yield
        except KeyboardInterrupt:
            self.try_to_write({"status": "interrupted"})
            raise
        except Exception as error:
            if process_count() == 1:
                # Finishes the save in progress and the threads. With several processes, a lost one would never finish its part.
                with contextlib.suppress(DirectoryLost):
                    self.manager.close()
                self.feed.close()
            if self.record is not None and isinstance(error, DirectoryLost) and error.moved_to is not None:
                self.record.directory = error.moved_to
            self.try_to_write({"status": "failed", "error": f"{type(error).__name__}: {error}"})
            raise

    def save(self, step: int, state: tuple[Players, Any], metrics: dict[str, float] | None = None) -> None:
        """Saves a checkpoint.

        Args:
            step: The step of the state.
            state: (params, opt_state).
            metrics: Values of the metrics at this step. The best checkpoint is selected by them.
        """
        self.check_directory()
        details = {"step": step, "seed": self.config.seed, "data_position": step, "metrics": metrics or {}}
        self.manager.save(step, state, details)
        self.try_to_write({})  # The row of a start that is killed later then has this step.

    def print(self, text: str) -> None:
        """Prints a line, see `print_text`."""
        print_text(self.console, text)

    def reach(self, step: int) -> None:
        """Notes the last train step for run.json."""
        if self.record is not None:
            self.record.step = step

    def check_directory(self) -> None:
        """Raises `DirectoryLost` if the directory was renamed, removed or replaced. Call it before each write."""
        for lock in self.locks:
            lock.check()

    def write(self, more: dict[str, Any]) -> None:
        """Writes run.json in process 0, with the fields of `more` added or replaced."""
        if self.record is not None:
            if self.record.directory == self.directory:
                self.check_directory()
            self.record.update(more)

    def try_to_write(self, more: dict[str, Any]) -> None:
        """Writes run.json as `write`, and prints a line if that is impossible."""
        with contextlib.suppress(DirectoryLost):  # The error that is raised has its message.
            warn_on_oserror("run.json", partial(self.write, more), self.print)


class Writers(NamedTuple):
    """The writers of a run. They exist in process 0 only.

    Attributes:
        metrics: Writes metrics.jsonl, timing.jsonl and the trackers, and decides about failures.
        samples: Writes grids of samples.
    """

    metrics: MetricWriter
    samples: SampleWriter


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
    locks: list[run_directory.DirectoryLock] = []

    def claim_directory() -> str:
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

    check_alike(config, source)
    directory = Path(decide_on_process_zero(claim_directory, RunError))
    rolled_back, (summary, data) = run_directory.recorded_rollbacks(directory), summarize_data(source, flatten(config))
    about_data = [*(summary_lines(summary) if resume is None else ()), *([shrunk] if shrunk else ())]
    facts = {"recipe": config.recipe, "seed": config.seed, "steps": config.steps, "data": data, "rollbacks": rolled_back}
    facts |= own.recorded()
    if initial is not None:
        facts["init_from"] = initial.describe()
    if fork is not None:
        facts["parent"] = fork.describe()
    facts |= {"choices": config.choices.splitlines()} if config.choices else {}
    devices = {"processes": process_count(), "devices_used": placement.devices if placement else 1}
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


def check_alike(config: Config, source: Source) -> None:
    """Raises DataError in every process unless all processes have the same data and the same configuration."""
    if process_count() == 1:
        return
    text = f"{source.fingerprint()} {config_hash(config_fingerprint(config))}"
    same = broadcast_text(text) == text
    if any_across_processes(not same):
        whose = "the data or flags of another process" if same else f"process {jax.process_index()}: its data or flags"
        raise DataError(f"{whose} are not those of process 0; every process must be given the same")


def latest_checkpoint(run: TrainingRun) -> str:
    """The newest step with an intact manifest as text. "None" if the run has no checkpoint and may start again at step 0.

    Raises:
        RunError: There is no usable checkpoint, and the run may not start again, or there are damaged ones.
    """
    latest = run.manager.latest()
    if latest is None and (not run.may_restart or run.manager.steps()):
        raise RunError(no_checkpoint(run))
    return str(latest)


def no_checkpoint(run: TrainingRun) -> str:
    """The message about a run without a usable checkpoint."""
    steps = ", ".join(map(str, run.manager.steps()))
    what = f"its checkpoints ({steps}) are damaged" if steps else "it has no checkpoint"
    again = f"gan-jax train --config {shlex.quote(str(run.directory / 'config.yaml'))}"
    return f"--resume {run.directory}: {what}; train it again in another directory with: {again}"


def keep_steps(run: TrainingRun) -> None:
    """Writes the number of steps of a resumed run into config.yaml, so that the next resume and `verify` have it."""
    path = run.directory / "config.yaml"
    if run.resumed and (saved := load_config(path)).steps != run.config.steps:
        save_config(dataclasses.replace(saved, steps=run.config.steps, epochs=0), path)


def init_or_restore(run: TrainingRun) -> tuple[tuple[Players, Any], int, Writers | None]:
    """Initialises the state of a new run, or restores the newest checkpoint of a resumed one.

    Returns:
        state: (params, opt_state).
        step: The step of the state.
        writers: The writers, which continue at this step. None in processes other than process 0.

    Raises:
        RunError: A resumed run has no usable checkpoint, or is past its last step already.
        The errors of `gan_jax.checkpoint`: The checkpoint cannot be restored. In the other processes it is a RunError.
        OSError: run.json cannot be written.
    """
    config, manager, init = run.config, run.manager, run.built.gan.init
    rng = jax.random.fold_in(jax.random.key(config.seed), 0)
    shardings = {} if run.placement is None else {"out_shardings": state_shardings(run.placement, jax.eval_shape(init, rng))}
    state, step = jax.jit(init, compiler_options=RUN_ONCE, **shardings)(rng), 0
    if run.initial is not None:
        state = run.initial.apply(run.built, rng, state)
        for line in run.initial.lines():
            run.print(line)
    if run.fork is not None:
        (state, new), step = run.fork.apply(run.built, rng, state), run.fork.step
        for line in run.fork.lines(new):
            run.print(line)
    start = None
    # An average that begins at trained weights cannot hold samples back at untrained ones.
    begun = config.init_from is None and config.fork is None
    if config.monitor.enabled and begun and (config.optimizer.ema_decay or config.optimizer.ema_images):
        start = jax.tree.map(jnp.copy, to_local(run.placement, state[0].generator))
    latest = decide_on_process_zero(partial(latest_checkpoint, run), RunError) if run.resumed else "None"
    if latest != "None":
        changed = bool(run.rolled_back) and int(latest) == run.rolled_back[-1]["to_step"]
        restored: list[Any] = []

        def restore(step: int | None = None) -> str:
            try:
                restored[:] = manager.restore(state, step, any_configuration=changed)
            except CheckpointNotFound as error:
                raise RunError(no_checkpoint(run)) from error
            return str(restored[1]["step"])

        step = int(decide_on_process_zero(restore, RunError))
        if not is_main_process():
            restore(step)
        if step > config.steps:
            raise RunError(f"--steps {config.steps}: {run.directory} is at step {step} already; take at least {step}")
        state = restored[0]
        run.print(f"resuming {run.directory} at step {step}")
    elif run.resumed:
        run.print(f"{run.directory} has no checkpoint; starting again at step 0")
    local = to_local(run.placement, state)
    if run.record is None:
        return state, step, None
    keep_steps(run)
    parameters = {p: sum(leaf.size for leaf in jax.tree.leaves(getattr(state[0], p))) for p in Players._fields}
    run.record.begin(step, {"parameters": parameters})
    manager.clear_leftovers()
    info = describe_run(config, run.built, *local, config.steps)
    images_per_step = config.batch_size * run.built.rule.batches_per_step
    loggers = Loggers(config, run.directory, step, run.print)
    options: dict[str, Any] = {"images_per_step": images_per_step, "loggers": loggers, "writers": run.built.own.writers}
    metrics = MetricWriter(config, info, run.directory, step=step, **options)
    return state, step, Writers(metrics, SampleWriter(config, run.built, run.source, run.directory, metrics, step=step, start=start))
