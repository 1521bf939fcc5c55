"""The state with which a run starts or continues: initialised, taken over from another run, or restored."""

import dataclasses
import shlex
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.checkpoint import CheckpointNotFound
from gan_jax.distributed import decide_on_process_zero, is_main_process, state_shardings, to_local
from gan_jax.trainer.config import load_config, save_config
from gan_jax.trainer.failure_policy import describe_run
from gan_jax.trainer.run_directory import RunError
from gan_jax.trainer.training_run import RUN_ONCE, TrainingRun, Writers
from gan_jax.trainer.writers.loggers import Loggers
from gan_jax.trainer.writers.metric_writer import MetricWriter
from gan_jax.trainer.writers.samples import SampleWriter
from gan_jax.typing import Players


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
    config, init = run.config, run.built.gan.init
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
        state, step = restore_latest(run, state, latest)
    elif run.resumed:
        run.print(f"{run.directory} has no checkpoint; starting again at step 0")
    return state, step, make_writers(run, state, step, start)


def restore_latest(run: TrainingRun, state: tuple[Players, Any], latest: str) -> tuple[tuple[Players, Any], int]:
    """Restores the newest checkpoint of a resumed run into a state, in every process. Returns the state and its step.

    Args:
        run: The run.
        state: A state of the same form.
        latest: The step of the newest checkpoint, see `latest_checkpoint`.

    Raises:
        RunError: There is no usable checkpoint, or it is past the last step of the run.
    """
    changed = bool(run.rolled_back) and int(latest) == run.rolled_back[-1]["to_step"]
    restored: list[Any] = []

    def restore(step: int | None = None) -> str:
        try:
            restored[:] = run.manager.restore(state, step, any_configuration=changed)
        except CheckpointNotFound as error:
            raise RunError(no_checkpoint(run)) from error
        return str(restored[1]["step"])

    step = int(decide_on_process_zero(restore, RunError))
    if not is_main_process():
        restore(step)
    if step > run.config.steps:
        raise RunError(f"--steps {run.config.steps}: {run.directory} is at step {step} already; take at least {step}")
    run.print(f"resuming {run.directory} at step {step}")
    return restored[0], step


def make_writers(run: TrainingRun, state: tuple[Players, Any], step: int, start: Any) -> Writers | None:
    """Begins run.json and makes the writers, which continue at a step. None in processes other than process 0.

    Args:
        run: The run.
        state: (params, opt_state). Call this in every process, because each has a part of it.
        step: The step of the state.
        start: The untrained parameters of G, with which the average begins, or None.

    Raises:
        OSError: run.json cannot be written.
    """
    local = to_local(run.placement, state)
    if run.record is None:
        return None
    config = run.config
    keep_steps(run)
    parameters = {p: sum(leaf.size for leaf in jax.tree.leaves(getattr(state[0], p))) for p in Players._fields}
    run.record.begin(step, {"parameters": parameters})
    run.manager.clear_leftovers()
    info = describe_run(config, run.built, *local, config.steps)
    images_per_step = config.batch_size * run.built.rule.batches_per_step
    loggers = Loggers(config, run.directory, step, run.print)
    options: dict[str, Any] = {"images_per_step": images_per_step, "loggers": loggers, "writers": run.built.own.writers}
    metrics = MetricWriter(config, info, run.directory, step=step, **options)
    return Writers(metrics, SampleWriter(config, run.built, run.source, run.directory, metrics, step=step, start=start))
