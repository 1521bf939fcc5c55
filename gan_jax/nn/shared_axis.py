"""One batch spread over devices: layers that look at the whole of it, inside `jax.shard_map` or `jax.pmap`."""

from contextlib import AbstractContextManager
from typing import Any

import flax.linen as nn
import jax

from gan_jax.typing import Array


def sharing_batch(axis_name: str) -> AbstractContextManager[None]:
    """While it is open, every layer with an attribute `axis_name` that is None behaves as if it had been given this one.

    Batch norm, switchable norm, minibatch discrimination and minibatch standard deviation then mean the batch of all devices along
    the axis, in any Linen module, whatever the options it was built with. For the application of a network, not for its
    initialisation.

    Args:
        axis_name: a mapped axis of the `shard_map` or `pmap` around.

    Returns:
        A context manager, to be open while the network is traced.
    """

    def share(call: Any, arguments: tuple[Any, ...], keywords: dict[str, Any], context: nn.module.InterceptorContext) -> Any:
        module = context.module
        if getattr(module, "axis_name", axis_name) is None:
            # A bound module belongs to this one application; frozen, because it hashes.
            object.__setattr__(module, "axis_name", axis_name)
        return call(*arguments, **keywords)

    return nn.intercept_methods(share)


def gather_batch(x: Array, axis_name: str | None) -> Array:
    """The rows of all devices, one device's after the other's: [batch, ...] to [devices * batch, ...]; x itself without an axis.

    Differentiable: a device's rows receive the gradients of what all devices make of them.
    """
    return x if axis_name is None else jax.lax.all_gather(x, axis_name, tiled=True)


def own_batch(x: Array, axis_name: str | None) -> Array:
    """This device's rows of [devices * batch, ...]; x itself without an axis."""
    if axis_name is None:
        return x
    rows = x.shape[0] // jax.lax.axis_size(axis_name)
    return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(axis_name) * rows, rows)
