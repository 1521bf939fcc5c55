"""Samples from a trained generator.

    python experiments/sample.py RUN --count 64
    python experiments/sample.py RUN --interpolate 10            rows of great-circle interpolations
    python experiments/sample.py RUN --diagram j                 White's J-diagram; --diagram mine for a MINE grid
    python experiments/sample.py RUN --pairs --count 8           of a model that is given an image: what it is given, its answer, the image
    python experiments/sample.py RUN --count 5000 --format npz   the images as an array

Writes one file, into RUN/pictures or to --out.
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
    pairs: bool = False
    """Of a model that is given an image: what it is given, its answer, and the image that was there, in three rows of --count columns."""
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


def plain_samples(stored: Any, flags: Flags) -> tuple[Any, int | None]:
    """Images, and the columns of their grid: one for each class where there are any."""
    import numpy as np

    from gan_jax.trainer.evaluate import sample_images

    classes = stored.built.spec.num_classes
    images, _ = sample_images(
        stored.built,
        stored.params,
        stored.opt_state,
        flags.count,
        seed=flags.seed,
        source=stored.source.held_out or stored.source,
        ema=not flags.raw_weights,
        truncation=flags.truncation,
        labels=None if flags.label is None else np.full(flags.count, flags.label),
    )
    return images, classes if classes and flags.label is None and flags.count >= classes else None


def along_latents(stored: Any, flags: Flags) -> tuple[Any, int | None]:
    """Images of a grid of latents: an interpolation or a diagram."""
    import jax
    import numpy as np

    from gan_jax import latents
    from gan_jax.trainer import image_grid

    spec, rng = stored.built.spec, jax.random.key(flags.seed)
    if flags.diagram == "j":
        corners = spec.sample_latents(rng, (3, spec.latent_dim))
        grid = latents.j_diagram(*corners, rows=8, columns=8)
    elif flags.diagram == "mine":
        anchors = spec.sample_latents(rng, (9, spec.latent_dim)).reshape(3, 3, -1)
        grid = latents.mine_grid(anchors, spacing=3)
    else:
        ends = spec.sample_latents(rng, (2 * flags.count, spec.latent_dim))
        grid = latents.great_circle_strip(ends[::2], ends[1::2], steps=flags.interpolate)
    flat = grid.reshape(-1, spec.latent_dim)
    labels = jax.numpy.full(len(flat), flags.label or 0) if spec.num_classes else None
    ema = not flags.raw_weights
    drawn = np.asarray(stored.built.gan.sample(stored.params, stored.opt_state, rng, len(flat), labels, latents=flat, ema=ema))
    return (image_grid.to_uint8(drawn) if drawn.ndim == 4 else drawn), grid.shape[1]


def pairs(stored: Any, flags: Flags) -> tuple[Any, int | None]:
    """What a model is given, its answers, and the images that were there, all at the images' size."""
    import jax
    import numpy as np

    from gan_jax.trainer import image_grid

    source, spec = stored.source.held_out or stored.source, stored.built.spec
    count, rng = min(flags.count, len(source)), jax.random.key(flags.seed)
    real = np.stack([source.images[index] for index in range(count)]) / np.float32(127.5) - 1

    @jax.jit
    def answers(params: Any, opt_state: Any, rng: Any, real: Any) -> tuple[Any, Any]:
        context = spec.context(jax.random.fold_in(rng, 1), real)
        options = {"ema": not flags.raw_weights, "truncation": flags.truncation}
        return context, stored.built.gan.sample(params, opt_state, rng, count, None, context, **options)

    context, drawn = answers(stored.params, stored.opt_state, rng, real)
    given = np.asarray(context)[..., : real.shape[-1]]  # without a mask
    given = given.repeat(real.shape[1] // given.shape[1], axis=1).repeat(real.shape[2] // given.shape[2], axis=2)
    rows = (np.broadcast_to(given, real.shape), np.asarray(drawn), real)
    return image_grid.to_uint8(np.concatenate(rows)), count


def way_of(flags: Flags) -> Callable[[Any, Flags], tuple[Any, int | None]]:
    """Which of the three the flags ask for; refuses flags that another way has."""
    from gan_jax.trainer.config import ConfigError

    along = flags.diagram != "none" or flags.interpolate != 0
    if flags.diagram != "none" and flags.interpolate:
        raise ConfigError("--interpolate: goes without --diagram")
    if flags.interpolate < 0 or flags.interpolate == 1:
        raise ConfigError(f"--interpolate {flags.interpolate}: must be at least 2, or 0 for none")
    if flags.pairs and (along or flags.label is not None):
        raise ConfigError("--pairs: goes without --interpolate, --diagram and --label")
    if flags.truncation is not None and (along or flags.truncation <= 0):
        raise ConfigError(f"--truncation {flags.truncation}: must be positive, and goes without --interpolate and --diagram")
    return pairs if flags.pairs else along_latents if along else plain_samples


def check_model(flags: Flags, stored: Any) -> None:
    """Refuses what the run's model cannot show."""
    from gan_jax.models import MODELS
    from gan_jax.trainer.config import ConfigError

    model, classes = stored.config.model.name, stored.built.spec.num_classes
    context = MODELS[model].context
    if flags.label is not None and not 0 <= flags.label < classes:
        raise ConfigError(f"--label {flags.label}: the model knows {classes or 'no'} classes")
    if (flags.interpolate or flags.diagram != "none") and context not in (None, "real"):
        raise ConfigError(f"--interpolate, --diagram: the model {model} draws from images, not from latents alone")
    if flags.pairs and context in (None, "real"):  # an encoder's images are not what the decoder answers
        raise ConfigError(f"--pairs: the samples of the model {model} answer no image")
    if flags.format != "npz" and not stored.source.is_images:
        raise ConfigError(f"--format {flags.format}: the samples are points; take --format npz")


def main() -> None:
    """Reads the flags and draws."""
    flags = common.parse(lambda: tyro.cli(Flags, description=__doc__, config=(tyro.conf.PositionalRequiredArgs,)))
    with common.errors_as_lines():
        import numpy as np

        from gan_jax.trainer import image_grid
        from gan_jax.trainer.config import ConfigError
        from gan_jax.trainer.restore import load_run

        if flags.count < 1:
            raise ConfigError(f"--count {flags.count}: must be at least 1")
        if flags.out and flags.out.exists():
            raise ConfigError(f"--out {flags.out}: exists already")
        way = way_of(flags)
        common.compilation_cache(None)
        stored = load_run(flags.run, step=flags.step)
        check_model(flags, stored)
        if flags.standing_statistics:
            stored = stored.with_standing_statistics(flags.standing_statistics, seed=flags.seed, ema=not flags.raw_weights)
        images, columns = way(stored, flags)
        place = flags.out or free_file(flags.run / "pictures" / f"samples.{flags.format}")
        place.parent.mkdir(parents=True, exist_ok=True)
        if flags.format == "npz":
            np.savez_compressed(place, images=images)
        elif flags.format == "gif":
            image_grid.save_gif(place, list(images), scale=4)
        else:
            image_grid.save_png(place, image_grid.image_grid(images, cols=columns), scale=2)
        print(place)


if __name__ == "__main__":
    main()
