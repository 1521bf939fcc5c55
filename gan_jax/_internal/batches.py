"""Applies a function to a batch in parts, so that intermediate results fit into the caches of a processor."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.typing import Array, PyTree


def in_batches(function: Callable[[Any, Array | None], PyTree], inputs: PyTree, rng: Array | None, batch_size: int | None) -> PyTree:
    """Applies `function(inputs, rng)` to parts of a batch, one after the other in one compiled loop.

    Args:
        function: Treats every example of the batch by itself. It is traced once.
        inputs: Tree of arrays [count, ...].
        rng: Typed key of the random draws, or None. Each of several parts gets its own key.
        batch_size: Most examples of one part. None: the batch is not split.

    Returns:
        The tree of `function`, arrays [count, ...].

    Raises:
        ValueError: If `batch_size` is below 1.
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1 or None; got {batch_size}")
    count = jax.tree.leaves(inputs)[0].shape[0]
    if batch_size is None or count <= batch_size:
        return function(inputs, rng)
    parts = -(-count // batch_size)
    size = -(-count // parts)

    def split(array: Array) -> Array:
        # The last part is filled up, so that all parts have one shape.
        filled = jnp.concatenate([array, jnp.repeat(array[-1:], parts * size - count, axis=0)])
        return filled.reshape(parts, size, *array.shape[1:])

    keys = None if rng is None else jax.vmap(partial(jax.random.fold_in, rng))(jnp.arange(parts))
    results = jax.lax.map(lambda part: function(*part), (jax.tree.map(split, inputs), keys))
    return jax.tree.map(lambda array: array.reshape(parts * size, *array.shape[2:])[:count], results)
