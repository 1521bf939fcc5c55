"""Top-k training: the generator learns only from the fakes with the highest logits."""

import math

import jax.numpy as jnp

from gan_jax._internal.checks import check_float, check_not_empty
from gan_jax.typing import Array


def top_k_weights(fake_logits: Array, k: Array | int) -> Array:
    """Returns weights per example that turn a batch mean into the mean over the k fakes with the highest logits.

    The weight is batch / k for these k fakes and 0 for the others. Multiply G's loss values by the weights, then average.
    Examples are ranked by the sum of their logits. Ties are broken by index, so exactly k are kept. Gradients do not flow
    through the ranking.

    Args:
        fake_logits: D(G(z)), float [batch] or a patch map [batch, h, w].
        k: Number of fakes to keep, an int from 1 to the batch size, or an int32 []. A traced value is clipped to that range.

    Returns:
        Float, at least float32. The shape is [batch] for a vector and [batch, 1, 1] for a map, so that the weights broadcast
        against the loss values.

    Raises:
        ValueError: There are no logits, or k is out of range.
        TypeError: The logits are not floating point.

    References:
        Sinha et al., "Top-k Training of GANs: Improving GAN Performance by Throwing Away Bad Samples", 2020, algorithm 1.
    """
    check_not_empty(fake_logits=fake_logits)
    check_float(fake_logits=fake_logits)
    batch = fake_logits.shape[0]
    if isinstance(k, int) and not 1 <= k <= batch:
        raise ValueError(f"k must be in [1, {batch}]; got {k}")
    k = jnp.clip(k, 1, batch)
    dtype = jnp.promote_types(fake_logits.dtype, jnp.float32)
    scores = fake_logits.astype(dtype).reshape(batch, -1).sum(axis=1)
    rank = jnp.argsort(jnp.argsort(-scores, stable=True))
    weights = jnp.where(rank < k, batch / k, 0.0).astype(dtype)
    return weights.reshape((batch,) + (1,) * (fake_logits.ndim - 1))


def top_k_count(step: Array | int, *, batch_size: int, decay: float = 0.99, every: int = 1, minimum: float = 0.5) -> Array:
    """Number of fakes to keep at a step: max(minimum * batch, batch * decay^floor(step / every)), rounded down, at least 1.

    D rates samples poorly early in training, so k starts at the whole batch.

    Args:
        step: Number of G steps so far, int [].
        batch_size: Number of fakes in a batch.
        decay: Factor applied once every `every` steps, in (0, 1]. The paper uses 0.99 per epoch.
        every: Number of steps between two decays. The paper uses the steps of one epoch.
        minimum: Share that is always kept, in (0, 1]. The paper's nu is 0.5 (0.75 for some models).

    Returns:
        int32 [].

    Raises:
        ValueError: A hyperparameter is out of its range.

    References:
        Sinha et al., "Top-k Training of GANs: Improving GAN Performance by Throwing Away Bad Samples", 2020, section 3.1.
    """
    for name, value in {"decay": decay, "minimum": minimum}.items():
        if not 0 < value <= 1:
            raise ValueError(f"{name} must be in (0, 1]; got {value}")
    if batch_size < 1 or every < 1:
        raise ValueError(f"batch_size and every must be at least 1; got {batch_size} and {every}")
    floor = max(1, math.floor(minimum * batch_size))
    decayed = jnp.floor(batch_size * decay ** jnp.asarray(step // every, jnp.float32))
    return jnp.maximum(floor, decayed.astype(jnp.int32))
