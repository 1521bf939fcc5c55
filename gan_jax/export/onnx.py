"""Export of a generator as an ONNX program, for runtimes in other languages. Needs the package jax2onnx."""

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from gan_jax._internal.files import write_bytes
from gan_jax.export.generator import Generator
from gan_jax.latents import LATENTS
from gan_jax.models import MODELS, build_model
from gan_jax.nn.fast_conv.forms import plain_convolutions
from gan_jax.typing import Array

TOLERANCE = 1e-4  # Largest difference of an image from that of the generator, relative to the largest magnitude of a pixel above 1.
CHECKED = 3  # Images that are compared.


class OnnxProgram(NamedTuple):
    """An ONNX program.

    Attributes:
        content: The serialised `onnx.ModelProto`. Its output is `images`, float32 [batch, height, width, channels].
        arguments: Names of its inputs: `latents` float32 [batch, latent_dim], `labels` int32 [batch] if the model is conditional, and
            `context` float32 [batch, *context_shape] if the model has a context. The images of a label that is no class are NaN.
        difference: Largest difference from the images of the generator, or None if onnxruntime is not installed.
    """

    content: bytes
    arguments: tuple[str, ...]
    difference: float | None


def onnx_program(generator: Generator) -> OnnxProgram:
    """Converts a generator and its weights to an ONNX program for any batch size.

    The program is deterministic: dropout is off. A program cannot raise an error, so the images of a label that is no class are NaN.
    If onnxruntime is installed, three images of the program are compared with those of the generator.

    Args:
        generator: The generator to convert.

    Raises:
        ImportError: If jax2onnx is not installed.
        ValueError: If the model draws noise in sampling, if it has an operation that jax2onnx does not know, or if the images differ.
    """
    try:
        import jax2onnx
    except ImportError as error:
        raise ImportError('ONNX programs need the package jax2onnx (Python 3.12 or later): pip install "gan-jax[onnx]"') from error
    config = generator.config
    random = config.option("noise_mode", "random") == "random"
    if (config.option("noise") and random) or config.option("noise_std"):
        raise ValueError(f"the model {config.model} draws noise in sampling, and an ONNX program has no random numbers")
    options = dict(config.options) | ({"dropout": 0.0} if config.option("dropout") else {})
    network = build_model(config.model, **options).generator
    inputs = _example_inputs(generator)

    def program(*values: Array) -> Array:
        named = dict(zip(inputs, values, strict=True))
        labels = named.get("labels")
        # The network is applied to a class in any case, because a runtime may stop at an index out of range.
        chosen = None if labels is None else jnp.clip(labels, 0, generator.num_classes - 1)
        arguments = (named["latents"], chosen, named.get("context"))
        # Calls of jitted functions, such as jax.nn.swish, are inlined. jax2onnx knows neither these nor the rule for vmap that our own
        # convolutions have.
        with jax.disable_jit(), plain_convolutions():
            images = network.apply(generator.params, generator.state, *arguments, rng=None, train=False)[0].images
            if labels is None:
                return images
            return jnp.where((labels == chosen).reshape(-1, *[1] * (images.ndim - 1)), images, jnp.nan)

    expected = np.asarray(program(*inputs.values()))
    (batch,) = jax.export.symbolic_shape("batch")
    shapes = [jax.ShapeDtypeStruct((batch, *value.shape[1:]), value.dtype) for value in inputs.values()]
    try:
        with _quiet("onnx_ir.serde"):
            model = jax2onnx.to_onnx(program, shapes, model_name=config.model, input_names=list(inputs), output_names=["images"])
    except Exception as error:  # Its plugins raise many kinds of errors for operations that they do not know.
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"jax2onnx cannot convert the model {config.model} ({type(error).__name__}: {reason})") from error
    content = model.SerializeToString()
    # An input that the network ignores, such as the latents of pix2pix, can be missing from the program.
    used = {value.name for value in model.graph.input}
    arguments = tuple(name for name in inputs if name in used)
    return OnnxProgram(content, arguments, _difference(content, {name: inputs[name] for name in arguments}, expected))


def export_onnx(path: str | Path, generator: Generator) -> OnnxProgram:
    """Writes a generator as an ONNX program. See `onnx_program` for its inputs and errors.

        session = onnxruntime.InferenceSession(path)
        (images,) = session.run(None, {"latents": latents})

    Args:
        path: Path of the file. An existing file is replaced atomically.
        generator: The generator to write.

    Returns:
        The program.
    """
    program = onnx_program(generator)
    write_bytes(Path(path), program.content)
    return program


def _example_inputs(generator: Generator) -> dict[str, np.ndarray]:
    config, draws = generator.config, np.random.default_rng(0)
    shape = (CHECKED, config.option("latent_dim"))
    inputs = {"latents": np.asarray(LATENTS[config.latents](jax.random.key(0), shape), np.float32)}
    if classes := config.option("num_classes", 0):
        inputs["labels"] = np.arange(CHECKED, dtype=np.int32) % classes
    if config.context_shape is not None and MODELS[config.model].context != "real":
        inputs["context"] = draws.uniform(-1, 1, (CHECKED, *config.context_shape)).astype(np.float32)
    return inputs


def _difference(content: bytes, inputs: dict[str, Any], expected: np.ndarray) -> float | None:
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    (images,) = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(["images"], inputs)
    difference = float(np.abs(images - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ValueError(f"the images of the ONNX program differ by {difference:.2g} from those of the generator")
    return difference


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Hides the warnings of a logger, which are about types of intermediate values."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
