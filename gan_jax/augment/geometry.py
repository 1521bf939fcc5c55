"""Geometric augmentation: random 2-D matrices, exact moves of whole pixels, and a warp that does not alias.

A matrix [3, 3] maps a pixel of the *output* to the place in the input where its value is read, in pixels from the centre,
x to the right and y down, as homogeneous coordinates (x, y, 1). Beyond its border an image continues as in a mirror.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gan_jax.typing import Array

# Ranges of Karras et al. (2020), appendix B.
INTEGER_TRANSLATION_MAX = 0.125  # of the image's size
SCALE_STD = 0.2  # of log2
ANISOTROPY_STD = 0.2  # of log2
TRANSLATION_STD = 0.125  # of the image's size

# Symlet with six vanishing moments: the orthonormal low-pass filter with which the paper resamples.
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)


def matrices(rows: list[list[ArrayLike]]) -> Array:
    """Stacks scalars and arrays [batch] into matrices [batch, rows, columns]."""
    entries = jnp.broadcast_arrays(*[jnp.asarray(entry, jnp.float32) for row in rows for entry in row])
    return jnp.stack(entries, axis=-1).reshape(*entries[0].shape, len(rows), len(rows[0]))


def scale_matrices(x: ArrayLike, y: ArrayLike) -> Array:
    """Reads x times and y times as far from the centre."""
    return matrices([[x, 0, 0], [0, y, 0], [0, 0, 1]])


def translation_matrices(x: ArrayLike, y: ArrayLike) -> Array:
    """Reads x pixels further right and y pixels further down."""
    return matrices([[1, 0, x], [0, 1, y], [0, 0, 1]])


def rotation_matrices(cosine: ArrayLike, sine: ArrayLike) -> Array:
    """Reads at the place turned by the angle with this cosine and sine, from the x axis towards the y axis."""
    return matrices([[cosine, -jnp.asarray(sine), 0], [sine, cosine, 0], [0, 0, 1]])


def gate(rng: Array, probability: ArrayLike, values: Array, neutral: ArrayLike) -> Array:
    """Keeps each example's value [batch, ...] with `probability`, else `neutral`."""
    chosen = jax.random.bernoulli(rng, probability, values.shape[:1])
    return jnp.where(chosen.reshape((-1,) + (1,) * (values.ndim - 1)), values, neutral)


def compose(left: Array, right: Array) -> Array:
    """Product of batches of small matrices, in full float32 on every device."""
    return jnp.einsum("bij,bjk->bik", left, right, precision=jax.lax.Precision.HIGHEST)


def draw_blit(rng: Array, batch: int, height: int, width: int, probability: ArrayLike) -> Array:
    """Draws x-flips, quarter turns and whole-pixel translations, each with `probability`; matrices [batch, 3, 3].

    A gated flip is drawn from {no, yes} and a gated turn from {0, 90, 180, 270} degrees, as in the paper, so that half, and a
    quarter, of the gated examples stay as they are.
    """
    keys = jax.random.split(rng, 6)
    flip = gate(keys[0], probability, jax.random.randint(keys[1], (batch,), 0, 2), 0)
    turn = gate(keys[2], probability, jax.random.randint(keys[3], (batch,), 0, 4), 0)
    shift = jax.random.uniform(keys[4], (batch, 2), minval=-INTEGER_TRANSLATION_MAX, maxval=INTEGER_TRANSLATION_MAX)
    shift = gate(keys[5], probability, shift, 0.0)
    result = scale_matrices(1 - 2 * flip, 1)
    cosine, sine = jnp.array([1, 0, -1, 0])[turn], jnp.array([0, 1, 0, -1])[turn]
    result = compose(result, rotation_matrices(cosine, sine))
    return compose(result, translation_matrices(-jnp.round(shift[:, 0] * width), -jnp.round(shift[:, 1] * height)))


def draw_geometry(rng: Array, batch: int, height: int, width: int, probability: ArrayLike) -> Array:
    """Draws scaling, rotation, anisotropic scaling, rotation, and fractional translation; matrices [batch, 3, 3].

    Each has `probability`, the two rotations together: each of them 1 - sqrt(1 - p). Scalings are log-normal.
    """
    keys = jax.random.split(rng, 10)
    scale = jnp.exp2(-SCALE_STD * gate(keys[0], probability, jax.random.normal(keys[1], (batch,)), 0.0))
    stretch = jnp.exp2(-ANISOTROPY_STD * gate(keys[2], probability, jax.random.normal(keys[3], (batch,)), 0.0))
    shift = gate(keys[4], probability, TRANSLATION_STD * jax.random.normal(keys[5], (batch, 2)), 0.0)
    rotation_probability = 1 - jnp.sqrt(jnp.clip(1 - jnp.asarray(probability), 0, 1))

    def rotation(gate_rng: Array, angle_rng: Array) -> Array:
        angle = jax.random.uniform(angle_rng, (batch,), minval=-np.pi, maxval=np.pi)
        angle = gate(gate_rng, rotation_probability, angle, 0.0)
        return rotation_matrices(jnp.cos(angle), jnp.sin(angle))

    result = compose(scale_matrices(scale, scale), rotation(keys[6], keys[7]))
    result = compose(result, scale_matrices(stretch, 1 / stretch))
    result = compose(result, rotation(keys[8], keys[9]))
    return compose(result, translation_matrices(-shift[:, 0] * width, -shift[:, 1] * height))


def _read_positions(transforms: Array, columns: Array, rows: Array, height: int, width: int) -> tuple[Array, Array]:
    """Where pixels at `rows` x `columns` (from the centre) are read: y and x [batch, rows, columns], from the first pixel."""
    at = transforms[:, :2, :, None, None]
    x = at[:, 0, 0] * columns + at[:, 0, 1] * rows[:, None] + at[:, 0, 2]
    y = at[:, 1, 0] * columns + at[:, 1, 1] * rows[:, None] + at[:, 1, 2]
    return y + (height - 1) / 2, x + (width - 1) / 2


def mirror(index: Array, extent: int) -> Array:
    """Folds whole pixel indices into [0, extent - 1] by reflections at the first and the last pixel."""
    last = extent - 1
    return last - jnp.abs(jnp.mod(index, 2 * last) - last) if last else jnp.zeros_like(index)


def blit(images: Array, transforms: Array) -> Array:
    """Moves whole pixels by matrices of `draw_blit`: exact, nothing is interpolated.

    Args:
        images: float [batch, height, width, channels].
        transforms: [batch, 3, 3]. A quarter turn of an image whose height and width differ by an odd number falls
            between the pixels and takes the nearest.

    Returns:
        Images, same shape and type.
    """
    _, height, width, _ = images.shape
    rows, columns = jnp.arange(height) - (height - 1) / 2, jnp.arange(width) - (width - 1) / 2
    y, x = _read_positions(transforms, columns, rows, height, width)
    y, x = mirror(jnp.round(y).astype(jnp.int32), height), mirror(jnp.round(x).astype(jnp.int32), width)
    return jax.vmap(lambda image, y, x: image[y, x])(images, y, x)


def double(images: Array, axis: int) -> Array:
    """Resamples an axis of the mirrored image to twice the resolution; sample k lies at k / 2 of the input.

    The result is one period of the infinite mirror image, `4 (extent - 1)` samples (2 for a single pixel). With
    h = `SYM6`, whose centre of mass is its tap 5: out[k] = sqrt(2) sum_n h[k + 5 - 2 n] x[n], as two sums of six slices,
    for even and for odd k.
    """
    extent = images.shape[axis]
    back = jnp.flip(jax.lax.slice_in_dim(images, 1, max(extent - 1, 1), axis=axis), axis)
    period = jnp.concatenate([images, back], axis=axis)
    length = period.shape[axis]
    margins = [(3, 3) if each == axis else (0, 0) for each in range(images.ndim)]
    padded = jnp.pad(period, margins, mode="wrap")
    slices = [jax.lax.slice_in_dim(padded, start, start + length, axis=axis) for start in range(7)]
    even = sum(SYM6[11 - 2 * start] * slices[start] for start in range(6))
    odd = sum(SYM6[12 - 2 * start] * slices[start] for start in range(1, 7))
    pairs = np.sqrt(2).astype(np.float32) * jnp.stack([even, odd], axis=axis + 1)
    return pairs.reshape(*images.shape[:axis], 2 * length, *images.shape[axis + 1 :])


def halve(samples: Array, axis: int) -> Array:
    """Resamples an axis to half its length less five: out[m] = sum_j h[j] u[2 m + j] / sqrt(2), h = `SYM6`."""
    extent = samples.shape[axis] // 2 - 5
    pairs = samples.reshape(*samples.shape[:axis], extent + 5, 2, *samples.shape[axis + 1 :])
    total = 0.0
    for tap, weight in enumerate(SYM6):
        phase = jax.lax.index_in_dim(pairs, tap % 2, axis + 1, keepdims=False)
        total += weight * jax.lax.slice_in_dim(phase, tap // 2, tap // 2 + extent, axis=axis)
    return np.sqrt(0.5).astype(np.float32) * total


def bilinear(image: Array, y: Array, x: Array) -> Array:
    """Reads a periodic image [height, width, channels] at any positions y, x (of one shape, in pixels from the first)."""
    height, width, _ = image.shape
    top, left = jnp.floor(y), jnp.floor(x)
    down, right = (y - top)[..., None], (x - left)[..., None]
    top, left = top.astype(jnp.int32), left.astype(jnp.int32)
    rows, columns = (top % height, (top + 1) % height), (left % width, (left + 1) % width)
    upper = image[rows[0], columns[0]] * (1 - right) + image[rows[0], columns[1]] * right
    lower = image[rows[1], columns[0]] * (1 - right) + image[rows[1], columns[1]] * right
    return upper * (1 - down) + lower * down


def warp(images: Array, transforms: Array) -> Array:
    """Warps images by matrices of `draw_geometry`: twice the resolution, bilinear reading there, and back.

    Args:
        images: float [batch, height, width, channels].
        transforms: [batch, 3, 3].

    Returns:
        Images, same shape and type; bit for bit the input where the matrix is the identity.

    References:
        Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, appendix B. There the image
        is mirrored once on each side and ends in zeros beyond; here it goes on for ever.
    """
    _, height, width, _ = images.shape
    fine = double(double(images.astype(jnp.float32), 1), 2)
    # Five further samples on each side, which `halve` consumes.
    rows = jnp.arange(-5, 2 * height + 5) / 2 - (height - 1) / 2
    columns = jnp.arange(-5, 2 * width + 5) / 2 - (width - 1) / 2
    y, x = _read_positions(transforms, columns, rows, height, width)
    warped = jax.vmap(bilinear)(fine, 2 * y, 2 * x)
    warped = halve(halve(warped, 1), 2).astype(images.dtype)
    unmoved = jnp.all(transforms == jnp.eye(3), axis=(1, 2))
    return jnp.where(unmoved[:, None, None, None], images, warped)
