"""Kernels as matrices: which leaves of a parameter tree are kernels, how one becomes a matrix, and its largest singular value."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from gan_jax.typing import Array, PyTree

LeafPredicate: TypeAlias = Callable[[str, Array], bool]


def is_kernel(path: str, leaf: Array) -> bool:
    """Whether a leaf is a weight that multiplies features: named "kernel", with two dimensions or more.

    Biases, gains of norms and embeddings are not. (`path` may end in "kernel/value", as in the state of an NNX model.)

    Args:
        path: names from the root, joined by "/", e.g. "Dense_0/kernel".
        leaf: the parameter.

    Returns:
        The answer.
    """
    names = [name for name in path.split("/") if name != "value"]
    return bool(names) and names[-1] == "kernel" and jnp.ndim(leaf) >= 2


def select(params: PyTree, predicate: LeafPredicate) -> dict[str, Array]:
    """The leaves of a tree that a predicate chooses, by path.

    Args:
        params: any pytree of arrays.
        predicate: `(path, leaf) -> bool`, see `is_kernel`.

    Returns:
        Path -> leaf, in the tree's order.

    Raises:
        ValueError: no leaf is chosen (a normalisation that does nothing must not pass for one), or one has fewer than two dimensions.
    """
    leaves = {_join(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    chosen = {path: leaf for path, leaf in leaves.items() if predicate(path, leaf)}
    if not chosen:
        raise ValueError(f"predicate must choose at least one leaf; it chose none of {', '.join(leaves) or 'an empty tree'}")
    for path, leaf in chosen.items():
        if jnp.ndim(leaf) < 2:
            raise ValueError(f"{path} must have at least 2 dimensions to be a kernel; got shape {jnp.shape(leaf)}")
    return chosen


def replace(params: PyTree, leaves: dict[str, Array]) -> PyTree:
    """The tree with some leaves exchanged.

    Args:
        params: any pytree of arrays.
        leaves: path -> new leaf, paths as `select` gives them.

    Returns:
        A tree of the same structure.
    """
    return jax.tree_util.tree_map_with_path(lambda path, leaf: leaves.get(_join(path), leaf), params)


def as_matrix(kernel: Array, *, output_axis: int = -1) -> Array:
    """A kernel as the matrix [product of all other axes, output features], in at least float32.

    Args:
        kernel: Flax layout [..., output features]: [in, out] of a dense layer, [height, width, in, out] of a convolution. For a
            transposed convolution of `flax.linen.ConvTranspose` it is [height, width, in, out] too (with `transpose_kernel=True`
            the last two axes change places: give `output_axis=-2`).
        output_axis: the axis of output features; 0 for the layout of PyTorch and Equinox.

    Returns:
        Float [rest, out]: the transpose of the matrix [out, rest] of Miyato et al., 2018, with the same singular values.
    """
    kernel = kernel.astype(jnp.promote_types(kernel.dtype, jnp.float32))
    return jnp.moveaxis(kernel, output_axis, -1).reshape(-1, kernel.shape[output_axis])


def power_iteration(matrix: Array, vector: Array, *, n_steps: int, eps: float) -> tuple[Array, Array, Array]:
    """Largest singular value by power iteration from a right singular vector; differentiable in the matrix only.

    n_steps times: left = normalise(M v), v = normalise(M^T left); then sigma = left^T M v, whose gradient, with the vectors held
    constant, is left v^T: that of the exact largest singular value, once the vectors have converged.

    A matrix that is zero (a layer initialised with zeros) keeps the vector it is given: a vector overwritten by zeros would never
    see the matrix again.

    Args:
        matrix: float [rows, columns].
        vector: float [columns], of norm 1.
        n_steps: iterations; 0 uses the vector as it is.
        eps: norms below it count as zero.

    Returns:
        `(sigma [], left [rows], vector [columns])`, the last two without gradient.
    """
    constant = jax.lax.stop_gradient(matrix)

    def normalise(x: Array, otherwise: Array) -> Array:
        norm = jnp.linalg.norm(x)
        return jnp.where(norm > eps, x / jnp.maximum(norm, eps), otherwise)

    vector = jax.lax.stop_gradient(vector)
    left = normalise(constant @ vector, jnp.zeros(matrix.shape[0], matrix.dtype))
    for step in range(n_steps):
        if step:
            left = normalise(constant @ vector, left)
        vector = normalise(left @ constant, vector)
    return jnp.vdot(left, matrix @ vector), left, vector


def exact_norm(matrix: Array) -> Array:
    """Largest singular value by a full decomposition, with the gradient of the power iteration: left v^T.

    Args:
        matrix: float [rows, columns].

    Returns:
        sigma, float [].
    """
    left, _, right = jnp.linalg.svd(jax.lax.stop_gradient(matrix), full_matrices=False)
    return left[:, 0] @ matrix @ right[0]


def random_unit_vectors(rng: Array, sizes: dict[str, int]) -> dict[str, Array]:
    """A float32 vector of norm 1 for every name, each from its own key.

    Args:
        rng: typed key.
        sizes: name -> length.

    Returns:
        Name -> [length].
    """
    draws = {name: jax.random.normal(jax.random.fold_in(rng, index), (size,)) for index, (name, size) in enumerate(sizes.items())}
    return {name: draw / jnp.linalg.norm(draw) for name, draw in draws.items()}


def _join(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
