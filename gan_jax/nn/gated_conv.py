"""Gated convolution: a learned soft mask over the features, per pixel and channel."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.nn.fast_conv.conv import Conv
from gan_jax.typing import Array


class GatedConv(nn.Module):
    """A convolution whose every output is multiplied by a gate that a second convolution opens or closes.

    y = activation(W_f * x + b_f) . sigmoid(W_g * x + b_g). Where a partial convolution is told which pixels are missing, the
    gate learns it. Both convolutions are one, of twice the channels: features first, gates second.

    Attributes:
        features: channels of the result.
        kernel_size: of both convolutions.
        strides: of both.
        kernel_dilation: of both, for a wide view of a hole's surroundings.
        activation: of the features; the identity for a last layer.
        kernel_init: of both.
        dtype: of computation; parameters are float32.

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
        """Maps float [batch, height, width, channels] to [batch, height', width', features]; padding is "SAME"."""
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
