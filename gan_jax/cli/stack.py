"""Samples of a stacked GAN: every stage is given the images of the stage before.

    python experiments/stack.py runs/stacked_small runs/stacked
    python experiments/stack.py runs/stacked_small runs/stacked --count 1000 --format npz

Writes a grid in which each sample's stages stand side by side, the smallest first, or the images of the last stage.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from gan_jax.cli import common


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to draw."""

    runs: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Directories of the stages' runs, the smallest images first."""
    count: int = 32
    """Number of samples."""
    seed: int = 0
    """Of the latents of every stage."""
    format: Literal["png", "npz"] = "png"
    """A grid of all the stages, or an array `images` uint8 [count, height, width, channels] of the last."""
    out: Path | None = None
    """The file to write; by default LAST_RUN/pictures/stack.FORMAT, numbered where that is taken."""


def stage(stored: Any, count: int) -> Callable[[Any, Any], Any]:
    """One run as a stage: `(rng, context) -> images`."""
    import jax

    sample = stored.built.gan.sample
    draw = jax.jit(lambda params, state, rng, context: sample(params, state, rng, count, None, context))
    return lambda rng, context: draw(stored.params, stored.opt_state, rng, context)


def check_stages(paths: tuple[Path, ...], stages: list[Any]) -> None:
    """Raises ConfigError unless each stage takes what the one before makes, and the first takes nothing."""
    from gan_jax.trainer.config import ConfigError
    from gan_jax.trainer.evaluate import context_shape

    made = None
    for path, stored in zip(paths, stages, strict=True):
        taken = context_shape(stored.built)
        if taken != made:
            wanted, came = taken or "no images", "none come before it" if made is None else f"the stage before makes {made}"
            raise ConfigError(f"{path}: takes {wanted} to begin with, and {came}")
        made = tuple(stored.source.shape)


def main() -> None:
    """Reads the flags and draws."""
    flags = common.parse(lambda: tyro.cli(Flags, description=__doc__, config=(tyro.conf.PositionalRequiredArgs,)))
    with common.errors_as_lines():
        import jax
        import numpy as np

        from gan_jax.cli.sample import free_file
        from gan_jax.models.stacked import sample_stages
        from gan_jax.trainer import image_grid
        from gan_jax.trainer.config import ConfigError
        from gan_jax.trainer.restore import load_run

        if flags.count < 1:
            raise ConfigError(f"--count {flags.count}: must be at least 1")
        if not flags.runs:
            raise ConfigError("RUN: name the stages' runs, the smallest images first")
        if flags.out and flags.out.exists():
            raise ConfigError(f"--out {flags.out}: exists already")
        stages = [load_run(path) for path in flags.runs]
        check_stages(flags.runs, stages)
        common.compilation_cache(None)
        images = sample_stages([stage(stored, flags.count) for stored in stages], jax.random.key(flags.seed))
        shown = [image_grid.to_uint8(np.asarray(of_stage)) for of_stage in images]
        place = flags.out or free_file(flags.runs[-1] / "pictures" / f"stack.{flags.format}")
        place.parent.mkdir(parents=True, exist_ok=True)
        if flags.format == "npz":
            np.savez_compressed(place, images=shown[-1])
        else:
            size = shown[-1].shape[1]
            enlarged = [of_stage.repeat(size // of_stage.shape[1], 1).repeat(size // of_stage.shape[2], 2) for of_stage in shown]
            side_by_side = np.concatenate(enlarged, axis=2)
            columns = max(1, 8 // len(stages))
            image_grid.save_png(place, image_grid.image_grid(side_by_side, cols=columns), scale=2)
        print(place)


if __name__ == "__main__":
    main()
