"""Layers that an optimiser leaves unchanged (FreezeD)."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gan_jax.typing import PyTree


def freeze_layers(pattern: str) -> optax.GradientTransformation:
    """Sets the updates of some layers to zero.

        u_i <- 0 if the path of parameter i matches the pattern, otherwise u_i

    Put it at both ends of a chain, before `track_ema`. At the front, the frozen gradients count neither for clipping nor for the
    moments. At the end, weight decay and momentum change the frozen layers no more. `ttur(freeze=...)` does both.

    Only gradients and updates are stopped. Batch statistics and the vectors of spectral normalisation of a frozen layer still follow
    the images, as in the authors' code.

    Args:
        pattern: Regular expression of layers, see `frozen_paths`.

    Returns:
        Gradient transformation without a state.

    Raises:
        ValueError: The pattern is no regular expression. `init` raises it if the pattern matches no layer.

    References:
        Mo, Cho and Shin, "Freeze the Discriminator: a Simple Baseline for Fine-Tuning GANs", 2020 (FreezeD): the layers of D next to
        the image stay those of the other data set, the last ones are trained.
    """
    compiled(pattern)

    def init(params: PyTree) -> optax.EmptyState:
        frozen_paths(params, pattern)
        return optax.EmptyState()

    def update(updates: PyTree, state: optax.EmptyState, params: PyTree | None = None) -> tuple[PyTree, optax.EmptyState]:
        del params
        frozen = set(frozen_paths(updates, pattern))

        def stop(path: tuple[Any, ...], leaf: Any) -> Any:
            return jnp.zeros_like(leaf) if _join(path) in frozen else leaf

        return jax.tree_util.tree_map_with_path(stop, updates), state

    return optax.GradientTransformation(init, update)


def frozen_paths(params: PyTree, pattern: str) -> list[str]:
    """The paths of the parameters whose layer matches a pattern.

    Args:
        params: Pytree of parameters.
        pattern: Regular expression. It must match a whole path such as "block_0/conv/kernel", or the path of a layer or module that
            contains the parameter, such as "block_0/conv" or "block_0".

    Returns:
        The paths, in the order of the tree.

    Raises:
        ValueError: The pattern is no regular expression, or it matches no layer. The message lists the layers.
    """
    expression = compiled(pattern)
    paths = [_join(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    found = [path for path in paths if any(expression.fullmatch(part) for part in _prefixes(path))]
    if not found:
        layers = dict.fromkeys(path.rpartition("/")[0] or path for path in paths)
        raise ValueError(f"pattern {pattern!r} must match a layer; the layers are {', '.join(layers)}")
    return found


def compiled(pattern: str) -> re.Pattern[str]:
    """The compiled regular expression.

    Raises:
        ValueError: The pattern is no regular expression.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} is no regular expression: {error}") from None


def _prefixes(path: str) -> list[str]:
    """ "a/b/c" -> "a", "a/b", "a/b/c". The trees of weight normalisation are entered: "direction/a/b" and "gain/a/b" are "a/b"."""
    names = path.split("/")
    names = names[1:] if len(names) > 1 and names[0] in ("direction", "gain") else names
    return ["/".join(names[: count + 1]) for count in range(len(names))]


def _join(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
