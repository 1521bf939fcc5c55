"""Writes the generator of a run as a file of its own.

    python experiments/export.py RUN                              RUN/generator.safetensors, for gan_jax.load_generator
    python experiments/export.py RUN --stablehlo                  and RUN/generator.stablehlo, a program that needs only JAX
    python experiments/export.py RUN --out digits.safetensors     elsewhere

What was written is read by

    generator = gan_jax.load_generator("runs/dcgan_mnist/generator.safetensors")
    images = generator.sample(jax.random.key(0), 16)
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from gan_jax.cli import common


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to write."""

    run: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Directory of the run."""
    out: Path | None = None
    """The file to write; by default RUN/generator.safetensors."""
    stablehlo: bool = False
    """Write a StableHLO program, too, beside it: it samples without gan_jax and Flax (needs the package flatbuffers)."""
    platforms: tuple[str, ...] = ("cpu", "cuda", "tpu")
    """Where that program will run."""
    step: int | None = None
    """Which checkpoint; by default the newest."""
    best: bool = False
    """The checkpoint that was the best while training."""
    raw_weights: bool = False
    """The weights themselves, not their moving average."""


def main() -> None:
    """Reads the flags and writes the files; their paths go to standard output."""
    flags = common.parse(lambda: tyro.cli(Flags, description=__doc__, config=(tyro.conf.PositionalRequiredArgs,)))
    with common.errors_as_lines():
        from gan_jax.export.generator import GeneratorConfig, load_generator, save_generator
        from gan_jax.export.stablehlo import export_stablehlo
        from gan_jax.gan.make import sampling_params
        from gan_jax.trainer.build.gan import model_options
        from gan_jax.trainer.config import ConfigError
        from gan_jax.trainer.evaluate import context_shape
        from gan_jax.trainer.restore import load_run

        place = flags.out or flags.run / "generator.safetensors"
        if flags.out and flags.out.exists():
            raise ConfigError(f"--out {flags.out}: exists already")
        stored = load_run(flags.run, step=flags.step, best=flags.best)
        spec, config = stored.built.spec, stored.config
        described = GeneratorConfig(
            config.model.name,
            model_options(config, stored.source.shape, spec.num_classes),
            config.model.latents,
            context_shape(stored.built),
        )
        weights = stored.params.generator if flags.raw_weights else sampling_params(stored.params, stored.opt_state)
        # What the network computes with: after spectral or weight normalisation.
        effective, _ = spec.effective_params("generator", weights, stored.opt_state)
        save_generator(place, described, effective, stored.opt_state.networks.generator)
        print(place)
        if flags.stablehlo:
            program = place.with_suffix(".stablehlo")
            try:
                arguments = export_stablehlo(program, load_generator(place), platforms=flags.platforms)
            except (ImportError, ValueError) as error:
                common.fail(f"--stablehlo: {error}")
            print(f"{program}: called with {', '.join(arguments)}")


if __name__ == "__main__":
    main()
