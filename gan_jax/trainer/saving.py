"""Saves the state of a run: at a step of the loop, and after the last one. Weights that are not finite are never saved."""

import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.distributed import any_across_processes, decide_on_process_zero
from gan_jax.gan.make import sampling_params
from gan_jax.trainer.run_directory import RunError
from gan_jax.trainer.training_run import RUN_ONCE, TrainingRun
from gan_jax.typing import Players, PyTree


class LoopResult(NamedTuple):
    """The result of `loop`.

    Attributes:
        state: (params, opt_state).
        step: The last train step.
        saved: The step of the last checkpoint.
        interrupted: Whether a stop was requested.
        failed: Whether a finding ended the loop.
        early: Whether the loop ended because of `--evaluation.patience`.
    """

    state: tuple[Players, Any]
    step: int
    saved: int
    interrupted: bool
    failed: bool
    early: bool = False

    def __repr__(self) -> str:
        ending = "failed" if self.failed else "interrupted" if self.interrupted else "finished"
        return f"LoopResult({ending} at step {self.step}, saved at step {self.saved})"


@functools.partial(jax.jit, compiler_options=RUN_ONCE)
def _finite(tree: PyTree) -> jax.Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def all_finite(state: tuple[Players, Any]) -> bool:
    """Whether all weights of G and D and their moving average are finite. Call it in every process.

    Args:
        state: (params, opt_state). Other parts of `opt_state` may hold infinities, e.g. a minimum over no values.
    """
    params, opt_state = state
    return bool(np.asarray(_finite((params, sampling_params(params, opt_state)))))


def save(run: TrainingRun, step: int, state: tuple[Players, Any], metrics: dict[str, float] | None = None) -> bool:
    """Saves a checkpoint, unless a weight is not finite. The last good checkpoints are then kept. Call it in every process.

    Args:
        run: The run.
        step: The step of the state.
        state: (params, opt_state).
        metrics: Values of the metrics at this step. The best checkpoint is selected by them.

    Returns:
        Whether the state is being saved.
    """
    if not all_finite(state):
        newest = run.manager.latest()
        kept = "there is no checkpoint from before" if newest is None else f"the newest checkpoint is of step {newest}"
        run.print(f"step {step}: the weights are not finite and are not saved; {kept}")
        return False
    run.save(step, state, metrics)
    return True


RETRY_SECONDS = (1.0, 5.0, 15.0)  # Pauses before the last state is saved again, e.g. on a disk that was full for a moment.


def save_last(run: TrainingRun, result: LoopResult) -> bool:
    """Saves the last state unless a checkpoint of it exists or the run failed. A failed run is saved if it has no checkpoint at all.

    A save that fails is tried again after each pause in `RETRY_SECONDS`.

    Returns:
        False if a save failed. True otherwise, also if the state is not finite and is not to be saved.
    """
    manager = run.manager
    last_save_failed = any_across_processes(not manager.wait())  # This save is made again.
    unsaved = (last_save_failed or result.step != result.saved) and not result.failed
    if not unsaved and decide_on_process_zero(lambda: str(manager.latest()), RunError) != "None":
        return True
    for pause in (*RETRY_SECONDS, None):
        if not save(run, result.step, result.state):
            return True
        if not any_across_processes(not manager.wait()):
            return True
        if pause is not None:
            run.print(f"the weights of step {result.step} could not be saved; trying again in {pause:g} seconds")
            time.sleep(pause)
    return False
