"""U-Net GAN: a discriminator that judges the whole image and each of its pixels."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, OUTPUT_ACTIVATIONS, check_growth, check_labels, one_of, run_block
from gan_jax.models.residual import GLOROT, RESIZE, DiscriminatorBlock, GeneratorBlock, ResNetGenerator
from gan_jax.nn import ProjectionHead
from gan_jax.typing import Array, DiscriminatorOutput, Players

# For each side of a square: output channels of the blocks of the encoder as multiples of `width`. Each block halves the sides, down to
# 4x4.
ENCODERS: dict[int, tuple[int, ...]] = {
    16: (1, 2),
    32: (1, 2, 4),
    64: (1, 2, 4, 8),
    128: (1, 2, 4, 8, 16),
    256: (1, 2, 4, 8, 8, 16),
}


class UNetDiscriminator(nn.Module):
    """Maps images down to 4x4 or a little more, where one logit judges the whole image, and up again to one logit for each pixel.

    The encoder is that of BigGAN. Each block of the decoder doubles the sides, and receives the map of the encoder with the same side as
    further channels. There is no norm. With classes, both outputs have a projection of their own.

    Attributes:
        widths: Number of output channels of each block of the encoder. Those of the decoder are the same in reverse order, without the
            last, and then the first again.
        num_classes: Number of classes. 0 gives an unconditional discriminator.
        activation: Key of `ACTIVATIONS`.
        dtype: Computation dtype. Parameters are float32.
        gradient_checkpointing: Whether the backward pass computes the activations inside each block again.
    """

    widths: tuple[int, ...]
    num_classes: int = 0
    activation: str = "relu"
    dtype: Any = jnp.float32
    gradient_checkpointing: bool = False

    @nn.compact
    def __call__(self, images: Array, labels: Array | None = None, context: Any = None, *, train: bool = True) -> DiscriminatorOutput:
        """Returns the logits (of the images [batch], of their pixels [batch, height, width]), and the features of each block."""
        check_labels(labels, self.num_classes)
        x, features, skips = images.astype(self.dtype), {}, []
        for index, width in enumerate(self.widths):
            block = DiscriminatorBlock(width, width, True, index == 0, self.activation, self.dtype, name=f"down_{index}")
            x = run_block(block, x, checkpoint=self.gradient_checkpointing)
            features[f"down_{index}"] = x
            skips.append(x)
        pooled = ACTIVATIONS[self.activation](skips.pop()).astype(jnp.float32).sum(axis=(1, 2))
        logits = ProjectionHead(self.num_classes, kernel_init=GLOROT, dtype=self.dtype, name="head")(pooled, labels)
        for index, width in enumerate((*self.widths[-2::-1], self.widths[0])):
            x = x if index == 0 else jnp.concatenate([x, skips.pop()], axis=-1)
            block = GeneratorBlock(width, "none", activation=self.activation, dtype=self.dtype, name=f"up_{index}")
            x = run_block(block, x, train=train, checkpoint=self.gradient_checkpointing)
            features[f"up_{index}"] = x
        return DiscriminatorOutput((logits, PixelHead(self.num_classes, self.dtype, name="pixel_head")(x, labels)), features)


class PixelHead(nn.Module):
    """Maps the features h of each pixel to a logit, h . w + b, with a projection of the class as in `ProjectionHead`.

    The weights w are a vector, so that spectral normalisation leaves them as they are. In the authors' code this layer has none.

    Attributes:
        num_classes: Number of classes. 0 gives an unconditional head.
        dtype: Computation dtype. Parameters are float32.
    """

    num_classes: int = 0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: Array, labels: Array | None = None) -> Array:
        """Maps float [batch, height, width, dim] to float32 [batch, height, width]."""
        dim = features.shape[-1]
        weight = self.param("weight", lambda rng: GLOROT(rng, (dim, 1))[:, 0])
        bias = self.param("bias", nn.initializers.zeros_init(), ())
        logits = (features @ weight.astype(self.dtype)).astype(jnp.float32) + bias
        if not self.num_classes:
            return logits
        embed = nn.Embed(self.num_classes, dim, embedding_init=GLOROT, dtype=self.dtype, name="embedding")
        return logits + jnp.einsum("bhwc,bc->bhw", features.astype(self.dtype), embed(labels)).astype(jnp.float32)


def unet_gan(
    *,
    image_size: int | Sequence[int] = 64,
    channels: int = 3,
    latent_dim: int = 128,
    num_classes: int = 0,
    width: int = 64,
    shared_dim: int = 128,
    skip_latents: bool = True,
    up: str = "nearest",
    activation: str = "relu",
    output_activation: str = "tanh",
    gradient_checkpointing: bool = False,
    dtype: Any = "float32",
) -> Players:
    """Builds BigGAN's generator and a U-Net discriminator (Schönfeld et al., 2020).

    The discriminator returns one logit for each image and one for each pixel. A loss is the sum of the losses of both, so the paper's is
    half of it. Apply `gan_jax.transforms.spectral_norm` to both networks. `gan_jax.penalties.cutmix` has the CutMix regularisation.

    Args:
        image_size: Side of the images in pixels, or (height, width). The networks are those for 16 to 256 pixels, for sides that are
            halved 2 to 6 times, and begin at a map of another size if the sides are others. 128 and 256 are published.
        channels: Number of channels of the images.
        latent_dim: Unused, accepted because every model builder takes it. The latents are split into parts that are as equal as possible.
        num_classes: Number of classes. With 0, skip-z is the only condition.
        width: Base width, 64 in the paper. The layers have 1 to 16 times as many channels.
        shared_dim: Size of the class embedding that all norms of the generator share.
        skip_latents: Whether the norms of each block receive a part of the latents (skip-z).
        up: "nearest", as published, or "bilinear", in the generator.
        activation: Key of `ACTIVATIONS`, for both networks.
        output_activation: "tanh" or "linear".
        gradient_checkpointing: Whether the backward pass computes the activations inside each block again, which needs less memory and
            more time.
        dtype: Computation dtype. Parameters are float32.

    Returns:
        Players(generator, discriminator) of Linen modules.

    Raises:
        ValueError: If `image_size` is not supported, if a name is not among the allowed values, or if `skip_latents` is combined with
            classes and shared_dim=0.

    References:
        Schönfeld et al., "A U-Net Based Discriminator for Generative Adversarial Networks", 2020; boschresearch/unetgan, commit 37adcf0.
        Differs: weights are initialised as in `biggan` instead of orthogonally. Without classes the authors' generator modulates its
        norms by small networks of all latents instead of linear maps of their parts. Sizes below 128 are adaptations with fewer blocks.
    """
    del latent_dim
    levels, first = check_growth("unet_gan", image_size, levels=(2, 6), largest=512)
    one_of("up", up, RESIZE)
    one_of("activation", activation, ACTIVATIONS)
    one_of("output_activation", output_activation, OUTPUT_ACTIVATIONS)
    if skip_latents and num_classes and not shared_dim:
        raise ValueError("skip_latents needs shared_dim above 0 or num_classes=0; got shared_dim=0")
    widths = tuple(width * n for n in ENCODERS[4 * 2**levels])
    shared = {"num_classes": num_classes, "activation": activation, "dtype": jnp.dtype(dtype)}
    shared |= {"gradient_checkpointing": gradient_checkpointing}
    generator = ResNetGenerator(
        channels=channels,
        first=first,
        base=widths[-1],
        widths=widths[::-1],
        shared_dim=shared_dim,
        skip_latents=skip_latents,
        up=up,
        output_activation=output_activation,
        **shared,
    )
    return Players(generator, UNetDiscriminator(widths=widths, **shared))
