"""Penalties on the weights themselves: orthogonality, spectral norm, distance from the past. One scalar per parameter tree."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gan_jax._kernels import LeafPredicate, as_matrix, exact_norm, is_kernel, power_iteration, random_unit_vectors, select
from gan_jax.typing import Array, PyTree


def orthogonal_penalty(params: PyTree, *, off_diagonal: bool = True, predicate: LeafPredicate = is_kernel, output_axis: int = -1) -> Array:
    """Orthogonal regularisation: the sum over kernels of |(W^T W) * (1 - I)|^2, or of |W^T W - I|^2.

    W is the matrix [rest, output features], so W^T W holds the inner products of the features' filters. The first form
    (BigGAN) only asks filters to be orthogonal, the second also to have norm 1.

    Args:
        params: any pytree of arrays.
        off_diagonal: BigGAN's form; False gives the original one.
        predicate: `(path, leaf) -> bool`, which leaves; by default those named "kernel" with at least two dimensions. (BigGAN's code
            exempts the shared class embedding of G.)
        output_axis: axis of output features; 0 for kernels in the layout of PyTorch or Equinox.

    Returns:
        float [], in at least float32. The paper's weight is 1e-4.

    Raises:
        ValueError: no leaf is chosen, or one is no matrix.

    References:
        Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis", 2019, section 3.2; the original:
        Brock et al., "Neural Photo Editing with Introspective Adversarial Networks", 2017. Deviation: that paper writes the sum of
        |W W^T - I|; the squared norm here is BigGAN's statement of it.
    """
    total = jnp.zeros(())
    for kernel in select(params, predicate).values():
        matrix = as_matrix(kernel, output_axis=output_axis)
        gram = matrix.T @ matrix
        identity = jnp.eye(gram.shape[0], dtype=gram.dtype)
        total = total + jnp.sum(jnp.square(gram * (1 - identity) if off_diagonal else gram - identity))
    return total


class SpectralPenaltyState(NamedTuple):
    """Power-iteration vectors: path of a kernel -> float32 [output features], norm 1."""

    vectors: dict[str, Array]


def init_spectral_norm_penalty(
    rng: Array, params: PyTree, *, predicate: LeafPredicate = is_kernel, output_axis: int = -1
) -> SpectralPenaltyState:
    """State of `spectral_norm_penalty`: one random unit vector per kernel.

    Args:
        rng: typed key.
        params: any pytree of arrays.
        predicate: which leaves, as there.
        output_axis: as there.

    Returns:
        The state.

    Raises:
        ValueError: no leaf is chosen, or one is no matrix.
    """
    kernels = select(params, predicate)
    return SpectralPenaltyState(random_unit_vectors(rng, {path: jnp.shape(kernel)[output_axis] for path, kernel in kernels.items()}))


def spectral_norm_penalty(
    params: PyTree,
    state: SpectralPenaltyState | None = None,
    *,
    n_steps: int = 1,
    predicate: LeafPredicate = is_kernel,
    output_axis: int = -1,
    eps: float = 1e-12,
) -> tuple[Array, SpectralPenaltyState | None]:
    """Spectral norm regularisation: the sum over kernels of sigma(W)^2, sigma the largest singular value.

    Plain: the paper adds lambda/2 times this, lambda = 0.01. The gradient through one kernel's term is 2 sigma u v^T, the vectors
    held constant. Unlike spectral normalisation it leaves the network's weights as they are and only pulls at them.

    Args:
        params: any pytree of arrays.
        state: power-iteration vectors from `init_spectral_norm_penalty`; None computes exact singular values (slow).
        n_steps: power iterations per call.
        predicate: `(path, leaf) -> bool`, which leaves; by default those named "kernel" with at least two dimensions.
        output_axis: axis of output features; 0 for kernels in the layout of PyTorch or Equinox.
        eps: norms below it count as zero.

    Returns:
        `(penalty, state)`: float [] in at least float32, and the vectors for the next call (None if there were none).

    Raises:
        ValueError: no leaf is chosen, or one is no matrix.

    References:
        Yoshida and Miyato, "Spectral Norm Regularization for Improving the Generalizability of Deep Learning", 2017, algorithm 1.
    """
    total, vectors = jnp.zeros(()), {}
    for path, kernel in select(params, predicate).items():
        matrix = as_matrix(kernel, output_axis=output_axis)
        if state is None:
            sigma = exact_norm(matrix)
        else:
            vector = state.vectors[path]
            sigma, _, new_vector = power_iteration(matrix, vector.astype(matrix.dtype), n_steps=n_steps, eps=eps)
            vectors[path] = new_vector.astype(vector.dtype)
        total = total + jnp.square(sigma)
    return total, None if state is None else SpectralPenaltyState(vectors)


class HistoricalAverage(NamedTuple):
    """Mean of the parameters so far.

    Attributes:
        average: same tree, shapes and dtypes as the parameters.
        count: how many are in it, int32 [].
    """

    average: PyTree
    count: Array


def init_historical_average(params: PyTree) -> HistoricalAverage:
    """State of `historical_averaging_penalty`: an empty average.

    Args:
        params: any pytree of arrays.

    Returns:
        The state; its `average` is a copy of `params` that the first update replaces.
    """
    return HistoricalAverage(jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), params), jnp.zeros((), jnp.int32))


def historical_averaging_penalty(params: PyTree, state: HistoricalAverage) -> tuple[Array, HistoricalAverage]:
    """Historical averaging: the squared distance |params - average|^2 of the parameters from the mean of all so far.

    The average takes in the current parameters first, (1/t) sum over i = 1..t of params[i], and is held constant in the gradient. So the
    first value is 0. As a link of an optimiser's chain this is `gan_jax.optimizers.historical_averaging`.

    Args:
        params: any pytree of float arrays, the parameters of this step.
        state: from `init_historical_average`, or the last call.

    Returns:
        `(penalty, state)`: float [], at least float32, and the average with these parameters in it.

    References:
        Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.3.
    """
    share = 1 / (state.count + 1)

    def include(average: Array, param: Array) -> Array:
        return (average + (param - average) * share).astype(param.dtype)

    average = jax.lax.stop_gradient(jax.tree.map(include, state.average, params))
    total = jnp.zeros(())
    for param, mean in zip(jax.tree.leaves(params), jax.tree.leaves(average), strict=True):
        total = total + jnp.sum(jnp.square(param - mean).astype(jnp.promote_types(param.dtype, jnp.float32)))
    return total, HistoricalAverage(average, state.count + 1)


def weight_decay_penalty(params: PyTree, *, predicate: LeafPredicate = is_kernel) -> Array:
    """L2 regularisation: the sum of squares of the chosen weights, without a factor 1/2.

    Args:
        params: any pytree of arrays.
        predicate: `(path, leaf) -> bool`, which leaves; by default those named "kernel" with at least two dimensions.

    Returns:
        float [], in at least float32. Under Adam this is not decoupled weight decay: use `optax.adamw` for that.

    Raises:
        ValueError: no leaf is chosen, or one is no matrix.

    References:
        Krogh and Hertz, "A Simple Weight Decay Can Improve Generalization", 1991.
    """
    return sum((jnp.sum(jnp.square(as_matrix(kernel))) for kernel in select(params, predicate).values()), start=jnp.zeros(()))
