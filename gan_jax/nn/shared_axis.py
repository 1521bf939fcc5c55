"""Helpers for layers that need the whole batch if it is split over devices, inside `jax.shard_map` or `jax.pmap`."""

from contextlib import AbstractContextManager
from typing import Any

import flax.linen as nn
import jax

from gan_jax.typing import Array


def sharing_batch(axis_name: str) -> AbstractContextManager[None]:
    """Sets `axis_name` in every layer that has this attribute with the value None, while the context is open.

    Batch norm, switchable norm, minibatch discrimination and minibatch standard deviation then use the batch of all
    devices along the axis. This works in any Linen module, with any options. Use it to apply a network, not to
    initialise it.

    Args:
        axis_name: A mapped axis of the enclosing `shard_map` or `pmap`.

    Returns:
        A context manager. It must be open while the network is traced.
    """

    def share(call: Any, arguments: tuple[Any, ...], keywords: dict[str, Any], context: nn.module.InterceptorContext) -> Any:
        module = context.module
        if getattr(module, "axis_name", axis_name) is None:
            # A bound module belongs to this application only. It is frozen because it must be hashable, so the attribute is set directly.
            object.__setattr__(module, "axis_name", axis_name)
        return call(*arguments, **keywords)

    return nn.intercept_methods(share)


def gather_batch(x: Array, axis_name: str | None) -> Array:
    """Concatenates the rows of all devices: [batch, ...] to [devices * batch, ...]. Returns x if `axis_name` is None.

    It is differentiable. The rows of a device receive gradients from the results of all devices.
    """
    return x if axis_name is None else jax.lax.all_gather(x, axis_name, tiled=True)


def own_batch(x: Array, axis_name: str | None) -> Array:
    """Returns the rows of this device out of [devices * batch, ...]. Returns x if `axis_name` is None."""
    if axis_name is None:
        return x
    rows = x.shape[0] // jax.lax.axis_size(axis_name)
    return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(axis_name) * rows, rows)
