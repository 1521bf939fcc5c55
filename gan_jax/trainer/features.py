"""Selects the feature network of an evaluation."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp

from gan_jax import metrics
from gan_jax.data import Source
from gan_jax.trainer.config import Config, ConfigError

EXTRACTORS = ("auto", "pixels", "vgg16", *metrics.FEATURE_EXTRACTORS)
DIGIT_SHAPES = ((28, 28, 1), (32, 32, 1))  # The image shapes that the digit classifier accepts.
VGG_SIDE = 16  # The last activations of VGG16 are 16 pixels apart.
CONVERTERS = {"vgg16": "convert_vgg.py", "inception_v3": "convert_inception.py"}


def choose_extractor(config: Config, source: Source) -> str | metrics.FeatureExtractor | None:
    """The feature network of a configuration. The default, "auto", is the shipped digit classifier for MNIST and otherwise none.

    Args:
        config: The configuration.
        source: The data set.

    Returns:
        A name of `metrics.FEATURE_EXTRACTORS`, a network, or None if distances are taken between pixels.

    Raises:
        ConfigError: The network does not exist, needs a weight file, or does not accept images of this shape.
    """
    name = config.evaluation.extractor
    if name not in EXTRACTORS:
        raise ConfigError(f"--evaluation.extractor {name}: must be one of {', '.join(EXTRACTORS)}")
    if name == "auto":
        return "digit_classifier" if has_digits(source) else None
    if name == "pixels":
        return None
    return extractor_for(name, config.evaluation.weights, source.shape)


def extractor_for(
    name: str, weights: Path | None, shape: tuple[int, ...], *, flags: tuple[str, str] = ("--evaluation.extractor", "--evaluation.weights")
) -> str | metrics.FeatureExtractor:
    """A feature network by its name.

    Args:
        name: "vgg16", or a name of `metrics.FEATURE_EXTRACTORS`.
        weights: Its weight file.
        shape: Shape of the images, (height, width, channels).
        flags: The flags of the name and of the weight file, for errors.

    Returns:
        The name, or the network if it has no row in `metrics.FEATURE_EXTRACTORS`.

    Raises:
        ConfigError: The network needs a weight file, or does not accept images of this shape.
    """
    accepted = None
    if name == "digit_classifier" and shape not in DIGIT_SHAPES:
        accepted = " or ".join(format_shape(shape) for shape in DIGIT_SHAPES) + " images"
    if name == "vgg16" and min(shape[:2]) < VGG_SIDE:
        accepted = f"images of at least {VGG_SIDE} pixels a side"
    if accepted is not None:
        raise ConfigError(f"{flags[0]} {name}: takes {accepted}; the data are {format_shape(shape)}")
    if name in CONVERTERS and weights is None:
        script = f"experiments/tools/{CONVERTERS[name]}"
        raise ConfigError(f"{flags[1]}: {name} needs its weight file; python {script} --help says how to get it")
    return vgg_extractor(weights) if name == "vgg16" else name


def has_digits(source: Source) -> bool:
    """Whether the shipped digit classifier suits the images."""
    return source.name in ("mnist5k", "mnist", "digit_edges") and source.shape in DIGIT_SHAPES


def format_shape(shape: tuple[int, ...]) -> str:
    """A shape as text, e.g. "28x28x1"."""
    return "x".join(map(str, shape))


def vgg_extractor(weights: Path | None) -> metrics.FeatureExtractor:
    """The last activations of VGG16, averaged over the pixels: 512 features. Grey images become three equal channels.

    Args:
        weights: The weight file.
    """
    from gan_jax.models import vgg

    def apply(params: Any, images: Any) -> tuple[Any, None]:
        colour = jnp.broadcast_to(images, (*images.shape[:3], 3)).astype(jnp.float32) / 127.5 - 1.0
        return vgg.vgg16_features(params, colour, layers=("relu5_3",))["relu5_3"].mean(axis=(1, 2)), None

    return metrics.FeatureExtractor("vgg16", vgg.load_vgg16(weights), apply, resize="none")
