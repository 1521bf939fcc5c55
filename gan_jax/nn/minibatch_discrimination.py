"""Minibatch discrimination: how close an example is to the others of its batch, as further features."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax._checks import check_rank
from gan_jax.nn.shared_axis import gather_batch
from gan_jax.typing import Array


class MinibatchDiscrimination(nn.Module):
    """Appends to each example's features how many others of its batch lie near it, in `kernels` learned ways.

    M_i = f_i T with a learned tensor T [features, kernels, dim]; o(i)_b = sum_j exp(-||M_ib - M_jb||_1) over the batch. The
    term j = i adds 1. A collapsed generator gives itself away by large o. Time and memory grow with batch^2 * kernels * dim.

    Attributes:
        kernels: further features an example gets.
        dim: of each kernel's space.
        kernel_init: of T as a matrix [features, kernels * dim]. The default keeps distances near 1 whatever the number of
            features; a fixed deviation would put all of them, and with them the gradients, out of the exponential's reach.
        axis_name: of the devices that share the batch, inside `shard_map` or `pmap`; None for one device's.
        dtype: of the result; distances and T are float32.

    References:
        Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.2. Differs: the authors' code also normalises
        T's columns, subtracts what it sees at initialisation, and leaves out j = i.
    """

    kernels: int = 100
    dim: int = 5
    kernel_init: Any = nn.initializers.variance_scaling(0.04, "fan_in", "normal")
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """Maps float [batch, features] to [batch, features + kernels]; raises ValueError for another rank."""
        check_rank(2, features=features)
        tensor = self.param("tensor", self.kernel_init, (features.shape[-1], self.kernels * self.dim), jnp.float32)
        projected = (features.astype(jnp.float32) @ tensor).reshape(-1, self.kernels, self.dim)
        others = gather_batch(projected, None if self.is_initializing() else self.axis_name)
        distances = jnp.abs(projected[:, None] - others[None]).sum(axis=-1)
        closeness = jnp.exp(-distances).sum(axis=1)
        return jnp.concatenate([features.astype(self.dtype), closeness.astype(self.dtype)], axis=-1)
