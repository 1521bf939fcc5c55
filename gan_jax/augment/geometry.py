"""Geometric augmentation: random 2-D matrices, exact moves of whole pixels, and an antialiased warp.

A matrix [3, 3] maps the position of an *output* pixel to the position in the input at which its value is read. Positions
are homogeneous coordinates (x, y, 1) in pixels from the centre, with x to the right and y down. Images are mirrored beyond
their border.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gan_jax.typing import Array

# Ranges of Karras et al. (2020), appendix B.
INTEGER_TRANSLATION_MAX = 0.125  # fraction of the image size
SCALE_STD = 0.2  # standard deviation of log2 of the scale
ANISOTROPY_STD = 0.2  # standard deviation of log2 of the stretch
TRANSLATION_STD = 0.125  # fraction of the image size

# Symlet with six vanishing moments. It is the orthonormal low-pass filter that the paper uses for resampling.
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
    """Multiplies the position that is read by x and y, measured from the centre."""
    return matrices([[x, 0, 0], [0, y, 0], [0, 0, 1]])


def translation_matrices(x: ArrayLike, y: ArrayLike) -> Array:
    """Moves the position that is read by x pixels to the right and y pixels down."""
    return matrices([[1, 0, x], [0, 1, y], [0, 0, 1]])


def rotation_matrices(cosine: ArrayLike, sine: ArrayLike) -> Array:
    """Rotates the position that is read by the angle with this cosine and sine, from the x axis towards the y axis."""
    return matrices([[cosine, -jnp.asarray(sine), 0], [sine, cosine, 0], [0, 0, 1]])


def gate(rng: Array, probability: ArrayLike, values: Array, neutral: ArrayLike) -> Array:
    """Keeps each example's value [batch, ...] with `probability`, and replaces it by `neutral` otherwise."""
    chosen = jax.random.bernoulli(rng, probability, values.shape[:1])
    return jnp.where(chosen.reshape((-1,) + (1,) * (values.ndim - 1)), values, neutral)


def compose(left: Array, right: Array) -> Array:
    """Product of two batches of small matrices, in full float32 on every device."""
    return jnp.einsum("bij,bjk->bik", left, right, precision=jax.lax.Precision.HIGHEST)


def draw_blit(rng: Array, batch: int, height: int, width: int, probability: ArrayLike) -> Array:
    """Samples x-flips, quarter turns and whole-pixel translations, each with `probability`.

    A selected flip is then sampled from {no, yes}, and a selected turn from {0, 90, 180, 270} degrees, as in the paper.
    Therefore half of the examples selected for a flip, and a quarter of those selected for a turn, are not changed.

    Returns:
        Matrices, [batch, 3, 3].
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
    """Samples scaling, rotation, anisotropic scaling, another rotation, and fractional translation. Scalings are log-normal.

    Each operation is applied with `probability` p. Each of the two rotations is applied with 1 - sqrt(1 - p), so that an example
    is rotated with probability p in total.

    Returns:
        Matrices, [batch, 3, 3].
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
    """Positions y and x at which output pixels are read, [batch, rows, columns], in pixels from the first pixel.

    `rows` and `columns` are the positions of the output pixels from the centre.
    """
    at = transforms[:, :2, :, None, None]
    x = at[:, 0, 0] * columns + at[:, 0, 1] * rows[:, None] + at[:, 0, 2]
    y = at[:, 1, 0] * columns + at[:, 1, 1] * rows[:, None] + at[:, 1, 2]
    return y + (height - 1) / 2, x + (width - 1) / 2


def mirror(index: Array, extent: int) -> Array:
    """Maps whole pixel indices into [0, extent - 1] by reflection at the first and the last pixel."""
    last = extent - 1
    return last - jnp.abs(jnp.mod(index, 2 * last) - last) if last else jnp.zeros_like(index)


def blit(images: Array, transforms: Array) -> Array:
    """Moves whole pixels by matrices of `draw_blit`, exactly and without interpolation.

    Args:
        images: Float [batch, height, width, channels].
        transforms: Matrices, [batch, 3, 3]. If height and width differ by an odd number, a quarter turn falls between the pixels,
            and the nearest pixel is used.

    Returns:
        Images, same shape and type.
    """
    _, height, width, _ = images.shape
    rows, columns = jnp.arange(height, dtype=jnp.float32) - (height - 1) / 2, jnp.arange(width, dtype=jnp.float32) - (width - 1) / 2
    y, x = _read_positions(transforms, columns, rows, height, width)
    y, x = mirror(jnp.round(y).astype(jnp.int32), height), mirror(jnp.round(x).astype(jnp.int32), width)
    return jax.vmap(lambda image, y, x: image[y, x])(images, y, x)


def double(images: Array, axis: int) -> Array:
    """Resamples an axis of the mirrored image to twice the resolution. Sample k lies at k / 2 of the input.

    The result is one period of the infinite mirrored image, `4 (extent - 1)` samples (2 for a single pixel). It is
    out[k] = sqrt(2) sum_n h[k + 5 - 2 n] x[n], where h = `SYM6`, whose centre of mass is tap 5. The code computes it as two sums
    of six slices, one for even and one for odd k.
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
    """Resamples an axis to half its length minus five: out[m] = sum_j h[j] u[2 m + j] / sqrt(2), with h = `SYM6`."""
    extent = samples.shape[axis] // 2 - 5
    pairs = samples.reshape(*samples.shape[:axis], extent + 5, 2, *samples.shape[axis + 1 :])
    total = 0.0
    for tap, weight in enumerate(SYM6):
        phase = jax.lax.index_in_dim(pairs, tap % 2, axis + 1, keepdims=False)
        total += weight * jax.lax.slice_in_dim(phase, tap // 2, tap // 2 + extent, axis=axis)
    return np.sqrt(0.5).astype(np.float32) * total


def bilinear(image: Array, y: Array, x: Array) -> Array:
    """Reads a periodic image [height, width, channels] at positions y and x by bilinear interpolation.

    y and x have the same shape and are in pixels from the first pixel.
    """
    height, width, _ = image.shape
    top, left = jnp.floor(y), jnp.floor(x)
    down, right = (y - top)[..., None], (x - left)[..., None]
    top, left = top.astype(jnp.int32), left.astype(jnp.int32)
    rows, columns = (top % height, (top + 1) % height), (left % width, (left + 1) % width)
    upper = image[rows[0], columns[0]] * (1 - right) + image[rows[0], columns[1]] * right
    lower = image[rows[1], columns[0]] * (1 - right) + image[rows[1], columns[1]] * right
    return upper * (1 - down) + lower * down


def warp(images: Array, transforms: Array) -> Array:
    """Warps images by matrices of `draw_geometry`: upsamples by two, reads with bilinear interpolation, and downsamples.

    Args:
        images: Float [batch, height, width, channels].
        transforms: Matrices, [batch, 3, 3].

    Returns:
        Images, same shape and type. If the matrix is the identity, the image is returned bit for bit unchanged.

    References:
        Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, appendix B. Deviation: the paper
        mirrors the image once on each side and continues with zeros. Here the mirrored image repeats without end.
    """
    _, height, width, _ = images.shape
    fine = double(double(images.astype(jnp.float32), 1), 2)
    # `halve` removes these five additional samples on each side.
    rows = jnp.arange(-5, 2 * height + 5) / 2 - (height - 1) / 2
    columns = jnp.arange(-5, 2 * width + 5) / 2 - (width - 1) / 2
    y, x = _read_positions(transforms, columns, rows, height, width)
    warped = jax.vmap(bilinear)(fine, 2 * y, 2 * x)
    warped = halve(halve(warped, 1), 2).astype(images.dtype)
    unmoved = jnp.all(transforms == jnp.eye(3), axis=(1, 2))
    return jnp.where(unmoved[:, None, None, None], images, warped)
