"""The loop: the only place where training meets the disk. Read it top to bottom."""

import dataclasses
import functools
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from rich.console import Console

from gan_jax import run_directory
from gan_jax.build import Experiment, build
from gan_jax.checkpoint import Checkpointer
from gan_jax.config import NOT_OF_THE_RUN, Config, ConfigError, DistributedConfig, flatten, save_config
from gan_jax.data import Feed, Source, check_unchanged, load
from gan_jax.evaluation import evaluate, evaluate_run, metric_values
from gan_jax.monitor import Finding
from gan_jax.parallel import Placement, agreed, any_process, here, losing_peers, make_placement, process_count, state_shardings, writes
from gan_jax.progress import ProgressBar
from gan_jax.records import Records, survive, write_animation
from gan_jax.report import write_report
from gan_jax.run_directory import RunError
from gan_jax.showcase import write_pictures
from gan_jax.stored_run import StoredRun
from gan_jax.typing import Array, Players
from gan_jax.watch import roll_back, rollbacks

# For programs that run once, and quickly: compiling them would take longer than running them unoptimised.
RUN_ONCE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


class Trained(NamedTuple):
    """What a run leaves behind.

    Attributes:
        directory: of the run.
        params: `Players`.
        opt_state: the rest of the state.
        step: the last step played; below the configured number where it was interrupted.
        failure: the finding that ended it, with `--monitor.on-failure` stop or after too many rollbacks; otherwise None.
    """

    directory: Path
    params: Players
    opt_state: Any
    step: int
    failure: Finding | None = None


def identity(config: Config) -> dict[str, Any]:
    """The part of a configuration that decides the bytes of the weights; a resumed run must agree in it."""
    values = flatten(config)
    depends_on_steps = (
        config.ttur.schedule != "constant"
        or (config.inputs.instance_noise and not config.inputs.instance_noise_steps)
        or (config.model.name == "progressive" and not config.model.phase_steps)
    )
    dropped = [name for name in NOT_OF_THE_RUN if not (name == "steps" and depends_on_steps)]
    if config.parallel.statistics == "global":
        dropped.append("parallel")  # so that a run from before there was such a choice goes on
    kept = {path: value for path, value in values.items() if not any(path == name or path.startswith(f"{name}.") for name in dropped)}
    return {
        path: list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value for path, value in kept.items()
    }


def with_steps(config: Config, examples: int) -> int:
    """The number of steps: as configured, or as many as `epochs` passes over the data take."""
    if not config.epochs:
        return config.steps
    return config.epochs * max(1, examples // (config.batch_size * config.strategy.discriminator_steps))


def chunk_step(experiment: Experiment, scan_steps: int) -> Callable[..., Any]:
    """`scan_steps` steps as one jitted, donating program: (params, opt_state, batches, rng) -> (params, opt_state, metrics of the last)."""

    def chunk(params: Players, opt_state: Any, batches: dict[str, Array], rng: Array) -> Any:
        if scan_steps == 1:
            return experiment.gan.train_step(params, opt_state, jax.tree.map(lambda array: array[0], batches), rng)

        def body(carry: tuple[Players, Any], batch: dict[str, Array]) -> tuple[tuple[Players, Any], dict[str, Array]]:
            params, opt_state, metrics = experiment.gan.train_step(*carry, batch, rng)
            return (params, opt_state), metrics

        (params, opt_state), metrics = jax.lax.scan(body, (params, opt_state), batches, length=scan_steps)
        return params, opt_state, jax.tree.map(lambda value: value[-1], metrics)

    return chunk


@contextmanager
def stop_on_interrupt() -> Iterator[list[int]]:
    """Turns the first Ctrl-C (or SIGTERM) into a wish to stop; a second one ends the program at once."""
    wishes: list[int] = []

    def wish(number: int, frame: Any) -> None:
        if wishes:
            raise KeyboardInterrupt
        wishes.append(number)

    try:
        before = {number: signal.signal(number, wish) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: there are no signals to catch
        before = {}
    try:
        yield wishes
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(
    config: Config, *, resume: Path | None = None, command: str = "", console: Console | None = None, until: int | None = None
) -> Trained:
    """Trains as configured, in a directory of its own, and writes the report.

    Every process of a run calls it alike; one of them writes and speaks.

    Args:
        config: checked.
        resume: the directory of a run to continue; its configuration must agree.
        command: the command line, for the record.
        console: where to print; standard error by default.
        until: stop at this step as if interrupted there; schedules still span the run as configured.

    Raises:
        RunError, DataError, ConfigError, and those of `gan_jax.checkpoint`: one line each, for a person.
        gan_jax.parallel.PeerLost: another process of this run is gone.
    """
    if not writes():
        console = Console(quiet=True)
    with losing_peers():
        run = begin(config, resume, command, console or Console(stderr=True))
        try:
            state, step, records = draw_or_restore(run)
            reached = loop(run, records, state, step, until)
        except Exception:
            if process_count() == 1:
                # What is being saved is saved, and no thread outlives the run; where a peer is gone there is nothing to wait for.
                run.keeper.close()
                run.feed.close()
            raise
        return finish(run, records, reached, command)


class Run(NamedTuple):
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
    """

    config: Config
    console: Console
    source: Source
    experiment: Experiment
    placement: Placement | None
    feed: Feed
    steps: int
    directory: Path
    resumed: bool
    rolled_back: list[dict[str, Any]]
    record: dict[str, Any]
    keeper: Checkpointer

    def save(self, step: int, state: tuple[Players, Any], metrics: dict[str, float] | None = None) -> None:
        """Saves a checkpoint."""
        details = {"step": step, "seed": self.config.seed, "data_position": step, "metrics": metrics or {}}
        self.keeper.save(step, state, details)

    def write(self, more: dict[str, Any]) -> None:
        """Writes run.json."""
        run_directory.write_json(self.directory / "run.json", self.record | more)


def placement_of(config: Config) -> Placement | None:
    """The devices of a run: as asked for, all accelerators, or one CPU device; None for one device in one process."""
    parallel = config.parallel
    devices = parallel.devices or (1 if jax.default_backend() == "cpu" else jax.local_device_count())
    if devices * process_count() == 1:
        return None
    if process_count() > 1 and config.monitor.on_failure == "rollback":
        raise ConfigError("--monitor.on-failure rollback: one process only; take warn or stop")
    try:
        return make_placement(
            parallel.placement, devices=devices, statistics=parallel.statistics, shard_parameters=parallel.shard_parameters
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def begin(config: Config, resume: Path | None, command: str, console: Console) -> Run:
    """The data, the game, and a directory of its own, or that of the run to continue."""
    source = load(config)
    placement = placement_of(config)
    experiment = build(config, source.shape, source.num_classes, placement)
    steps = with_steps(config, len(source))
    feed = Feed(
        source,
        batch_size=config.batch_size * experiment.strategy.rounds,
        seed=config.seed,
        pipeline=config.data.pipeline,
        workers=config.data.workers,
        flip=config.data.flip,
        sharding=placement and placement.batches,
        process_index=jax.process_index(),
        process_count=process_count(),
    )

    def own_directory() -> str:
        directory = resume or config.out or run_directory.free_directory(config.recipe)
        if resume is None:
            run_directory.claim(directory)
            save_config(dataclasses.replace(config, distributed=DistributedConfig()), directory / "config.yaml")
        elif (directory / "run.json").exists():
            check_unchanged(run_directory.recorded_data(directory), source)
        return str(directory)

    directory = Path(agreed(own_directory, RunError))
    rolled_back = rollbacks(directory)
    record = run_directory.describe(command, config.seed) | {
        "recipe": config.recipe,
        "steps": steps,
        "data": source.describe(),
        "rollbacks": rolled_back,
        "processes": process_count(),
        "devices_used": placement.devices if placement else 1,
    }
    keeper = Checkpointer(
        directory / "checkpoints", config=identity(config), keep=config.keep_checkpoints, best_metric=config.evaluation.best
    )
    return Run(config, console, source, experiment, placement, feed, steps, directory, resume is not None, rolled_back, record, keeper)


def draw_or_restore(run: Run) -> tuple[tuple[Players, Any], int, Records | None]:
    """The state, drawn or restored to the byte, its step, and the records that go on there; None where another process writes."""
    config, keeper, init = run.config, run.keeper, run.experiment.gan.init
    rng = jax.random.fold_in(jax.random.key(config.seed), 0)
    places = {} if run.placement is None else {"out_shardings": state_shardings(run.placement, jax.eval_shape(init, rng))}
    state, step = jax.jit(init, compiler_options=RUN_ONCE, **places)(rng), 0
    start = None
    if config.monitor.enabled and config.ttur.ema_decay:
        start = jax.tree.map(jnp.copy, here(run.placement, state[0].generator))
    latest = agreed(lambda: str(keeper.latest()), RunError) if run.resumed else "None"
    if latest != "None":
        changed = bool(run.rolled_back) and int(latest) == run.rolled_back[-1]["to_step"]
        restored: list[Any] = []

        def restore(step: int | None = None) -> str:
            restored[:] = keeper.restore(state, step, any_configuration=changed)
            return str(restored[1]["step"])

        step = int(agreed(restore, RunError))
        if not writes():
            restore(step)
        state = restored[0]
        run.console.print(f"resuming {run.directory} at step {step}", highlight=False)
    run.record["parameters"] = {p: sum(leaf.size for leaf in jax.tree.leaves(getattr(state[0], p))) for p in Players._fields}
    whole = here(run.placement, state)
    if not writes():
        return state, step, None
    run.write({})
    settings = {"steps": run.steps, "step": step, "state": whole, "start": start}
    return state, step, Records(config, run.experiment, run.source, run.directory, **settings)


class Reached(NamedTuple):
    """Where the loop ended.

    Attributes:
        state: (params, opt_state).
        step: the last one played.
        saved: the last one saved.
        wished: whether somebody asked for the end.
        failed: whether a finding asked for it.
    """

    state: tuple[Players, Any]
    step: int
    saved: int
    wished: bool
    failed: bool


def loop(run: Run, records: Records | None, state: tuple[Players, Any], step: int, until: int | None) -> Reached:
    """Plays, records, shows, measures and saves, up to the last step or until somebody or something asks for the end."""
    config, steps, end = run.config, run.steps, run.steps if until is None else min(until, run.steps)
    program = compiler(run, state)
    rng = jax.random.fold_in(jax.random.key(config.seed), 1)
    pending, saved = None, step

    with stop_on_interrupt() as wishes, ProgressBar(steps, step, run.console) as bar:

        def asked_to_end() -> bool:
            return any_process(bool(wishes) or (records is not None and records.failure is not None))

        if records is not None:
            records.beside(bar)
        if step == 0 and config.sample_every:
            show(run, records, 0, state)
        ending = asked_to_end()
        while step < end and not ending:
            count = min(config.scan_steps, steps - step)
            *state, metrics = program(count)(*state, run.feed.chunk(step, count), rng)
            before, step = step, step + count
            flush(records, pending, bar)
            logs = crosses(before, step, config.log_every) or step == steps
            pending = (step, metrics) if logs else None
            bar.advance(step)
            to_sample = bool(config.sample_every) and (crosses(before, step, config.sample_every) or step == steps)
            to_evaluate = bool(config.evaluation.every) and crosses(before, step, config.evaluation.every)
            to_save = to_evaluate or (config.checkpoint_every and crosses(before, step, config.checkpoint_every)) or step == steps
            if to_sample or to_save:
                # These wait for the step anyway; the records stay in order, and none is missing beside a checkpoint.
                flush(records, pending, bar)
                pending = None
            if to_sample:
                show(run, records, step, state)
            measured = measure(run, records, step, state, bar) if to_evaluate else None
            if to_save and not any_process(records is not None and records.failure is not None):
                run.save(step, tuple(state), measured)
                saved = step
            # Several processes ask each other, which costs a message: only where they stop for the records anyway.
            if process_count() == 1 or logs or to_sample or to_save:
                ending = asked_to_end()
        flush(records, pending, bar)
        failed = any_process(records is not None and records.failure is not None)
        return Reached(tuple(state), step, saved, any_process(bool(wishes)), failed)


def compiler(run: Run, state: tuple[Players, Any]) -> Callable[[int], Callable[..., Any]]:
    """Count of steps -> their program: (params, opt_state, chunk of the feed, rng) -> (params, opt_state, metrics)."""
    places: dict[str, Any] = {}
    if run.placement is not None:
        places["out_shardings"] = (*jax.tree.map(lambda leaf: leaf.sharding, state), run.placement.everywhere)
        places["compiler_options"] = run.placement.compiler_options

    @functools.cache
    def program(count: int) -> Callable[..., Any]:
        return jax.jit(run.feed.gathering(chunk_step(run.experiment, count)), donate_argnums=(0, 1), **places)

    return program


def flush(records: Records | None, pending: tuple[int, dict[str, Array]] | None, bar: ProgressBar) -> None:
    """Writes what is pending, where this process writes; in any, waits for it."""
    if records is not None:
        records.flush(pending, bar)
    elif pending is not None:
        jax.block_until_ready(pending)


def show(run: Run, records: Records | None, step: int, state: tuple[Players, Any]) -> None:
    """A grid of samples, drawn by the process that writes."""
    whole = here(run.placement, state)
    if records is not None:
        records.show(step, whole)


def measure(run: Run, records: Records | None, step: int, state: tuple[Players, Any], bar: ProgressBar) -> dict[str, float] | None:
    """The metrics of a state, measured by the process that writes."""
    whole = here(run.placement, state)
    if records is None:
        return None
    rows = evaluate(run.config, run.experiment, run.source, *whole)
    figures = {f"evaluation/{row['metric']}": row["value"] for row in rows}
    bar.say(f"step {step}: " + "  ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    records.write(step, figures)
    return metric_values(rows)


def finish(run: Run, records: Records | None, reached: Reached, command: str) -> Trained:
    """What was reached is kept, measured and shown."""
    config, keeper, console, step = run.config, run.keeper, run.console, reached.step
    unsaved = step != reached.saved and not reached.failed
    if unsaved or agreed(lambda: str(keeper.latest()), RunError) == "None":
        run.save(step, reached.state)
    stored = keeper.close()
    run.feed.close()
    state = here(run.placement, reached.state)
    if records is None:
        return Trained(run.directory, *reached.state, step)
    records.close()
    failure = records.failure
    can_go_back = config.monitor.on_failure == "rollback" and len(run.rolled_back) < config.monitor.rollbacks
    if failure is not None and can_go_back and not reached.wished:
        changed, happened = roll_back(config, run.directory, keeper, failure)
        run.write({"rollbacks": [*run.rolled_back, happened]})
        console.print(f"rolling back to step {happened['to_step']} with {happened['changed']}", highlight=False)
        return train(changed, resume=run.directory, command=command, console=console)
    survive("the animation", lambda: write_animation(run.directory), console.print)
    status = "stopped" if failure is not None else "interrupted" if step < run.steps else "finished"
    seconds = round(time.monotonic() - records.started, 1)
    data = run.record["data"] | {"passed_over": run.source.passed_over()}
    survive("run.json", lambda: run.write({"status": status, "step": step, "seconds": seconds, "data": data}), console.print)
    if failure is not None:
        console.print(
            f"stopped at step {step}: {failure.what}; the checkpoint of step {keeper.latest()} is kept; "
            f"try {failure.advice[0]}, or continue with: python experiments/train.py --resume {run.directory} --on-failure warn",
            highlight=False,
        )
    elif step < run.steps:
        where = f"saved at step {step}" if stored else "the last step could not be saved"
        again = f"python experiments/train.py {config.recipe} --resume {run.directory}"
        console.print(f"interrupted; {where}; continue with: {again}", highlight=False)
    elif config.evaluation.samples:
        try:
            evaluate_run(run.directory, config, run.experiment, run.source, *state, console=console)
        except ConfigError as error:
            console.print(f"not measured: {error}", highlight=False)
    if config.sample_every and status != "interrupted":
        shown = StoredRun(config, run.source, run.experiment, *state, step)
        survive("the pictures", lambda: write_pictures(run.directory, shown, console.print), console.print)
    report = survive("the report", lambda: write_report(run.directory), console.print)
    if report is not None:
        console.print(f"report: {report}", highlight=False)
    return Trained(run.directory, *reached.state, step, failure)


def crosses(before: int, after: int, interval: int) -> bool:
    """Whether a multiple of the interval lies in (before, after]."""
    return after // interval > before // interval
