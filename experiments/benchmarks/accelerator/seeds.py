"""Part 3: many runs of one program under `vmap`."""

from typing import Any

from experiments.benchmarks import jax_steps
from experiments.benchmarks.accelerator.scale import Scale
from experiments.benchmarks.accelerator.session import Session
from experiments.benchmarks.accelerator.steps import time_program

HIDDEN = {"generator_hidden": (128, 128), "discriminator_hidden": (128, 128), "latent_dim": 2}


def measure(scale: Scale, model: str, seeds: int) -> dict[str, Any]:
    """Milliseconds per step and run of a number of runs at once."""
    toy = scale.peak_size <= 1024
    if model == "points":
        gan, shape, batch = jax_steps.make("points", image_shape=(2,), **HIDDEN), (2,), 256
    else:
        side = 8 if toy else 32
        gan, shape, batch = jax_steps.make("dcgan", image_shape=(side, side, 1), width=4 if toy else 16), (side, side, 1), 4 if toy else 64
    program = jax_steps.sweep(gan, seeds=seeds, image_shape=shape, batch=batch, scan=2 if toy else 25)
    return time_program(program, scale.sample_seconds) | {"runs": seeds}


def run(session: Session, scale: Scale) -> None:
    """Runs the part, the largest numbers first, because they answer whether it pays."""
    for model, counts in zip(("points", "dcgan"), scale.seeds):
        for count in (counts[0], *reversed(counts[1:])):
            session.item(
                f"seeds/{model} {count}",
                lambda model=model, count=count: measure(scale, model, count),
                needs=scale.compile_seconds,
                kind=f"seeds {model}",
            )
