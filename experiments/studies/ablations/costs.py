"""Cost of a trick: its step and the baseline's, timed in turn."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmarks import jax_steps
from experiments.benchmarks.timing import Candidate, interleave
from experiments.studies.ablations import baselines
from experiments.studies.ablations.tricks import Changes
from gan_jax.trainer.config import Config

SCAN = 50  # steps per call on points


def points_candidate(config: Config) -> Candidate:
    """The step of a configuration on a mixture, for one run on random points."""
    from gan_jax.trainer.build.data import load_data
    from gan_jax.trainer.build.gan import build

    source = load_data(config)
    built = build(config, source.shape)
    batch = config.batch_size * built.rule.batches_per_step
    program = jax_steps.training(built.gan, image_shape=source.shape, batch=batch, scan=SCAN)
    return Candidate(program.call, program.steps)


def images_candidate(config: Config) -> Candidate:
    """The step of a configuration on images, as `baselines.train_images` makes it, so the compilation cache has it after a run."""
    training = baselines.image_training(config)
    rng = jax.random.key(0)
    params, opt_state = training.init(rng)
    chunk = jax.tree.map(jnp.asarray, training.feed(0).chunk(0, config.scan_steps))
    box = [(params, opt_state)]

    def call() -> None:
        params, opt_state, _ = training.program(*box[0], chunk, rng)
        box[0] = jax.block_until_ready((params, opt_state))

    return Candidate(call, config.scan_steps)


def candidate(data: str, changes: Changes) -> Candidate:
    """The candidate of a configuration."""
    config = baselines.changed(baselines.baseline(data), changes)
    return (points_candidate if baselines.group_of(data) == "mixture" else images_candidate)(config)


@cache
def _plain(data: str) -> Candidate:
    return candidate(data, {})


def measure(data: str, changes: Changes, *, seconds: float = 3.0) -> dict[str, Any]:
    """Milliseconds of a step of a configuration and of the baseline, and their ratio. Both are medians of samples taken in turn."""
    candidates = {"trick": candidate(data, changes), "baseline": _plain(data)}
    times = {name: 1e3 * timing.median for name, timing in interleave(candidates, seconds=seconds, sample_seconds=0.15).items()}
    ratio = times["trick"] / times["baseline"]
    return {"milliseconds": round(times["trick"], 3), "milliseconds_baseline": round(times["baseline"], 3), "ratio": round(ratio, 4)}
