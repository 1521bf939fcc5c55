"""Writes the generator of a run as a file of its own.

    gan-jax export RUN                              writes RUN/generator.safetensors, for gan_jax.load_generator
    gan-jax export RUN --stablehlo                  also writes RUN/generator.stablehlo, a program that needs only JAX
    gan-jax export RUN --onnx                       also writes RUN/generator.onnx, for runtimes in other languages
    gan-jax export RUN --hub my-faces               also writes a folder for the Hugging Face Hub, with a model card
    gan-jax export RUN --out digits.safetensors     writes to another file

Read the file, the folder or its copy on the Hub with

    generator = gan_jax.load_generator("runs/dcgan_mnist/generator.safetensors")
    images = generator.sample(jax.random.key(0), 16)
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gan_jax.cli.errors import errors_as_lines, fail
from gan_jax.cli.notices import notice_missing_data
from gan_jax.cli.parsing import parse_flags

if TYPE_CHECKING:
    from gan_jax.trainer.loaded_run import LoadedRun


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to write."""

    run: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Directory of the run."""
    out: Path | None = None
    """File to write. By default RUN/generator.safetensors."""
    stablehlo: bool = False
    """Also write a StableHLO program, which samples without gan_jax and Flax. Needs the package flatbuffers."""
    platforms: tuple[str, ...] = ("cpu", "cuda", "tpu")
    """Platforms of that program."""
    onnx: bool = False
    """Also write an ONNX program. Needs the package jax2onnx."""
    hub: Path | None = None
    """Also write this folder for the Hugging Face Hub: weights, config.json, samples and a model card."""
    license: str | None = None
    """Licence of the weights for the model card, e.g. cc-by-4.0."""
    step: int | None = None
    """Step of the checkpoint. By default the newest."""
    best: bool = False
    """Use the checkpoint that was best during training."""
    reverse: bool = False
    """For cyclegan: the generator translates from the targets' domain to the inputs', B to A, instead of A to B."""
    raw_weights: bool = False
    """Write the weights themselves, not their moving average."""


def main(arguments: list[str] | None = None) -> None:
    """Writes the files and prints their paths."""
    flags = parse_flags(Flags, __doc__, arguments, prog="gan-jax export")
    with errors_as_lines():
        from gan_jax.export.generator import GeneratorConfig, save_generator
        from gan_jax.gan.make import sampling_params
        from gan_jax.trainer.build.model_options import model_options
        from gan_jax.trainer.config import ConfigError
        from gan_jax.trainer.contexts import context_shape
        from gan_jax.trainer.hub_folder import check_folder
        from gan_jax.trainer.loaded_run import load_run

        path = flags.out or flags.run / "generator.safetensors"
        if flags.out and flags.out.exists():
            raise ConfigError(f"--out {flags.out}: exists already")
        if flags.hub:
            check_folder(flags.hub)
        if flags.license and not flags.hub:
            raise ConfigError("--license: needs --hub")
        run = load_run(flags.run, step=flags.step, best=flags.best)
        notice_missing_data(run)
        spec, config = run.built.spec, run.config
        options = model_options(config, run.source.shape, spec.num_classes)
        if flags.reverse and not spec.two_domains:
            raise ConfigError(f"--reverse: the model {config.model.name} does not translate between two domains")
        generator_config = GeneratorConfig(
            config.model.name,
            options | ({"reverse": True} if flags.reverse else {}),
            config.model.latents,
            context_shape(run.built),
            run.source.class_names if spec.num_classes == run.source.num_classes else (),
        )
        weights = run.params.generator if flags.raw_weights else sampling_params(run.params, run.opt_state)
        # The network computes with the weights after spectral and weight normalisation.
        effective, _ = spec.effective_params("generator", weights, run.opt_state)
        save_generator(path, generator_config, effective, run.opt_state.networks.generator)
        print(path)
        write_programs(flags, path)
        if flags.hub:
            write_hub(flags.hub, flags, run, path)


def write_programs(flags: Flags, path: Path) -> None:
    """Writes the StableHLO and ONNX programs of the generator in a file, as far as they are requested."""
    from gan_jax.export.generator import load_generator
    from gan_jax.export.onnx import export_onnx
    from gan_jax.export.stablehlo import export_stablehlo

    if flags.stablehlo:
        program = path.with_suffix(".stablehlo")
        try:
            arguments = export_stablehlo(program, load_generator(path), platforms=flags.platforms)
        except (ImportError, ValueError) as error:
            fail(f"--stablehlo: {error}")
        print(f"{program}: called with {', '.join(arguments)}")
    if flags.onnx:
        file = path.with_suffix(".onnx")
        try:
            exported = export_onnx(file, load_generator(path))
        except (ImportError, ValueError) as error:
            fail(f"--onnx: {error}")
        checked = "not checked: onnxruntime is missing" if exported.difference is None else f"max difference {exported.difference:.2g}"
        print(f"{file}: called with {', '.join(exported.arguments)} ({checked})")


def write_hub(folder: Path, flags: Flags, run: "LoadedRun", path: Path) -> None:
    """Writes the folder for the Hub, with a grid of samples if the generator can be sampled."""
    from gan_jax.data.missing import why_missing
    from gan_jax.trainer.contexts import needs_context
    from gan_jax.trainer.hub_folder import write_hub_folder
    from gan_jax.trainer.image_grid import image_grid
    from gan_jax.trainer.sampling import Weights, independent_samples

    grid, classes = None, run.built.spec.num_classes
    if run.source.is_images and not (needs_context(run.built) and why_missing(run.source)):
        count = 8 * classes if 0 < classes <= 32 else 64
        samples = independent_samples(run, count, seed=0, weights=Weights(not flags.raw_weights))
        grid = image_grid(samples.images, cols=samples.columns)
    write_hub_folder(folder, path, flags.run, run.config, step=run.step, samples=grid, license_name=flags.license)
    print(f"{folder}: upload it with: hf upload USER/{folder.name} {folder}")
