"""Export of a generator as a StableHLO program that needs neither gan_jax nor Flax."""

from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp

from gan_jax._internal.files import write_bytes
from gan_jax.export.generator import Generator
from gan_jax.models import MODELS
from gan_jax.nn.fast_conv.forms import plain_convolutions
from gan_jax.typing import Array


def stablehlo_program(
    generator: Generator, *, platforms: tuple[str, ...] = ("cpu", "cuda", "tpu")
) -> tuple[jax.export.Exported, tuple[str, ...]]:
    """Lowers a generator and its weights to a StableHLO program for any batch size.

    The program takes `latents` float32 [batch, latent_dim], `labels` int32 [batch] if the model is conditional, `context` float32
    [batch, *context_shape] if the model has a context, and `seed` uint32 []. The seed determines the noise and dropout of a model that
    uses them. Other models ignore it. The result is that of `generator(latents, labels, context, rng=jax.random.key(seed))`.
    A program cannot raise an error, so the images of a label that is no class are NaN.

    Args:
        generator: The generator to lower.
        platforms: Platforms that the program can run on.

    Returns:
        The program, and the names of its arguments in order.
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
        with plain_convolutions():  # The program also runs on other platforms than the one that it is lowered on.
            images = generator(named["latents"], named.get("labels"), named.get("context"), rng=jax.random.key(named["seed"]))
        if "labels" not in named:
            return images
        known = (named["labels"] >= 0) & (named["labels"] < generator.num_classes)
        return jnp.where(known.reshape(-1, *[1] * (images.ndim - 1)), images, jnp.nan)

    return jax.export.export(jax.jit(program), platforms=platforms)(*arguments.values()), tuple(arguments)


def export_stablehlo(path: str | Path, generator: Generator, *, platforms: tuple[str, ...] = ("cpu", "cuda", "tpu")) -> tuple[str, ...]:
    """Writes a generator as a program that samples without gan_jax and Flax. See `stablehlo_program` for its arguments.

        program = jax.export.deserialize(bytearray(open(path, "rb").read()))
        images = program.call(latents, numpy.uint32(0))

    Args:
        path: Path of the file. An existing file is replaced atomically.
        generator: The generator to write.
        platforms: Platforms that the program can run on.

    Returns:
        The names of the program's arguments in order.

    Raises:
        ImportError: If the package flatbuffers is not installed. jax.export needs it to write and to read programs.
    """
    exported, arguments = stablehlo_program(generator, platforms=platforms)
    try:
        content = exported.serialize()
    except ImportError as error:
        raise ImportError("jax.export needs the package flatbuffers to write programs; install it with: pip install flatbuffers") from error
    write_bytes(Path(path), bytes(content))
    return arguments
