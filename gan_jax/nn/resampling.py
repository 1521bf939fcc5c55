"""Layers that double or halve the sides of a feature map and set its channels; the ways to do it are rows of two tables."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.nn.fast_conv.conv import Conv, ConvTranspose
from gan_jax.nn.resize import average_pool, max_pool, resize_bilinear, resize_nearest
from gan_jax.nn.shuffle import pixel_shuffle
from gan_jax.typing import Array

# A row is `(x, features, **settings of the convolution) -> y`, to be called in a compact `__call__`.
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
    """Doubles height and width and sets the channels.

    "transposed": a transposed 4x4 convolution of stride 2 (each output pixel sees 2x2 inputs, so no checkerboard from
    uneven overlap, but one from uneven kernels). "pixel_shuffle": a 3x3 convolution to 4 * features channels, then
    `pixel_shuffle`. "nearest", "bilinear": resize, then a 3x3 convolution.

    Attributes:
        features: channels of the result.
        method: a key of `UP`.
        use_bias: of the convolution.
        kernel_init: of the convolution.
        dtype: of computation; parameters are float32.

    References:
        Radford et al., "DCGAN", 2016; Shi et al., 2016; Odena et al., "Deconvolution and Checkerboard Artifacts", 2016.
    """

    features: int
    method: str = "nearest"
    use_bias: bool = True
    kernel_init: Any = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps [batch, h, w, c] to [batch, 2h, 2w, features]; raises ValueError for an unknown method."""
        settings = {"use_bias": self.use_bias, "kernel_init": self.kernel_init, "dtype": self.dtype, "name": "conv"}
        return _row(UP, self.method)(x, self.features, **settings)


class Downsample(nn.Module):
    """Halves height and width and sets the channels.

    "strided": a 4x4 convolution of stride 2. "average", "max": a 3x3 convolution, then pooling over 2x2.

    Attributes:
        features: channels of the result.
        method: a key of `DOWN`.
        use_bias: of the convolution.
        kernel_init: of the convolution.
        dtype: of computation; parameters are float32.

    References:
        Radford et al., "DCGAN", 2016, for strides against max pooling.
    """

    features: int
    method: str = "average"
    use_bias: bool = True
    kernel_init: Any = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps [batch, h, w, c] of even sides to [batch, h/2, w/2, features]; raises ValueError for an unknown method."""
        settings = {"use_bias": self.use_bias, "kernel_init": self.kernel_init, "dtype": self.dtype, "name": "conv"}
        return _row(DOWN, self.method)(x, self.features, **settings)
