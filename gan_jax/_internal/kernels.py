"""Kernels as matrices: selects the kernels of a parameter tree, reshapes them, and computes their largest singular value."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from gan_jax.typing import Array, PyTree

LeafPredicate: TypeAlias = Callable[[str, Array], bool]


def is_kernel(path: str, leaf: Array) -> bool:
    """Whether a leaf is a weight that multiplies features, i.e. it is named "kernel" and has at least two dimensions.

    Biases, gains of norms and embeddings are excluded. `path` may end in "kernel/value", as in the state of an NNX model.

    Args:
        path: Names from the root, joined by "/", e.g. "Dense_0/kernel".
        leaf: The parameter.

    Returns:
        True if the leaf is a kernel.
    """
    names = [name for name in path.split("/") if name != "value"]
    return bool(names) and names[-1] == "kernel" and jnp.ndim(leaf) >= 2


def is_weight(path: str, leaf: Array) -> bool:
    """Whether a leaf is a kernel (see `is_kernel`) or the table of an embedding (named "embedding", at least two dimensions)."""
    return is_kernel(path, leaf) or (path.rsplit("/", 1)[-1] == "embedding" and jnp.ndim(leaf) >= 2)


def select(params: PyTree, predicate: LeafPredicate) -> dict[str, Array]:
    """Returns the leaves of a tree that a predicate selects, by path.

    Args:
        params: Pytree of arrays.
        predicate: Function `(path, leaf) -> bool`. See `is_kernel`.

    Returns:
        Path -> leaf, in the order of the tree.

    Raises:
        ValueError: No leaf is selected, or a selected leaf has fewer than two dimensions. An empty selection is an error,
            because the normalisation would have no effect.
    """
    leaves = {_join(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    chosen = {path: leaf for path, leaf in leaves.items() if predicate(path, leaf)}
    if not chosen:
        raise ValueError(f"predicate must choose at least one leaf; it chose none of {', '.join(leaves) or 'an empty tree'}")
    for path, leaf in chosen.items():
        if jnp.ndim(leaf) < 2:
            raise ValueError(f"{path} must have at least 2 dimensions to be a kernel; got shape {jnp.shape(leaf)}")
    return chosen


def leaf_at(params: PyTree, path: str) -> Array:
    """Returns the leaf of a tree at a path such as "output/kernel".

    Raises:
        ValueError: There is no such leaf.
    """
    leaves = {_join(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    if path not in leaves:
        raise ValueError(f"{path!r} must be the path of a parameter; there are {', '.join(leaves)}")
    return leaves[path]


def replace(params: PyTree, leaves: dict[str, Array]) -> PyTree:
    """Returns a copy of the tree in which some leaves are replaced.

    Args:
        params: Pytree of arrays.
        leaves: Path -> new leaf, with paths as returned by `select`.

    Returns:
        A tree of the same structure.
    """
    return jax.tree_util.tree_map_with_path(lambda path, leaf: leaves.get(_join(path), leaf), params)


def as_matrix(kernel: Array, *, output_axis: int = -1) -> Array:
    """Reshapes a kernel to the matrix [product of all other axes, output features], in at least float32.

    Args:
        kernel: Kernel in Flax layout [..., output features]. This is [in, out] for a dense layer and [height, width, in, out]
            for a convolution. For `flax.linen.ConvTranspose` it is [height, width, in, out] too. With `transpose_kernel=True`
            the last two axes are exchanged, so pass `output_axis=-2`.
        output_axis: Axis of the output features. Use 0 for the layout of PyTorch and Equinox.

    Returns:
        Float [rest, out]. It is the transpose of the matrix [out, rest] of Miyato et al., 2018, with the same singular values.
    """
    kernel = kernel.astype(jnp.promote_types(kernel.dtype, jnp.float32))
    return jnp.moveaxis(kernel, output_axis, -1).reshape(-1, kernel.shape[output_axis])


def power_iteration(matrix: Array, vector: Array, *, n_steps: int, eps: float) -> tuple[Array, Array, Array]:
    """Largest singular value by power iteration from a right singular vector. It is differentiable only in the matrix.

    Each of the n_steps computes left = normalise(M v), then v = normalise(M^T left). The result is sigma = left^T M v. Its
    gradient with constant vectors is left v^T. After the vectors have converged, this is the gradient of the exact largest
    singular value.

    If the matrix is zero (a layer initialised with zeros), the vector is returned unchanged. A vector overwritten by zeros would
    stay zero in all later calls.

    Args:
        matrix: Float [rows, columns].
        vector: Float [columns], with norm 1.
        n_steps: Number of iterations. With 0 the vector is used unchanged.
        eps: Norms at or below this value count as zero.

    Returns:
        `(sigma [], left [rows], vector [columns])`. The last two carry no gradient.
    """
    constant = jax.lax.stop_gradient(matrix)

    def normalise(x: Array, otherwise: Array) -> Array:
        norm = jnp.linalg.norm(x)
        return jnp.where(norm <= eps, otherwise, x / jnp.maximum(norm, eps))

    vector = jax.lax.stop_gradient(vector)
    left = normalise(constant @ vector, jnp.zeros(matrix.shape[0], matrix.dtype))
    if n_steps:
        vector = normalise(left @ constant, vector)

    def iterate(_: Array, vectors: tuple[Array, Array]) -> tuple[Array, Array]:
        left = normalise(constant @ vectors[1], vectors[0])
        return left, normalise(left @ constant, vectors[1])

    if n_steps > 1:  # A loop of the program, so that the time to compile does not grow with the number of iterations.
        left, vector = jax.lax.fori_loop(1, n_steps, iterate, (left, vector))
    return jnp.vdot(left, matrix @ vector), left, vector


def exact_norm(matrix: Array) -> Array:
    """Largest singular value from a full decomposition, with the same gradient as the power iteration: left v^T.

    Args:
        matrix: Float [rows, columns].

    Returns:
        sigma, float [].
    """
    left, _, right = jnp.linalg.svd(jax.lax.stop_gradient(matrix), full_matrices=False)
    return left[:, 0] @ matrix @ right[0]


def random_unit_vectors(rng: Array, sizes: dict[str, int]) -> dict[str, Array]:
    """Samples one float32 vector of norm 1 for every name, each with its own key.

    Args:
        rng: Typed JAX random key.
        sizes: Name -> length of the vector.

    Returns:
        Name -> float32 [length].
    """
    draws = {name: jax.random.normal(jax.random.fold_in(rng, index), (size,)) for index, (name, size) in enumerate(sizes.items())}
    return {name: draw / jnp.linalg.norm(draw) for name, draw in draws.items()}


def _join(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
