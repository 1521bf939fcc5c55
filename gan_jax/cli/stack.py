"""Samples from a stacked GAN. Each stage receives the images of the stage before it.

    gan-jax stack runs/stacked_small runs/stacked
    gan-jax stack runs/stacked_small runs/stacked --count 1000 --format npz

Writes a grid with the stages of each sample side by side, the smallest first, or the images of the last stage.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from gan_jax.cli.errors import errors_as_lines
from gan_jax.cli.parsing import parse_flags


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to sample."""

    runs: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Directories of the runs of the stages, the smallest images first."""
    count: int = 32
    """Number of samples."""
    seed: int = 0
    """Random seed of the latents of all stages."""
    format: Literal["png", "npz"] = "png"
    """A grid of all stages, or an array `images` uint8 [count, height, width, channels] of the last stage."""
    out: Path | None = None
    """File to write. By default LAST_RUN/pictures/stack.FORMAT, with a number if that file exists."""


def stage(run: Any, count: int) -> Callable[[Any, Any], Any]:
    """Returns the function `(rng, context) -> images` of one run."""
    import jax

    sample = run.built.gan.sample
    draw = jax.jit(lambda params, state, rng, context: sample(params, state, rng, count, None, context))
    return lambda rng, context: draw(run.params, run.opt_state, rng, context)


def check_stages(paths: tuple[Path, ...], stages: list[Any]) -> None:
    """Raises ConfigError unless each stage takes the images of the stage before it, and the first stage takes none."""
    from gan_jax.trainer.config import ConfigError
    from gan_jax.trainer.contexts import context_shape

    made = None
    for path, run in zip(paths, stages, strict=True):
        taken = context_shape(run.built)
        if taken != made:
            before = "it is the first stage" if made is None else f"the stage before it makes {made}"
            raise ConfigError(f"{path}: takes {taken or 'no images'} as input, and {before}")
        made = tuple(run.source.shape)


def main(arguments: list[str] | None = None) -> None:
    """Samples and prints the path of the file."""
    flags = parse_flags(Flags, __doc__, arguments, prog="gan-jax stack")
    with errors_as_lines():
        import jax
        import numpy as np

        from gan_jax.cli.compilation_cache import use_compilation_cache
        from gan_jax.models.stacked import sample_stages
        from gan_jax.trainer import image_grid
        from gan_jax.trainer.config import ConfigError
        from gan_jax.trainer.loaded_run import load_run
        from gan_jax.trainer.sample_files import free_path

        if flags.count < 1:
            raise ConfigError(f"--count {flags.count}: must be at least 1")
        if not flags.runs:
            raise ConfigError("RUN: name the runs of the stages, the smallest images first")
        if flags.out and flags.out.exists():
            raise ConfigError(f"--out {flags.out}: exists already")
        stages = [load_run(path) for path in flags.runs]
        check_stages(flags.runs, stages)
        use_compilation_cache()
        images = sample_stages([stage(run, flags.count) for run in stages], jax.random.key(flags.seed))
        arrays = [image_grid.to_uint8(np.asarray(stage_images)) for stage_images in images]
        path = flags.out or free_path(flags.runs[-1] / "pictures" / f"stack.{flags.format}")
        path.parent.mkdir(parents=True, exist_ok=True)
        if flags.format == "npz":
            np.savez_compressed(path, images=arrays[-1])
        else:
            size = arrays[-1].shape[1]
            enlarged = [array.repeat(size // array.shape[1], 1).repeat(size // array.shape[2], 2) for array in arrays]
            side_by_side = np.concatenate(enlarged, axis=2)
            columns = max(1, 8 // len(stages))
            image_grid.save_png(path, image_grid.image_grid(side_by_side, cols=columns))
        print(path)
