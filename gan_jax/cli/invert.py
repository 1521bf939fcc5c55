"""Finds the latents whose image is nearest to a given image.

    gan-jax invert IMAGE RUN
    gan-jax invert IMAGE RUN --distance pixels vgg --vgg vgg16.safetensors --steps 1000

Writes two files to RUN/pictures or to --out: the latents (npz), and the image beside its inversion (png). Load the latents with

    with numpy.load("inversion.npz") as file:
        image = generator(file["latents"])  # with file["label"] for a conditional model
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gan_jax.cli.errors import errors_as_lines
from gan_jax.cli.parsing import parse_flags


@dataclasses.dataclass(frozen=True)
class Flags:
    """The image, and how to search."""

    image: Annotated[Path, tyro.conf.arg(metavar="IMAGE")]
    """Image file."""
    run: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Directory of the run."""
    distance: tuple[Literal["pixels", "discriminator", "vgg"], ...] = ("pixels",)
    """What is compared: pixels, features of D, or features of VGG16. Several are added, with equal weights."""
    vgg: Path | None = None
    """Weight file of VGG16."""
    steps: int = 500
    """Number of optimisation steps."""
    starts: int = 16
    """Number of random starts. The best one is kept."""
    learning_rate: float = 0.05
    """Learning rate of Adam at the first step. It falls to 0 along a cosine."""
    prior: float = 1e-3
    """Weight of the mean square of the latents. Larger values keep them near the latents that G was trained with."""
    label: str | None = None
    """Class of a conditional model, by name or number. By default the starts have each class in turn, and the best start decides."""
    seed: int = 0
    """Random seed of the starts."""
    resize: Literal["crop", "pad", "stretch"] = "crop"
    """How an image of another size is brought to that of the run."""
    out: Path | None = None
    """npz file of the latents. The picture has the same name with the ending png. By default RUN/pictures/inversion.npz."""
    step: int | None = None
    """Step of the checkpoint. By default the newest."""
    raw_weights: bool = False
    """Use the weights themselves, not their moving average."""


def check_flags(flags: Flags) -> None:
    """Raises ConfigError if a value is not allowed."""
    from gan_jax.trainer.config import ConfigError

    if not flags.image.is_file():
        raise ConfigError(f"IMAGE {flags.image}: no such file")
    for name, value in (("steps", flags.steps), ("starts", flags.starts)):
        if value < 1:
            raise ConfigError(f"--{name} {value}: must be at least 1")
    if not flags.learning_rate > 0 or not flags.prior >= 0:
        raise ConfigError(f"--learning-rate {flags.learning_rate}, --prior {flags.prior}: must be positive, and not negative")
    if not flags.distance or len(set(flags.distance)) < len(flags.distance):
        raise ConfigError("--distance: must name at least one of pixels, discriminator, vgg, and each once")
    if flags.out and flags.out.suffix != ".npz":
        raise ConfigError(f"--out {flags.out}: must end in .npz")
    for path in (flags.out, flags.out.with_suffix(".png")) if flags.out else ():
        if path.exists():
            raise ConfigError(f"--out {path}: exists already")


def main(arguments: list[str] | None = None) -> None:
    """Searches the latents, and prints the paths of the files and the error."""
    flags = parse_flags(Flags, __doc__, arguments, prog="gan-jax invert")
    with errors_as_lines():
        import numpy as np

        from gan_jax._internal.files import atomic_path
        from gan_jax.cli.compilation_cache import use_compilation_cache
        from gan_jax.data.decode import decode
        from gan_jax.trainer import image_grid
        from gan_jax.trainer.config import ConfigError
        from gan_jax.trainer.data_record import class_of_flag, class_words
        from gan_jax.trainer.inversion import invert_image
        from gan_jax.trainer.loaded_run import load_run
        from gan_jax.trainer.sample_files import free_path

        check_flags(flags)
        use_compilation_cache()
        run = load_run(flags.run, step=flags.step)
        if not run.source.is_images:
            raise ConfigError(f"{flags.run}: its samples are points, not images")
        label = class_of_flag(run, flags.label)
        height, width, channels = run.source.shape
        target = decode(flags.image, size=(height, width), channels=channels, resize=flags.resize)
        result = invert_image(
            run,
            target,
            distances=flags.distance,
            vgg_weights=flags.vgg,
            steps=flags.steps,
            starts=flags.starts,
            learning_rate=flags.learning_rate,
            prior_weight=flags.prior,
            label=label,
            seed=flags.seed,
            ema=not flags.raw_weights,
        )
        path = flags.out or free_path(flags.run / "pictures" / "inversion.npz")
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {"latents": result.latents, "pixel_error": np.float64(result.pixel_error)}
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez(file, **arrays, **({} if result.label is None else {"label": np.array([result.label], np.int32)}))
        image_grid.save_png(path.with_suffix(".png"), image_grid.image_grid(np.stack([target, result.image]), cols=2))
        print(f"{path}, {path.with_suffix('.png')}")
        class_found = "" if result.label is None else f", class {class_words(run, result.label)}"
        print(f"mean squared error {result.pixel_error:.4g} of pixels in [-1, 1], PSNR {result.psnr:.1f} dB{class_found}")
