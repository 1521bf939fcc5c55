"""Top-k training: the generator learns only from its best fakes."""

import math

import jax.numpy as jnp

from gan_jax._checks import check_float, check_not_empty
from gan_jax.typing import Array


def top_k_weights(fake_logits: Array, k: Array | int) -> Array:
    """Per-example weights that make the mean over a batch the mean over its k best-rated fakes: batch / k for those, else 0.

    Multiply G's loss values by them, then average. Examples are ranked by the sum of their logits, ties in order of
    index, so exactly k are kept; no gradient flows through the ranking.

    Args:
        fake_logits: D(G(z)), float [batch] or a patch map [batch, h, w].
        k: how many to keep, an int from 1 to the batch size, or an int32 [] (traced values are clipped to that range).

    Returns:
        Float, [batch] for a vector, [batch, 1, 1] for a map: it broadcasts against the values of the loss. At least float32.

    Raises:
        ValueError: no logits, or k out of range.
        TypeError: logits are not floating point.

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
    """How many fakes to keep at a step: max(minimum * batch, batch * decay^floor(step / every)), rounded down, at least 1.

    Args:
        step: int [], steps of G so far.
        batch_size: fakes in a batch.
        decay: factor per `every` steps, in (0, 1]; 0.99 per epoch in the paper.
        every: steps from one decay to the next: those of an epoch.
        minimum: the share that is always kept, in (0, 1]; the paper's nu is 0.5 (0.75 for some models).

    Returns:
        int32 [].

    Raises:
        ValueError: a hyperparameter out of its range.

    References:
        Sinha et al., 2020, section 3.1: D is a bad judge early on, so k starts at the whole batch.
    """
    for name, value in {"decay": decay, "minimum": minimum}.items():
        if not 0 < value <= 1:
            raise ValueError(f"{name} must be in (0, 1]; got {value}")
    if batch_size < 1 or every < 1:
        raise ValueError(f"batch_size and every must be at least 1; got {batch_size} and {every}")
    floor = max(1, math.floor(minimum * batch_size))
    decayed = jnp.floor(batch_size * decay ** jnp.asarray(step // every, jnp.float32))
    return jnp.maximum(floor, decayed.astype(jnp.int32))
