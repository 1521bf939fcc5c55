"""pix2pix: image-to-image translation with a U-Net generator and a PatchGAN discriminator."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.models.common import (
    ACTIVATIONS,
    NORMAL,
    OUTPUT_ACTIVATIONS,
    PLAIN_NORMS,
    check_growth,
    check_options,
    height_width,
    needs_bias,
)
from gan_jax.models.patch import PatchDiscriminator, largest_patch, smallest_image
from gan_jax.nn import Conv, ConvTranspose, SamplingDropout, normalize
from gan_jax.typing import Array, Players

DROPOUT_LAYERS = 3
LARGEST = 512  # The largest side in pixels.


def levels_of(image_size: Sequence[int]) -> int:
    """Returns how often both sides of (height, width) halve evenly. A power of two halves down to 1."""
    height, width = image_size
    return math.gcd(height, width, 2**16).bit_length() - 1


class UNetGenerator(nn.Module):
    """Maps the context image down to the smallest map and up again. Each level of the way down is joined to the way up.

    The smallest map has a side that is odd. It is 1x1 for powers of two.

    Latents are ignored. The only source of randomness in pix2pix is dropout, which is also active in sampling.

    Attributes:
        channels: Number of channels of the images.
        width: Number of channels of the first level. It doubles three times.
        norm: One of `PLAIN_NORMS`.
        dropout: Dropout rate in the three innermost levels on the way up.
        activation: Key of `ACTIVATIONS` for the way down.
        decoder_activation: Key of `ACTIVATIONS` for the way up.
        output_activation: "tanh" or "linear".
        dtype: Computation dtype. Parameters are float32.
    """

    channels: int
    width: int = 64
    norm: str = "batch"
    dropout: float = 0.5
    activation: str = "leaky_relu"
    decoder_activation: str = "relu"
    output_activation: str = "tanh"
    dtype: Any = jnp.float32

    def norm_inputs(self) -> dict[str, tuple[str, ...]]:
        """Path of each batch norm -> paths of the layers that alone make its input, see `gan_jax.models.folding`."""
        return {f"{way}_norm_{level}": (f"{way}_{level}",) for way in ("down", "up") for level in range(LARGEST.bit_length())}

    @property
    def last_layer(self) -> str:
        """Path of the kernel that makes the images."""
        return "output/kernel"

    @nn.compact
    def __call__(self, latents: Array | None, labels: Array | None = None, context: Array | None = None, *, train: bool = True) -> Array:
        """Returns images, float32 [batch, height, width, channels], with the height and width of the context.

        Raises:
            ValueError: If the context is None, or if a side is odd.
        """
        if context is None:
            raise ValueError("context must be float [batch, height, width, channels], the image that the U-Net translates; got None")
        levels = levels_of(context.shape[1:3]) if context.ndim == 4 else 0
        if not levels:
            raise ValueError(f"context must have even sides; got shape {context.shape}")
        use_bias = needs_bias(self.norm)
        settings = {"kernel_init": NORMAL, "dtype": self.dtype}
        x, skips = context.astype(self.dtype), []
        for level in range(levels):
            if level:
                x = ACTIVATIONS[self.activation](x)
            width = self.width * 2 ** min(level, 3)
            x = Conv(width, (4, 4), (2, 2), padding=((1, 1), (1, 1)), use_bias=use_bias, name=f"down_{level}", **settings)(x)
            # The innermost map is 1x1 for a power of two. Instance norm would erase its content, and so would batch norm of a single image.
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
    image_size: int | Sequence[int] = 256,
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
    """Builds pix2pix: a U-Net generator that is conditioned on an image, and a PatchGAN that receives both images.

    At 256x256 with the defaults, generator and discriminator have 54,413,955 and 2,768,705 parameters. This is the size
    of the networks `unet_256` and `basic` of the authors' PyTorch code, which prints 54.414 M and 2.769 M.

    Args:
        image_size: Side of the images in pixels, or (height, width): sides that halve evenly 2 to 7 times until the shorter one has
            4 to 7 pixels. The U-Net has as many levels as the sides halve evenly, which are log2(image_size) for powers of two.
        channels: Number of channels of the generated images. The context may have another number of channels.
        latent_dim: Unused, accepted because every model builder takes it. Latents are ignored.
        width: Number of channels of the generator's first level. It doubles three times.
        discriminator_width: Overrides `width` for the discriminator.
        norm: One of `PLAIN_NORMS`, for both networks. The paper normalises test images by the statistics of their own
            batch, whereas "batch" here uses running averages. "instance" equals the paper's batch norm at its batch
            size of 1.
        dropout: Dropout rate in the three innermost levels on the way up, in training and in sampling.
        activation: Key of `ACTIVATIONS` for the way down and for the discriminator.
        decoder_activation: Key of `ACTIVATIONS` for the way up.
        output_activation: "tanh" or "linear".
        patch_layers: Number of strided layers of the PatchGAN. 3 gives patches of 70x70 as in the paper, 2 of 34x34, 1
            of 16x16. None: the largest of these patches that fits into the image.
        dtype: Computation dtype. Parameters are float32.

    Returns:
        Players(generator, discriminator) of Linen modules.

    Raises:
        ValueError: If `image_size` is not supported or is too small for `patch_layers`, or if a name is not among the
            allowed values.

    References:
        Isola et al., "Image-to-image translation with conditional adversarial networks", 2017. Differs: for sizes other
        than 256, the number of levels is the one that reaches 1x1, or the smallest map that
        the sides halve to. Dropout is in the three innermost levels, as in the
        paper, and the authors' PyTorch code omits it in the innermost one.
    """
    del latent_dim
    check_growth("pix2pix", image_size, levels=(2, 7), largest=LARGEST)
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
    shorter = min(height_width(image_size))
    layers = largest_patch(shorter) if patch_layers is None else patch_layers
    if shorter < smallest_image(layers):
        raise ValueError(
            f"patch_layers={layers} needs images of at least {smallest_image(layers)} pixels a side; got image_size={image_size}"
        )
    return Players(generator, PatchDiscriminator(width=discriminator_width or width, layers=layers, **shared))
