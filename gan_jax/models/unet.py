"""pix2pix: from image to image by a U-Net, judged by a PatchGAN."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, NORMAL, OUTPUT_ACTIVATIONS, PLAIN_NORMS, check_options, check_size, needs_bias
from gan_jax.models.patch import PatchDiscriminator, largest_patch, smallest_image
from gan_jax.nn import Conv, ConvTranspose, SamplingDropout, normalize
from gan_jax.typing import Array, Players

SIZES = (16, 32, 64, 128, 256, 512)
DROPOUT_LAYERS = 3


class UNetGenerator(nn.Module):
    """The context image, down to a 1x1 map and up again, with each level of the way down joined on the way up.

    Latents are ignored: the variety of pix2pix comes from dropout alone, which stays on in sampling.
    """

    channels: int
    width: int = 64
    norm: str = "batch"
    dropout: float = 0.5
    activation: str = "leaky_relu"
    decoder_activation: str = "relu"
    output_activation: str = "tanh"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, latents: Array | None, labels: Array | None = None, context: Array | None = None, *, train: bool = True) -> Array:
        """Returns images, float32 [batch, height, width, channels], of the context's height and width."""
        if context is None:
            raise ValueError("the U-Net translates an image: context must be float [batch, height, width, channels]; got None")
        size = context.shape[1]
        if context.ndim != 4 or context.shape[2] != size or size & (size - 1):
            raise ValueError(f"context must be square, with a power of two as its side; got shape {context.shape}")
        levels = size.bit_length() - 1
        use_bias = needs_bias(self.norm)
        settings = {"kernel_init": NORMAL, "dtype": self.dtype}
        x, skips = context.astype(self.dtype), []
        for level in range(levels):
            if level:
                x = ACTIVATIONS[self.activation](x)
            width = self.width * 2 ** min(level, 3)
            x = Conv(width, (4, 4), (2, 2), padding=((1, 1), (1, 1)), use_bias=use_bias, name=f"down_{level}", **settings)(x)
            # The innermost map is 1x1: instance norm would erase it, batch norm of one image as well.
            if 0 < level < levels - 1:
                x = normalize(x, self.norm, train=train, name=f"down_norm_{level}", dtype=self.dtype)
            skips.append(x)
        x = skips.pop()
        for level in reversed(range(1, levels)):
            x = ACTIVATIONS[self.decoder_activation](x)
            width = self.width * 2 ** min(level - 1, 3)
            x = ConvTranspose(width, (4, 4), (2, 2), use_bias=use_bias, name=f"up_{level}", **settings)(x)
            x = normalize(x, self.norm, train=train, name=f"up_norm_{level}", dtype=self.dtype)
            if self.dropout and level >= levels - DROPOUT_LAYERS:
                x = SamplingDropout(self.dropout)(x)
            x = jnp.concatenate([x, skips.pop()], axis=-1)
        x = ConvTranspose(self.channels, (4, 4), (2, 2), name="output", **settings)(ACTIVATIONS[self.decoder_activation](x))
        return OUTPUT_ACTIVATIONS[self.output_activation](x.astype(jnp.float32))


def pix2pix(
    *,
    image_size: int = 256,
    channels: int = 3,
    latent_dim: int = 1,
    width: int = 64,
    discriminator_width: int | None = None,
    norm: str = "batch",
    dropout: float = 0.5,
    activation: str = "leaky_relu",
    decoder_activation: str = "relu",
    output_activation: str = "tanh",
    patch_layers: int | None = None,
    dtype: Any = "float32",
) -> Players:
    """Builds pix2pix: a U-Net generator conditioned on an image, and a PatchGAN that sees both images.

    At 256x256 the defaults have 54,413,955 and 2,768,705 parameters, as the networks `unet_256` and `basic` of the
    authors' PyTorch code (which prints 54.414 M and 2.769 M).

    Args:
        image_size: side of the images in pixels, one of `SIZES`; the U-Net has log2 of it levels.
        channels: of the images made; the context may have another number.
        latent_dim: accepted because every row takes it; latents are ignored.
        width: channels of the generator's first level, doubled three times.
        discriminator_width: where it differs.
        norm: one of `PLAIN_NORMS`. The paper normalises test images by their own batch; here by running averages, unless
            it is "instance", which is the paper's batch norm at its batch size of 1.
        dropout: rate in the three innermost levels on the way up, in training and in sampling.
        activation: of the way down and of the discriminator, a name of `ACTIVATIONS`.
        decoder_activation: of the way up.
        output_activation: "tanh" or "linear".
        patch_layers: strided layers of the PatchGAN: 3 see patches of 70x70 as in the paper, 2 of 34x34, 1 of 16x16.
            None takes the largest patch of these that fits into the image.
        dtype: of computation; parameters are float32.

    Returns:
        Players of Linen modules.

    Raises:
        ValueError: a size the model cannot make, more patch layers than it bears, or a name that is not among the choices.

    References:
        Isola et al., "Image-to-image translation with conditional adversarial networks", 2017. Differs: sizes other
        than 256 have as many levels as reach 1x1; dropout follows the paper, in the three innermost levels, where the
        authors' PyTorch code leaves out the innermost.
    """
    del latent_dim
    check_size("pix2pix", image_size, SIZES)
    check_options(
        ("norm", norm, PLAIN_NORMS),
        ("activation", activation, ACTIVATIONS),
        ("decoder_activation", decoder_activation, ACTIVATIONS),
        ("output_activation", output_activation, OUTPUT_ACTIVATIONS),
    )
    shared = {"norm": norm, "activation": activation, "dtype": jnp.dtype(dtype)}
    generator = UNetGenerator(
        channels=channels,
        width=width,
        dropout=dropout,
        decoder_activation=decoder_activation,
        output_activation=output_activation,
        **shared,
    )
    layers = largest_patch(image_size) if patch_layers is None else patch_layers
    if image_size < smallest_image(layers):
        raise ValueError(
            f"patch_layers={layers} needs images of at least {smallest_image(layers)} pixels a side; got image_size={image_size}"
        )
    return Players(generator, PatchDiscriminator(width=discriminator_width or width, layers=layers, **shared))
