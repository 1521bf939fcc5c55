"""Grouped convolution that is computed as a batch of matrix products on the CPU."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from gan_jax._internal.checks import check_rank
from gan_jax.nn.fast_conv.forms import is_cpu
from gan_jax.typing import Array


class GroupedConv(nn.Module):
    """Convolution of stride 1 in which each group of output channels reads its own group of input channels.

    Parameters and results are those of `flax.linen.Conv(feature_group_count=groups)` with padding "SAME".

    If JAX's default backend is the CPU, the layer is one batched matrix product over shifted copies of the input. Its
    gradients of every order are such products too. XLA:CPU's own grouped convolution processes the channels one by one.
    On other backends the layer uses XLA's convolution.

    Attributes:
        features: Number of output channels.
        groups: Number of groups. It divides the input channels and the output channels.
        kernel_size: Height and width of the kernel.
        use_bias: Whether to add a bias.
        kernel_init: Initialiser of the kernel [height, width, channels / groups, features].
        dtype: Computation dtype. Parameters are float32.

    References:
        Xie et al., "Aggregated Residual Transformations for Deep Neural Networks" (ResNeXt), 2017.
    """

    features: int
    groups: int
    kernel_size: tuple[int, int] = (3, 3)
    use_bias: bool = True
    kernel_init: Any = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps float [batch, height, width, channels] to [batch, height, width, features].

        Raises:
            ValueError: If x is not of rank 4, or if `groups` does not divide the input channels and the output
                channels.
        """
        check_rank(4, x=x)
        batch, height, width, channels = x.shape
        if channels % self.groups or self.features % self.groups:
            raise ValueError(f"groups={self.groups} must divide the input channels {channels} and the output channels {self.features}")
        shape = (*self.kernel_size, channels // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32).astype(self.dtype)
        x = x.astype(self.dtype)
        if is_cpu():
            rows, columns = self.kernel_size
            # An even kernel is padded with one row more at the end than at the start.
            x = jnp.pad(x, ((0, 0), *lax.padtype_to_pads((height, width), self.kernel_size, (1, 1), "SAME"), (0, 0)))
            taps = jnp.stack([x[:, i : i + height, j : j + width] for i in range(rows) for j in range(columns)])
            taps = taps.reshape(math.prod(self.kernel_size), batch, height, width, self.groups, -1)
            kernel = kernel.reshape(math.prod(self.kernel_size), channels // self.groups, self.groups, -1)
            y = jnp.einsum("kbhwgc,kcgf->bhwgf", taps, kernel).reshape(batch, height, width, self.features)
        else:
            y = lax.conv_general_dilated(
                x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=self.groups
            )
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(self.dtype)
        return y
