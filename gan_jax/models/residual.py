"""Residual networks of the SNGAN family: one generator and one discriminator, which `sngan`, `sagan` and `biggan` build.

Weights are stored plain: spectral normalisation is a transformation of the parameter tree, applied outside.
"""

import itertools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, OUTPUT_ACTIVATIONS, check_labels
from gan_jax.nn.fast_conv.conv import Conv
from gan_jax.nn.norms import normalize
from gan_jax.nn.projection import ProjectionHead
from gan_jax.nn.resize import average_pool, resize_bilinear, resize_nearest
from gan_jax.nn.self_attention import SelfAttention
from gan_jax.typing import Array, DiscriminatorOutput

RESIZE = {"nearest": resize_nearest, "bilinear": resize_bilinear}
GLOROT = nn.initializers.glorot_uniform()
# Glorot uniform with gain sqrt(2), for the convolutions behind an activation.
GLOROT_RELU = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")


class GeneratorBlock(nn.Module):
    """Doubles the sides: norm, activation, resize, 3x3, norm, activation, 3x3; beside it resize and 1x1.

    The 1x1 convolution comes before the resize: they commute, and it is four times cheaper there.
    """

    features: int
    norm: str = "batch"
    num_classes: int = 0
    up: str = "nearest"
    activation: str = "relu"
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None, *, train: bool = True) -> Array:
        """Maps [batch, h, w, c] to [batch, 2h, 2w, features]; `condition` is for conditional batch norm."""
        norm = "conditional_batch" if condition is not None else self.norm
        settings = {"condition": condition, "num_classes": self.num_classes, "axis_name": self.axis_name, "dtype": self.dtype}
        resize, activate = RESIZE[self.up], ACTIVATIONS[self.activation]
        y = activate(normalize(x, norm, train=train, name="norm_1", **settings))
        y = Conv(self.features, (3, 3), kernel_init=GLOROT_RELU, dtype=self.dtype, name="conv_1")(resize(y))
        y = activate(normalize(y, norm, train=train, name="norm_2", **settings))
        y = Conv(self.features, (3, 3), kernel_init=GLOROT_RELU, dtype=self.dtype, name="conv_2")(y)
        return y + resize(Conv(self.features, (1, 1), kernel_init=GLOROT, dtype=self.dtype, name="shortcut")(x))


class DiscriminatorBlock(nn.Module):
    """Activation, 3x3, activation, 3x3, average pooling; beside it 1x1 and pooling, where the shape changes.

    The first block of a network has no activation in front: it sees images. The 1x1 convolution comes after the
    pooling, with which it commutes.
    """

    features: int
    hidden: int
    downsample: bool = True
    first: bool = False
    activation: str = "relu"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps [batch, h, w, c] to [batch, h/2, w/2, features], or keeps the sides."""
        activate = ACTIVATIONS[self.activation]
        y = x if self.first else activate(x)
        y = Conv(self.hidden, (3, 3), kernel_init=GLOROT_RELU, dtype=self.dtype, name="conv_1")(y)
        y = Conv(self.features, (3, 3), kernel_init=GLOROT_RELU, dtype=self.dtype, name="conv_2")(activate(y))
        if self.downsample:
            x, y = average_pool(x), average_pool(y)
        if self.downsample or x.shape[-1] != self.features:
            x = Conv(self.features, (1, 1), kernel_init=GLOROT, dtype=self.dtype, name="shortcut")(x)
        return x + y


class ResNetGenerator(nn.Module):
    """Latents, projected to a 4x4 map, through residual blocks that double its sides, to images.

    Attributes:
        channels: of the images.
        base: channels of the 4x4 map.
        widths: channels behind each block.
        num_classes: above 0, batch norm in the blocks is conditional.
        shared_dim: 0, a table of scales and biases per class in each norm; above 0, one embedding of this size
            for all norms, each of which has linear maps of it (BigGAN).
        skip_latents: cut the latents into a part for the 4x4 map and one for each block's norms (BigGAN); needs shared_dim.
        attention: sides of the maps behind which self-attention stands.
        norm: of the blocks where it is not conditional, and before the output; a key of `gan_jax.nn.NORMS`.
        up: "nearest" or "bilinear".
        activation: a name of `ACTIVATIONS`.
        output_activation: "tanh" or "linear".
        output_kernel: side of the last convolution.
        axis_name: of devices that share batch statistics.
        dtype: of computation; parameters are float32.
    """

    channels: int
    base: int
    widths: tuple[int, ...]
    num_classes: int = 0
    shared_dim: int = 0
    skip_latents: bool = False
    attention: tuple[int, ...] = ()
    norm: str = "batch"
    up: str = "nearest"
    activation: str = "relu"
    output_activation: str = "tanh"
    output_kernel: int = 3
    axis_name: str | None = None
    dtype: Any = jnp.float32

    def _conditions(self, latents: Array, labels: Array | None) -> tuple[Array, list[Array | None]]:
        """The latents of the 4x4 map, and what each block's norms are conditioned on."""
        blocks = len(self.widths)
        if not self.num_classes:
            shared = None
        elif self.shared_dim:
            embed = nn.Embed(self.num_classes, self.shared_dim, embedding_init=nn.initializers.normal(1.0), name="shared")
            shared = embed(labels)
        else:
            return latents, [labels] * blocks
        if not self.skip_latents:
            return latents, [shared] * blocks
        # As even as the number of latents allows; the first part is for the 4x4 map.
        size, more = divmod(latents.shape[-1], blocks + 1)
        cuts = list(itertools.accumulate([size + (part < more) for part in range(blocks)]))
        first, *rest = jnp.split(latents, cuts, axis=-1)
        return first, [part if shared is None else jnp.concatenate([shared, part], axis=-1) for part in rest]

    @nn.compact
    def __call__(self, latents: Array, labels: Array | None = None, context: Any = None, *, train: bool = True) -> Array:
        """Returns images, float32 [batch, 4 * 2^blocks, 4 * 2^blocks, channels]."""
        check_labels(labels, self.num_classes)
        first, conditions = self._conditions(latents, labels)
        x = nn.Dense(16 * self.base, kernel_init=GLOROT, dtype=self.dtype, name="project")(first.astype(self.dtype))
        x = x.reshape(-1, 4, 4, self.base)
        tables = self.num_classes if not (self.shared_dim or self.skip_latents) else 0
        shared = {"up": self.up, "activation": self.activation, "axis_name": self.axis_name, "dtype": self.dtype}
        for index, (features, condition) in enumerate(zip(self.widths, conditions)):
            x = GeneratorBlock(features, self.norm, tables, name=f"block_{index}", **shared)(x, condition, train=train)
            if x.shape[1] in self.attention:
                x = SelfAttention(dtype=self.dtype, name=f"attention_{x.shape[1]}")(x)
        x = normalize(x, self.norm, train=train, axis_name=self.axis_name, dtype=self.dtype, name="norm")
        kernel = (self.output_kernel, self.output_kernel)
        x = Conv(self.channels, kernel, kernel_init=GLOROT, dtype=self.dtype, name="output")(ACTIVATIONS[self.activation](x))
        return OUTPUT_ACTIVATIONS[self.output_activation](x.astype(jnp.float32))


class ResNetDiscriminator(nn.Module):
    """Images through residual blocks, summed over the pixels that remain, to a logit.

    Attributes:
        widths: channels behind each block.
        downsample: which blocks halve the sides.
        num_classes: above 0, a projection head (or, with `auxiliary`, a classifier).
        auxiliary: classify (ACGAN) in place of projecting.
        wide: whether a block's first convolution already has the block's channels (SAGAN, BigGAN), or keeps its input's.
        attention: sides of the maps behind which self-attention stands.
        activation: a name of `ACTIVATIONS`.
        dtype: of computation; parameters are float32.
    """

    widths: tuple[int, ...]
    downsample: tuple[bool, ...]
    num_classes: int = 0
    auxiliary: bool = False
    wide: bool = False
    attention: tuple[int, ...] = ()
    activation: str = "relu"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Array, labels: Array | None = None, context: Any = None, *, train: bool = True) -> DiscriminatorOutput:
        """Returns logits [batch], the features behind each block, and class logits where there is a classifier."""
        projected = 0 if self.auxiliary else self.num_classes
        check_labels(labels, projected)
        x, features = images.astype(self.dtype), {}
        for index, (width, downsample) in enumerate(zip(self.widths, self.downsample)):
            hidden = width if self.wide or index == 0 else x.shape[-1]
            block = DiscriminatorBlock(width, hidden, downsample, index == 0, self.activation, self.dtype, name=f"block_{index}")
            x = block(x)
            # Several blocks may have the side that attention stands behind: the first one is meant.
            if x.shape[1] in self.attention and downsample:
                x = SelfAttention(dtype=self.dtype, name=f"attention_{x.shape[1]}")(x)
            features[f"block_{index}"] = x
        pooled = ACTIVATIONS[self.activation](x).astype(jnp.float32).sum(axis=(1, 2))
        logits = ProjectionHead(projected, kernel_init=GLOROT, dtype=self.dtype, name="head")(pooled, labels)
        class_logits = None
        if self.auxiliary and self.num_classes:
            class_logits = nn.Dense(self.num_classes, kernel_init=GLOROT, dtype=self.dtype, name="classifier")(pooled).astype(jnp.float32)
        return DiscriminatorOutput(logits, features, class_logits)
