"""Batch norm that is folded into the layer in front of it, for sampling.

With running statistics, batch norm is an affine map of each channel, y = factor x + shift with
factor = scale / sqrt(var + epsilon) and shift = bias - mean factor. A convolution or a dense layer in front of it can
take the factor into its kernel. Only the shift remains.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from gan_jax.models.network import as_network
from gan_jax.nn.batch_norm import BatchNorm
from gan_jax.typing import Array, Network, PyTree


def fold_batch_norm(
    module: nn.Module, params: PyTree, state: PyTree, latents: Any, labels: Any = None, context: Any = None
) -> tuple[Network, PyTree, PyTree]:
    """Folds every batch norm of a generator into the layer in front of it.

    The method `norm_inputs` of the module names these layers. A batch norm whose input is read by another layer too, as
    in a residual block, becomes `factor * x + shift`.

    Args:
        module: Linen module of a generator.
        params: Its parameters, after spectral normalisation and other weight transforms.
        state: Its state.
        latents, labels, context: Inputs, or their `jax.ShapeDtypeStruct`. Only shapes and dtypes are used.

    Returns:
        A network that samples with `train=False` only, its parameters, and its state without the batch statistics. The
        images are those of the module up to rounding. A module without batch norm keeps its parameters and state.
    """
    network = as_network(module, player="generator")
    epsilons = _epsilons(network, params, state, latents, labels, context)
    if not epsilons:
        return network, params, state
    layers: Mapping[str, tuple[str, ...]] = module.norm_inputs() if hasattr(module, "norm_inputs") else {}
    weights = flatten_dict(params, sep="/")
    statistics = flatten_dict(state["batch_stats"], sep="/")
    norms: dict[str, dict[str, Array]] = {}
    for path, epsilon in epsilons.items():
        factor = jax.lax.rsqrt(statistics.pop(f"{path}/var") + epsilon) * weights.pop(f"{path}/scale", 1.0)
        shift = weights.pop(f"{path}/bias", 0.0) - statistics.pop(f"{path}/mean") * factor
        # The batch norm inside of a conditional one has the name "norm".
        before = layers.get(path) or layers.get(path.removesuffix("/norm"), ())
        norms[path] = {"shift": shift} if before else {"factor": factor, "shift": shift}
        for layer in before:
            of_outputs = _of_outputs(factor, weights[f"{layer}/kernel"])
            for name in (f"{layer}/kernel", f"{layer}/bias"):
                if name in weights:
                    weights[name] = weights[name] * of_outputs
    rest = {name: part for name, part in {**state, "batch_stats": unflatten_dict(statistics, sep="/")}.items() if part}
    return _folded(network), {"network": unflatten_dict(weights, sep="/"), "norms": norms}, rest


def _of_outputs(factor: Array, kernel: Array) -> Array:
    """The factor of every output of a layer, [outputs].

    Several outputs of a layer can belong to one channel: those of a dense layer that makes a map, [pixels, channels], and
    those of a convolution that `pixel_shuffle` spreads over pixels, [channels, pixels].
    """
    copies = kernel.shape[-1] // factor.shape[0]
    return jnp.tile(factor, copies) if kernel.ndim == 2 else jnp.repeat(factor, copies)


def _epsilons(network: Network, params: PyTree, state: PyTree, *inputs: Any) -> dict[str, float]:
    """The epsilon of every batch norm that the network applies in sampling, by the path of the layer."""
    epsilons = {}

    def record(call: Any, arguments: Any, keywords: Any, context: nn.module.InterceptorContext) -> Any:
        if isinstance(context.module, BatchNorm) and context.method_name == "__call__":
            epsilons["/".join(context.module.path)] = context.module.epsilon
        return call(*arguments, **keywords)

    with nn.intercept_methods(record):
        jax.eval_shape(
            lambda *leaves: network.apply(*leaves, rng=jax.random.key(0), train=False)[0].images,
            *jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), (params, state, *inputs)),
        )
    return epsilons


def _folded(network: Network) -> Network:
    """The network of folded parameters."""

    def init(*_: Any) -> tuple[PyTree, PyTree]:
        raise ValueError("a generator with folded batch norm cannot be initialised; initialise the original and fold it")

    def apply(params: PyTree, state: PyTree, *inputs: Any, rng: Array | None = None, train: bool = True) -> tuple[Any, PyTree]:
        if train:
            raise ValueError("a generator with folded batch norm cannot be trained; got train=True")

        def replace(call: Any, arguments: Any, keywords: Any, context: nn.module.InterceptorContext) -> Any:
            if not (isinstance(context.module, BatchNorm) and context.method_name == "__call__"):
                return call(*arguments, **keywords)
            norm, (x,) = params["norms"]["/".join(context.module.path)], arguments
            y = x.astype(jnp.float32)
            y = y * norm["factor"] if "factor" in norm else y
            return (y + norm["shift"]).astype(context.module.dtype)

        with nn.intercept_methods(replace):
            output, _ = network.apply(params["network"], state, *inputs, rng=rng, train=False)
        return output, state

    return Network(init, apply)
