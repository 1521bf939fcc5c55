"""Residual networks of the SNGAN family: one generator and one discriminator, which `sngan`, `sagan` and `biggan` build.

The modules have no spectral normalisation. It is a transformation of the parameter tree that is applied outside.
"""

import itertools
import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, OUTPUT_ACTIVATIONS, check_labels, class_margin, run_block
from gan_jax.nn.fast_conv.conv import Conv
from gan_jax.nn.norms import normalize
from gan_jax.nn.projection import ProjectionHead
from gan_jax.nn.proxy_head import ProxyHead
from gan_jax.nn.resize import average_pool, resize_bilinear, resize_nearest
from gan_jax.nn.self_attention import SelfAttention
from gan_jax.typing import Array, DiscriminatorOutput

RESIZE = {"nearest": resize_nearest, "bilinear": resize_bilinear}
GLOROT = nn.initializers.glorot_uniform()
# Glorot uniform with gain sqrt(2), for the 3x3 convolutions of the blocks.
GLOROT_RELU = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")


class GeneratorBlock(nn.Module):
    """Residual block that doubles the sides.

    The block is norm, activation, resize, 3x3, norm, activation, 3x3. The shortcut is resize and 1x1. The 1x1 convolution
    is computed before the resize. The two commute, and it is four times cheaper at the smaller size.

    Attributes:
        features: Number of output channels.
        norm: Key of `gan_jax.nn.NORMS`, used if there is no condition.
        num_classes: Number of classes if the condition is a label. 0 if it is a vector.
        up: "nearest" or "bilinear".
        activation: Key of `ACTIVATIONS`.
        axis_name: Mapped axis (`shard_map` or `pmap`) whose devices share batch statistics.
        dtype: Computation dtype. Parameters are float32.
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
        """Maps float [batch, h, w, c] to [batch, 2h, 2w, features].

        With a `condition`, int32 [batch] or float [batch, dim], both norms are conditional batch norms.
        """
        norm = "conditional_batch" if condition is not None else self.norm
        settings = {"condition": condition, "num_classes": self.num_classes, "axis_name": self.axis_name, "dtype": self.dtype}
        resize, activate = RESIZE[self.up], ACTIVATIONS[self.activation]
        y = activate(normalize(x, norm, train=train, name="norm_1", **settings))
        y = Conv(self.features, (3, 3), kernel_init=GLOROT_RELU, dtype=self.dtype, name="conv_1")(resize(y))
        y = activate(normalize(y, norm, train=train, name="norm_2", **settings))
        y = Conv(self.features, (3, 3), kernel_init=GLOROT_RELU, dtype=self.dtype, name="conv_2")(y)
        return y + resize(Conv(self.features, (1, 1), kernel_init=GLOROT, dtype=self.dtype, name="shortcut")(x))


class DiscriminatorBlock(nn.Module):
    """Residual block that can halve the sides.

    The block is activation, 3x3, activation, 3x3, average pooling. The shortcut is 1x1 and pooling if the shape changes,
    and the identity otherwise.

    The first block of a network receives images, so it has no activation in front. The 1x1 convolution is computed
    after the pooling, with which it commutes.

    Attributes:
        features: Number of output channels.
        hidden: Number of channels between the two 3x3 convolutions.
        downsample: Whether the block halves the sides.
        first: Whether this is the first block of the network.
        activation: Key of `ACTIVATIONS`.
        dtype: Computation dtype. Parameters are float32.
    """

    features: int
    hidden: int
    downsample: bool = True
    first: bool = False
    activation: str = "relu"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps float [batch, h, w, c] to [batch, h/2, w/2, features], or to [batch, h, w, features] without down-sampling."""
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
    """Projects latents to a small map, then applies residual blocks that double its sides until it is an image.

    Attributes:
        channels: Number of channels of the images.
        base: Number of channels of the first map.
        widths: Number of output channels of each block.
        num_classes: Above 0, batch norm in the blocks is conditional.
        shared_dim: 0: each norm has a table of scales and biases per class. Above 0: all norms share one class
            embedding of this size, and each norm has linear maps of it (BigGAN).
        skip_latents: Whether to split the latents into one part for the first map and one part for the norms of each
            block (BigGAN). With classes it requires `shared_dim` above 0.
        attention: Self-attention follows the feature maps with these shorter sides.
        norm: Norm of the blocks if they are unconditional, and norm before the output layer. A key of
            `gan_jax.nn.NORMS`.
        up: "nearest" or "bilinear".
        activation: Key of `ACTIVATIONS`.
        output_activation: "tanh" or "linear".
        output_kernel: Kernel size of the last convolution.
        axis_name: Mapped axis (`shard_map` or `pmap`) whose devices share batch statistics.
        dtype: Computation dtype. Parameters are float32.
        gradient_checkpointing: Whether the backward pass computes the activations inside each block again.
        first: Height and width of the first map.
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
    gradient_checkpointing: bool = False
    first: tuple[int, int] = (4, 4)

    def norm_inputs(self) -> dict[str, tuple[str, ...]]:
        """Path of each batch norm -> paths of the layers that alone make its input, see `gan_jax.models.folding`.

        The input of a block's first norm is read by the shortcut too, so this norm is left out.
        """
        last = len(self.widths) - 1
        inputs = {f"block_{index}/norm_2": (f"block_{index}/conv_1",) for index in range(last + 1)}
        if min(self.first) * 2 ** (last + 1) in self.attention:
            return inputs
        return inputs | {"norm": (f"block_{last}/conv_2", f"block_{last}/shortcut")}

    @property
    def last_layer(self) -> str:
        """Path of the kernel that makes the images."""
        return "output/kernel"

    def _conditions(self, latents: Array, labels: Array | None) -> tuple[Array, list[Array | None]]:
        """Returns the latents of the first map and the condition of the norms of each block."""
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
        # The parts are as equal as possible. The first part is for the first map.
        size, more = divmod(latents.shape[-1], blocks + 1)
        cuts = list(itertools.accumulate([size + (part < more) for part in range(blocks)]))
        first, *rest = jnp.split(latents, cuts, axis=-1)
        return first, [part if shared is None else jnp.concatenate([shared, part], axis=-1) for part in rest]

    @nn.compact
    def __call__(self, latents: Array, labels: Array | None = None, context: Any = None, *, train: bool = True) -> Array:
        """Returns images, float32 [batch, height, width, channels], with the sides of `first` times 2^blocks."""
        check_labels(labels, self.num_classes)
        first, conditions = self._conditions(latents, labels)
        x = nn.Dense(math.prod(self.first) * self.base, kernel_init=GLOROT, dtype=self.dtype, name="project")(first.astype(self.dtype))
        x = x.reshape(-1, *self.first, self.base)
        tables = self.num_classes if not (self.shared_dim or self.skip_latents) else 0
        shared = {"up": self.up, "activation": self.activation, "axis_name": self.axis_name, "dtype": self.dtype}
        for index, (features, condition) in enumerate(zip(self.widths, conditions)):
            block = GeneratorBlock(features, self.norm, tables, name=f"block_{index}", **shared)
            x = run_block(block, x, condition, train=train, checkpoint=self.gradient_checkpointing)
            side = min(x.shape[1:3])
            if side in self.attention:
                x = SelfAttention(dtype=self.dtype, name=f"attention_{side}")(x)
        x = normalize(x, self.norm, train=train, axis_name=self.axis_name, dtype=self.dtype, name="norm")
        kernel = (self.output_kernel, self.output_kernel)
        x = Conv(self.channels, kernel, kernel_init=GLOROT, dtype=self.dtype, name="output")(ACTIVATIONS[self.activation](x))
        return OUTPUT_ACTIVATIONS[self.output_activation](x.astype(jnp.float32))


class ResNetDiscriminator(nn.Module):
    """Maps images through residual blocks, sums the features over the remaining pixels, and maps the sums to a logit.

    Attributes:
        widths: Number of output channels of each block.
        downsample: Whether each block halves the sides.
        num_classes: Above 0, the discriminator has a projection head, or one of the next three heads instead.
        auxiliary: Whether the discriminator classifies (ACGAN).
        proxy_dim: Dimension of the embedding of an image beside one learned vector for each class (ReACGAN). 0: no embedding.
        fake_class: Whether the logits are those of the classes and of the fakes (multi-hinge).
        wide: Whether the first convolution of a block already has the output channels of the block (SAGAN, BigGAN). If
            false, it keeps the input channels.
        attention: Self-attention follows the blocks that halve the shorter side to these values.
        activation: Key of `ACTIVATIONS`.
        dtype: Computation dtype. Parameters are float32.
        gradient_checkpointing: Whether the backward pass computes the activations inside each block again.
    """

    widths: tuple[int, ...]
    downsample: tuple[bool, ...]
    num_classes: int = 0
    auxiliary: bool = False
    proxy_dim: int = 0
    fake_class: bool = False
    wide: bool = False
    attention: tuple[int, ...] = ()
    activation: str = "relu"
    dtype: Any = jnp.float32
    gradient_checkpointing: bool = False

    @nn.compact
    def __call__(self, images: Array, labels: Array | None = None, context: Any = None, *, train: bool = True) -> DiscriminatorOutput:
        """Returns logits [batch], the features of each block, and the outputs of the other heads."""
        projected = 0 if self.auxiliary or self.proxy_dim or self.fake_class else self.num_classes
        check_labels(labels, projected)
        x, features = images.astype(self.dtype), {}
        for index, (width, downsample) in enumerate(zip(self.widths, self.downsample)):
            hidden = width if self.wide or index == 0 else x.shape[-1]
            block = DiscriminatorBlock(width, hidden, downsample, index == 0, self.activation, self.dtype, name=f"block_{index}")
            x = run_block(block, x, checkpoint=self.gradient_checkpointing)
            # Several blocks can have maps with this side. Attention follows the first of them, which is the one that down-samples.
            side = min(x.shape[1:3])
            if side in self.attention and downsample:
                x = SelfAttention(dtype=self.dtype, name=f"attention_{side}")(x)
            features[f"block_{index}"] = x
        pooled = ACTIVATIONS[self.activation](x).astype(jnp.float32).sum(axis=(1, 2))
        class_logits = embeddings = proxies = None
        if self.num_classes and (self.auxiliary or self.fake_class):
            classes = self.num_classes + self.fake_class
            class_logits = nn.Dense(classes, kernel_init=GLOROT, dtype=self.dtype, name="classifier")(pooled).astype(jnp.float32)
        if self.proxy_dim or self.fake_class:
            check_labels(labels, self.num_classes)
        if self.fake_class:
            logits = class_margin(class_logits, labels)
        else:
            logits = ProjectionHead(projected, kernel_init=GLOROT, dtype=self.dtype, name="head")(pooled, labels)
        if self.proxy_dim:
            head = ProxyHead(self.num_classes, self.proxy_dim, kernel_init=GLOROT, dtype=self.dtype, name="proxy_head")
            embeddings, proxies = head(pooled, labels)
        return DiscriminatorOutput(logits, features, class_logits, embeddings, proxies)
