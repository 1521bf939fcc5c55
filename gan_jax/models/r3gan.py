"""R3GAN: ResNeXt blocks without normalisation, initialised so that they start as the identity."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models.common import OUTPUT_ACTIVATIONS, check_growth, check_labels, one_of, run_block
from gan_jax.nn.fast_conv.grouped import GroupedConv
from gan_jax.nn.resize import filtered_downsample, filtered_upsample
from gan_jax.typing import Array, DiscriminatorOutput, Players

LEAK = 0.2


def _msr(gain: float = 1.0) -> nn.initializers.Initializer:
    """Returns the initialiser N(0, gain^2 / fan_in), which gives zeros for gain=0."""
    return nn.initializers.variance_scaling(gain**2, "fan_in", "normal") if gain else nn.initializers.zeros


def _pointwise(features: int, *, dtype: Any, name: str, gain: float = 1.0) -> nn.Dense:
    """A 1x1 convolution without bias, implemented as a dense layer over the channels."""
    return nn.Dense(features, use_bias=False, kernel_init=_msr(gain), dtype=dtype, name=name)


class ResNeXtBlock(nn.Module):
    """A residual block: x + W3 lrelu(W2 lrelu(W1 x + b1) + b2).

    W1 is a 1x1 convolution to twice the channels, W2 a grouped 3x3 convolution, W3 a 1x1 convolution back to the input
    channels. Instead of normalisation the block has Fixup initialisation: the initial W1 and W2 are smaller in
    networks with more blocks, and W3 starts at zero.

    Attributes:
        groups: Number of groups of the 3x3 convolution.
        blocks: Number of blocks in the whole network.
        dtype: Computation dtype. Parameters are float32.
    """

    groups: int
    blocks: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps float [batch, h, w, c] to the same shape."""
        inside = 2 * x.shape[-1]
        # Fixup for three linear layers per block gives blocks^(-1 / (2 * 3 - 2)). The other factor is the gain of a leaky ReLU.
        gain = math.sqrt(2 / (1 + LEAK**2)) * self.blocks**-0.25

        def activate(y: Array, name: str) -> Array:
            return jax.nn.leaky_relu(y + self.param(name, nn.initializers.zeros, (inside,), jnp.float32).astype(self.dtype), LEAK)

        y = activate(_pointwise(inside, gain=gain, dtype=self.dtype, name="expand")(x), "bias_1")
        grouped = GroupedConv(inside, self.groups, use_bias=False, kernel_init=_msr(gain), dtype=self.dtype, name="grouped")
        y = activate(grouped(y), "bias_2")
        return x + _pointwise(x.shape[-1], gain=0.0, dtype=self.dtype, name="contract")(y)


class R3ganGenerator(nn.Module):
    """Multiplies projected latents by a learned basis, then applies stages of ResNeXt blocks and filtered up-sampling.

    Attributes:
        channels: Number of channels of the images.
        widths: Number of channels of each stage, the smallest one first.
        blocks: Number of blocks in each stage.
        group_size: Number of channels in a group of the 3x3 convolutions.
        num_classes: Above 0, an embedding of the label is appended to the latents.
        embedding_dim: Size of that embedding.
        output_activation: "linear" or "tanh".
        dtype: Computation dtype. Parameters are float32.
        gradient_checkpointing: Whether the backward pass computes the activations inside each block again.
        first: Height and width of the first map, which is the basis.
    """

    channels: int
    widths: tuple[int, ...]
    blocks: int
    group_size: int
    num_classes: int = 0
    embedding_dim: int = 64
    output_activation: str = "linear"
    dtype: Any = jnp.float32
    gradient_checkpointing: bool = False
    first: tuple[int, int] = (4, 4)

    @nn.compact
    def __call__(self, latents: Array, labels: Array | None = None, context: Any = None, *, train: bool = True) -> Array:
        """Returns images, float32 [batch, height, width, channels], with the sides of `first` times 2^(stages - 1)."""
        check_labels(labels, self.num_classes)
        x = latents.astype(self.dtype)
        if self.num_classes:
            init = nn.initializers.normal(self.num_classes**-0.5)
            embed = nn.Embed(self.num_classes, self.embedding_dim, embedding_init=init, dtype=self.dtype, name="embedding")
            x = jnp.concatenate([x, embed(labels)], axis=-1)
        basis = self.param("basis", nn.initializers.normal(1.0), (*self.first, self.widths[0]), jnp.float32)
        x = _pointwise(self.widths[0], dtype=self.dtype, name="project")(x)[:, None, None] * basis.astype(self.dtype)
        total = self.blocks * len(self.widths)
        for stage, width in enumerate(self.widths):
            if stage:
                x = _pointwise(width, dtype=self.dtype, name=f"transition_{stage}")(x) if width != x.shape[-1] else x
                x = filtered_upsample(x)
            for index in range(self.blocks):
                block = ResNeXtBlock(2 * width // self.group_size, total, self.dtype, name=f"block_{stage}_{index}")
                x = run_block(block, x, checkpoint=self.gradient_checkpointing)
        x = _pointwise(self.channels, dtype=self.dtype, name="output")(x)
        return OUTPUT_ACTIVATIONS[self.output_activation](x.astype(jnp.float32))


class R3ganDiscriminator(nn.Module):
    """Maps images through stages of ResNeXt blocks and filtered down-sampling to a logit. It mirrors the generator.

    Attributes:
        widths: Number of channels of each stage, the largest one first.
        blocks: Number of blocks in each stage.
        group_size: Number of channels in a group of the 3x3 convolutions.
        num_classes: Above 0, the logit is the inner product of the last features and an embedding of the label.
        dtype: Computation dtype. Parameters are float32.
        gradient_checkpointing: Whether the backward pass computes the activations inside each block again.
    """

    widths: tuple[int, ...]
    blocks: int
    group_size: int
    num_classes: int = 0
    dtype: Any = jnp.float32
    gradient_checkpointing: bool = False

    @nn.compact
    def __call__(self, images: Array, labels: Array | None = None, context: Any = None, *, train: bool = True) -> DiscriminatorOutput:
        """Returns logits [batch] and the features of each stage."""
        check_labels(labels, self.num_classes)
        x, features = _pointwise(self.widths[0], dtype=self.dtype, name="input")(images.astype(self.dtype)), {}
        total = self.blocks * len(self.widths)
        for stage, width in enumerate(self.widths):
            if stage:
                x = filtered_downsample(x)
                x = _pointwise(width, dtype=self.dtype, name=f"transition_{stage}")(x) if width != x.shape[-1] else x
            for index in range(self.blocks):
                block = ResNeXtBlock(2 * width // self.group_size, total, self.dtype, name=f"block_{stage}_{index}")
                x = run_block(block, x, checkpoint=self.gradient_checkpointing)
            features[f"stage_{stage}"] = x
        # A depthwise 4x4 convolution of a 4x4 map, as published, is the inner product of each channel with its own basis image.
        basis = self.param("basis", nn.initializers.normal(math.prod(x.shape[1:3]) ** -0.5), (*x.shape[1:3], self.widths[-1]), jnp.float32)
        x = jnp.einsum("bhwc,hwc->bc", x.astype(jnp.float32), basis)
        # As published, the embedding has the size of the first stage's channels.
        dim = self.widths[0] if self.num_classes else 1
        x = _pointwise(dim, dtype=jnp.float32, name="head")(x)
        if self.num_classes:
            init = nn.initializers.normal((self.num_classes * dim) ** -0.5)
            x = x * nn.Embed(self.num_classes, dim, embedding_init=init, name="embedding")(labels)
        return DiscriminatorOutput(x.sum(axis=-1), features)


def r3gan(
    *,
    image_size: int | Sequence[int] = 32,
    channels: int = 3,
    latent_dim: int = 64,
    num_classes: int = 0,
    width: int = 96,
    blocks: int = 2,
    group_size: int = 16,
    embedding_dim: int = 64,
    output_activation: str = "linear",
    gradient_checkpointing: bool = False,
    dtype: Any = "float32",
) -> Players:
    """Builds R3GAN's networks (Huang et al., 2024).

    The default width is an eighth of the published one. The paper trains with the relativistic loss and the penalties
    R1 and R2.

    With width=768 at 32 pixels, generator and discriminator have 20,732,160 and 20,683,776 parameters (20,781,952 and
    21,280,512 with 10 classes), as in the authors' code (brownvc/R3GAN, commit 19a7ddf, preset CIFAR10).

    Args:
        image_size: Side of the images in pixels, or (height, width): sides that are halved 1 to 6 times to reach the first map,
            whose shorter side has 4 to 7 pixels. The map is 4x4 if the side is a power of two.
        channels: Number of channels of the images.
        latent_dim: Unused, accepted because every model builder takes it. The layers adapt to the size of the latents.
            Published: 64.
        num_classes: Number of classes. Above 0, both networks learn an embedding of the label.
        width: Number of channels of the stages up to the third doubling (32 pixels). It halves with each further one, so it is half of
            that at 64, a quarter at 128 and an eighth at 256. Published: 768.
        blocks: Number of blocks in each stage. Published: 2.
        group_size: Number of channels in a group of the 3x3 convolutions. It must divide twice the channels of every
            stage.
        embedding_dim: Size of the generator's class embedding.
        output_activation: "linear", as published, or "tanh". With "linear", pixels can be slightly outside [-1, 1], so
            clip images for display.
        gradient_checkpointing: Whether the backward pass computes the activations inside each block again, which needs less
            memory and more time.
        dtype: Computation dtype. Parameters are float32.

    Returns:
        Players(generator, discriminator) of Linen modules.

    Raises:
        ValueError: If `image_size` is not supported, if a name is not among the allowed values, or if `group_size` does
            not divide twice the channels of every stage.

    References:
        Huang et al., "The GAN is dead; long live the GAN! A Modern GAN Baseline", 2024.
    """
    del latent_dim
    levels, first = check_growth("r3gan", image_size, levels=(1, 6), largest=512)
    one_of("output_activation", output_activation, OUTPUT_ACTIVATIONS)
    widths = tuple(width // max(2**level // 32, 1) for level in range(2, levels + 3))
    if any(not w or 2 * w % group_size for w in widths):
        raise ValueError(f"group_size={group_size} must divide twice the channels of every stage; got width={width}, stage widths {widths}")
    shared = {"blocks": blocks, "group_size": group_size, "num_classes": num_classes, "dtype": jnp.dtype(dtype)}
    shared |= {"gradient_checkpointing": gradient_checkpointing}
    generator = R3ganGenerator(
        channels=channels, first=first, widths=widths, embedding_dim=embedding_dim, output_activation=output_activation, **shared
    )
    return Players(generator, R3ganDiscriminator(widths=widths[::-1], **shared))
