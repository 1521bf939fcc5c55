"""Equalised learning rate: weights are stored with unit variance and scaled when they are used."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.nn.fast_conv.conv import Conv
from gan_jax.typing import Array


class EqualizedConv(nn.Module):
    """A convolution that stores w ~ N(0, 1) and computes with w * gain / sqrt(kernel area * input channels).

    The result is that of He's initialisation, but all stored weights have the same range. The steps of Adam do not
    depend on the scale of the gradient, so all layers then change at the same relative speed. The bias starts at zero
    and is not scaled.

    The code scales the input instead of the weights, which gives the same product.

    Attributes:
        features: Number of output channels.
        kernel_size: Size of the kernel. The stride is 1 and the padding is "SAME".
        use_bias: Whether to add a bias.
        gain: sqrt(2) before a ReLU or leaky ReLU, 1 for a linear layer.
        dtype: Computation dtype. Parameters are float32.

    References:
        Karras et al., "Progressive Growing of GANs", 2018, section 4.1.
    """

    features: int
    kernel_size: tuple[int, int] = (3, 3)
    use_bias: bool = True
    gain: float = math.sqrt(2)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps float [batch, height, width, channels] to [batch, height, width, features]."""
        scale = self.gain / math.sqrt(math.prod(self.kernel_size) * x.shape[-1])
        init = nn.initializers.normal(1.0)
        conv = Conv(self.features, self.kernel_size, use_bias=self.use_bias, kernel_init=init, dtype=self.dtype, name="conv")
        return conv(x.astype(self.dtype) * scale)


class EqualizedDense(nn.Module):
    """A dense layer that stores w ~ N(0, 1) and computes with w * gain / sqrt(input features).

    See `EqualizedConv`. With a learning-rate multiplier m, the layer stores w ~ N(0, 1 / m^2) and multiplies weights and bias by m. It
    computes the same at the start, and the steps of Adam change it m times as fast.

    Attributes:
        features: Number of output features.
        use_bias: Whether to add a bias.
        gain: sqrt(2) before a ReLU or leaky ReLU, 1 for a linear layer.
        lr_multiplier: Factor of the learning rate of this layer (0.01 in StyleGAN's mapping network).
        bias_init: Initialiser of the stored bias.
        dtype: Computation dtype. Parameters are float32.

    References:
        Karras et al., "Progressive Growing of GANs", 2018, section 4.1. Karras et al., "A Style-Based Generator Architecture", 2019,
        appendix B, for the multiplier.
    """

    features: int
    use_bias: bool = True
    gain: float = math.sqrt(2)
    lr_multiplier: float = 1.0
    bias_init: Any = nn.initializers.zeros
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps float [..., inputs] to [..., features]."""
        scale = self.gain / math.sqrt(x.shape[-1])
        settings = {"kernel_init": nn.initializers.normal(1.0 / self.lr_multiplier), "bias_init": self.bias_init}
        dense = nn.Dense(self.features, use_bias=self.use_bias, dtype=self.dtype, name="dense", **settings)
        y = dense(x.astype(self.dtype) * scale)
        return y if self.lr_multiplier == 1 else y * self.lr_multiplier
