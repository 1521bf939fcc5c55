"""Export of a generator as a StableHLO program that needs neither gan_jax nor Flax."""

from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp

from gan_jax._files import write_bytes
from gan_jax.export.generator import Generator
from gan_jax.models import MODELS
from gan_jax.typing import Array


def stablehlo_program(
    generator: Generator, *, platforms: tuple[str, ...] = ("cpu", "cuda", "tpu")
) -> tuple[jax.export.Exported, tuple[str, ...]]:
    """Lowers a generator to a StableHLO program with its weights in it, for any batch size.

    The program takes `latents` float32 [batch, latent_dim]; `labels` int32 [batch] of a conditional model; `context` float32
    [batch, *context_shape] of a model with one; `seed` uint32 [], of the noise and dropout of a model that has them, which
    other models ignore. It gives what `generator(latents, labels, context, rng=jax.random.key(seed))` gives.

    Args:
        generator: to be lowered.
        platforms: where the program will run.

    Returns:
        The program, and the names of its arguments in their order.
    """
    (batch,) = jax.export.symbolic_shape("batch")
    config = generator.config
    arguments = {"latents": jax.ShapeDtypeStruct((batch, config.option("latent_dim")), jnp.float32)}
    if config.option("num_classes", 0):
        arguments["labels"] = jax.ShapeDtypeStruct((batch,), jnp.int32)
    if config.context_shape is not None and MODELS[config.model].context != "real":
        arguments["context"] = jax.ShapeDtypeStruct((batch, *config.context_shape), jnp.float32)
    arguments["seed"] = jax.ShapeDtypeStruct((), jnp.uint32)

    def program(*values: Array) -> Array:
        named = dict(zip(arguments, values, strict=True))
        return generator(named["latents"], named.get("labels"), named.get("context"), rng=jax.random.key(named["seed"]))

    return jax.export.export(jax.jit(program), platforms=platforms)(*arguments.values()), tuple(arguments)


def export_stablehlo(path: str | Path, generator: Generator, *, platforms: tuple[str, ...] = ("cpu", "cuda", "tpu")) -> tuple[str, ...]:
    """Writes a generator as a program that samples without gan_jax and Flax; see `stablehlo_program`.

        program = jax.export.deserialize(bytearray(open(path, "rb").read()))
        images = program.call(latents, numpy.uint32(0))

    Args:
        path: of the file; replaced at once where it exists.
        generator: to be written.
        platforms: where the program will run.

    Returns:
        The names of the program's arguments in their order.

    Raises:
        ImportError: jax.export needs the package flatbuffers to write and to read programs.
    """
    exported, arguments = stablehlo_program(generator, platforms=platforms)
    try:
        content = exported.serialize()
    except ImportError as error:
        raise ImportError("jax.export writes programs with the package flatbuffers: pip install flatbuffers") from error
    write_bytes(Path(path), bytes(content))
    return arguments
