"""Minibatch standard deviation: the variation within a batch, as one extra channel."""

import jax.numpy as jnp

from gan_jax.nn.shared_axis import gather_batch, own_batch
from gan_jax.typing import Array


def minibatch_stddev(x: Array, group_size: int | None = None, *, epsilon: float = 1e-8, axis_name: str | None = None) -> Array:
    """Appends one channel with the standard deviation over a group of examples, averaged over channels and pixels.

        s = mean_hwc(sqrt(var_group(x) + epsilon))

    s is the same for all pixels of all examples of a group. The batch is split into batch / group_size groups. Example
    i is in group i mod (batch / group_size). Derivatives are finite even if the examples are equal.

    Args:
        x: float [batch, ..., channels].
        group_size: Number of examples in a group. None, or a number above the batch size, means the whole batch.
        epsilon: Added under the square root.
        axis_name: Mapped axis (`shard_map` or `pmap`) whose devices share the batch. The groups are then those of the
            whole batch.

    Returns:
        [batch, ..., channels + 1], in the dtype of x. The statistics are float32.

    Raises:
        ValueError: If `group_size` does not divide the batch size.

    References:
        Karras et al., "Progressive Growing of GANs", 2018, section 3. Groups (of 4) are as in the authors' code.
    """
    everyone = gather_batch(x, axis_name)
    batch = everyone.shape[0]
    size = batch if group_size is None else min(group_size, batch)
    if size < 1 or batch % size:
        raise ValueError(f"group_size must divide the batch; got group_size={group_size} and x {everyone.shape}")
    groups = everyone.astype(jnp.float32).reshape(size, batch // size, *x.shape[1:])
    deviation = jnp.sqrt(groups.var(axis=0) + epsilon).mean(axis=tuple(range(1, x.ndim)))
    channel = own_batch(jnp.tile(deviation, size), axis_name).astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 1))
    return jnp.concatenate([x, jnp.broadcast_to(channel, (*x.shape[:-1], 1))], axis=-1)


def largest_group(batch: int, group_size: int) -> int:
    """Returns the largest group size, at most `group_size`, that divides the batch. It makes batches of any size possible."""
    return max(size for size in range(1, group_size + 1) if batch % size == 0)
