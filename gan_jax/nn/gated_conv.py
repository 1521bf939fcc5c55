"""Gated convolution: a learned soft mask for each pixel and channel of the features."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.nn.fast_conv.conv import Conv
from gan_jax.typing import Array


class GatedConv(nn.Module):
    """A convolution whose output is multiplied by a gate that a second convolution computes.

        y = activation(W_f * x + b_f) . sigmoid(W_g * x + b_g)

    Use it for inpainting. A partial convolution receives the mask of the missing pixels, while the gate is learned.
    Both convolutions are computed as one with twice the channels: first the features, then the gates.

    Attributes:
        features: Number of output channels.
        kernel_size: Kernel size of both convolutions.
        strides: Strides of both convolutions.
        kernel_dilation: Dilation of both convolutions. A large dilation gives a wide view of the surroundings of a
            hole.
        activation: Activation of the features. Use the identity in a last layer.
        kernel_init: Initialiser of both kernels.
        dtype: Computation dtype. Parameters are float32.

    References:
        Yu et al., "Free-Form Image Inpainting with Gated Convolution", 2018 (ICCV 2019).
    """

    features: int
    kernel_size: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    kernel_dilation: tuple[int, int] = (1, 1)
    activation: Callable[[Array], Array] = jax.nn.elu
    kernel_init: Any = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps float [batch, height, width, channels] to [batch, height', width', features].

        The padding is "SAME".
        """
        both = Conv(
            2 * self.features,
            self.kernel_size,
            self.strides,
            kernel_dilation=self.kernel_dilation,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )(x)
        features, gates = jnp.split(both, 2, axis=-1)
        return self.activation(features) * jax.nn.sigmoid(gates)
