"""Coarse to refine: inpainting by two networks of gated convolutions, one after the other."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, NORMAL, OUTPUT_ACTIVATIONS, check_options, check_size
from gan_jax.nn import Conv, GatedConv, resize_nearest
from gan_jax.typing import Array, DiscriminatorOutput, GeneratorOutput, Players

SIZES = (16, 32, 64, 128, 256, 512)
DILATIONS = (2, 4, 8, 16)


def split_mask(context: Array, channels: int) -> tuple[Array, Array]:
    """Splits what an inpainter is conditioned on.

    Args:
        context: float [batch, height, width, channels + 1]: the image, 0 in the hole, and the mask, 1 in the hole.
        channels: of the image.

    Returns:
        The image [batch, height, width, channels] and the mask [batch, height, width, 1].

    Raises:
        ValueError: no context, or of another shape.
    """
    if context is None or context.ndim != 4 or context.shape[-1] != channels + 1:
        shape = None if context is None else context.shape
        raise ValueError(f"context must be float [batch, height, width, {channels + 1}], the masked image and its mask; got {shape}")
    return context[..., :channels], context[..., channels:]


class InpaintNetwork(nn.Module):
    """One of the two networks: down twice, dilated convolutions, up twice; every convolution gated.

    13 gated convolutions where the authors have 16; see `inpaint` for this and the other differences.
    """

    channels: int
    width: int
    activation: str = "elu"
    output_activation: str = "tanh"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """From [batch, height, width, any] to float32 [batch, height, width, channels]."""
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
            # A dilation as wide as the map would reach only the padding.
            x = gated(x, 4 * width, dilation=dilation) if dilation < x.shape[1] else x
        x = gated(x, 4 * width)
        for features in (2 * width, width):
            x = gated(resize_nearest(x), features)
        x = gated(x, max(width // 2, 1))
        x = Conv(self.channels, (3, 3), dtype=self.dtype, name="output")(x)
        return OUTPUT_ACTIVATIONS[self.output_activation](x.astype(jnp.float32))


class InpaintGenerator(nn.Module):
    """A coarse filling of the hole, then a refined one given the coarse; what was given of the image stays as it was.

    Latents are ignored. Extras: `coarse` and `refined`, both float32 [batch, height, width, channels], what the two
    networks say of the whole image, before the given part is put back; losses of reconstruction are taken on them.
    """

    channels: int
    width: int = 48
    activation: str = "elu"
    output_activation: str = "tanh"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, latents: Array | None, labels: Array | None = None, context: Array | None = None, *, train: bool = True
    ) -> GeneratorOutput:
        """Returns the completed images and the extras."""
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
    """The completed image and the mask to a map of logits, each of which sees a large part of the image."""

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
    image_size: int = 256,
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
    """Builds free-form inpainting: a coarse network, a refining network, and a patch discriminator that sees the mask.

    Both networks are conditioned on context [batch, height, width, channels + 1]: the image with 0 in the hole, and the mask,
    1 in the hole. The paper trains with hinge losses, spectral normalisation of the discriminator, and L1 on `coarse` and `refined`.

    Args:
        image_size: side of the images in pixels, one of `SIZES`.
        channels: of the images.
        latent_dim: accepted because every row takes it; latents are ignored.
        width: features of the first gated convolution; four times that at the coarsest map. The authors' `cnum` counts features and
            gates together: their 48 is a width of 24.
        discriminator_width: channels of the discriminator's first layer; four times that at most.
        discriminator_layers: 5x5 convolutions of stride 2; None: as many as leave a 4x4 map, at most the paper's 6.
        activation: of the gated convolutions, a name of `ACTIVATIONS`.
        discriminator_activation: of the discriminator.
        output_activation: "tanh" or "linear".
        dtype: of computation; parameters are float32.

    Returns:
        Players of Linen modules.

    Raises:
        ValueError: a size the model cannot make, or a name that is not among the choices.

    References:
        Yu et al., "Generative image inpainting with contextual attention", 2018, for coarse to refine; Yu et al.,
        "Free-form image inpainting with gated convolution", 2018, for the gates and SN-PatchGAN. Differs from the authors' code
        (JiahuiYu/generative_inpainting, `inpaint_model.py` at commit 449d5f3, `inpaint_ops.py` at 43aa082): no contextual attention
        branch; three gated convolutions fewer in each network (conv6, the second of 4 cnum before the dilations; conv12, the second
        behind them; conv14, behind the first up-sampling); a dilation as wide as its map is left out; the second network is the
        first's twin, where theirs has half the channels in both convolutions of stride 2 (xconv2 and xconv4); it is given the mask,
        which theirs is not, and the first is not given a channel of ones; the discriminator ends in one channel of logits, where
        every channel of the last layer is a logit in the paper.
    """
    del latent_dim
    check_size("inpaint", image_size, SIZES)
    check_options(
        ("activation", activation, ACTIVATIONS),
        ("discriminator_activation", discriminator_activation, ACTIVATIONS),
        ("output_activation", output_activation, OUTPUT_ACTIVATIONS),
    )
    dtype = jnp.dtype(dtype)
    layers = min(6, image_size.bit_length() - 3) if discriminator_layers is None else discriminator_layers
    generator = InpaintGenerator(channels, width, activation, output_activation, dtype)
    return Players(generator, InpaintDiscriminator(discriminator_width, layers, discriminator_activation, dtype))
