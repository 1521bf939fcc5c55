"""Transformations of updates and parameters: clipping, and the mean of gradients over devices."""

import jax
import jax.numpy as jnp
import optax

from gan_jax.typing import Array, PyTree


def average_gradients(axis_name: str | tuple[str, ...]) -> optax.GradientTransformation:
    """Averages the gradients over the devices of a mapped axis. Put it first in the chain inside `shard_map` or `pmap`.

        g <- (1 / n) sum_d g_d

    If all devices have equal shares of the batch and the losses are means, the result is the gradient of the whole batch. This
    also holds if a layer shares its statistics over the axis (batch norm with an `axis_name`), because gradients flow back
    through the collectives to all devices.

    Args:
        axis_name: Axis of the enclosing `shard_map` with `check_vma=False`, `pmap`, or `vmap`. Do not use this function with
            `check_vma=True`. There the gradients of replicated parameters are already summed, so divide them by the number of
            devices instead.

    Returns:
        Gradient transformation without a state. None and leaves that are not floating point are returned unchanged.

    References:
        Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, section 3.
    """

    def mean(leaf: Array) -> Array:
        return jax.lax.pmean(leaf, axis_name) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact) else leaf

    def update(updates: PyTree, state: optax.EmptyState, params: PyTree | None = None) -> tuple[PyTree, optax.EmptyState]:
        del params
        return jax.tree.map(mean, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def clip_weights(bound: float) -> optax.GradientTransformation:
    """Keeps every parameter in [-bound, bound] after the update. Put it last in the critic's chain, before `track_ema`.

    It changes the update u to clip(params + u, -bound, bound) - params. The result is corrected for rounding, so |params + u|
    never exceeds the bound.

    Args:
        bound: Positive bound, 0.01 in the paper. It is first rounded to the dtype of the parameters.

    Returns:
        Gradient transformation without a state. Its `update` needs `params`.

    Raises:
        ValueError: `bound` is not positive.

    References:
        Arjovsky et al., "Wasserstein GAN", 2017, algorithm 1. All parameters are clipped, including biases and the gains of
        norms, as in the authors' code. Use `optax.masked` to exclude some.
    """
    if isinstance(bound, int | float) and not bound > 0:
        raise ValueError(f"bound must be positive; got {bound}")

    def clip(update: Array, param: Array) -> Array:
        limit = jnp.asarray(bound, param.dtype)
        clipped = jnp.clip(param + update, -limit, limit) - param
        # The rounded sum param + clipped may exceed the bound by a unit in the last place of the larger of the two.
        correction = 2 * jnp.finfo(param.dtype).eps * (jnp.abs(param) + limit)
        reached = param + clipped
        return jnp.where(jnp.abs(reached) > limit, clipped - jnp.sign(reached) * correction, clipped)

    def update(updates: PyTree, state: optax.EmptyState, params: PyTree | None = None) -> tuple[PyTree, optax.EmptyState]:
        return jax.tree.map(clip, updates, required_params(params, "clip_weights")), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def required_params(params: PyTree | None, link: str) -> PyTree:
    """The parameters, which optax leaves out of `update` unless they are given.

    Raises:
        ValueError: They are missing. The message names the transformation.
    """
    if params is None:
        raise ValueError(f"{link} needs the parameters: call update(updates, state, params)")
    return params
