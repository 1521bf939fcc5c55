"""Weight normalisation as a transformation of a parameter tree: the direction and the gain of each feature are trained apart."""

from typing import NamedTuple

import jax.numpy as jnp

from gan_jax._kernels import LeafPredicate, as_matrix, is_kernel, replace, select
from gan_jax.typing import Array, ParamTransform, PyTree


class WeightNormParams(NamedTuple):
    """Parameters under weight normalisation: what the optimiser sees.

    Attributes:
        direction: the original tree; of its chosen kernels only the direction of each feature's weights counts.
        gain: path of a kernel -> norm of each feature's weights, float [output features].
    """

    direction: PyTree
    gain: dict[str, Array]


def weight_norm(*, predicate: LeafPredicate = is_kernel, eps: float = 1e-12, output_axis: int = -1) -> ParamTransform:
    """Weight normalisation: the weights of each output feature become w = g v / |v|, with g and v trained.

    `prepare` turns a tree into `WeightNormParams(direction=tree, gain=norms)`, at which the effective weights equal the
    tree's; `apply` turns that back into a tree of the original structure for the network. No state: `()`.

    Args:
        predicate: `(path, leaf) -> bool`, which leaves; by default those named "kernel" with at least two dimensions.
        eps: a feature whose |v| is at or below it gets weights 0, with finite gradients.
        output_axis: axis of output features; 0 for kernels in the layout of PyTorch or Equinox.

    Returns:
        `ParamTransform` with `init`, `apply` and `prepare`.

    Raises:
        ValueError: `eps` is negative; at `prepare` and `apply`, no leaf is chosen or one is no matrix.
        TypeError: at `init` and `apply`, the parameters have not been through `prepare`.

    References:
        Salimans and Kingma, "Weight Normalization", 2016; in GANs: Xiang and Li, "On the Effects of Batch and Weight Normalization in
        Generative Adversarial Networks", 2017. Deviation: no data-dependent initialisation; the gain starts at the norm.
    """
    if eps < 0:
        raise ValueError(f"eps must not be negative; got {eps}")

    def norms(kernel: Array) -> Array:
        square = jnp.sum(jnp.square(as_matrix(kernel, output_axis=output_axis)), axis=0)
        positive = square > eps**2
        return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)

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
            scale = jnp.where(norm > 0, params.gain[path] / jnp.where(norm > 0, norm, 1.0), 0.0)
            shape = [1] * kernel.ndim
            shape[output_axis] = -1
            weights[path] = (kernel * scale.reshape(shape)).astype(kernel.dtype)
        return replace(params.direction, weights), state

    return ParamTransform(init, apply, prepare)


def _check(params: PyTree) -> None:
    if not isinstance(params, WeightNormParams):
        raise TypeError(f"params must be WeightNormParams, as `prepare` returns them; got {type(params).__name__}")
