"""Weight normalisation as a transformation of a parameter tree: direction and gain of each feature are trained separately."""

from typing import NamedTuple

import jax.numpy as jnp

from gan_jax._internal.kernels import LeafPredicate, as_matrix, is_kernel, replace, select
from gan_jax.typing import Array, ParamTransform, PyTree


class WeightNormParams(NamedTuple):
    """Parameters under weight normalisation, as the optimiser receives them.

    Attributes:
        direction: The original tree. Only the direction of each feature's weights matters in its selected kernels.
        gain: Path of each kernel -> norm of each feature's weights, float [output features].
    """

    direction: PyTree
    gain: dict[str, Array]


def weight_norm(*, predicate: LeafPredicate = is_kernel, eps: float = 1e-12, output_axis: int = -1) -> ParamTransform:
    """Weight normalisation: the weights of each output feature become w = g v / |v|, where g and v are trained.

    `prepare` converts a tree to `WeightNormParams(direction=tree, gain=norms)`. The effective weights then equal the tree's.
    `apply` converts the parameters back to a tree of the original structure for the network. The state is empty, `()`.

    Args:
        predicate: Function `(path, leaf) -> bool` that selects the leaves. The default selects leaves named "kernel" with at
            least two dimensions.
        eps: A feature with |v| at or below this value gets weights 0, with finite gradients.
        output_axis: Axis of the output features. Use 0 for kernels in the layout of PyTorch or Equinox.

    Returns:
        `ParamTransform` with `init`, `apply` and `prepare`.

    Raises:
        ValueError: `eps` is negative. `prepare` and `apply` raise it if no leaf is selected, or if a selected leaf has fewer
            than two dimensions.
        TypeError: `init` and `apply` raise it if the parameters were not converted by `prepare`.

    References:
        Salimans and Kingma, "Weight Normalization", 2016.
        Xiang and Li, "On the Effects of Batch and Weight Normalization in Generative Adversarial Networks", 2017 (in GANs).
        Deviation: there is no data-dependent initialisation. The gain is initialised with the norm of the weights.
    """
    if eps < 0:
        raise ValueError(f"eps must not be negative; got {eps}")

    def norms(kernel: Array) -> Array:
        square = jnp.sum(jnp.square(as_matrix(kernel, output_axis=output_axis)), axis=0)
        zero = square <= eps**2
        return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, square)))

    def prepare(params: PyTree) -> WeightNormParams:
        return WeightNormParams(params, {path: norms(kernel).astype(kernel.dtype) for path, kernel in select(params, predicate).items()})

    def init(rng: Array, params: WeightNormParams) -> tuple[()]:
        _check(params)
        return ()

    def apply(params: WeightNormParams, state: tuple[()]) -> tuple[PyTree, tuple[()]]:
        _check(params)
        weights = {}
        for path, kernel in select(params.direction, predicate).items():
            norm = norms(kernel)
            scale = jnp.where(norm == 0, 0.0, params.gain[path] / jnp.where(norm == 0, 1.0, norm))
            shape = [1] * kernel.ndim
            shape[output_axis] = -1
            weights[path] = (kernel * scale.reshape(shape)).astype(kernel.dtype)
        return replace(params.direction, weights), state

    return ParamTransform(init, apply, prepare)


def _check(params: PyTree) -> None:
    if not isinstance(params, WeightNormParams):
        raise TypeError(f"params must be WeightNormParams, as `prepare` returns them; got {type(params).__name__}")
