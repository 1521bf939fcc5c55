"""The shipped digit classifier: a small convolutional network whose features and classes measure generators of digits.

It consists of plain JAX functions on a flat dict of parameters, so a measurement needs no network library.
`experiments/tools/train_classifier.py` trains the weights in `files/digit_classifier.safetensors`.
"""

import math
from importlib import resources
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from gan_jax._internal.checks import printable
from gan_jax._internal.files import read_safetensors
from gan_jax.typing import Array

FEATURES = 128
CLASSES = 10

# Maps names to shapes. Convolutions are [height, width, in, out] with stride 2, and dense layers are [in, out].
_KERNELS = {
    "conv_0/kernel": (5, 5, 1, 32),
    "conv_1/kernel": (5, 5, 32, 64),
    "conv_2/kernel": (3, 3, 64, 64),
    "dense/kernel": (4 * 4 * 64, FEATURES),
    "logits/kernel": (FEATURES, CLASSES),
}
_SHAPES = _KERNELS | {name.replace("kernel", "bias"): shape[-1:] for name, shape in _KERNELS.items()}


def init(rng: Array) -> dict[str, Array]:
    """Samples the classifier's initial parameters: He-normal kernels and zero biases.

    Args:
        rng: Typed key.

    Returns:
        A flat dict from names to float32 arrays, with about 220,000 parameters. The same key gives the same parameters.

    References:
        He et al., "Delving deep into rectifiers", 2015.
    """
    params = {}
    for key, (name, shape) in zip(jax.random.split(rng, len(_KERNELS)), _KERNELS.items()):
        params[name] = jax.random.normal(key, shape) * math.sqrt(2 / math.prod(shape[:-1]))
        params[name.replace("kernel", "bias")] = jnp.zeros(shape[-1:])
    return params


def apply(params: dict[str, Array], images: Array) -> tuple[Array, Array]:
    """Classifies digits with three convolutions of stride 2, a dense layer for the features and a dense layer for the logits.

    The function is pure, jittable, and differentiable in both arguments. It uses no normalisation and no dropout, so the result of
    an image does not depend on its batch.

    Args:
        params: Parameters from `init` or `load`.
        images: float [batch, 32, 32, 1] in [-1, 1], a light digit on a dark background. [batch, 28, 28, 1] is padded with -1 to 32x32.

    Returns:
        `(features, logits)`: float [batch, 128], at least 0, and float [batch, 10].

    Raises:
        ValueError: If the images have another shape.
        TypeError: If the images are not floating point.
    """
    if jnp.ndim(images) != 4 or jnp.shape(images)[1:] not in ((32, 32, 1), (28, 28, 1)):
        raise ValueError(f"images must be [batch, 32, 32, 1] or [batch, 28, 28, 1]; got shape {jnp.shape(images)}")
    if not jnp.issubdtype(jnp.result_type(images), jnp.floating):
        raise TypeError(f"images must be floating point in [-1, 1]; got {jnp.result_type(images)}")
    x = images
    if x.shape[1] == 28:
        x = jnp.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=-1)
    for layer in ("conv_0", "conv_1", "conv_2"):
        x = jax.lax.conv_general_dilated(x, params[f"{layer}/kernel"], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(x + params[f"{layer}/bias"])
    x = x.reshape(len(x), -1)
    features = jax.nn.relu(x @ params["dense/kernel"] + params["dense/bias"])
    return features, features @ params["logits/kernel"] + params["logits/bias"]


def load(path: str | Path | None = None) -> dict[str, np.ndarray]:
    """Reads the classifier's weights.

    Args:
        path: Path of a safetensors file of this architecture. None means the shipped weights.

    Returns:
        A flat dict from names to float32 arrays.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not a safetensors file, or holds other names or shapes.
    """
    if path is None:
        path = Path(str(resources.files("gan_jax.metrics"))) / "files" / "digit_classifier.safetensors"
    if not Path(path).is_file():
        raise FileNotFoundError(f"no classifier weights at {path}; train them with experiments/tools/train_classifier.py")
    params, _ = read_safetensors(path)
    _check(params, f"{path} does not hold the parameters of the digit classifier")
    return {name: array.astype(np.float32) for name, array in params.items()}


def save(params: dict[str, Array], path: str | Path) -> None:
    """Writes the classifier's parameters to a safetensors file.

    Args:
        params: Parameters from `init`.
        path: Path of the file to write.

    Raises:
        ValueError: If the names or shapes of the parameters are not those of this architecture.
    """
    _check(params, "not the parameters of the digit classifier")
    save_file({name: np.ascontiguousarray(array, dtype=np.float32) for name, array in params.items()}, path)


def _check(params, problem: str) -> None:
    shapes = {name: tuple(array.shape) for name, array in params.items()}
    if shapes != _SHAPES:
        wrong = sorted(name for name in shapes.keys() | _SHAPES.keys() if shapes.get(name) != _SHAPES.get(name))
        name = printable(wrong[0][:200])
        raise ValueError(f"{problem}; expected {name} of shape {_SHAPES.get(wrong[0])}, got {shapes.get(wrong[0])}")
