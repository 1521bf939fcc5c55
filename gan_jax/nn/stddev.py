"""Minibatch standard deviation: how much the examples of a batch differ, as a further channel."""

import jax.numpy as jnp

from gan_jax.nn.shared_axis import gather_batch, own_batch
from gan_jax.typing import Array


def minibatch_stddev(x: Array, group_size: int | None = None, *, epsilon: float = 1e-8, axis_name: str | None = None) -> Array:
    """Appends one channel: the standard deviation over a group of examples, averaged over channels and pixels.

    s = mean_hwc(sqrt(var_group(x) + epsilon)), the same for all pixels of all examples of a group. The batch is cut into
    batch / group_size groups; example i is in group i mod (batch / group_size). Derivatives of equal examples are finite.

    Args:
        x: float [batch, ..., channels].
        group_size: examples in a group; None, or more than the batch, means the batch.
        epsilon: under the square root.
        axis_name: of the devices that share the batch, inside `shard_map` or `pmap`: the groups are those of all their examples.

    Returns:
        [batch, ..., channels + 1], in the dtype of x; the statistics are float32.

    Raises:
        ValueError: group_size does not divide the batch.

    References:
        Karras et al., "Progressive Growing of GANs", 2018, section 3; groups (of 4) as in the authors' code.
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
