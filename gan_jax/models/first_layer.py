"""Finds the first dense layer of a module, by watching the calls of its layers."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.typing import Array


def first_dense_input(module: nn.Module, *arguments: Any, **options: Any) -> tuple[tuple[str, ...], Array]:
    """Applies a module and returns the path of the first `nn.Dense` that is called, and its input.

    Args:
        module: A Linen module.
        *arguments, **options: Arguments of `module.apply`.

    Returns:
        The path in the tree of parameters, and the input. An empty path and an empty array if no dense layer is called.
    """
    found: list[tuple[tuple[str, ...], Array]] = []

    def look(next_method: Any, given: Any, keywords: Any, context: Any) -> Any:
        if isinstance(context.module, nn.Dense) and context.method_name == "__call__" and not found:
            found.append((context.module.path, given[0]))
        return next_method(*given, **keywords)

    with nn.intercept_methods(look):
        module.apply(*arguments, **options)
    return found[0] if found else ((), jnp.zeros(0))
