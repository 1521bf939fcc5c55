"""Samples from a trained generator.

    gan-jax sample RUN --count 64
    gan-jax sample RUN --seeds 0-15,42 --out faces --separate   one file for each seed, in the folder faces
    gan-jax sample RUN --count 5000 --format npz   the images and their classes as arrays
    gan-jax sample RUN --interpolate 10            rows of great-circle interpolations
    gan-jax sample RUN --walk 5 --out walk.mp4     a walk through 5 latents, as gif, webp or mp4
    gan-jax sample RUN --diagram j                 White's J-diagram, or a MINE grid with --diagram mine
    gan-jax sample RUN --direction 1 --count 4     rows along the direction that changes the images most
    gan-jax sample RUN --rejection 80              only samples that the discriminator accepts
    gan-jax sample RUN --pairs --count 8           for image-to-image models: the input, the output and the target
    gan-jax sample RUN --inputs DIR --separate     translates the images of a folder, one file for each

Writes to RUN/pictures or to --out.
"""

import dataclasses
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gan_jax.cli.errors import errors_as_lines
from gan_jax.cli.notices import notice_missing_data
from gan_jax.cli.parsing import parse_flags

if TYPE_CHECKING:
    import numpy as np

    from gan_jax.trainer.loaded_run import LoadedRun
    from gan_jax.trainer.sampling import Samples, Translations

DIRECTION_STEPS = 11  # As in the authors' code (genforce/sefa, commit 69467f2).
WIDEST = 1600  # Maximum width of a file of interpolations in pixels. The report shows images of this width at their size.


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to sample, and what to write."""

    run: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Directory of the run."""
    count: int | None = None
    """Number of samples (64), of rows with --interpolate (64) and --direction (8), or of walks side by side with --walk (1)."""
    seed: int = 0
    """Random seed of the latents."""
    seeds: str | None = None
    """Seeds of single samples, e.g. 0-15,42. A seed always gives the same sample. With paths and
    grids of latents: their points."""
    truncation: float | None = None
    """StyleGAN2: move the styles towards their mean, 0 (the mean) to 1 (all of the distribution), e.g. 0.7. Other models: sample normal
    latents under the condition |z| <= this value. With --interpolate, --walk and --diagram that applies to the points."""
    rejection: float | None = None
    """Discriminator rejection sampling: keep samples that D accepts. The value is the percentile gamma, 0 to 100, e.g. 80. A higher one
    keeps fewer and better samples. D is calibrated on the data of the run."""
    interpolate: int = 0
    """Steps of a great-circle interpolation in each row. A row wider than 1,600 pixels continues on further lines. 0 disables it."""
    walk: int = 0
    """Number of latents of a walk along great circles. 0 disables it."""
    frames: int = 30
    """Frames of a walk from one latent to the next."""
    fps: float = 30.0
    """Frames of an animation per second."""
    closed: bool = True
    """Whether a walk returns to its first latent, so that it repeats without a jump."""
    diagram: Literal["none", "j", "mine"] = "none"
    """White's J-diagram or MINE grid."""
    direction: int = 0
    """Rows of 11 steps along a direction of the latents (SeFa), 1 for the one that changes the images most. 0 disables it."""
    pairs: bool = False
    """For image-to-image models: the inputs, the outputs and the targets, in three rows of --count columns."""
    inputs: Path | None = None
    """For pix2pix and cyclegan: translate the images of this folder or zip archive, e.g. after the images of the run are gone. The grid has
    each input beside its output, and with --separate each output has the name of its input."""
    label: str | None = None
    """Class of all samples of a conditional model, by name or number. By default each class has a column."""
    format: Literal["png", "webp", "gif", "mp4", "npz"] | None = None
    """png, webp: a grid; gif, webp, mp4: an animation; npz: the arrays `images` and `labels`. By default that of --out, or png, or gif."""
    out: Path | None = None
    """File to write, or the folder with --separate. By default RUN/pictures/samples.FORMAT, with a number if that file exists."""
    separate: bool = False
    """Write each sample at its own size into a folder, and the classes of a conditional model into its dataset.json."""
    scale: int = 1
    """Enlarge each pixel of the written images to this many pixels a side."""
    step: int | None = None
    """Step of the checkpoint. By default the newest."""
    standing_statistics: int = 0
    """Recompute the running statistics of batch norm over this many batches. 0 uses those of the training."""
    precision: Literal["float32", "tf32", "bfloat16"] | None = None
    """Arithmetic of the generator, see the flag of training. By default that of the run. bfloat16 is faster and less exact."""
    raw_weights: bool = False
    """Sample with the weights themselves, not with their moving average."""

    @property
    def has_path(self) -> bool:
        """Whether the samples lie on a path or a grid of latents."""
        return self.interpolate != 0 or self.walk != 0 or self.diagram != "none" or self.direction != 0


def parse_seeds(text: str) -> list[int]:
    """The seeds of a text such as "0-15,42".

    Raises:
        ConfigError: The text is something else.
    """
    from gan_jax.trainer.config import ConfigError

    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ConfigError(f"--seeds {text}: must be numbers and ranges with commas between them, e.g. 0-15,42")
        low, high = int(first), int(last or first)
        if not low <= high < 2**31 or len(seeds) + high - low >= 10**6:
            raise ConfigError(f"--seeds {text}: {part} must go upwards, stay below 2147483648, and name at most a million seeds")
        seeds += range(low, high + 1)
    return seeds


def points_needed(flags: Flags) -> int:
    """Number of latents that the path or grid of the flags is made of."""
    if flags.diagram != "none":
        return {"j": 3, "mine": 9}[flags.diagram]
    if flags.walk:
        return (flags.count or 1) * flags.walk
    if flags.direction:
        return len(parse_seeds(flags.seeds)) if flags.seeds and flags.count is None else flags.count or 8
    return 2 * (flags.count or (len(parse_seeds(flags.seeds)) // 2 if flags.seeds else 64))


def file_format(flags: Flags) -> str:
    """The format to write: --format, or the ending of --out, or "png", and "gif" for walks.

    Raises:
        ConfigError: The ending is not one of a format, or the format does not suit the samples.
    """
    from gan_jax.trainer.config import ConfigError
    from gan_jax.trainer.sample_files import ANIMATED, FORMATS, STILL, has_ffmpeg

    ending = "" if flags.separate or flags.out is None else flags.out.suffix[1:].lower()
    if flags.format is None and ending and ending not in FORMATS:
        raise ConfigError(f"--out {flags.out}: must end in one of {', '.join(FORMATS)}, or name --format")
    chosen = flags.format or ending or ("gif" if flags.walk and not flags.separate else "png")
    name = f"--format {chosen}" if flags.format or not ending else f"--out {flags.out}"
    if flags.separate and chosen not in STILL:
        raise ConfigError(f"{name}: --separate writes {' or '.join(STILL)} files")
    if flags.walk and not flags.separate and chosen not in (*ANIMATED, "npz"):
        raise ConfigError(f"{name}: a walk is written as {', '.join(ANIMATED)} or npz, or as single images with --separate")
    if chosen == "mp4" and not flags.walk:
        raise ConfigError(f"{name}: needs --walk")
    if chosen == "mp4" and not has_ffmpeg():
        raise ConfigError(f'{name}: needs the package imageio-ffmpeg: pip install "gan-jax[video]"; or write webp or gif')
    return chosen


def check_flags(flags: Flags) -> None:
    """Raises ConfigError if two flags exclude each other, or if a value is not allowed."""
    from gan_jax.trainer.config import ConfigError

    if flags.count is not None and flags.count < 1:
        raise ConfigError(f"--count {flags.count}: must be at least 1")
    for flag, value in (("interpolate", flags.interpolate), ("walk", flags.walk)):
        if value < 0 or value == 1:
            raise ConfigError(f"--{flag} {value}: must be at least 2, or 0 for none")
    if flags.direction < 0:
        raise ConfigError(f"--direction {flags.direction}: must be at least 1, or 0 for none")
    chosen_paths = {
        "interpolate": flags.interpolate != 0,
        "walk": flags.walk != 0,
        "diagram": flags.diagram != "none",
        "direction": flags.direction != 0,
    }
    paths = [name for name, chosen in chosen_paths.items() if chosen]
    if len(paths) > 1:
        raise ConfigError(f"--{paths[0]}: excludes --{paths[1]}")
    if flags.frames < 1 or flags.scale < 1:
        raise ConfigError(f"--frames {flags.frames}, --scale {flags.scale}: must be at least 1")
    if not 0.1 <= flags.fps <= 100:
        raise ConfigError(f"--fps {flags.fps}: must be between 0.1 and 100")
    if flags.truncation is not None and not 0 <= flags.truncation < math.inf:
        raise ConfigError(f"--truncation {flags.truncation}: must be a number, and not negative")
    if flags.pairs and (flags.has_path or flags.label is not None or flags.seeds is not None or flags.separate):
        raise ConfigError("--pairs: excludes --interpolate, --walk, --diagram, --direction, --seeds, --label and --separate")
    check_rejection_flags(flags)
    others = flags.has_path or flags.label is not None or flags.seeds is not None or flags.pairs or flags.rejection is not None
    if flags.inputs is not None and others:
        raise ConfigError("--inputs: excludes --interpolate, --walk, --diagram, --direction, --seeds, --label, --rejection and --pairs")
    if flags.seeds is not None:
        given = len(parse_seeds(flags.seeds))
        if flags.count is not None and not flags.has_path:
            raise ConfigError("--seeds: excludes --count, because each seed is one sample")
        if flags.has_path and given != points_needed(flags):
            raise ConfigError(f"--seeds {flags.seeds}: must name {points_needed(flags)} seeds here, one for each point; got {given}")
    if flags.out and flags.out.exists() and not (flags.separate and flags.out.is_dir() and not any(flags.out.iterdir())):
        raise ConfigError(f"--out {flags.out}: exists already")


def check_rejection_flags(flags: Flags) -> None:
    """Raises ConfigError if `--rejection` is out of range, excludes another flag, or if RUN is an exported generator."""
    from gan_jax.trainer.config import ConfigError

    if flags.rejection is None:
        return
    if not 0 <= flags.rejection <= 100:
        raise ConfigError(f"--rejection {flags.rejection}: must be a percentile between 0 and 100")
    if flags.has_path or flags.seeds is not None or flags.pairs:
        raise ConfigError("--rejection: excludes --interpolate, --walk, --diagram, --direction, --seeds and --pairs")
    if flags.run.is_file():
        raise ConfigError(
            f"--rejection: {flags.run} is a file; an exported generator has no discriminator, so name the directory of its run"
        )


def check_model(flags: Flags, run: "LoadedRun") -> None:
    """Raises ConfigError if the model of the run does not support the flags."""
    from gan_jax.models import MODELS
    from gan_jax.trainer.config import ConfigError

    model = run.config.model.name
    context = MODELS[model].context
    if (flags.has_path or flags.seeds is not None) and context not in (None, "real"):
        raise ConfigError(
            f"--seeds, --interpolate, --walk, --diagram, --direction: the model {model} samples from images, not from latents alone"
        )
    styles = run.built.spec.generator.mapping is not None
    if flags.truncation == 0 and not styles:
        raise ConfigError("--truncation 0: must be positive, because the model has no styles")
    if flags.truncation is not None and not styles and run.config.model.latents not in ("normal", "truncated_normal"):
        raise ConfigError(f"--truncation {flags.truncation}: the latents of the run are {run.config.model.latents}, not normal")
    if flags.pairs and context in (None, "real"):  # The images of an encoder are no inputs of the samples.
        raise ConfigError(f"--pairs: the model {model} does not translate images")
    if flags.inputs is not None and context not in ("image", "domains"):
        raise ConfigError(f"--inputs: the model {model} does not translate images of files")
    if file_format(flags) != "npz" and not run.source.is_images:
        raise ConfigError(f"--format {file_format(flags)}: the samples are points; use --format npz")


def sample(run: "LoadedRun", flags: Flags, label: int | None = None, direction: "np.ndarray | None" = None) -> "Samples | Translations":
    """Returns the samples of the flags. `label` is the number of the class that they name, and `direction` the direction."""
    from gan_jax.trainer import sampling

    weights = sampling.Weights(not flags.raw_weights, flags.truncation)
    seeds = parse_seeds(flags.seeds) if flags.seeds is not None else []
    count = flags.count or 64
    if flags.rejection is not None:
        from gan_jax.trainer.rejection import rejection_samples

        return rejection_samples(
            run,
            count,
            seed=flags.seed,
            weights=weights,
            gamma_percentile=flags.rejection,
            label=label,
            print_line=lambda line: print(line, file=sys.stderr),
        )
    if flags.inputs is not None:
        return sampling.translated_files(run, flags.inputs, count=flags.count, seed=flags.seed, weights=weights)
    if flags.pairs:
        return sampling.translation_pairs(run, count, seed=flags.seed, weights=weights)
    if not flags.has_path and seeds:
        return sampling.samples_of_seeds(run, seeds, weights=weights, label=label)
    if not flags.has_path:
        return sampling.independent_samples(run, count, seed=flags.seed, weights=weights, label=label)
    if direction is not None:
        shape = {"steps": DIRECTION_STEPS, "seed": flags.seed}
        return sampling.along_direction(run, direction, points_needed(flags), **shape, seeds=seeds, weights=weights, label=label)
    points = sampling.anchors(run, points_needed(flags), seed=flags.seed, seeds=seeds, weights=weights)
    if flags.walk:
        shape = {"walks": flags.count or 1, "steps": flags.frames, "closed": flags.closed}
        return sampling.walk(run, points, **shape, weights=weights, label=label)
    if flags.interpolate:
        return sampling.interpolations(run, points, steps=flags.interpolate, weights=weights, label=label)
    return sampling.diagram(run, flags.diagram, points, weights=weights, label=label)


def write(samples: "Samples | Translations", flags: Flags, class_names: tuple[str, ...] = ()) -> Path:
    """Writes the samples and returns the path of the file or folder."""
    from gan_jax.trainer import image_grid, sample_files

    ending = file_format(flags)
    default = flags.run / "pictures" / ("samples" if flags.separate else f"samples.{ending}")
    path = flags.out or sample_files.free_path(default)
    if flags.separate:
        by_seed = flags.seeds is not None and not flags.has_path
        names = [f"seed{seed:04}" for seed in parse_seeds(flags.seeds)] if by_seed else getattr(samples, "names", None)
        sample_files.save_folder(path, samples.images, samples.labels, names=names, ending=ending, scale=flags.scale)
    elif ending == "npz":
        sample_files.save_arrays(path, samples.images, samples.labels, class_names)
    elif flags.walk:
        sample_files.save_animation(path, samples.images, ending=ending, fps=flags.fps, scale=flags.scale)
    elif ending == "gif":
        image_grid.save_gif(path, list(samples.images), scale=flags.scale)
    else:
        sample_files.save_still(path, still_grid(samples, flags), ending=ending, scale=flags.scale)
    return path


def still_grid(samples: "Samples | Translations", flags: Flags) -> "np.ndarray":
    """The samples as one image. Long interpolations continue on further lines, so that the image stays readable."""
    from gan_jax.trainer import image_grid

    if flags.interpolate:
        return image_grid.wrapped_grid(samples.images, flags.interpolate, widest=max(1, WIDEST // flags.scale))
    images = samples.images if flags.inputs is None else samples.beside_inputs()
    return image_grid.image_grid(images, cols=samples.columns)


def main(arguments: list[str] | None = None) -> None:
    """Samples and prints the path of the file or folder."""
    flags = parse_flags(Flags, __doc__, arguments, prog="gan-jax sample")
    with errors_as_lines():
        from gan_jax.cli.compilation_cache import use_compilation_cache
        from gan_jax.trainer import sampling
        from gan_jax.trainer.data_record import class_names, class_of_flag
        from gan_jax.trainer.directions import direction_of
        from gan_jax.trainer.loaded_run import load_run

        check_flags(flags)
        file_format(flags)
        use_compilation_cache()
        run = load_run(flags.run, step=flags.step)
        notice_missing_data(run)
        label = class_of_flag(run, flags.label)
        check_model(flags, run)
        if flags.standing_statistics:
            run = run.with_standing_statistics(flags.standing_statistics, seed=flags.seed, ema=not flags.raw_weights)
        direction = direction_of(run, flags.direction, ema=not flags.raw_weights) if flags.direction else None
        run = sampling.folded(run, ema=not flags.raw_weights, precision=flags.precision)
        print(write(sample(run, flags, label, direction), flags, class_names(run)))
