"""Penalties on the weights: orthogonality, spectral norm, historical averaging, L2. Each returns one scalar per parameter tree."""

from typing import NamedTuple

import jax.numpy as jnp

from gan_jax._internal.kernels import LeafPredicate, as_matrix, exact_norm, is_kernel, power_iteration, random_unit_vectors, select
from gan_jax.typing import Array, PyTree


def orthogonal_penalty(params: PyTree, *, off_diagonal: bool = True, predicate: LeafPredicate = is_kernel, output_axis: int = -1) -> Array:
    """Orthogonal regularisation: the sum over kernels of |(W^T W) * (1 - I)|^2, or of |W^T W - I|^2.

    W is the matrix [rest, output features], so W^T W holds the inner products of the filters. The first form (BigGAN)
    penalises filters that are not orthogonal. The second form also penalises norms other than 1.

    Args:
        params: Pytree of arrays.
        off_diagonal: If True, use BigGAN's form. If False, use the original form.
        predicate: Function `(path, leaf) -> bool` that selects the leaves. The default selects leaves named "kernel" with at
            least two dimensions. BigGAN's code excludes the shared class embedding of G.
        output_axis: Axis of the output features. Use 0 for kernels in the layout of PyTorch or Equinox.

    Returns:
        float [], in at least float32. The paper's weight is 1e-4. BigGAN-PyTorch (commit 9845943) adds half of this gradient, so
        its strength is twice the weight here.

    Raises:
        ValueError: No leaf is selected, or a selected leaf has fewer than two dimensions.

    References:
        Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis", 2019, section 3.2.
        Brock et al., "Neural Photo Editing with Introspective Adversarial Networks", 2017 (the original form). Deviation: that
        paper writes the sum of |W W^T - I|. The squared norm used here is BigGAN's statement of it.
    """
    total = jnp.zeros(())
    for kernel in select(params, predicate).values():
        matrix = as_matrix(kernel, output_axis=output_axis)
        gram = matrix.T @ matrix
        identity = jnp.eye(gram.shape[0], dtype=gram.dtype)
        total = total + jnp.sum(jnp.square(gram * (1 - identity) if off_diagonal else gram - identity))
    return total


class SpectralPenaltyState(NamedTuple):
    """Power-iteration vectors: the path of each kernel -> float32 [output features], with norm 1."""

    vectors: dict[str, Array]


def init_spectral_norm_penalty(
    rng: Array, params: PyTree, *, predicate: LeafPredicate = is_kernel, output_axis: int = -1
) -> SpectralPenaltyState:
    """Initialises the state of `spectral_norm_penalty` with one random unit vector per kernel.

    Args:
        rng: Typed JAX random key.
        params: Pytree of arrays.
        predicate: Function that selects the leaves, as in `spectral_norm_penalty`.
        output_axis: Axis of the output features, as in `spectral_norm_penalty`.

    Returns:
        The initial state.

    Raises:
        ValueError: No leaf is selected, or a selected leaf has fewer than two dimensions.
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
    """Spectral norm regularisation: the sum over kernels of sigma(W)^2, where sigma is the largest singular value.

    The paper's factor is not included. The paper adds lambda/2 times this value, with lambda = 0.01. The singular vectors are
    held constant, so the gradient of one kernel's term is 2 sigma u v^T. Unlike spectral normalisation, this penalty does not
    change the weights that the network uses.

    Args:
        params: Pytree of arrays.
        state: Power-iteration vectors from `init_spectral_norm_penalty`. None computes exact singular values, which is slow.
        n_steps: Number of power iterations per call.
        predicate: Function `(path, leaf) -> bool` that selects the leaves. The default selects leaves named "kernel" with at
            least two dimensions.
        output_axis: Axis of the output features. Use 0 for kernels in the layout of PyTorch or Equinox.
        eps: Norms at or below this value count as zero.

    Returns:
        `(penalty, state)`: float [] in at least float32, and the vectors for the next call (None if `state` was None).

    Raises:
        ValueError: No leaf is selected, or a selected leaf has fewer than two dimensions.

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
