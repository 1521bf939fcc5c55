"""Samples from a trained generator.

    python experiments/sample.py RUN --count 64
    python experiments/sample.py RUN --interpolate 10            rows of great-circle interpolations
    python experiments/sample.py RUN --diagram j                 White's J-diagram; --diagram mine for a MINE grid
    python experiments/sample.py RUN --count 5000 --format npz   the images as an array

Writes one file, into RUN/pictures or to --out.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import command_line
import tyro


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to draw."""

    run: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Directory of the run."""
    count: int = 64
    """Number of samples; of rows, with --interpolate."""
    seed: int = 0
    """Of the latents."""
    truncation: float | None = None
    """Condition normal latents on |z| at most this."""
    interpolate: int = 0
    """Steps of a great-circle interpolation in each of --count rows; 0 for none."""
    diagram: Literal["none", "j", "mine"] = "none"
    """White's J-diagram or MINE grid."""
    label: int | None = None
    """Class of all the samples of a conditional model; by default a column for each."""
    format: Literal["png", "gif", "npz"] = "png"
    """A grid, an animation, or an array `images` uint8 [count, height, width, channels]."""
    out: Path | None = None
    """The file to write; by default RUN/pictures/samples.FORMAT, numbered where that is taken."""
    step: int | None = None
    """Which checkpoint; by default the newest."""
    standing_statistics: int = 0
    """Make batch norm's averages anew over so many batches before sampling; 0 to sample with those of the training."""
    raw_weights: bool = False
    """Sample from the weights themselves, not from their moving average."""


def free_file(path: Path) -> Path:
    """The path, or the first of NAME-2, NAME-3 ... that is not taken."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found


def main() -> None:
    """Reads the flags and draws."""
    flags = command_line.parse(lambda: tyro.cli(Flags, description=__doc__, config=(tyro.conf.PositionalRequiredArgs,)))
    with command_line.errors_as_lines():
        import jax
        import numpy as np

        from gan_jax import latents, pictures
        from gan_jax.config import ConfigError
        from gan_jax.evaluation import sample_images
        from gan_jax.stored_run import load_run

        if flags.count < 1:
            raise ConfigError(f"--count {flags.count}: must be at least 1")
        command_line.compilation_cache(None)
        stored = load_run(flags.run, step=flags.step)
        if flags.standing_statistics:
            stored = stored.with_standing_statistics(flags.standing_statistics, seed=flags.seed, ema=not flags.raw_weights)
        game, columns = stored.experiment.game, None
        classes = game.num_classes
        if flags.label is not None and not 0 <= flags.label < classes:
            raise ConfigError(f"--label {flags.label}: the model knows {classes or 'no'} classes")
        if flags.diagram == "none" and not flags.interpolate:
            labels = None if flags.label is None else np.full(flags.count, flags.label)
            images, _ = sample_images(
                stored.experiment,
                stored.params,
                stored.opt_state,
                flags.count,
                seed=flags.seed,
                source=stored.source.held_out or stored.source,
                ema=not flags.raw_weights,
                truncation=flags.truncation,
                labels=labels,
            )
            columns = classes if classes and flags.label is None and flags.count >= classes else None
        else:
            rng = jax.random.key(flags.seed)
            if flags.diagram == "j":
                corners = game.sample_latents(rng, (3, game.latent_dim))
                grid = latents.j_diagram(*corners, rows=8, columns=8)
            elif flags.diagram == "mine":
                anchors = game.sample_latents(rng, (9, game.latent_dim)).reshape(3, 3, -1)
                grid = latents.mine_grid(anchors, spacing=3)
            else:
                ends = game.sample_latents(rng, (2 * flags.count, game.latent_dim))
                grid = latents.great_circle_strip(ends[::2], ends[1::2], steps=flags.interpolate)
            columns = grid.shape[1]
            flat = grid.reshape(-1, game.latent_dim)
            labels = jax.numpy.full(len(flat), flags.label or 0) if classes else None
            drawn = stored.experiment.gan.sample(
                stored.params, stored.opt_state, rng, len(flat), labels, latents=flat, ema=not flags.raw_weights
            )
            images = pictures.to_uint8(np.asarray(drawn))
        place = flags.out or free_file(flags.run / "pictures" / f"samples.{flags.format}")
        if flags.out and flags.out.exists():
            raise ConfigError(f"--out {flags.out}: exists already")
        place.parent.mkdir(parents=True, exist_ok=True)
        if flags.format == "npz":
            np.savez_compressed(place, images=images)
        elif flags.format == "gif":
            pictures.save_gif(place, list(images), scale=4)
        else:
            pictures.save_png(place, pictures.image_grid(images, cols=columns), scale=2)
        print(place)


if __name__ == "__main__":
    main()
