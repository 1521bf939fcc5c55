"""Minibatch discrimination: the similarity of an example to the rest of its batch, as extra features."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax._internal.checks import check_rank
from gan_jax.nn.shared_axis import gather_batch
from gan_jax.typing import Array


class MinibatchDiscrimination(nn.Module):
    """Appends to the features of each example its similarity to the examples of the batch.

    The similarity is measured under `kernels` learned projections. With a learned tensor T [features, kernels, dim] and
    M_i = f_i T, the appended features are

        o(i)_b = sum_j exp(-||M_ib - M_jb||_1)

    over all j in the batch. The term j = i adds 1. If the generator collapses, o is large, so the discriminator can
    detect it. Time and memory grow with batch^2 * kernels * dim.

    Attributes:
        kernels: Number of appended features.
        dim: Dimension of the space of each kernel.
        kernel_init: Initialiser of T as a matrix [features, kernels * dim]. The default keeps distances near 1 for any
            number of features. With a fixed standard deviation the distances would be so large that the exponential and
            its gradient vanish.
        axis_name: Mapped axis (`shard_map` or `pmap`) whose devices share the batch. None: the batch of one device.
        dtype: Dtype of the result. Distances and T are float32.

    References:
        Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.2. Differs: the authors' code also
        normalises the columns of T, subtracts the value of o at initialisation, and omits j = i.
    """

    kernels: int = 100
    dim: int = 5
    kernel_init: Any = nn.initializers.variance_scaling(0.04, "fan_in", "normal")
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """Maps float [batch, features] to [batch, features + kernels], in `dtype`.

        Raises:
            ValueError: If `features` is not of rank 2.
        """
        check_rank(2, features=features)
        tensor = self.param("tensor", self.kernel_init, (features.shape[-1], self.kernels * self.dim), jnp.float32)
        projected = (features.astype(jnp.float32) @ tensor).reshape(-1, self.kernels, self.dim)
        others = gather_batch(projected, None if self.is_initializing() else self.axis_name)
        distances = jnp.abs(projected[:, None] - others[None]).sum(axis=-1)
        closeness = jnp.exp(-distances).sum(axis=1)
        return jnp.concatenate([features.astype(self.dtype), closeness.astype(self.dtype)], axis=-1)
