"""Training: set up the run, restore it, then step, log, sample, evaluate and checkpoint until it ends. It reads top to bottom."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.console import Console

from gan_jax.distributed import any_across_processes, is_main_process, process_count, raising_peer_lost, to_local
from gan_jax.gan.types import LossTerm
from gan_jax.monitor import Finding
from gan_jax.trainer import environment
from gan_jax.trainer.build.gan import BuiltGAN
from gan_jax.trainer.config import Config, ConfigError, check
from gan_jax.trainer.evaluate import NOT_FINITE, evaluate, evaluate_run, metric_values
from gan_jax.trainer.figures import write_figures
from gan_jax.trainer.loaded_run import LoadedRun, describe_params
from gan_jax.trainer.notebook import progress_bar, result_html
from gan_jax.trainer.own_parts import OwnParts, own_parts
from gan_jax.trainer.patience import out_of_patience, patience_of
from gan_jax.trainer.progress import ProgressBar, TolerantStream
from gan_jax.trainer.report import write_report
from gan_jax.trainer.resume import init_or_restore
from gan_jax.trainer.rollback import Rollback, can_roll_back, roll_back
from gan_jax.trainer.saving import LoopResult, all_finite, save, save_last
from gan_jax.trainer.setup import setup_run
from gan_jax.trainer.training_run import TrainingRun, Writers
from gan_jax.trainer.writers.errors import warn_on_oserror
from gan_jax.trainer.writers.samples import write_animation
from gan_jax.typing import Array, Players

NOT_SAVED = "finished, not saved"  # Status of a run that reached its last step, but could not save it.


class TrainResult(NamedTuple):
    """The result of `train`.

    Attributes:
        directory: Directory of the run.
        params: Parameters of G and D.
        opt_state: The rest of the state.
        step: The last train step. It is below the configured number if the run was interrupted or failed.
        failure: The finding that ended the run, with `--monitor.on-failure stop` or after too many rollbacks. Otherwise None.
        saved: Whether a checkpoint of the last step is on the disk. A failed run keeps an earlier one instead.
    """

    directory: Path
    params: Players
    opt_state: Any
    step: int
    failure: Finding | None = None
    saved: bool = True

    def __repr__(self) -> str:
        failure = "" if self.failure is None else f", failure={self.failure.id}"
        return f"TrainResult({self.directory}, step {self.step}, {describe_params(self.params)}{failure})"

    def _repr_html_(self) -> str:
        return result_html(self.directory, self.step, self.saved)


def train(
    config: Config,
    *,
    resume: Path | str | None = None,
    may_restart: bool = False,
    command: str = "",
    console: Console | None = None,
    until: int | None = None,
    source: Any = None,
    networks: Any = None,
    loss: Any = None,
    terms: Sequence[LossTerm] = (),
    writers: Sequence[Any] = (),
) -> TrainResult:
    """Trains a GAN, with its files in a directory of its own, and writes the report.

    Call it in every process of a run. Only process 0 writes files and prints. In a notebook the bar shows the samples while they improve.

    Args:
        config: The configuration.
        resume: Directory of a run to continue. Its configuration must agree with `config`.
        may_restart: Whether a resumed run that has no checkpoint yet starts again at step 0. Otherwise that is an error.
        command: The command line for run.json.
        console: Where to print. By default standard error.
        until: Stop after this step as after an interrupt. Schedules keep the configured length of the run.
        source: Data instead of `config.data`: a `gan_jax.data.Source`, images uint8 [n, height, width, channels], points float32 [n, dim],
            or a pair of them and integer labels [n].
        networks: (generator, discriminator) instead of `config.model`. Each is a Flax Linen module, a function `key -> Equinox module`, a
            pair of functions (init, apply), or a `gan_jax.typing.Network`. The latents and labels are still those of `config.model`.
        loss: Adversarial loss instead of `config.loss.name`: a name, a `gan_jax.typing.AdversarialLoss`, or a pair of functions.
        terms: Further loss terms, `gan_jax.gan.types.LossTerm`.
        writers: Functions `(step, row)`, or objects with such a method `write`, that receive each row of metrics in process 0.

    Raises:
        TypeError, ValueError: A part is of no supported kind.
        RunError, DataError, ConfigError and the errors of `gan_jax.checkpoint`: The run cannot start or continue.
        gan_jax.distributed.PeerLost: Another process of this run is lost.
    """
    console = (console or Console(file=TolerantStream(sys.stderr))) if is_main_process() else Console(quiet=True)
    own = own_parts(source, networks, loss, terms, writers)
    config, resume = check(config), None if resume is None else Path(resume)
    # The trainer relies on these rules as the step does, see `gan_jax.gan.make.build_gan`.
    with raising_peer_lost(), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        result = train_once(config, resume, command, console, until, own, may_restart)
        while isinstance(result, Rollback):
            result = train_once(result.config, result.directory, command, console, until, own, True)
        return result


def train_once(
    config: Config, resume: Path | None, command: str, console: Console, until: int | None, own: OwnParts, may_restart: bool
) -> TrainResult | Rollback:
    """Trains until the last step, an interrupt or a failure, and returns a `Rollback` if training shall continue from before the failure.

    All arrays of a run are locals of this function, so those of a failed run are freed before the run continues.
    """
    with setup_run(config, resume, command, console, own, may_restart=may_restart) as run:
        with run.recording_errors(), stop_on_interrupt() as stop_requested:
            state, step, writers = init_or_restore(run)
            run.print(f"run: {run.directory}")
            for line in run.about_data:
                run.print(line)
            result = loop(run, writers, state, step, until, stop_requested)
            stored = save_last(run, result)
        run.feed.close()
        local = to_local(run.placement, result.state)
        if writers is None:
            return TrainResult(run.directory, *result.state, result.step, saved=stored)
        failure, final = writers.metrics.failure, {}
        try:
            if failure is not None and can_roll_back(run) and not result.interrupted:
                return roll_back(run, failure)
            final = finish(run, local, result.step, stored, failure, early=result.early)
        finally:
            writers.metrics.loggers.close(final)
        return TrainResult(run.directory, *result.state, result.step, failure, stored)


def loop(
    run: TrainingRun,
    writers: Writers | None,
    state: tuple[Players, Any],
    step: int,
    until: int | None,
    stop_requested: Callable[[], bool],
) -> LoopResult:
    """The training loop: trains, logs, samples, evaluates and checkpoints until the last step, an interrupt, or a detected failure."""
    config, steps, end = run.config, run.config.steps, run.config.steps if until is None else min(until, run.config.steps)
    compiled = compile_steps(run, state)
    rng = jax.random.fold_in(jax.random.key(config.seed), 1)
    pending, saved, early, first = None, step, False, step

    with progress_bar(steps, step, run.console) as bar:

        def failed() -> bool:
            return writers is not None and writers.metrics.failure is not None

        if step == 0 and config.sample_every:
            with bar.working("drawing and measuring the first samples"):
                sample(run, writers, 0, state, bar)
        if step < end:
            bar.print_above("compiling the train step: seconds to minutes the first time, then from the cache")
        stop = any_across_processes(stop_requested() or failed())
        while step < end and not stop:
            count = min(config.scan_steps, steps - step)
            with bar.working("compiling the train step") if step == first else nullcontext():
                *state, metrics = compiled(count)(*state, run.feed.chunk(step, count), rng)
            before, step = step, step + count
            run.reach(step)
            flush(run, writers, pending, bar)  # The metrics of the step before, while the device computes this one.
            to_log = crosses(before, step, config.log_every) or step == steps
            pending = (step, metrics) if to_log else None
            bar.advance(step)
            to_sample = bool(config.sample_every) and (crosses(before, step, config.sample_every) or step == steps)
            to_evaluate = bool(config.evaluation.every) and crosses(before, step, config.evaluation.every)
            to_save = to_evaluate or (config.checkpoint_every and crosses(before, step, config.checkpoint_every)) or step == steps
            if to_sample or to_save:
                # Sampling and saving wait for the step anyway. Rows stay in order, and a checkpoint has all rows up to its step.
                flush(run, writers, pending, bar)
                pending = None
            if to_sample:
                sample(run, writers, step, state, bar)
            values = measure(run, writers, step, state, bar) if to_evaluate else None
            if to_save and not any_across_processes(failed()) and save(run, step, tuple(state), values):
                saved = step
            if to_evaluate and config.evaluation.patience:
                early = any_across_processes(is_main_process() and out_of_patience(run.directory, config))
            # Asking the other processes costs a message, so several processes ask only at steps at which they wait anyway.
            if process_count() == 1 or to_log or to_sample or to_save:
                stop = early or any_across_processes(stop_requested() or failed())
        flush(run, writers, pending, bar)
        has_failed = any_across_processes(failed())
        return LoopResult(tuple(state), step, saved, any_across_processes(stop_requested()), has_failed, early)


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Yields a function that tells whether a stop was requested.

    The first SIGINT, SIGTERM or SIGHUP requests a clean stop. A second one exits immediately. SIGHUP stays ignored under `nohup`.
    """
    received: list[int] = []

    def request_stop(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    try:
        numbers = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # Windows has no SIGHUP.
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, request_stop) for number in numbers}
    except ValueError:  # Only the main thread receives signals.
        before = {}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def crosses(before: int, after: int, interval: int) -> bool:
    """Whether (before, after] contains a multiple of the interval."""
    return after // interval > before // interval


def compile_steps(run: TrainingRun, state: tuple[Players, Any]) -> Callable[[int], Callable[..., Any]]:
    """A function: number of steps -> jitted (params, opt_state, chunk of the feed, rng) -> (params, opt_state, metrics)."""
    options: dict[str, Any] = {}
    if run.placement is not None:
        options["out_shardings"] = (*jax.tree.map(lambda leaf: leaf.sharding, state), run.placement.replicated)
        options["compiler_options"] = run.placement.compiler_options

    @cache
    def compiled(count: int) -> Callable[..., Any]:
        return jax.jit(chunk_step(run.built, count, run.feed.gather), donate_argnums=(0, 1), **options)

    return compiled


def chunk_step(built: BuiltGAN, scan_steps: int, gather: Callable[..., Any] = lambda chunk: chunk) -> Callable[..., Any]:
    """A function for `jax.jit` that makes `scan_steps` train steps: (params, opt_state, chunk, rng) -> (params, opt_state, metrics).

    `gather` is `Feed.gather`, which turns a chunk into batches [scan_steps, batch, ...]. The metrics are those of the last step.
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


def flush(run: TrainingRun, writers: Writers | None, pending: tuple[int, dict[str, Array]] | None, bar: ProgressBar) -> None:
    """Waits for pending metrics in every process. Process 0 writes them."""
    if pending is not None:
        run.check_directory()
    if writers is not None:
        writers.metrics.flush(pending, bar)
    elif pending is not None:
        jax.block_until_ready(pending)


def sample(run: TrainingRun, writers: Writers | None, step: int, state: tuple[Players, Any], bar: ProgressBar) -> None:
    """Writes a grid of samples in process 0. Call it in every process, because the state may be sharded."""
    local = to_local(run.placement, state)
    if writers is not None:
        run.check_directory()
        writers.samples.write(step, local, bar)


def measure(run: TrainingRun, writers: Writers | None, step: int, state: tuple[Players, Any], bar: ProgressBar) -> dict[str, float] | None:
    """Evaluates the generator and logs the values in process 0. Call it in every process, because the state may be sharded.

    Returns:
        Metric -> value. None in the other processes, or if the metrics cannot be measured.
    """
    local = to_local(run.placement, state)
    if writers is None:
        return None
    try:
        records = evaluate(run.config, run.built, run.source, *local)
    except ConfigError as error:
        bar.print_above(f"step {step}: not measured: {error}")
        return None
    row = {f"evaluation/{record['metric']}": record["value"] for record in records}
    bar.print_above(f"step {step}: " + "  ".join(f"{name} {value:.3f}" for name, value in row.items()))
    run.check_directory()
    writers.metrics.write(step, row, bar)
    values, best = metric_values(records), run.config.evaluation.best
    if best not in values and NOT_FINITE not in values:
        bar.print_above(f"--evaluation.best {best}: is not measured here; measured: {', '.join(values)}")
    return values


def finish(
    run: TrainingRun, state: tuple[Players, Any], step: int, stored: bool, failure: Finding | None, *, early: bool = False
) -> dict[str, float]:
    """Writes the animation, run.json, the final metrics, the figures and the report, and prints how the run ended.

    Args:
        run: The run.
        state: (params, opt_state) on one device.
        step: The last train step.
        stored: Whether the last checkpoint was written.
        failure: The finding that ended the run, or None.
        early: Whether the metric has not improved for long (`--evaluation.patience`). The run counts as finished.

    Returns:
        Final metric -> value. Empty if nothing was measured.
    """
    config, directory = run.config, run.directory
    run.check_directory()
    warn_on_oserror("the animation", lambda: write_animation(directory), run.print)
    if failure is not None:
        status = "stopped"
    elif step < config.steps and not early:
        status = "interrupted"
    else:
        status = "finished" if stored else NOT_SAVED
    finite = all_finite(state)
    row: dict[str, Any] = {
        "status": status,
        "saved": stored and finite,
        "finite": finite,
        "peak_memory_bytes": environment.peak_memory(),
        "data": run.data | {"passed_over": run.source.passed_over()},
    }
    if early:
        patience = patience_of(directory, config)
        row["patience"] = patience._asdict()
        run.print(f"ended at step {step}: {patience.line()}")
    warn_on_oserror("run.json", lambda: run.write(row), run.print)
    print_status(run, status, step, stored, finite, failure)
    records: list[dict[str, Any]] | None = None
    if status in ("finished", NOT_SAVED) and config.evaluation.samples:
        measured = partial(evaluate_run, directory, config, run.built, run.source, *state, console=run.console)
        try:
            records = warn_on_oserror("metrics.json", partial(measured, before_write=run.check_directory), run.print)
        except ConfigError as error:
            run.print(f"not measured: {error}")
    run.check_directory()
    if config.sample_every and status != "interrupted":
        loaded = LoadedRun(config, run.source, run.built, *state, step)
        warn_on_oserror("the figures", lambda: write_figures(directory, loaded, run.print), run.print)
    report = warn_on_oserror("the report", lambda: write_report(directory), run.print)
    if report is not None:
        run.print(f"report: {report}")
    return {record["metric"]: record["value"] for record in records or ()}


def print_status(run: TrainingRun, status: str, step: int, stored: bool, finite: bool, failure: Finding | None) -> None:
    """Prints why a run ended before its last step, and the command that continues it."""
    latest = run.manager.latest()
    if failure is not None and latest is None:
        advice = f"; try {failure.advice[0]}" if failure.advice else ""
        run.print(f"stopped at step {step}: {failure.message}; there is no checkpoint from before{advice}")
    elif failure is not None:
        advice = f"try {failure.advice[0]}, or " if failure.advice else ""
        run.print(
            f"stopped at step {step}: {failure.message}; the checkpoint of step {latest} is kept; "
            f"{advice}continue with: gan-jax train --resume {run.directory} --on-failure warn"
        )
    elif status == "interrupted":
        saved = f"saved at step {step}" if stored and finite else "the last step could not be saved" if finite else "not saved"
        run.print(f"interrupted; {saved}; continue with: gan-jax train {run.config.recipe} --resume {run.directory}")
    elif not stored:
        run.print(
            f"the weights of step {step} could not be saved; the newest checkpoint is of step {latest}; "
            f"free some space, then train the last steps again with: gan-jax train --resume {run.directory}"
        )
