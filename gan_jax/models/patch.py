"""PatchGAN: a discriminator that judges overlapping patches, each on its own."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, NORMAL, needs_bias
from gan_jax.nn import Conv, normalize
from gan_jax.typing import Array, DiscriminatorOutput


def receptive_field(layers: int) -> int:
    """Side in pixels of the patch that one logit sees: 16, 34, 70 for 1, 2, 3 strided layers; 142 for 4."""
    field = 4 + 3  # the two last convolutions, of 4x4 and stride 1
    for _ in range(layers):
        field = 2 * field + 2  # a 4x4 convolution of stride 2 below
    return field


def smallest_image(layers: int, padding: int = 1) -> int:
    """Side in pixels of the smallest image that leaves a logit: 6, 12, 24 for 1, 2, 3 strided layers with a padding of 1."""
    side = 1
    for stride in (1, 1, *(2,) * layers):
        side = max((side - 1) * stride + 4 - 2 * padding, 1)
    return side


def largest_patch(image_size: int, *, most: int = 3) -> int:
    """The number of strided layers, 1 to `most`, whose patch is the largest that fits into the image."""
    return max([layers for layers in range(1, most + 1) if receptive_field(layers) <= image_size], default=1)


class PatchDiscriminator(nn.Module):
    """Images (and what they are conditioned on, as further channels) to a map of logits, one per patch.

    Attributes:
        layers: 4x4 convolutions of stride 2, doubling the channels up to 8 times `width`.
        padding: 1 as pix2pix, 2 as pix2pixHD.
    """

    width: int = 64
    layers: int = 3
    norm: str = "batch"
    activation: str = "leaky_relu"
    padding: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Array, labels: Array | None = None, context: Array | None = None, *, train: bool = True
    ) -> DiscriminatorOutput:
        """Returns logits, float32 [batch, height, width], and the features of each layer.

        Raises:
            ValueError: the images are too small to leave a logit after so many layers.
        """
        smallest = smallest_image(self.layers, self.padding)
        if min(images.shape[1:3]) < smallest:
            raise ValueError(f"images must be at least {smallest} pixels a side for {self.layers} strided layers; got shape {images.shape}")
        x = images if context is None else jnp.concatenate([context.astype(images.dtype), images], axis=-1)
        x = x.astype(self.dtype)
        settings = {"padding": ((self.padding, self.padding),) * 2, "kernel_init": NORMAL, "dtype": self.dtype}
        features = {}
        for index in range(self.layers + 1):
            stride = 2 if index < self.layers else 1
            # The first layer has no norm behind it.
            use_bias = index == 0 or needs_bias(self.norm)
            width = self.width * 2 ** min(index, 3)
            x = Conv(width, (4, 4), (stride, stride), use_bias=use_bias, name=f"conv_{index}", **settings)(x)
            if index:
                x = normalize(x, self.norm, train=train, name=f"norm_{index}", dtype=self.dtype)
            x = ACTIVATIONS[self.activation](x)
            features[f"layer_{index}"] = x
        logits = Conv(1, (4, 4), name="output", **settings)(x)
        return DiscriminatorOutput(logits[..., 0].astype(jnp.float32), features)
