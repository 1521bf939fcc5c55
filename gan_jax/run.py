"""The loop: the only place where training meets the disk. Read it top to bottom."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from gan_jax import pictures, run_directory
from gan_jax.build import Experiment, build
from gan_jax.checkpoint import Checkpointer
from gan_jax.config import NOT_OF_THE_RUN, Config, ConfigError, flatten, save_config
from gan_jax.data import Feed, check_unchanged, load
from gan_jax.evaluation import evaluate, evaluate_run, metric_values, needs_context
from gan_jax.monitor import Finding
from gan_jax.progress import ProgressBar
from gan_jax.report import ReportError, write_report
from gan_jax.run_directory import METRICS, TIMING, JsonLines
from gan_jax.typing import Array, Players
from gan_jax.watch import Probes, Watch, describe_setting, roll_back, rollbacks, visible

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


def train(config: Config, *, resume: Path | None = None, command: str = "", console: Console | None = None) -> Trained:
    """Trains as configured, in a directory of its own, and writes the report.

    Args:
        config: checked.
        resume: the directory of a run to continue; its configuration must agree.
        command: the command line, for the record.
        console: where to print; standard error by default.

    Raises:
        RunError, DataError, ConfigError, and those of `gan_jax.checkpoint`: one line each, for a person.
    """
    console = console or Console(stderr=True)

    # The data and the game.
    source = load(config)
    experiment = build(config, source.shape, source.num_classes)
    rounds = experiment.strategy.rounds
    steps = with_steps(config, len(source))
    feed = Feed(
        source,
        batch_size=config.batch_size * rounds,
        seed=config.seed,
        pipeline=config.data.pipeline,
        workers=config.data.workers,
        flip=config.data.flip,
    )

    # A directory of its own, or that of the run to continue.
    directory = resume or config.out or run_directory.free_directory(config.recipe)
    if resume is None:
        run_directory.claim(directory)
        save_config(config, directory / "config.yaml")
    elif (directory / "run.json").exists():
        check_unchanged(run_directory.read_json(directory / "run.json")["data"], source)
    rolled_back = rollbacks(directory)
    record = run_directory.describe(command, config.seed) | {
        "recipe": config.recipe,
        "steps": steps,
        "data": source.describe(),
        "rollbacks": rolled_back,
    }
    keeper = Checkpointer(
        directory / "checkpoints", config=identity(config), keep=config.keep_checkpoints, best_metric=config.evaluation.best
    )

    # The state: drawn, or restored to the byte.
    rng = jax.random.key(config.seed)
    params, opt_state = jax.jit(experiment.gan.init, compiler_options=RUN_ONCE)(jax.random.fold_in(rng, 0))
    step = 0
    start = jax.tree.map(jnp.copy, params.generator) if config.monitor.enabled and config.ttur.ema_decay else None
    if resume is not None and keeper.latest() is not None:
        changed = bool(rolled_back) and keeper.latest() == rolled_back[-1]["to_step"]
        (params, opt_state), metadata = keeper.restore((params, opt_state), any_configuration=changed)
        step = int(metadata["step"])
        console.print(f"resuming {directory} at step {step}", highlight=False)
    record |= {"parameters": {p: sum(leaf.size for leaf in jax.tree.leaves(getattr(params, p))) for p in Players._fields}}
    run_directory.write_json(directory / "run.json", record)
    metrics_file, timing_file = (JsonLines(directory / name, after_step=step or -1) for name in (METRICS, TIMING))
    watch = Watch(config, describe_setting(config, experiment, params, opt_state, steps), directory)
    probes = Probes(config, experiment, source, start) if config.monitor.enabled and config.sample_every else None
    board = tensorboard_writer(directory, step) if config.tensorboard else None
    draw_samples = sampler(config, experiment, source)

    # The loop.
    program = jax.jit(feed.gathering(chunk_step(experiment, config.scan_steps)), donate_argnums=(0, 1))
    last = (
        jax.jit(feed.gathering(chunk_step(experiment, steps % config.scan_steps)), donate_argnums=(0, 1))
        if steps % config.scan_steps
        else program
    )
    train_rng = jax.random.fold_in(rng, 1)
    started, pending, saved = time.monotonic(), None, step
    first_step = step

    def write(at: int, figures: dict[str, float], bar: ProgressBar) -> None:
        metrics_file.write({"step": at} | figures)
        watch.observe({"step": at} | figures, bar.say)

    def flush(pending: tuple[int, dict[str, Array]] | None, bar: ProgressBar) -> None:
        if pending is None:
            return
        at, values = pending
        figures = visible({name: float(value) for name, value in jax.device_get(values).items()})
        write(at, figures, bar)
        elapsed = time.monotonic() - started
        timing_file.write({"step": at, "time": elapsed, "images_per_second": (at - first_step) * config.batch_size * rounds / elapsed})
        if board is not None:
            for name, value in figures.items():
                board.add_scalar(name, value, at)
        bar.show(at, figures)

    def save(at: int, metrics: dict[str, float] | None = None) -> None:
        details = {"step": at, "seed": config.seed, "data_position": at, "metrics": metrics or {}}
        keeper.save(at, (params, opt_state), details)

    def show(at: int, bar: ProgressBar) -> None:
        samples = draw_samples(params, opt_state)
        survive("the samples", lambda: write_samples(directory, at, samples), bar.say)
        if probes is not None:
            write(at, probes(samples, params, opt_state), bar)

    with stop_on_interrupt() as wishes, ProgressBar(steps, step, console) as bar:
        if step == 0 and config.sample_every:
            show(0, bar)
        while step < steps and not wishes and watch.failure is None:
            count = min(config.scan_steps, steps - step)
            params, opt_state, metrics = (program if count == config.scan_steps else last)(
                params, opt_state, feed.chunk(step, count), train_rng
            )
            before, step = step, step + count
            flush(pending, bar)
            pending = (step, metrics) if crosses(before, step, config.log_every) or step == steps else None
            bar.advance(step)
            to_sample = bool(config.sample_every) and (crosses(before, step, config.sample_every) or step == steps)
            to_evaluate = bool(config.evaluation.every) and crosses(before, step, config.evaluation.every)
            to_save = to_evaluate or (config.checkpoint_every and crosses(before, step, config.checkpoint_every)) or step == steps
            if to_sample or to_save:
                # These wait for the step anyway; the records stay in order, and none is missing beside a checkpoint.
                flush(pending, bar)
                pending = None
            if to_sample:
                show(step, bar)
            measured = None
            if to_evaluate:
                measured = evaluate(config, experiment, source, params, opt_state)
                figures = {f"evaluation/{row['metric']}": row["value"] for row in measured}
                bar.say(f"step {step}: " + "  ".join(f"{name} {value:.3f}" for name, value in figures.items()))
                write(step, figures, bar)
                measured = metric_values(measured)
            if to_save and watch.failure is None:
                save(step, measured)
                saved = step
        flush(pending, bar)

    # The end: what was reached is kept, measured and shown.
    failure = watch.failure
    if (step != saved and failure is None) or keeper.latest() is None:
        save(step)
    stored = keeper.close()
    feed.close()
    if board is not None:
        board.close()
    if failure is not None and config.monitor.on_failure == "rollback" and len(rolled_back) < config.monitor.rollbacks and not wishes:
        changed_config, happened = roll_back(config, directory, keeper, failure)
        run_directory.write_json(directory / "run.json", record | {"rollbacks": [*rolled_back, happened]})
        console.print(f"rolling back to step {happened['to_step']} with {happened['changed']}", highlight=False)
        return train(changed_config, resume=directory, command=command, console=console)
    survive("the animation", lambda: write_animation(directory), console.print)
    status = "stopped" if failure is not None else "interrupted" if step < steps else "finished"
    record |= {"status": status, "step": step, "seconds": round(time.monotonic() - started, 1)}
    survive("run.json", lambda: run_directory.write_json(directory / "run.json", record), console.print)
    if failure is not None:
        console.print(
            f"stopped at step {step}: {failure.what}; the checkpoint of step {keeper.latest()} is kept; "
            f"try {failure.advice[0]}, or continue with: python experiments/train.py --resume {directory} --on-failure warn",
            highlight=False,
        )
    elif step < steps:
        where = f"saved at step {step}" if stored else "the last step could not be saved"
        console.print(
            f"interrupted; {where}; continue with: python experiments/train.py {config.recipe} --resume {directory}", highlight=False
        )
    elif config.evaluation.samples:
        try:
            evaluate_run(directory, config, experiment, source, params, opt_state, console=console)
        except ConfigError as error:
            console.print(f"not measured: {error}", highlight=False)
    report = survive("the report", lambda: write_report(directory), console.print)
    if report is not None:
        console.print(f"report: {report}", highlight=False)
    return Trained(directory, params, opt_state, step, failure)


def survive(what: str, write: Callable[[], Any], say: Callable[[str], Any]) -> Any:
    """Writes something that a run can do without; a disk that refuses it is a line, not the end of the training."""
    try:
        return write()
    except (OSError, ReportError) as error:
        say(f"{what} could not be written ({getattr(error, 'strerror', None) or error}); going on without")
        return None


def crosses(before: int, after: int, interval: int) -> bool:
    """Whether a multiple of the interval lies in (before, after]."""
    return after // interval > before // interval


def sampler(config: Config, experiment: Experiment, source: Any) -> Callable[[Players, Any], np.ndarray]:
    """The grid of samples from fixed latents (and labels, one a column; and contexts, of held-out images)."""
    count = config.sample_grid**2
    rng = jax.random.fold_in(jax.random.key(config.seed), 2)
    game = experiment.game
    labels = jnp.arange(count) % game.num_classes if game.num_classes else None
    context = None
    if needs_context(experiment):
        shown = source.held_out if source.held_out is not None else source
        real = jnp.asarray(np.stack([shown.images[index % len(shown)] for index in range(count)]))
        context = game.deal({"image": real, "label": jnp.zeros(count, jnp.int32)}, rng).context
    draw = jax.jit(lambda params, opt_state: experiment.gan.sample(params, opt_state, rng, count, labels, context))
    return lambda params, opt_state: np.asarray(draw(params, opt_state))


def write_samples(directory: Path, step: int, samples: np.ndarray) -> None:
    """Writes a grid of samples; points become a scatter picture."""
    picture = pictures.image_grid(samples) if samples.ndim == 4 else pictures.scatter(samples)
    pictures.save_png(
        directory / "samples" / f"step_{step:08d}.png", picture, scale=2 if samples.ndim == 4 and samples.shape[1] <= 32 else 1
    )


def write_animation(directory: Path) -> None:
    """Gathers the grids of samples into an animation."""
    files = sorted((directory / "samples").glob("step_*.png"))
    if files:
        frames = [pictures.load_png(file) for file in files]
        labels = [f"step {int(file.stem.removeprefix('step_'))}" for file in files]
        pictures.save_gif(directory / "samples" / "animation.gif", frames, labels=labels)


def tensorboard_writer(directory: Path, step: int) -> Any:
    """A TensorBoard writer, where tensorboardX is installed."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(directory / "tensorboard"), purge_step=step + 1 if step else None)
