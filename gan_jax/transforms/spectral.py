"""Spectral normalisation as a transformation of a parameter tree."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gan_jax._internal.kernels import LeafPredicate, as_matrix, exact_norm, is_weight, power_iteration, random_unit_vectors, replace, select
from gan_jax.typing import Array, ParamTransform, PyTree


class SpectralNormState(NamedTuple):
    """State of the power iteration, carried from step to step.

    Attributes:
        vectors: Path of each kernel -> current estimate of its right singular vector, float32 [output features], norm 1.
        sigma: Path of each kernel -> last estimate of its largest singular value, float32 []. It is 0 before the first call.
            Use it for monitoring.
    """

    vectors: dict[str, Array]
    sigma: dict[str, Array]


def spectral_norm(
    n_steps: int = 1,
    *,
    predicate: LeafPredicate = is_weight,
    exact: bool = False,
    eps: float = 1e-12,
    output_axis: int = -1,
) -> ParamTransform:
    """Spectral normalisation: every selected kernel W becomes W / sigma(W), where sigma is its largest singular value.

    sigma = u^T W v. The vectors u and v come from `n_steps` of power iteration, which starts at the vector of the previous
    call. They carry no gradient. If u and v are the singular vectors, the gradient is the paper's:
    dL/dW = (G - <G, W / sigma> u v^T) / sigma for G = dL/d(W / sigma).

    The kernel of a convolution is treated as the matrix [height * width * in, out], as in the paper. The sigma of this matrix
    differs from the norm of the convolution itself, which lies between sigma and sigma * sqrt(height * width). The kernel of a
    transposed convolution in Flax's layout is treated the same way (see `gan_jax._internal.kernels.as_matrix`).

    The function works on any pytree, e.g. Flax parameters, an Equinox module or a dict. The stored parameters are not changed.
    For evaluation, call `apply` and discard the returned state.

    Args:
        n_steps: Number of power iterations per call. The paper uses 1, which suffices because weights change slowly. With 0 the
            vectors are never updated.
        predicate: Function `(path, leaf) -> bool` that selects the leaves, with paths such as "Dense_0/kernel". The default,
            `is_weight`, selects kernels and embeddings, as the projection discriminators of Miyato and Koyama (2018), SAGAN and BigGAN
            do. For a generator pass `is_kernel`, which leaves the shared class embedding plain, as in BigGAN.
        exact: If True, compute sigma with a singular value decomposition. This is slow and meant for tests.
        eps: A kernel with sigma at or below this value is left unchanged. This concerns layers initialised with zeros.
        output_axis: Axis of the output features. Use 0 for kernels in the layout of PyTorch or Equinox.

    Returns:
        `ParamTransform` with `init(rng, params) -> SpectralNormState` and `apply(params, state) -> (params, state)`.
        Kernels keep their dtype. sigma is computed in at least float32.

    Raises:
        ValueError: `n_steps` or `eps` is negative. `init` and `apply` raise it if no leaf is selected, or if a selected leaf has
            fewer than two dimensions.

    References:
        Miyato et al., "Spectral Normalization for Generative Adversarial Networks", 2018.
        Zhang et al., SAGAN, 2019 (spectral normalisation in G too).
        Deviations: zero kernels are handled. In evaluation PyTorch (`torch.nn.utils.spectral_norm`) reuses u and v of the
        training, while this function makes one more iteration from the last vector.
    """
    if n_steps < 0 or eps < 0:
        raise ValueError(f"n_steps and eps must not be negative; got {n_steps} and {eps}")

    def init(rng: Array, params: PyTree) -> SpectralNormState:
        kernels = select(params, predicate)
        vectors = random_unit_vectors(rng, {path: jnp.shape(kernel)[output_axis] for path, kernel in kernels.items()})
        return SpectralNormState(vectors, {path: jnp.zeros(()) for path in kernels})

    def apply(params: PyTree, state: SpectralNormState) -> tuple[PyTree, SpectralNormState]:
        normalised, vectors, sigmas = {}, {}, {}
        for path, kernel in select(params, predicate).items():
            matrix = as_matrix(kernel, output_axis=output_axis)
            vector = state.vectors[path]
            if exact:
                sigma = exact_norm(matrix)
            else:
                sigma, _, vector = power_iteration(matrix, vector.astype(matrix.dtype), n_steps=n_steps, eps=eps)
            normalised[path] = (kernel / jnp.where(sigma <= eps, 1.0, sigma)).astype(kernel.dtype)
            vectors[path] = vector.astype(state.vectors[path].dtype)
            sigmas[path] = jax.lax.stop_gradient(sigma).astype(state.sigma[path].dtype)
        return replace(params, normalised), SpectralNormState(vectors, sigmas)

    return ParamTransform(init, apply)
