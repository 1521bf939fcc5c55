"""Latent distributions for the generator, and interpolation paths and grids in latent space."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax._internal.checks import check_float, check_not_empty, check_rank, check_same_shape
from gan_jax.typing import Array

# Two unit vectors count as equal if the length of their difference is below this value, and as opposite if the length
# of their sum is. The value is some tens of float32 roundings, far below the angle between any two random latents.
_DEGENERATE = 1e-5


def normal(rng: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """Standard normal latents, z ~ N(0, I). This is the default distribution.

    Args:
        rng: Typed JAX random key.
        shape: `(count, dim)`, as in `jax.random`.
        dtype: Floating-point type.

    Returns:
        Float, `shape`.

    Raises:
        ValueError: The shape has fewer than two axes, or an axis of size 0.

    References:
        Goodfellow et al., "Generative Adversarial Nets", 2014, samples from a cube.
        White, "Sampling Generative Networks", 2016, argues for normal latents.
    """
    return jax.random.normal(rng, _checked(shape), dtype)


def spherical(rng: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """Latents uniform on the sphere of radius sqrt(dim): z = sqrt(dim) x / |x|, x ~ N(0, I).

    With this radius every coordinate has variance 1, as with `normal`. The two distributions can therefore be exchanged
    without rescaling the first layer of the network. Divide by sqrt(dim) to get the unit sphere.

    Args:
        rng: Typed JAX random key.
        shape: `(count, dim)`. The last axis is normalised.
        dtype: Floating-point type.

    Returns:
        Float, `shape`. Every row has norm sqrt(dim).

    Raises:
        ValueError: The shape has fewer than two axes, or an axis of size 0.

    References:
        Karras et al., "Progressive Growing of GANs", 2018 (latents on the hypersphere).
    """
    sample = jax.random.normal(rng, _checked(shape), dtype)
    mean_square = jnp.mean(jnp.square(sample.astype(jnp.promote_types(dtype, jnp.float32))), axis=-1, keepdims=True)
    return (sample * jax.lax.rsqrt(jnp.maximum(mean_square, jnp.finfo(mean_square.dtype).tiny))).astype(dtype)


def uniform(rng: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """Latents uniform in the cube, z ~ U[-1, 1)^dim.

    It is provided for comparison. Practitioners advise against it.

    Args:
        rng: Typed JAX random key.
        shape: `(count, dim)`.
        dtype: Floating-point type.

    Returns:
        Float, `shape`. Every coordinate has variance 1/3.

    Raises:
        ValueError: The shape has fewer than two axes, or an axis of size 0.

    References:
        Radford et al., "Unsupervised Representation Learning with DCGANs", 2016.
    """
    return jax.random.uniform(rng, _checked(shape), dtype, -1.0, 1.0)


def truncated_normal(rng: Array, shape: Sequence[int], dtype: Any = jnp.float32, *, threshold: float = 2.0) -> Array:
    """Normal latents conditioned on |z_i| <= threshold in every coordinate: the truncation trick.

    Use it to sample from a generator that was trained with `normal` latents. A smaller threshold increases fidelity and
    reduces variety.

    Args:
        rng: Typed JAX random key.
        shape: `(count, dim)`.
        dtype: Floating-point type.
        threshold: Largest magnitude of a coordinate, positive.

    Returns:
        Float, `shape`.

    Raises:
        ValueError: `threshold` is not positive, or the shape has fewer than two axes or an axis of size 0.

    References:
        Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis" (BigGAN), 2019, section 3.1. The
        paper resamples coordinates that are out of range, which gives the same distribution as the inverse CDF used here.
        Deviation: the samplers that the authors released truncate at 2 and then multiply by the truncation value. This
        function follows the text of the paper.
    """
    if isinstance(threshold, int | float) and not threshold > 0:
        raise ValueError(f"threshold must be positive; got {threshold}")
    return jax.random.truncated_normal(rng, -threshold, threshold, _checked(shape), dtype)


LATENTS: dict[str, Callable[..., Array]] = {
    "normal": normal,
    "spherical": spherical,
    "uniform": uniform,
    "truncated_normal": truncated_normal,
}


def slerp(a: Array, b: Array, t: Array | float) -> Array:
    """Spherical linear interpolation: sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b, with w the angle between a and b.

    If both vectors have the same norm, all points between them have this norm too, so they are typical samples. A straight
    line between two high-dimensional Gaussian samples passes through a region without samples.

    The result is defined for all inputs and has finite gradients:

    - If a and b have the same direction, or one of them is zero, the result is the straight line (1 - t) a + t b. This is the
      limit of the formula.
    - If a and b have opposite directions, the result is half a great circle. It passes through the direction perpendicular to
      `a` that is nearest to the coordinate axis where |a| is smallest. The norm changes linearly from |a| to |b|. In one
      dimension the result is the straight line.

    Args:
        a: Float [..., dim].
        b: Float, same shape.
        t: 0 gives a and 1 gives b. Values outside [0, 1] continue along the circle. A scalar, or an array that broadcasts with
            the batch shape `a.shape[:-1]`. Use [batch] for one t per vector, and [steps, 1] for all steps of every vector.

    Returns:
        Float [..., dim]. The leading shape is the broadcast of `t.shape` and `a.shape[:-1]`.

    Raises:
        ValueError: The shapes of a and b differ, a and b are empty or scalars, or t does not broadcast.
        TypeError: a or b is not floating point.

    References:
        Shoemake, "Animating rotation with quaternion curves", 1985.
        White, "Sampling Generative Networks", 2016.
    """
    check_same_shape(a=a, b=b)
    check_float(a=a, b=b)
    check_not_empty(a=a)
    if jnp.ndim(a) == 0:
        raise ValueError("a and b must have a last axis of latent dimensions; got scalars")
    dtype = jnp.result_type(a, b)
    a, b = (x.astype(jnp.promote_types(dtype, jnp.float32)) for x in (a, b))
    try:
        jnp.broadcast_shapes(jnp.shape(t), a.shape[:-1])
    except ValueError as error:
        raise ValueError(f"t must broadcast with the batch shape {a.shape[:-1]}; got {jnp.shape(t)}") from error
    return _slerp(a, b, jnp.asarray(t, a.dtype)).astype(dtype)


def great_circle_strip(start: Array, end: Array, *, steps: int) -> Array:
    """Interpolates along great circles: `slerp` at `steps` equally spaced values of t from 0 to 1, both ends included.

    Args:
        start: Float [batch, dim].
        end: Float, same shape.
        steps: Number of latents in a strip, at least 2.

    Returns:
        Float [batch, steps, dim]. Row i goes from start[i] to end[i]. Flatten the first two axes to generate an image grid.

    Raises:
        ValueError: The shapes differ or are not [batch, dim], or `steps` is below 2.

    References:
        White, "Sampling Generative Networks", 2016, section 2.1.
    """
    check_rank(2, start=start, end=end)
    if steps < 2:
        raise ValueError(f"steps must be at least 2; got {steps}")
    t = jnp.linspace(0.0, 1.0, steps)
    return jnp.swapaxes(slerp(start, end, t[:, None]), 0, 1)


def great_circle_walk(points: Array, *, steps: int, closed: bool = False) -> Array:
    """A path through a chain of latents: a great circle from each point to the next.

    Output [i * steps] is point i. The angular velocity changes at the points only.

    Args:
        points: Float [count, dim], at least 2.
        steps: Number of latents from one point to the next, at least 1.
        closed: Whether the path returns to the first point. The first point is then not repeated at the end, so that an animation
            repeats without a jump.

    Returns:
        Float [(count - 1) * steps + 1, dim], or [count * steps, dim] if the path is closed.

    Raises:
        ValueError: The points are not [count, dim], are fewer than 2, or `steps` is below 1.

    References:
        Shoemake, "Animating rotation with quaternion curves", 1985. White, "Sampling Generative Networks", 2016, section 2.1.
    """
    check_rank(2, points=points)
    if len(points) < 2:
        raise ValueError(f"points must be at least 2; got shape {points.shape}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")
    if closed:
        return _fill(jnp.concatenate([points, points[:1]])[None], steps)[0, :-1]
    return _fill(points[None], steps)[0]


def j_diagram(source: Array, right: Array, down: Array, *, rows: int, columns: int) -> Array:
    """White's J-diagram: the analogy source : right :: down : ?, as a grid of interpolated latents.

    The corners are `source` (top left), `right` (top right), `down` (bottom left) and the analogy right + down - source (bottom
    right). The left and right edges are great circles from top to bottom. Every row is a great circle between the edges.

    Args:
        source: Float [dim].
        right: Float [dim].
        down: Float [dim].
        rows: Height of the grid, at least 2.
        columns: Width of the grid, at least 2.

    Returns:
        Float [rows, columns, dim].

    Raises:
        ValueError: The shapes differ or are not [dim], or the grid is smaller than 2 x 2.

    References:
        White, "Sampling Generative Networks", 2016, section 2.2. The analogy is that of Mikolov et al., 2013.
    """
    check_rank(1, source=source, right=right, down=down)
    check_same_shape(source=source, right=right, down=down)
    if rows < 2 or columns < 2:
        raise ValueError(f"rows and columns must be at least 2; got {rows} and {columns}")
    edges = great_circle_strip(jnp.stack([source, right]), jnp.stack([down, right + down - source]), steps=rows)
    return great_circle_strip(edges[0], edges[1], steps=columns)


def mine_grid(anchors: Array, *, spacing: int) -> Array:
    """White's MINE grid: anchors on a coarse grid, with great circles between neighbouring anchors.

    Output [i * spacing, j * spacing] is anchor [i, j]. The rows with anchors are interpolated first, then every column between
    them. In the paper neighbouring anchors are encodings of similar images ("manifold interpolated neighbor embedding").
    Use `neighbor_layout` to place similar latents next to each other.

    Args:
        anchors: Float [anchor_rows, anchor_columns, dim], at least 2 x 2.
        spacing: Number of grid steps from one anchor to the next, at least 1.

    Returns:
        Float [(anchor_rows - 1) * spacing + 1, (anchor_columns - 1) * spacing + 1, dim].

    Raises:
        ValueError: The anchors do not have three dimensions, are fewer than 2 x 2, or `spacing` is below 1.

    References:
        White, "Sampling Generative Networks", 2016, section 2.3.
    """
    check_rank(3, anchors=anchors)
    if min(anchors.shape[:2]) < 2:
        raise ValueError(f"anchors must be at least 2 x 2; got shape {anchors.shape}")
    if spacing < 1:
        raise ValueError(f"spacing must be at least 1; got {spacing}")
    return jnp.swapaxes(_fill(jnp.swapaxes(_fill(anchors, spacing), 0, 1), spacing), 0, 1)


def neighbor_layout(latents: Array, *, rows: int, columns: int) -> Array:
    """Places latents on a grid so that similar latents are neighbours. The result can be used as the anchors of `mine_grid`.

    The first two principal components of the latents are assigned to the grid cells with the smallest total squared distance
    (Jonker-Volgenant). The function runs in NumPy on the host and cannot be traced.

    Args:
        latents: Float [rows * columns, dim], e.g. encodings of images, or the nearest neighbours of one encoding.
        rows: Height of the grid.
        columns: Width of the grid.

    Returns:
        Float [rows, columns, dim]: the same latents, each in one cell.

    Raises:
        ValueError: The latents are not [rows * columns, dim], or dim is below 2.

    References:
        White, "Sampling Generative Networks", 2016, section 2.3. Deviation: principal components are used instead of t-SNE, so
        that the result is deterministic.
    """
    from scipy.optimize import linear_sum_assignment  # SciPy is a dependency of JAX, and only this function needs it.

    check_rank(2, latents=latents)
    if latents.shape[0] != rows * columns or latents.shape[1] < 2:
        raise ValueError(f"latents must be [{rows * columns}, dim] with dim at least 2 for {rows} x {columns}; got shape {latents.shape}")
    points = np.asarray(latents, np.float64)
    centered = points - points.mean(axis=0)
    axes = np.linalg.svd(centered, full_matrices=False)[2][:2]
    plane = np.stack([_ranks(centered @ axis) for axis in axes], axis=1)
    grid = np.stack(np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij"), axis=-1).reshape(-1, 2)
    # The component with the largest variance is placed along the longer side of the grid.
    order = [1, 0] if columns >= rows else [0, 1]
    cost = np.square(grid[:, None, :] - plane[None, :, order]).sum(axis=-1)
    return jnp.asarray(latents)[linear_sum_assignment(cost)[1]].reshape(rows, columns, -1)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of the values, scaled to [0, 1]. They are evenly spaced, like the grid cells."""
    return np.argsort(np.argsort(values, kind="stable"), kind="stable") / max(len(values) - 1, 1)


def _fill(grid: Array, spacing: int) -> Array:
    """Interpolates [rows, columns, dim] along the columns to [rows, (columns - 1) * spacing + 1, dim]."""
    t = jnp.arange(spacing) / spacing
    cells = slerp(grid[:, :-1, None], grid[:, 1:, None], t)
    return jnp.concatenate([cells.reshape(grid.shape[0], -1, grid.shape[-1]), grid[:, -1:]], axis=1)


# Jitted for interactive use. Otherwise about fifty small operations would each be compiled for every new shape.
@jax.jit
def _slerp(a: Array, b: Array, t: Array) -> Array:
    t = t[..., None]
    norm_a, norm_b = _norm(a), _norm(b)
    unit_a, unit_b = (x / jnp.where(norm == 0, 1.0, norm) for x, norm in ((a, norm_a), (b, norm_b)))
    difference, total = _norm(unit_a - unit_b), _norm(unit_a + unit_b)
    # Kahan's formula for the angle is accurate for nearly equal and nearly opposite vectors, where arccos loses half the digits.
    angle = 2 * jnp.arctan2(difference, total)
    straight = (difference < _DEGENERATE) | (norm_a == 0) | (norm_b == 0)
    opposite = (total < _DEGENERATE) & ~straight
    sine = jnp.where(straight | opposite, 1.0, difference * total / 2)
    arc = (jnp.sin((1 - t) * angle) * a + jnp.sin(t * angle) * b) / sine

    line = (1 - t) * a + t * b
    if a.shape[-1] == 1:
        return jnp.where(straight | opposite, line, arc)
    axis = jax.nn.one_hot(jnp.argmin(jnp.abs(unit_a), axis=-1), a.shape[-1], dtype=a.dtype)
    perpendicular = axis - jnp.sum(axis * unit_a, axis=-1, keepdims=True) * unit_a
    perpendicular = perpendicular / _norm(perpendicular)
    half_circle = ((1 - t) * norm_a + t * norm_b) * (jnp.cos(jnp.pi * t) * unit_a + jnp.sin(jnp.pi * t) * perpendicular)
    return jnp.where(straight, line, jnp.where(opposite, half_circle, arc))


def _norm(x: Array) -> Array:
    """Norm over the last axis, which is kept. The gradient at zero is 0."""
    square = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return jnp.where(square == 0, 0.0, jnp.sqrt(jnp.where(square == 0, 1.0, square)))


def _checked(shape: Sequence[int]) -> tuple[int, ...]:
    shape = tuple(shape)
    if len(shape) < 2 or any(size < 1 for size in shape):
        raise ValueError(f"shape must be (count, dim), all at least 1; got {shape}")
    return shape
