"""Free-form inpainting with a coarse network and a refining network, both made of gated convolutions."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, NORMAL, OUTPUT_ACTIVATIONS, SizeError, check_options, height_width, nearest_sizes
from gan_jax.nn import Conv, GatedConv, resize_nearest
from gan_jax.typing import Array, DiscriminatorOutput, GeneratorOutput, Players

SMALLEST, LARGEST = 16, 512
DILATIONS = (2, 4, 8, 16)


def split_mask(context: Array, channels: int) -> tuple[Array, Array]:
    """Splits the context of an inpainting network into image and mask.

    Args:
        context: float [batch, height, width, channels + 1]. The last channel is the mask, 1 in the hole. The other
            channels are the image, 0 in the hole.
        channels: Number of channels of the image.

    Returns:
        The image [batch, height, width, channels] and the mask [batch, height, width, 1].

    Raises:
        ValueError: If the context is None or has another shape.
    """
    if context is None or context.ndim != 4 or context.shape[-1] != channels + 1:
        shape = None if context is None else context.shape
        raise ValueError(f"context must be float [batch, height, width, {channels + 1}], the masked image and its mask; got {shape}")
    return context[..., :channels], context[..., channels:]


def _check_size(image_size: int | Sequence[int]) -> tuple[int, int]:
    """Returns (height, width). Raises SizeError if a side is no multiple of 4, too small or too large."""

    def fits(size: tuple[int, int]) -> bool:
        return all(side % 4 == 0 and SMALLEST <= side <= LARGEST for side in size)

    size = height_width(image_size)
    if not fits(size):
        raise SizeError(
            "inpaint",
            image_size,
            f"sides that are multiples of 4 from {SMALLEST} to {LARGEST}",
            nearest_sizes(size, fits, range(2, 3), LARGEST),
        )
    return size


class InpaintNetwork(nn.Module):
    """The architecture of both networks: two down-samplings, dilated convolutions, two up-samplings.

    All convolutions except the last are gated. There are 13 gated convolutions, and 16 in the authors' network. See
    `inpaint` for this and the other differences.

    Attributes:
        channels: Number of channels of the images.
        width: Number of features of the first gated convolution.
        activation: Key of `ACTIVATIONS` for the gated convolutions.
        output_activation: "tanh" or "linear".
        dtype: Computation dtype. Parameters are float32.
    """

    channels: int
    width: int
    activation: str = "elu"
    output_activation: str = "tanh"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps float [batch, height, width, any] to float32 [batch, height, width, channels]."""
        count = 0

        def gated(x: Array, features: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> Array:
            nonlocal count
            layer = GatedConv(
                features,
                (kernel, kernel),
                strides=(stride, stride),
                kernel_dilation=(dilation, dilation),
                activation=ACTIVATIONS[self.activation],
                dtype=self.dtype,
                name=f"gated_{count}",
            )
            count += 1
            return layer(x)

        width = self.width
        x = gated(x.astype(self.dtype), width, kernel=5)
        for features in (2 * width, 4 * width):
            x = gated(x, features, stride=2)
            x = gated(x, features)
        for dilation in DILATIONS:
            # With a dilation as wide as the map, all taps except the central one would read padding.
            x = gated(x, 4 * width, dilation=dilation) if dilation < min(x.shape[1:3]) else x
        x = gated(x, 4 * width)
        for features in (2 * width, width):
            x = gated(resize_nearest(x), features)
        x = gated(x, max(width // 2, 1))
        x = Conv(self.channels, (3, 3), dtype=self.dtype, name="output")(x)
        return OUTPUT_ACTIVATIONS[self.output_activation](x.astype(jnp.float32))


class InpaintGenerator(nn.Module):
    """Fills the hole coarsely, then refines the result. The known part of the image is unchanged.

    Latents are ignored. The extras are `coarse` and `refined`, both float32 [batch, height, width, channels]. They are
    the outputs of the two networks for the whole image, before the known part is inserted. Use them for reconstruction
    losses.

    The attributes are those of `InpaintNetwork`.
    """

    channels: int
    width: int = 48
    activation: str = "elu"
    output_activation: str = "tanh"
    dtype: Any = jnp.float32

    @property
    def last_layer(self) -> str:
        """Path of the kernel that makes the images."""
        return "refine/output/kernel"

    @nn.compact
    def __call__(
        self, latents: Array | None, labels: Array | None = None, context: Array | None = None, *, train: bool = True
    ) -> GeneratorOutput:
        """Returns the completed images and the extras.

        Raises:
            ValueError: If the context is None, has another shape, or has sides that are not multiples of 4.
        """
        masked, mask = split_mask(context, self.channels)
        if masked.shape[1] % 4 or masked.shape[2] % 4:
            raise ValueError(f"context must have sides that are multiples of 4; got shape {context.shape}")
        settings = (self.channels, self.width, self.activation, self.output_activation, self.dtype)
        coarse = InpaintNetwork(*settings, name="coarse")(jnp.concatenate([masked, mask], axis=-1))
        completed = masked * (1 - mask) + coarse * mask
        refined = InpaintNetwork(*settings, name="refine")(jnp.concatenate([completed, mask], axis=-1))
        images = masked * (1 - mask) + refined * mask
        return GeneratorOutput(images, {"coarse": coarse, "refined": refined})


class InpaintDiscriminator(nn.Module):
    """Maps the completed image and the mask to a map of logits. Each logit depends on a large part of the image.

    Attributes:
        width: Number of channels of the first layer. It doubles twice.
        layers: Number of 5x5 convolutions of stride 2.
        activation: Key of `ACTIVATIONS`.
        dtype: Computation dtype. Parameters are float32.
    """

    width: int = 64
    layers: int = 4
    activation: str = "leaky_relu"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Array, labels: Array | None = None, context: Array | None = None, *, train: bool = True
    ) -> DiscriminatorOutput:
        """Returns logits, float32 [batch, height / 2^layers, width / 2^layers], and the features of each layer."""
        _, mask = split_mask(context, images.shape[-1])
        x = jnp.concatenate([images, mask.astype(images.dtype)], axis=-1).astype(self.dtype)
        settings = {"kernel_init": NORMAL, "dtype": self.dtype}
        features = {}
        for index in range(self.layers):
            x = Conv(self.width * 2 ** min(index, 2), (5, 5), (2, 2), name=f"conv_{index}", **settings)(x)
            x = ACTIVATIONS[self.activation](x)
            features[f"layer_{index}"] = x
        logits = Conv(1, (5, 5), name="output", **settings)(x)
        return DiscriminatorOutput(logits[..., 0].astype(jnp.float32), features)


def inpaint(
    *,
    image_size: int | Sequence[int] = 256,
    channels: int = 3,
    latent_dim: int = 1,
    width: int = 48,
    discriminator_width: int = 64,
    discriminator_layers: int | None = None,
    activation: str = "elu",
    discriminator_activation: str = "leaky_relu",
    output_activation: str = "tanh",
    dtype: Any = "float32",
) -> Players:
    """Builds free-form inpainting: a coarse network, a refining network, and a patch discriminator that receives the mask.

    Both networks are conditioned on the context [batch, height, width, channels + 1]: the image, 0 in the hole, and the
    mask, 1 in the hole. The paper trains with hinge losses, spectral normalisation of the discriminator, and L1 losses
    on `coarse` and `refined`.

    Args:
        image_size: Side of the images in pixels, or (height, width): multiples of 4 from 16 to 512.
        channels: Number of channels of the images.
        latent_dim: Unused, accepted because every model builder takes it. Latents are ignored.
        width: Number of features of the first gated convolution, and a quarter of the features at the coarsest map. The
            authors' `cnum` counts features and gates together, so their 48 corresponds to a width of 24.
        discriminator_width: Number of channels of the discriminator's first layer. Later layers have up to four times
            as many.
        discriminator_layers: Number of 5x5 convolutions of stride 2. None: as many as leave at least 4 pixels of the
            shorter side, at most 6 as in the paper.
        activation: Key of `ACTIVATIONS` for the gated convolutions.
        discriminator_activation: Key of `ACTIVATIONS` for the discriminator.
        output_activation: "tanh" or "linear".
        dtype: Computation dtype. Parameters are float32.

    Returns:
        Players(generator, discriminator) of Linen modules.

    Raises:
        ValueError: If `image_size` is not supported, or if a name is not among the allowed values.

    References:
        Yu et al., "Generative image inpainting with contextual attention", 2018, for coarse to refine. Yu et al.,
        "Free-form image inpainting with gated convolution", 2018, for the gates and SN-PatchGAN.

    Deviations from the authors' code (JiahuiYu/generative_inpainting, `inpaint_model.py` at commit 449d5f3,
    `inpaint_ops.py` at 43aa082):

    - There is no contextual attention branch.
    - Each network has three gated convolutions fewer: conv6 (the second of 4 cnum before the dilations), conv12 (the
      second after them) and conv14 (after the first up-sampling).
    - A dilation as wide as its map is omitted.
    - Both networks have the same architecture. In the authors' code the second one has half the channels in both
      convolutions of stride 2 (xconv2 and xconv4).
    - The second network receives the mask, and the first receives no channel of ones. In the authors' code it is the
      reverse.
    - The discriminator ends in one channel of logits. In the paper every channel of the last layer is a logit.
    """
    del latent_dim
    size = _check_size(image_size)
    check_options(
        ("activation", activation, ACTIVATIONS),
        ("discriminator_activation", discriminator_activation, ACTIVATIONS),
        ("output_activation", output_activation, OUTPUT_ACTIVATIONS),
    )
    dtype = jnp.dtype(dtype)
    layers = min(6, min(size).bit_length() - 3) if discriminator_layers is None else discriminator_layers
    generator = InpaintGenerator(channels, width, activation, output_activation, dtype)
    return Players(generator, InpaintDiscriminator(discriminator_width, layers, discriminator_activation, dtype))
