"""The loop: the only place where training meets the disk. Read it top to bottom."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.console import Console

from gan_jax.distributed import any_across_processes, decide_on_process_zero, is_main_process, process_count, raising_peer_lost, to_local
from gan_jax.monitor import Finding
from gan_jax.trainer.build.gan import BuiltGAN
from gan_jax.trainer.config import Config, ConfigError
from gan_jax.trainer.evaluate import evaluate, evaluate_run, metric_values
from gan_jax.trainer.figures import write_pictures
from gan_jax.trainer.progress import ProgressBar
from gan_jax.trainer.report import write_report
from gan_jax.trainer.restore import LoadedRun
from gan_jax.trainer.rollback import roll_back
from gan_jax.trainer.run_directory import RunError
from gan_jax.trainer.setup import TrainingRun, init_or_restore, setup_run
from gan_jax.trainer.writers.metric_writer import MetricWriter, warn_on_oserror
from gan_jax.trainer.writers.samples import write_animation
from gan_jax.typing import Array, Players


class TrainResult(NamedTuple):
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


def chunk_step(built: BuiltGAN, scan_steps: int, gather: Callable[..., Any] = lambda chunk: chunk) -> Callable[..., Any]:
    """`scan_steps` train steps as one function: (params, opt_state, chunk, rng) -> (params, opt_state, metrics of the last step).

    `gather` is `Feed.gather`. The chunk is what `Feed.chunk` returns.
    """

    def chunk(params: Players, opt_state: Any, data: dict[str, Array], rng: Array) -> Any:
        batches = gather(data)
        if scan_steps == 1:
            return built.gan.train_step(params, opt_state, jax.tree.map(lambda array: array[0], batches), rng)

        def body(carry: tuple[Players, Any], batch: dict[str, Array]) -> tuple[tuple[Players, Any], dict[str, Array]]:
            params, opt_state, metrics = built.gan.train_step(*carry, batch, rng)
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
) -> TrainResult:
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
        gan_jax.distributed.PeerLost: another process of this run is gone.
    """
    if not is_main_process():
        console = Console(quiet=True)
    with raising_peer_lost():
        run = setup_run(config, resume, command, console or Console(stderr=True))
        try:
            return finish(run, *play(run, until), command)
        finally:
            run.release()


def play(run: TrainingRun, until: int | None) -> tuple[MetricWriter | None, "LoopResult"]:
    """Trains; an error that ends the training is in the record of the run."""
    try:
        state, step, records = init_or_restore(run)
        return records, loop(run, records, state, step, until)
    except Exception as error:
        if process_count() == 1:
            # What is being saved is saved, and no thread outlives the run; where a peer is gone there is nothing to wait for.
            run.manager.close()
            run.feed.close()
        if is_main_process():
            ended = {"status": "failed", "error": f"{type(error).__name__}: {error}"}
            warn_on_oserror("run.json", partial(run.write, ended), run.say)
        raise


class LoopResult(NamedTuple):
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


def loop(run: TrainingRun, records: MetricWriter | None, state: tuple[Players, Any], step: int, until: int | None) -> LoopResult:
    """Plays, records, shows, measures and saves, up to the last step or until somebody or something asks for the end."""
    config, steps, end = run.config, run.steps, run.steps if until is None else min(until, run.steps)
    program = compiler(run, state)
    rng = jax.random.fold_in(jax.random.key(config.seed), 1)
    pending, saved = None, step

    with stop_on_interrupt() as wishes, ProgressBar(steps, step, run.console) as bar:

        def asked_to_end() -> bool:
            return any_across_processes(bool(wishes) or (records is not None and records.failure is not None))

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
            if to_save and not any_across_processes(records is not None and records.failure is not None):
                run.save(step, tuple(state), measured)
                saved = step
            # Several processes ask each other, which costs a message: only where they stop for the records anyway.
            if process_count() == 1 or logs or to_sample or to_save:
                ending = asked_to_end()
        flush(records, pending, bar)
        failed = any_across_processes(records is not None and records.failure is not None)
        return LoopResult(tuple(state), step, saved, any_across_processes(bool(wishes)), failed)


def compiler(run: TrainingRun, state: tuple[Players, Any]) -> Callable[[int], Callable[..., Any]]:
    """Count of steps -> their program: (params, opt_state, chunk of the feed, rng) -> (params, opt_state, metrics)."""
    places: dict[str, Any] = {}
    if run.placement is not None:
        places["out_shardings"] = (*jax.tree.map(lambda leaf: leaf.sharding, state), run.placement.replicated)
        places["compiler_options"] = run.placement.compiler_options

    @cache
    def program(count: int) -> Callable[..., Any]:
        return jax.jit(chunk_step(run.built, count, run.feed.gather), donate_argnums=(0, 1), **places)

    return program


def flush(records: MetricWriter | None, pending: tuple[int, dict[str, Array]] | None, bar: ProgressBar) -> None:
    """Writes what is pending, where this process writes; in any, waits for it."""
    if records is not None:
        records.flush(pending, bar)
    elif pending is not None:
        jax.block_until_ready(pending)


def show(run: TrainingRun, records: MetricWriter | None, step: int, state: tuple[Players, Any]) -> None:
    """A grid of samples, drawn by the process that writes."""
    whole = to_local(run.placement, state)
    if records is not None:
        records.show(step, whole)


def measure(
    run: TrainingRun, records: MetricWriter | None, step: int, state: tuple[Players, Any], bar: ProgressBar
) -> dict[str, float] | None:
    """The metrics of a state, measured by the process that writes."""
    whole = to_local(run.placement, state)
    if records is None:
        return None
    try:
        rows = evaluate(run.config, run.built, run.source, *whole)
    except ConfigError as error:
        bar.say(f"step {step}: not measured: {error}")
        return None
    figures = {f"evaluation/{row['metric']}": row["value"] for row in rows}
    bar.say(f"step {step}: " + "  ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    records.write(step, figures)
    values = metric_values(rows)
    if run.config.evaluation.best not in values:
        bar.say(f"--evaluation.best {run.config.evaluation.best}: is not measured here; measured: {', '.join(values)}")
    return values


def finish(run: TrainingRun, records: MetricWriter | None, reached: LoopResult, command: str) -> TrainResult:
    """What was reached is kept, measured and shown."""
    config, manager, step = run.config, run.manager, reached.step
    # A save that the disk refused is made again: this is the last one.
    refused = any_across_processes(not manager.wait())
    unsaved = (refused or step != reached.saved) and not reached.failed
    if unsaved or decide_on_process_zero(lambda: str(manager.latest()), RunError) == "None":
        run.save(step, reached.state)
    stored = not any_across_processes(not manager.close())
    run.feed.close()
    state = to_local(run.placement, reached.state)
    if records is None:
        return TrainResult(run.directory, *reached.state, step)
    records.close()
    failure = records.failure
    can_go_back = config.monitor.on_failure == "rollback" and len(run.rolled_back) < config.monitor.rollbacks
    if failure is not None and can_go_back and not reached.wished:
        changed, happened = roll_back(config, run.directory, manager, failure)
        run.write({"rollbacks": [*run.rolled_back, happened]})
        run.say(f"rolling back to step {happened['to_step']} with {happened['changed']}")
        run.release()
        return train(changed, resume=run.directory, command=command, console=run.console)
    warn_on_oserror("the animation", lambda: write_animation(run.directory), run.say)
    status = "stopped" if failure is not None else "interrupted" if step < run.steps else "finished"
    seconds = round(time.monotonic() - records.started, 1)
    data = run.record["data"] | {"passed_over": run.source.passed_over()}
    took = {"seconds": seconds, "processor_seconds": round(time.process_time(), 1), "saved": stored}
    warn_on_oserror("run.json", lambda: run.write({"status": status, "step": step, **took, "data": data}), run.say)
    if failure is not None:
        advice = f"try {failure.advice[0]}, or " if failure.advice else ""
        run.say(
            f"stopped at step {step}: {failure.message}; the checkpoint of step {manager.latest()} is kept; "
            f"{advice}continue with: python experiments/train.py --resume {run.directory} --on-failure warn"
        )
    elif step < run.steps:
        where = f"saved at step {step}" if stored else "the last step could not be saved"
        again = f"python experiments/train.py {config.recipe} --resume {run.directory}"
        run.say(f"interrupted; {where}; continue with: {again}")
    elif not stored:
        run.say(f"the weights of step {step} could not be saved; the newest that were: {manager.latest()}")
    if status == "finished" and config.evaluation.samples:
        try:
            evaluate_run(run.directory, config, run.built, run.source, *state, console=run.console)
        except ConfigError as error:
            run.say(f"not measured: {error}")
    if config.sample_every and status != "interrupted":
        shown = LoadedRun(config, run.source, run.built, *state, step)
        warn_on_oserror("the pictures", lambda: write_pictures(run.directory, shown, run.say), run.say)
    report = warn_on_oserror("the report", lambda: write_report(run.directory), run.say)
    if report is not None:
        run.say(f"report: {report}")
    return TrainResult(run.directory, *reached.state, step, failure)


def crosses(before: int, after: int, interval: int) -> bool:
    """Whether a multiple of the interval lies in (before, after]."""
    return after // interval > before // interval
