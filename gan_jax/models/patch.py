"""PatchGAN: a discriminator with one logit for each of many overlapping patches."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, NORMAL, needs_bias
from gan_jax.nn import Conv, InstanceNorm, normalize
from gan_jax.typing import Array, DiscriminatorOutput


def receptive_field(layers: int) -> int:
    """Returns the side in pixels of the patch that one logit depends on.

    It is 16, 34, 70 and 142 for 1, 2, 3 and 4 strided layers.
    """
    field = 4 + 3  # the last two convolutions, 4x4 with stride 1
    for _ in range(layers):
        field = 2 * field + 2  # one more 4x4 convolution with stride 2 in front
    return field


def smallest_image(layers: int, padding: int = 1) -> int:
    """Returns the side in pixels of the smallest image that gives a logit.

    With a padding of 1 it is 6, 12 and 24 for 1, 2 and 3 strided layers.
    """
    side = 1
    for stride in (1, 1, *(2,) * layers):
        side = max((side - 1) * stride + 4 - 2 * padding, 1)
    return side


def largest_patch(image_size: int, *, most: int = 3) -> int:
    """Returns the number of strided layers, 1 to `most`, with the largest patch that fits into the image.

    Returns 1 if no patch fits.
    """
    return max([layers for layers in range(1, most + 1) if receptive_field(layers) <= image_size], default=1)


class PatchDiscriminator(nn.Module):
    """Maps images to a map of logits, one per patch. A context image is concatenated with the images as extra channels.

    Attributes:
        width: Number of channels of the first layer.
        layers: Number of 4x4 convolutions of stride 2. The channels double per layer up to 8 times `width`.
        norm: Norm of all layers except the first and the last, one of `PLAIN_NORMS`.
        activation: Key of `ACTIVATIONS`.
        padding: Padding of each convolution: 1 as in pix2pix, 2 as in pix2pixHD.
        affine: Whether the norm "instance" has a learned scale and bias. If not, the convolutions in front have a bias, as in CycleGAN.
        dtype: Computation dtype. Parameters are float32.
    """

    width: int = 64
    layers: int = 3
    norm: str = "batch"
    activation: str = "leaky_relu"
    padding: int = 1
    affine: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Array, labels: Array | None = None, context: Array | None = None, *, train: bool = True
    ) -> DiscriminatorOutput:
        """Returns logits, float32 [batch, height, width], and the features of each layer.

        Raises:
            ValueError: If the images are too small to give a logit.
        """
        smallest = smallest_image(self.layers, self.padding)
        if min(images.shape[1:3]) < smallest:
            raise ValueError(f"images must be at least {smallest} pixels a side for {self.layers} strided layers; got shape {images.shape}")
        x = images if context is None else jnp.concatenate([context.astype(images.dtype), images], axis=-1)
        x = x.astype(self.dtype)
        settings = {"padding": ((self.padding, self.padding),) * 2, "kernel_init": NORMAL, "dtype": self.dtype}
        features, plain = {}, self.norm == "instance" and not self.affine
        for index in range(self.layers + 1):
            stride = 2 if index < self.layers else 1
            # No norm follows the first layer.
            use_bias = index == 0 or plain or needs_bias(self.norm)
            width = self.width * 2 ** min(index, 3)
            x = Conv(width, (4, 4), (stride, stride), use_bias=use_bias, name=f"conv_{index}", **settings)(x)
            if index and plain:
                x = InstanceNorm(use_scale=False, use_bias=False, dtype=self.dtype)(x)
            elif index:
                x = normalize(x, self.norm, train=train, name=f"norm_{index}", dtype=self.dtype)
            x = ACTIVATIONS[self.activation](x)
            features[f"layer_{index}"] = x
        logits = Conv(1, (4, 4), name="output", **settings)(x)
        return DiscriminatorOutput(logits[..., 0].astype(jnp.float32), features)
