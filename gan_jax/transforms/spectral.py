"""Spectral normalisation as a transformation of a parameter tree."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gan_jax._kernels import LeafPredicate, as_matrix, exact_norm, is_kernel, power_iteration, random_unit_vectors, replace, select
from gan_jax.typing import Array, ParamTransform, PyTree


class SpectralNormState(NamedTuple):
    """What the power iteration remembers from step to step.

    Attributes:
        vectors: path of a kernel -> its right singular vector in the making, float32 [output features], norm 1.
        sigma: path of a kernel -> largest singular value found last, float32 []; 0 before the first call. To watch.
    """

    vectors: dict[str, Array]
    sigma: dict[str, Array]


def spectral_norm(
    n_steps: int = 1,
    *,
    predicate: LeafPredicate = is_kernel,
    exact: bool = False,
    eps: float = 1e-12,
    output_axis: int = -1,
) -> ParamTransform:
    """Spectral normalisation: every chosen kernel W becomes W / sigma(W), sigma its largest singular value.

    sigma = u^T W v, where u and v come from `n_steps` of power iteration, started at each call from the vector of the last one,
    and carry no gradient. With u and v at the singular vectors, the gradient is the paper's:
    dL/dW = (G - <G, W / sigma> u v^T) / sigma for G = dL/d(W / sigma).

    A convolution's kernel is taken as the matrix [height * width * in, out], as in the paper: sigma of that matrix is not the
    norm of the convolution itself, which lies between sigma and sigma * sqrt(height * width). A transposed
    convolution's, in Flax's layout, likewise (see `gan_jax._kernels.as_matrix`).

    Works on any pytree: parameters of Flax, an Equinox module, a dict. Evaluation: call `apply` and drop the state it returns.
    Nothing but that state ever changes, and the stored parameters stay as they are.

    Args:
        n_steps: power iterations per call; the paper's 1 suffices because weights change slowly. 0 never moves the vectors.
        predicate: `(path, leaf) -> bool`, which leaves; paths like "Dense_0/kernel". By default those named "kernel" with at least two
            dimensions. Projection discriminators normalise their embedding too:
            `lambda path, leaf: is_kernel(path, leaf) or path.endswith("embedding")`.
        exact: compute sigma by a singular value decomposition; slow, for tests.
        eps: a kernel with sigma at or below it is left as it is (layers initialised with zeros).
        output_axis: axis of output features; 0 for kernels in the layout of PyTorch or Equinox.

    Returns:
        `ParamTransform`: `init(rng, params) -> SpectralNormState`, `apply(params, state) -> (params, state)`.
        Kernels keep their dtype; sigma is computed in at least float32.

    Raises:
        ValueError: `n_steps` or `eps` is negative; at `init` and `apply`, no leaf is chosen or one is no matrix.

    References:
        Miyato et al., "Spectral Normalization for Generative Adversarial Networks", 2018; in G too: Zhang et al., SAGAN, 2019.
        Deviations: zero kernels are handled; in PyTorch (`torch.nn.utils.spectral_norm`) evaluation reuses the training's u and v, here
        it makes one more iteration from the last u.
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
            normalised[path] = (kernel / jnp.where(sigma > eps, sigma, 1.0)).astype(kernel.dtype)
            vectors[path] = vector.astype(state.vectors[path].dtype)
            sigmas[path] = jax.lax.stop_gradient(sigma).astype(state.sigma[path].dtype)
        return replace(params, normalised), SpectralNormState(vectors, sigmas)

    return ParamTransform(init, apply)
