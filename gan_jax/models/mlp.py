"""Multilayer perceptrons for small images and for points in the plane."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, OUTPUT_ACTIVATIONS, check_labels, dense, height_width, one_of, widths
from gan_jax.nn import BatchNorm
from gan_jax.typing import Array, DiscriminatorOutput, Players

MAXOUT_PIECES = 5


def _activate(x: Array, activation: str) -> Array:
    if activation == "maxout":
        return x.reshape(*x.shape[:-1], MAXOUT_PIECES, -1).max(axis=-2)
    return ACTIVATIONS[activation](x)


def _pieces(activation: str) -> int:
    """Returns the number of linear pieces of each feature before its activation."""
    return MAXOUT_PIECES if activation == "maxout" else 1


def _with_embedding(x: Array, labels: Array | None, num_classes: int, dtype: Any) -> Array:
    """Appends a learned embedding of the labels to x [batch, dim].

    The embedding has as many features as there are classes. Without classes, x is returned unchanged.
    """
    check_labels(labels, num_classes)
    if not num_classes:
        return x
    return jnp.concatenate([x, nn.Embed(num_classes, num_classes, dtype=dtype, name="embedding")(labels)], axis=-1)


class MlpGenerator(nn.Module):
    """Maps latents [batch, latent_dim] through dense layers to images or points.

    Attributes:
        shape: Shape of one image or point.
        hidden: Widths of the hidden layers.
        num_classes: Above 0, a learned embedding of the labels is appended to the latents.
        norm: "batch" or "none".
        norm_first: Whether batch norm also follows the first hidden layer. It follows all other hidden layers.
        epsilon: Epsilon of batch norm.
        activation: Key of `ACTIVATIONS`, or "maxout".
        output_activation: "tanh" or "linear".
        kernel_init: Initialisation of the layers, as in `gan_jax.models.common.dense`.
        init_scale: Scale of that initialisation.
        dtype: Computation dtype. Parameters are float32.
    """

    shape: tuple[int, ...]
    hidden: tuple[int, ...] = (128, 256, 512, 1024)
    num_classes: int = 0
    norm: str = "batch"
    norm_first: bool = False
    epsilon: float = 0.8
    activation: str = "leaky_relu"
    output_activation: str = "tanh"
    kernel_init: str = "torch"
    init_scale: float = 1.0
    dtype: Any = jnp.float32

    def norm_inputs(self) -> dict[str, tuple[str, ...]]:
        """Path of each batch norm -> paths of the layers that alone make its input, see `gan_jax.models.folding`."""
        return {f"norm_{index}": (f"dense_{index}",) for index in range(len(self.hidden))}

    @nn.compact
    def __call__(self, latents: Array, labels: Array | None = None, context: Any = None, *, train: bool = True) -> Array:
        """Returns images or points, float32 [batch, *shape]."""
        layer = partial(dense, kernel_init=self.kernel_init, init_scale=self.init_scale, dtype=self.dtype)
        x = _with_embedding(latents.astype(self.dtype), labels, self.num_classes, self.dtype)
        for index, features in enumerate(self.hidden):
            x = layer(features * _pieces(self.activation), x.shape[-1], name=f"dense_{index}")(x)
            if self.norm == "batch" and (index or self.norm_first):
                # PyTorch's momentum of 0.1 is the weight of the new statistics. Flax's momentum is the weight of the old ones.
                x = BatchNorm(not train, momentum=0.9, epsilon=self.epsilon, dtype=self.dtype, name=f"norm_{index}")(x)
            x = _activate(x, self.activation)
        x = layer(math.prod(self.shape), x.shape[-1], name="output")(x)
        return OUTPUT_ACTIVATIONS[self.output_activation](x.astype(jnp.float32)).reshape(-1, *self.shape)


class MlpDiscriminator(nn.Module):
    """Flattens images or points and maps them through dense layers to one logit. Its features are the hidden activations.

    Attributes:
        hidden: Widths of the hidden layers.
        num_classes: Above 0, a learned embedding of the labels is appended to the input.
        activation: Key of `ACTIVATIONS`, or "maxout".
        dropout: Dropout rate after each hidden layer, in training only.
        kernel_init: Initialisation of the layers, as in `gan_jax.models.common.dense`.
        init_scale: Scale of that initialisation.
        dtype: Computation dtype. Parameters are float32.
    """

    hidden: tuple[int, ...] = (512, 256)
    num_classes: int = 0
    activation: str = "leaky_relu"
    dropout: float = 0.0
    kernel_init: str = "torch"
    init_scale: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Array, labels: Array | None = None, context: Any = None, *, train: bool = True) -> DiscriminatorOutput:
        """Returns logits [batch] and the features of each hidden layer."""
        layer = partial(dense, kernel_init=self.kernel_init, init_scale=self.init_scale, dtype=self.dtype)
        x = images.reshape(images.shape[0], -1).astype(self.dtype)
        x = _with_embedding(x, labels, self.num_classes, self.dtype)
        features = {}
        for index, width in enumerate(self.hidden):
            x = _activate(layer(width * _pieces(self.activation), x.shape[-1], name=f"dense_{index}")(x), self.activation)
            x = nn.Dropout(self.dropout, deterministic=not train)(x) if self.dropout else x
            features[f"dense_{index}"] = x
        logits = layer(1, x.shape[-1], name="output")(x)
        return DiscriminatorOutput(logits[:, 0].astype(jnp.float32), features)


def mlp(
    *,
    image_size: int | Sequence[int] = 28,
    channels: int = 1,
    latent_dim: int = 100,
    num_classes: int = 0,
    generator_hidden: str | int | tuple[int, ...] = (128, 256, 512, 1024),
    discriminator_hidden: str | int | tuple[int, ...] = (512, 256),
    norm: str = "batch",
    activation: str = "leaky_relu",
    output_activation: str = "tanh",
    dropout: float = 0.0,
    dtype: Any = "float32",
) -> Players:
    """Builds the multilayer-perceptron GAN of PyTorch-GAN.

    The generator maps latents -> 128 -> 256 -> 512 -> 1024 -> image, and the discriminator image -> 512 -> 256 -> 1.
    The activation is LeakyReLU with slope 0.2, and the generator ends in tanh. In the generator, batch norm follows the
    second to fourth hidden layer. Its epsilon is 0.8, as in the original code: `BatchNorm1d(out_feat, 0.8)` sets epsilon,
    not momentum.

    Args:
        image_size: Side of the images in pixels, or (height, width), any numbers.
        channels: Number of channels of the images.
        latent_dim: Unused, accepted because every model builder takes it. The layers adapt to the size of the latents.
        num_classes: Number of classes. Above 0, both networks append a learned embedding of the labels to their inputs.
        generator_hidden: Widths of the generator's hidden layers. "400,400" is equivalent to (400, 400).
        discriminator_hidden: Widths of the discriminator's hidden layers.
        norm: Norm of the generator, "batch" or "none".
        activation: Key of `ACTIVATIONS`, for both networks.
        output_activation: "tanh" or "linear".
        dropout: Dropout rate after each hidden layer of the discriminator, in training only.
        dtype: Computation dtype. Parameters are float32.

    Returns:
        Players(generator, discriminator) of Linen modules.

    Raises:
        ValueError: If a name is not among the allowed values.

    References:
        Goodfellow et al., "Generative Adversarial Networks", 2014. Erik Linder-Norén, PyTorch-GAN,
        `implementations/gan/gan.py` and `cgan/cgan.py`. Differs: the discriminator returns logits instead of
        probabilities, and the layers with labels are those of the unconditional GAN.
    """
    del latent_dim
    one_of("norm", norm, ("batch", "none"))
    one_of("activation", activation, ACTIVATIONS)
    one_of("output_activation", output_activation, OUTPUT_ACTIVATIONS)
    generator = MlpGenerator(
        shape=(*height_width(image_size), channels),
        hidden=widths(generator_hidden),
        num_classes=num_classes,
        norm=norm,
        activation=activation,
        output_activation=output_activation,
        dtype=jnp.dtype(dtype),
    )
    discriminator = MlpDiscriminator(
        hidden=widths(discriminator_hidden), num_classes=num_classes, activation=activation, dropout=dropout, dtype=jnp.dtype(dtype)
    )
    return Players(generator, discriminator)


def points(
    *,
    dim: int = 2,
    latent_dim: int = 2,
    num_classes: int = 0,
    generator_hidden: str | int | tuple[int, ...] = (128, 128),
    discriminator_hidden: str | int | tuple[int, ...] = (128,),
    norm: str = "none",
    activation: str = "relu",
    discriminator_activation: str | None = None,
    kernel_init: str = "torch",
    init_scale: float = 1.0,
    dtype: Any = "float32",
) -> Players:
    """Builds perceptrons for points [batch, dim], such as samples of a mixture of Gaussians in the plane.

    The output is linear.

    The defaults are VEEGAN's networks. For PacGAN's networks set `generator_hidden=(400, 400)`, `norm="batch"`,
    `discriminator_hidden=(200, 200, 200)` and `discriminator_activation="maxout"` (5 pieces).

    Args:
        dim: Dimension of a point.
        latent_dim: Unused, accepted because every model builder takes it. The layers adapt to the size of the latents.
        num_classes: Number of classes. Above 0, both networks append a learned embedding of the labels to their inputs.
        generator_hidden: Widths of the generator's hidden layers. "400,400" is equivalent to (400, 400).
        discriminator_hidden: Widths of the discriminator's hidden layers. The discriminator also accepts packed points
            [batch, m * dim].
        norm: Norm of the generator's hidden layers, "batch" or "none".
        activation: Key of `ACTIVATIONS`, for both networks.
        discriminator_activation: Key of `ACTIVATIONS` or "maxout", for the discriminator. None: the value of
            `activation`.
        kernel_init: "torch" (as PyTorch's linear layers), "orthogonal" or "normal", for both networks.
        init_scale: Gain of "orthogonal" (1.4 for Unrolled GAN), or standard deviation of "normal" (0.02 for PacGAN).
        dtype: Computation dtype. Parameters are float32.

    Returns:
        Players(generator, discriminator) of Linen modules.

    Raises:
        ValueError: If a name is not among the allowed values.

    References:
        Srivastava et al., "VEEGAN", 2017, appendix. Lin et al., "PacGAN", 2018, section 4.1.
    """
    del latent_dim
    one_of("norm", norm, ("batch", "none"))
    one_of("activation", activation, ACTIVATIONS)
    discriminator_activation = one_of("discriminator_activation", discriminator_activation or activation, (*ACTIVATIONS, "maxout"))
    one_of("kernel_init", kernel_init, ("torch", "orthogonal", "normal"))
    init = {"kernel_init": kernel_init, "init_scale": init_scale}
    generator = MlpGenerator(
        shape=(dim,),
        hidden=widths(generator_hidden),
        num_classes=num_classes,
        norm=norm,
        norm_first=True,
        epsilon=1e-5,
        activation=activation,
        output_activation="linear",
        **init,
        dtype=jnp.dtype(dtype),
    )
    discriminator = MlpDiscriminator(
        hidden=widths(discriminator_hidden),
        num_classes=num_classes,
        activation=discriminator_activation,
        **init,
        dtype=jnp.dtype(dtype),
    )
    return Players(generator, discriminator)
