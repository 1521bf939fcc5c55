"""R3GAN's networks: ResNeXt blocks without any normalisation, initialised so that they start as the identity."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models.common import OUTPUT_ACTIVATIONS, check_labels, check_size, one_of
from gan_jax.nn.fast_conv.grouped import GroupedConv
from gan_jax.nn.resize import filtered_downsample, filtered_upsample
from gan_jax.typing import Array, DiscriminatorOutput, Players

SIZES = (8, 16, 32, 64, 128, 256)
LEAK = 0.2


def _msr(gain: float = 1.0) -> nn.initializers.Initializer:
    """N(0, gain^2 / fan_in)."""
    return nn.initializers.variance_scaling(gain**2, "fan_in", "normal") if gain else nn.initializers.zeros


def _pointwise(features: int, *, dtype: Any, name: str, gain: float = 1.0) -> nn.Dense:
    """A 1x1 convolution without bias, which is a dense layer over the channels."""
    return nn.Dense(features, use_bias=False, kernel_init=_msr(gain), dtype=dtype, name=name)


class ResNeXtBlock(nn.Module):
    """x + W3 lrelu(W2 lrelu(W1 x + b1) + b2): 1x1 to twice the channels, 3x3 in groups, 1x1 back.

    Fix-up initialisation in place of normalisation: W1 and W2 shrink with the number of blocks, W3 starts at zero.

    Attributes:
        groups: of the 3x3 convolution.
        blocks: in the whole network.
        dtype: of computation; parameters are float32.
    """

    groups: int
    blocks: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns [batch, h, w, c], as x."""
        inside = 2 * x.shape[-1]
        # Three linear layers a block: blocks^(-1 / (2 * 3 - 2)), and the gain of a leaky ReLU.
        gain = math.sqrt(2 / (1 + LEAK**2)) * self.blocks**-0.25

        def activate(y: Array, name: str) -> Array:
            return jax.nn.leaky_relu(y + self.param(name, nn.initializers.zeros, (inside,), jnp.float32).astype(self.dtype), LEAK)

        y = activate(_pointwise(inside, gain=gain, dtype=self.dtype, name="expand")(x), "bias_1")
        grouped = GroupedConv(inside, self.groups, use_bias=False, kernel_init=_msr(gain), dtype=self.dtype, name="grouped")
        y = activate(grouped(y), "bias_2")
        return x + _pointwise(x.shape[-1], gain=0.0, dtype=self.dtype, name="contract")(y)


class R3ganGenerator(nn.Module):
    """Latents, times a learned basis of 4x4 maps, through stages of ResNeXt blocks and filtered up-sampling, to images.

    Attributes:
        channels: of the images.
        widths: channels of each stage, from 4x4 up.
        blocks: in each stage.
        group_size: channels in a group of the 3x3 convolutions.
        num_classes: above 0, an embedding of the label joins the latents.
        embedding_dim: of that embedding.
        output_activation: "linear" or "tanh".
        dtype: of computation; parameters are float32.
    """

    channels: int
    widths: tuple[int, ...]
    blocks: int
    group_size: int
    num_classes: int = 0
    embedding_dim: int = 64
    output_activation: str = "linear"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, latents: Array, labels: Array | None = None, context: Any = None, *, train: bool = True) -> Array:
        """Returns images, float32 [batch, size, size, channels]."""
        check_labels(labels, self.num_classes)
        x = latents.astype(self.dtype)
        if self.num_classes:
            init = nn.initializers.normal(self.num_classes**-0.5)
            embed = nn.Embed(self.num_classes, self.embedding_dim, embedding_init=init, dtype=self.dtype, name="embedding")
            x = jnp.concatenate([x, embed(labels)], axis=-1)
        basis = self.param("basis", nn.initializers.normal(1.0), (4, 4, self.widths[0]), jnp.float32)
        x = _pointwise(self.widths[0], dtype=self.dtype, name="project")(x)[:, None, None] * basis.astype(self.dtype)
        total = self.blocks * len(self.widths)
        for stage, width in enumerate(self.widths):
            if stage:
                x = _pointwise(width, dtype=self.dtype, name=f"transition_{stage}")(x) if width != x.shape[-1] else x
                x = filtered_upsample(x)
            for index in range(self.blocks):
                x = ResNeXtBlock(2 * width // self.group_size, total, self.dtype, name=f"block_{stage}_{index}")(x)
        x = _pointwise(self.channels, dtype=self.dtype, name="output")(x)
        return OUTPUT_ACTIVATIONS[self.output_activation](x.astype(jnp.float32))


class R3ganDiscriminator(nn.Module):
    """Images through stages of ResNeXt blocks and filtered down-sampling, the generator's mirror image, to a logit.

    Attributes:
        widths: channels of each stage, from the images' side down to 4x4.
        blocks: in each stage.
        group_size: channels in a group of the 3x3 convolutions.
        num_classes: above 0, the last layer's features are multiplied with an embedding of the label.
        dtype: of computation; parameters are float32.
    """

    widths: tuple[int, ...]
    blocks: int
    group_size: int
    num_classes: int = 0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Array, labels: Array | None = None, context: Any = None, *, train: bool = True) -> DiscriminatorOutput:
        """Returns logits [batch] and the features behind each stage."""
        check_labels(labels, self.num_classes)
        x, features = _pointwise(self.widths[0], dtype=self.dtype, name="input")(images.astype(self.dtype)), {}
        total = self.blocks * len(self.widths)
        for stage, width in enumerate(self.widths):
            if stage:
                x = filtered_downsample(x)
                x = _pointwise(width, dtype=self.dtype, name=f"transition_{stage}")(x) if width != x.shape[-1] else x
            for index in range(self.blocks):
                x = ResNeXtBlock(2 * width // self.group_size, total, self.dtype, name=f"block_{stage}_{index}")(x)
            features[f"stage_{stage}"] = x
        # A depthwise 4x4 convolution of a 4x4 map: each channel's inner product with its own basis image.
        basis = self.param("basis", nn.initializers.normal(0.25), (4, 4, self.widths[-1]), jnp.float32)
        x = jnp.einsum("bhwc,hwc->bc", x.astype(jnp.float32), basis)
        # Published: the embedding has as many numbers as the first stage has channels.
        dim = self.widths[0] if self.num_classes else 1
        x = _pointwise(dim, dtype=jnp.float32, name="head")(x)
        if self.num_classes:
            init = nn.initializers.normal((self.num_classes * dim) ** -0.5)
            x = x * nn.Embed(self.num_classes, dim, embedding_init=init, name="embedding")(labels)
        return DiscriminatorOutput(x.sum(axis=-1), features)


def r3gan(
    *,
    image_size: int = 32,
    channels: int = 3,
    latent_dim: int = 64,
    num_classes: int = 0,
    width: int = 96,
    blocks: int = 2,
    group_size: int = 16,
    embedding_dim: int = 64,
    output_activation: str = "linear",
    dtype: Any = "float32",
) -> Players:
    """Builds R3GAN's networks (Huang 2024), by default an eighth as wide as published; the game is relativistic with R1 and R2.

    With width=768 at 32 pixels the parameters number 20,732,160 and 20,683,776 (with 10 classes 20,781,952 and 21,280,512), as
    in the authors' code (brownvc/R3GAN, commit 19a7ddf, preset CIFAR10).

    Args:
        image_size: side of the images in pixels, one of `SIZES`.
        channels: of the images.
        latent_dim: accepted because every row takes it; the layers fit whatever latents come. Published: 64.
        num_classes: above 0, both networks learn an embedding of the label.
        width: channels of the stages of up to 32 pixels; half at 64, a quarter at 128, an eighth at 256. Published: 768.
        blocks: in each stage. Published: 2.
        group_size: channels in a group of the 3x3 convolutions; must divide twice the channels of every stage.
        embedding_dim: of the generator's class embedding.
        output_activation: "linear", as published (images may leave [-1, 1] a little: clip them to look at), or "tanh".
        dtype: of computation; parameters are float32.

    Returns:
        Players of Linen modules.

    Raises:
        ValueError: a size the model cannot make, a name that is not among the choices, or groups that do not fit.

    References:
        Huang et al., "The GAN is dead; long live the GAN! A Modern GAN Baseline", 2024.
    """
    del latent_dim
    check_size("r3gan", image_size, SIZES)
    one_of("output_activation", output_activation, OUTPUT_ACTIVATIONS)
    widths = tuple(width // max(2**level // 32, 1) for level in range(2, image_size.bit_length()))
    if any(not w or 2 * w % group_size for w in widths):
        raise ValueError(f"group_size={group_size} must divide twice the channels of every stage; got width={width}, stages of {widths}")
    shared = {"blocks": blocks, "group_size": group_size, "num_classes": num_classes, "dtype": jnp.dtype(dtype)}
    generator = R3ganGenerator(channels=channels, widths=widths, embedding_dim=embedding_dim, output_activation=output_activation, **shared)
    return Players(generator, R3ganDiscriminator(widths=widths[::-1], **shared))
