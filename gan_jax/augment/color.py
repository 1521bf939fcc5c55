"""Colour augmentation: random affine maps of the colour space, one matrix [4, 4] per example."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gan_jax.augment.geometry import compose, gate, matrices
from gan_jax.typing import Array

# Ranges of Karras et al. (2020), appendix B.
BRIGHTNESS_STD = 0.2
CONTRAST_STD = 0.5  # standard deviation of log2 of the factor
SATURATION_STD = 1.0  # standard deviation of log2 of the factor

# The grey axis of the colour space, in homogeneous coordinates (red, green, blue, 1).
_LUMA = np.array([1, 1, 1, 0]) / np.sqrt(3)
_ALONG_LUMA = np.outer(_LUMA, _LUMA).astype(np.float32)


def brightness_matrices(shift: ArrayLike) -> Array:
    """Adds `shift` to all channels."""
    return matrices([[1, 0, 0, shift], [0, 1, 0, shift], [0, 0, 1, shift], [0, 0, 0, 1]])


def contrast_matrices(factor: ArrayLike) -> Array:
    """Multiplies all channels by `factor`. Mid-grey (0) stays unchanged."""
    return matrices([[factor, 0, 0, 0], [0, factor, 0, 0], [0, 0, factor, 0], [0, 0, 0, 1]])


def luma_flip_matrices(flip: Array) -> Array:
    """If `flip` [batch] is 1, reflects colours at the plane through 0 that is perpendicular to the grey axis.

    The reflection keeps the hue differences.
    """
    return jnp.eye(4) - 2 * flip[:, None, None] * _ALONG_LUMA


def hue_matrices(angle: Array) -> Array:
    """Rotates colours about the grey axis by `angle` [batch] in radians. An angle of 2 pi / 3 maps red to green."""
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    same = (1 - cosine) / 3 + cosine
    behind, ahead = (1 - cosine) / 3 - sine / np.sqrt(3), (1 - cosine) / 3 + sine / np.sqrt(3)
    return matrices([[same, behind, ahead, 0], [ahead, same, behind, 0], [behind, ahead, same, 0], [0, 0, 0, 1]])


def saturation_matrices(factor: Array) -> Array:
    """Scales the distance of colours from the grey axis by `factor` [batch]. With factor 0 the result is grey."""
    linear = _ALONG_LUMA + (np.diag(np.float32([1, 1, 1, 0])) - _ALONG_LUMA) * factor[:, None, None]
    return linear + np.diag(np.float32([0, 0, 0, 1]))


def draw_color(rng: Array, batch: int, probability: ArrayLike) -> Array:
    """Samples brightness, contrast, luma flip, hue and saturation, in this order, each with `probability`.

    If a luma flip is selected, it is then sampled from {no, yes}, as in the paper. Half of the selected examples are therefore
    not flipped.

    Returns:
        Colour matrices, [batch, 4, 4].
    """
    keys = jax.random.split(rng, 10)
    normal = {number: jax.random.normal(keys[number], (batch,)) for number in (1, 3, 9)}
    shift = gate(keys[0], probability, BRIGHTNESS_STD * normal[1], 0.0)
    factor = jnp.exp2(CONTRAST_STD * gate(keys[2], probability, normal[3], 0.0))
    flip = gate(keys[4], probability, jax.random.randint(keys[5], (batch,), 0, 2).astype(jnp.float32), 0.0)
    angle = gate(keys[6], probability, jax.random.uniform(keys[7], (batch,), minval=-np.pi, maxval=np.pi), 0.0)
    spread = jnp.exp2(SATURATION_STD * gate(keys[8], probability, normal[9], 0.0))
    result = compose(contrast_matrices(factor), brightness_matrices(shift))
    result = compose(hue_matrices(angle), compose(luma_flip_matrices(flip), result))
    return compose(saturation_matrices(spread), result)


def recolor(images: Array, transforms: Array) -> Array:
    """Applies colour matrices to images. A grey image is changed by their mean effect over the three channels.

    A fourth channel, the opacity, is unchanged.

    Args:
        images: Float [batch, height, width, 1, 3 or 4].
        transforms: Colour matrices, [batch, 4, 4].

    Returns:
        Images, same shape and type. If the matrix is the identity, the image is returned bit for bit unchanged.

    Raises:
        ValueError: The images do not have 1, 3 or 4 channels.
    """
    if images.shape[3] not in (1, 3, 4):
        raise ValueError(f"images must have 1, 3 or 4 channels for colour augmentation; got shape {images.shape}")
    if images.shape[3] == 4:
        return jnp.concatenate([recolor(images[..., :3], transforms), images[..., 3:]], axis=3)
    linear, offset = transforms[:, :3, :3], transforms[:, None, None, :3, 3]
    if images.shape[3] == 1:
        linear, offset = linear.sum(axis=(1, 2), keepdims=True) / 3, offset.mean(axis=3, keepdims=True)
    changed = jnp.einsum("bij,bhwj->bhwi", linear, images.astype(jnp.float32), precision=jax.lax.Precision.HIGHEST) + offset
    unchanged = jnp.all(transforms == jnp.eye(4), axis=(1, 2))
    return jnp.where(unchanged[:, None, None, None], images, changed.astype(images.dtype))
