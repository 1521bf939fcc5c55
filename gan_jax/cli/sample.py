"""Samples from a trained generator.

    gan-jax sample RUN --count 64
    gan-jax sample RUN --interpolate 10            rows of great-circle interpolations
    gan-jax sample RUN --diagram j                 White's J-diagram, or a MINE grid with --diagram mine
    gan-jax sample RUN --pairs --count 8           for image-to-image models: the input, the output and the target
    gan-jax sample RUN --count 5000 --format npz   the images as an array

Writes one file, to RUN/pictures or to --out.
"""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from gan_jax.cli.errors import errors_as_lines
from gan_jax.cli.parsing import parse_flags


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to sample."""

    run: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Directory of the run."""
    count: int = 64
    """Number of samples, or of rows with --interpolate."""
    seed: int = 0
    """Random seed of the latents."""
    truncation: float | None = None
    """Sample normal latents under the condition |z| <= this value."""
    interpolate: int = 0
    """Steps of a great-circle interpolation in each of --count rows. 0 disables it."""
    diagram: Literal["none", "j", "mine"] = "none"
    """White's J-diagram or MINE grid."""
    pairs: bool = False
    """For image-to-image models: the inputs, the outputs and the targets, in three rows of --count columns."""
    label: int | None = None
    """Class of all samples of a conditional model. By default each class has a column."""
    format: Literal["png", "gif", "npz"] = "png"
    """A grid, an animation, or an array `images` uint8 [count, height, width, channels]."""
    out: Path | None = None
    """File to write. By default RUN/pictures/samples.FORMAT, with a number if that file exists."""
    step: int | None = None
    """Step of the checkpoint. By default the newest."""
    standing_statistics: int = 0
    """Recompute the running statistics of batch norm over this many batches. 0 uses those of the training."""
    raw_weights: bool = False
    """Sample with the weights themselves, not with their moving average."""


def free_file(path: Path) -> Path:
    """Returns the path, or the first of NAME-2, NAME-3, ... that does not exist."""
    paths = (path.with_stem(f"{path.stem}-{number}") if number > 1 else path for number in itertools.count(1))
    return next(candidate for candidate in paths if not candidate.exists())


def plain_samples(run: Any, flags: Flags) -> tuple[Any, int | None]:
    """Returns images and the columns of their grid. A conditional model has one column for each class."""
    import numpy as np

    from gan_jax.trainer.evaluate import sample_images

    classes = run.built.spec.num_classes
    images, _ = sample_images(
        run.built,
        run.params,
        run.opt_state,
        flags.count,
        seed=flags.seed,
        source=run.source.held_out or run.source,
        ema=not flags.raw_weights,
        truncation=flags.truncation,
        labels=None if flags.label is None else np.full(flags.count, flags.label),
    )
    return images, classes if classes and flags.label is None and flags.count >= classes else None


def latent_grid(run: Any, flags: Flags) -> tuple[Any, int | None]:
    """Returns the images of a grid of latents, which is an interpolation or a diagram, and its columns."""
    import jax
    import numpy as np

    from gan_jax import latents
    from gan_jax.trainer import image_grid

    spec, rng = run.built.spec, jax.random.key(flags.seed)
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
    images = np.asarray(run.built.gan.sample(run.params, run.opt_state, rng, len(flat), labels, latents=flat, ema=ema))
    return (image_grid.to_uint8(images) if images.ndim == 4 else images), grid.shape[1]


def pairs(run: Any, flags: Flags) -> tuple[Any, int | None]:
    """Returns the inputs of an image-to-image model, its outputs and the targets, all at the size of the targets, and the columns."""
    import jax
    import numpy as np

    from gan_jax.trainer import image_grid

    source, spec = run.source.held_out or run.source, run.built.spec
    count, rng = min(flags.count, len(source)), jax.random.key(flags.seed)
    real = np.stack([source.images[index] for index in range(count)]) / np.float32(127.5) - 1

    @jax.jit
    def outputs(params: Any, opt_state: Any, rng: Any, real: Any) -> tuple[Any, Any]:
        context = spec.context(jax.random.fold_in(rng, 1), real)
        options = {"ema": not flags.raw_weights, "truncation": flags.truncation}
        return context, run.built.gan.sample(params, opt_state, rng, count, None, context, **options)

    context, generated = outputs(run.params, run.opt_state, rng, real)
    inputs = np.asarray(context)[..., : real.shape[-1]]  # Without the mask of inpainting.
    inputs = inputs.repeat(real.shape[1] // inputs.shape[1], axis=1).repeat(real.shape[2] // inputs.shape[2], axis=2)
    rows = (np.broadcast_to(inputs, real.shape), np.asarray(generated), real)
    return image_grid.to_uint8(np.concatenate(rows)), count


def sampler(flags: Flags) -> Callable[[Any, Flags], tuple[Any, int | None]]:
    """Returns the function for the flags.

    Raises:
        ConfigError: Two flags exclude each other, or a value is not allowed.
    """
    from gan_jax.trainer.config import ConfigError

    grid = flags.diagram != "none" or flags.interpolate != 0
    if flags.diagram != "none" and flags.interpolate:
        raise ConfigError("--interpolate: excludes --diagram")
    if flags.interpolate < 0 or flags.interpolate == 1:
        raise ConfigError(f"--interpolate {flags.interpolate}: must be at least 2, or 0 for none")
    if flags.pairs and (grid or flags.label is not None):
        raise ConfigError("--pairs: excludes --interpolate, --diagram and --label")
    if flags.truncation is not None and (grid or flags.truncation <= 0):
        raise ConfigError(f"--truncation {flags.truncation}: must be positive, and excludes --interpolate and --diagram")
    return pairs if flags.pairs else latent_grid if grid else plain_samples


def check_model(flags: Flags, run: Any) -> None:
    """Raises ConfigError if the model of the run does not support the flags."""
    from gan_jax.models import MODELS
    from gan_jax.trainer.config import ConfigError

    model, classes = run.config.model.name, run.built.spec.num_classes
    context = MODELS[model].context
    if flags.label is not None and not 0 <= flags.label < classes:
        raise ConfigError(f"--label {flags.label}: the model has {classes or 'no'} classes")
    if (flags.interpolate or flags.diagram != "none") and context not in (None, "real"):
        raise ConfigError(f"--interpolate, --diagram: the model {model} samples from images, not from latents alone")
    if flags.pairs and context in (None, "real"):  # The images of an encoder are no inputs of the samples.
        raise ConfigError(f"--pairs: the model {model} does not translate images")
    if flags.format != "npz" and not run.source.is_images:
        raise ConfigError(f"--format {flags.format}: the samples are points; use --format npz")


def main(arguments: list[str] | None = None) -> None:
    """Samples and prints the path of the file."""
    flags = parse_flags(Flags, __doc__, arguments, prog="gan-jax sample")
    with errors_as_lines():
        import numpy as np

        from gan_jax.cli.compilation_cache import use_compilation_cache
        from gan_jax.trainer import image_grid
        from gan_jax.trainer.config import ConfigError
        from gan_jax.trainer.restore import load_run

        if flags.count < 1:
            raise ConfigError(f"--count {flags.count}: must be at least 1")
        if flags.out and flags.out.exists():
            raise ConfigError(f"--out {flags.out}: exists already")
        sample = sampler(flags)
        use_compilation_cache()
        run = load_run(flags.run, step=flags.step)
        check_model(flags, run)
        if flags.standing_statistics:
            run = run.with_standing_statistics(flags.standing_statistics, seed=flags.seed, ema=not flags.raw_weights)
        images, columns = sample(run, flags)
        path = flags.out or free_file(flags.run / "pictures" / f"samples.{flags.format}")
        path.parent.mkdir(parents=True, exist_ok=True)
        if flags.format == "npz":
            np.savez_compressed(path, images=images)
        elif flags.format == "gif":
            image_grid.save_gif(path, list(images), scale=4)
        else:
            image_grid.save_png(path, image_grid.image_grid(images, cols=columns), scale=2)
        print(path)
