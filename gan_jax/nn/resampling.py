"""Layers that double or halve the sides of a feature map and change its channels. The methods are the rows of two tables."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.nn.fast_conv.conv import Conv, ConvTranspose
from gan_jax.nn.resize import average_pool, max_pool, resize_bilinear, resize_nearest
from gan_jax.nn.shuffle import pixel_shuffle
from gan_jax.typing import Array

# Signature of a row: `(x, features, **settings of the convolution) -> y`. Rows are called in a compact `__call__`.
Resampling = Callable[..., Array]


def _transposed(x: Array, features: int, **settings: Any) -> Array:
    return ConvTranspose(features, (4, 4), (2, 2), **settings)(x)


def _pixel_shuffle(x: Array, features: int, **settings: Any) -> Array:
    return pixel_shuffle(Conv(4 * features, (3, 3), **settings)(x), 2)


def _nearest(x: Array, features: int, **settings: Any) -> Array:
    return Conv(features, (3, 3), **settings)(resize_nearest(x))


def _bilinear(x: Array, features: int, **settings: Any) -> Array:
    return Conv(features, (3, 3), **settings)(resize_bilinear(x))


def _strided(x: Array, features: int, **settings: Any) -> Array:
    return Conv(features, (4, 4), (2, 2), padding=((1, 1), (1, 1)), **settings)(x)


def _average(x: Array, features: int, **settings: Any) -> Array:
    return average_pool(Conv(features, (3, 3), **settings)(x))


def _max(x: Array, features: int, **settings: Any) -> Array:
    return max_pool(Conv(features, (3, 3), **settings)(x))


UP: dict[str, Resampling] = {"transposed": _transposed, "pixel_shuffle": _pixel_shuffle, "nearest": _nearest, "bilinear": _bilinear}
DOWN: dict[str, Resampling] = {"strided": _strided, "average": _average, "max": _max}


def _row(table: dict[str, Resampling], method: str) -> Resampling:
    if method not in table:
        raise ValueError(f"method must be one of {', '.join(table)}; got {method!r}")
    return table[method]


class Upsample(nn.Module):
    """Doubles height and width and sets the number of channels.

    The methods are:

    - "transposed": a transposed 4x4 convolution of stride 2. Each output pixel depends on 2x2 inputs, so uneven overlap
      causes no checkerboard pattern, but uneven kernels still can.
    - "pixel_shuffle": a 3x3 convolution to 4 * features channels, then `pixel_shuffle`.
    - "nearest" and "bilinear": a resize, then a 3x3 convolution.

    Attributes:
        features: Number of output channels.
        method: A key of `UP`.
        use_bias: Whether the convolution has a bias.
        kernel_init: Initialiser of the kernel.
        dtype: Computation dtype. Parameters are float32.

    References:
        Radford et al., "DCGAN", 2016. Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient
        Sub-Pixel CNN", 2016. Odena et al., "Deconvolution and Checkerboard Artifacts", 2016.
    """

    features: int
    method: str = "nearest"
    use_bias: bool = True
    kernel_init: Any = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps float [batch, h, w, c] to [batch, 2h, 2w, features].

        Raises:
            ValueError: If the method is unknown.
        """
        settings = {"use_bias": self.use_bias, "kernel_init": self.kernel_init, "dtype": self.dtype, "name": "conv"}
        return _row(UP, self.method)(x, self.features, **settings)


class Downsample(nn.Module):
    """Halves height and width and sets the number of channels.

    The methods are:

    - "strided": a 4x4 convolution of stride 2.
    - "average" and "max": a 3x3 convolution, then pooling over 2x2 pixels.

    Attributes:
        features: Number of output channels.
        method: A key of `DOWN`.
        use_bias: Whether the convolution has a bias.
        kernel_init: Initialiser of the kernel.
        dtype: Computation dtype. Parameters are float32.

    References:
        Radford et al., "DCGAN", 2016, which uses strides instead of max pooling.
    """

    features: int
    method: str = "average"
    use_bias: bool = True
    kernel_init: Any = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps float [batch, h, w, c] with even sides to [batch, h/2, w/2, features].

        Raises:
            ValueError: If the method is unknown.
        """
        settings = {"use_bias": self.use_bias, "kernel_init": self.kernel_init, "dtype": self.dtype, "name": "conv"}
        return _row(DOWN, self.method)(x, self.features, **settings)
