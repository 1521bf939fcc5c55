"""Measures a set of images against another.

    gan-jax measure FAKES REALS                                two folders of images
    gan-jax measure runs/mine REALS --extractor inception_v3 --weights WEIGHTS   samples of a run
    gan-jax measure samples.npz REALS --save-reference reals.npz   also keeps the statistics of REALS
    gan-jax measure samples.npz reals.npz                      measures against them, without the images

Each of the two is a folder of images, the directory of a run, an npz file with `images` (uint8), or a file of statistics: one of
--save-reference, one of pytorch-fid, or an npz file with `features` [count, dim] of any origin.

Prints a table, and every number with its protocol with --out.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gan_jax.cli.errors import errors_as_lines
from gan_jax.cli.parsing import parse_flags


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to measure, and how."""

    a: Annotated[Path, tyro.conf.arg(metavar="A")]
    """The images to measure."""
    b: Annotated[Path, tyro.conf.arg(metavar="B")]
    """The reference."""
    metrics: tuple[str, ...] = ()
    """Metrics. By default the Fréchet and kernel distances, precision, recall, density, coverage and the sliced Wasserstein distance."""
    extractor: Literal["auto", "none", "pixels", "vgg16", "digit_classifier", "inception_v3"] = "auto"
    """Feature network. auto is that of the statistics, inception_v3 if --weights is given, and otherwise none: metrics on pixels."""
    weights: Path | None = None
    """Weight file of the feature network."""
    size: int | None = None
    """Side in pixels to which all images are brought. By default they stay as they are, and must all have one size."""
    resize: Literal["crop", "pad", "stretch"] = "crop"
    """How images of other shapes are brought to --size."""
    samples: int | None = None
    """Largest number of images of each set. By default all, and 5000 samples of a run."""
    seed: int = 0
    """Random seed of the samples of a run, and of metrics that draw."""
    step: int | None = None
    """Step of the checkpoint of a run. By default the newest."""
    best: bool = False
    """Use the checkpoint of a run that was best during training."""
    raw_weights: bool = False
    """Sample from a run with the weights themselves, not with their moving average."""
    save_reference: Path | None = None
    """npz file for the statistics of B: mean, covariance and features, with how they were made. It can be given as B."""
    out: Path | None = None
    """JSON file for the records."""


def main(arguments: list[str] | None = None) -> None:
    """Measures and prints a table."""
    flags = parse_flags(Flags, __doc__, arguments, prog="gan-jax measure")
    with errors_as_lines():
        from rich.console import Console

        from gan_jax.cli.compilation_cache import use_compilation_cache
        from gan_jax.metrics import METRICS, save_statistics
        from gan_jax.trainer import measure
        from gan_jax.trainer.config import ConfigError
        from gan_jax.trainer.run_directory import write_json

        unknown = sorted(set(flags.metrics) - set(METRICS))
        if unknown:
            raise ConfigError(f"--metrics {unknown[0]}: must be among {', '.join(METRICS)}")
        if flags.samples is not None and flags.samples < 2:
            raise ConfigError(f"--samples {flags.samples}: must be at least 2")
        if flags.size is not None and not 8 <= flags.size <= 4096:
            raise ConfigError(f"--size {flags.size}: must be between 8 and 4096")
        for name, path in (("--out", flags.out), ("--save-reference", flags.save_reference)):
            if path is not None and path.exists():
                raise ConfigError(f"{name} {path}: exists already")
        use_compilation_cache()
        how = measure.Reading(
            flags.size, flags.resize, flags.samples, flags.seed, ema=not flags.raw_weights, step=flags.step, best=flags.best
        )
        fakes, reals = (measure.read_set(path, how) for path in (flags.a, flags.b))
        extractor = measure.choose_extractor(flags.extractor, flags.weights, fakes, reals)
        if flags.save_reference and extractor is None and reals.statistics is None:
            raise ConfigError("--save-reference: needs a feature network; set --extractor")
        records = measure.measure_sets(fakes, reals, extractor, names=flags.metrics, seed=flags.seed)
        console = Console()
        console.print(measure.table(records))
        if extractor is None and fakes.images is not None and reals.images is not None:
            print("metrics on pixels; name a feature network with --extractor, e.g. inception_v3 with its --weights, for the others")
        if flags.save_reference:
            save_statistics(flags.save_reference, measure.reference_statistics(reals, extractor))
            print(f"statistics of {flags.b}: {flags.save_reference}")
        if flags.out:
            write_json(flags.out, [record._asdict() for record in records])
            print(f"records: {flags.out}")
