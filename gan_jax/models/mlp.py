"""Multilayer perceptrons: for small images, and for points of a mixture in the plane."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, OUTPUT_ACTIVATIONS, check_labels, one_of, torch_dense, widths
from gan_jax.nn import BatchNorm
from gan_jax.typing import Array, DiscriminatorOutput, Players

MAXOUT_PIECES = 5


def _activate(x: Array, activation: str) -> Array:
    if activation == "maxout":
        return x.reshape(*x.shape[:-1], MAXOUT_PIECES, -1).max(axis=-2)
    return ACTIVATIONS[activation](x)


def _hidden(x: Array, features: int, activation: str, dtype: Any, name: str) -> Array:
    """One dense layer, before its activation; maxout takes the best of several linear pieces."""
    pieces = MAXOUT_PIECES if activation == "maxout" else 1
    return torch_dense(features * pieces, x.shape[-1], dtype=dtype, name=name)(x)


def _with_embedding(x: Array, labels: Array | None, num_classes: int, dtype: Any) -> Array:
    """Joins x [batch, dim] with a learned embedding of the labels, as wide as there are classes."""
    check_labels(labels, num_classes)
    if not num_classes:
        return x
    return jnp.concatenate([x, nn.Embed(num_classes, num_classes, dtype=dtype, name="embedding")(labels)], axis=-1)


class MlpGenerator(nn.Module):
    """Latents [batch, latent_dim] through dense layers to `shape`; batch norm after every hidden layer but the first."""

    shape: tuple[int, ...]
    hidden: tuple[int, ...] = (128, 256, 512, 1024)
    num_classes: int = 0
    norm: str = "batch"
    norm_first: bool = False
    epsilon: float = 0.8
    activation: str = "leaky_relu"
    output_activation: str = "tanh"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, latents: Array, labels: Array | None = None, context: Any = None, *, train: bool = True) -> Array:
        """Returns images or points, float32 [batch, *shape]."""
        x = _with_embedding(latents.astype(self.dtype), labels, self.num_classes, self.dtype)
        for index, features in enumerate(self.hidden):
            x = _hidden(x, features, self.activation, self.dtype, f"dense_{index}")
            if self.norm == "batch" and (index or self.norm_first):
                # PyTorch's momentum of 0.1 is the weight of the new statistics; Flax's is that of the old ones.
                x = BatchNorm(not train, momentum=0.9, epsilon=self.epsilon, dtype=self.dtype, name=f"norm_{index}")(x)
            x = _activate(x, self.activation)
        x = torch_dense(math.prod(self.shape), x.shape[-1], dtype=self.dtype, name="output")(x)
        return OUTPUT_ACTIVATIONS[self.output_activation](x.astype(jnp.float32)).reshape(-1, *self.shape)


class MlpDiscriminator(nn.Module):
    """Images or points, flattened, through dense layers to one logit; the hidden activations are its features."""

    hidden: tuple[int, ...] = (512, 256)
    num_classes: int = 0
    activation: str = "leaky_relu"
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Array, labels: Array | None = None, context: Any = None, *, train: bool = True) -> DiscriminatorOutput:
        """Returns logits [batch] and the features of each hidden layer."""
        x = images.reshape(images.shape[0], -1).astype(self.dtype)
        x = _with_embedding(x, labels, self.num_classes, self.dtype)
        features = {}
        for index, width in enumerate(self.hidden):
            x = _activate(_hidden(x, width, self.activation, self.dtype, f"dense_{index}"), self.activation)
            x = nn.Dropout(self.dropout, deterministic=not train)(x) if self.dropout else x
            features[f"dense_{index}"] = x
        logits = torch_dense(1, x.shape[-1], dtype=self.dtype, name="output")(x)
        return DiscriminatorOutput(logits[:, 0].astype(jnp.float32), features)


def mlp(
    *,
    image_size: int = 28,
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
    """Builds the multilayer-perceptron GAN of "PyTorch-GAN": latents -> 128 -> 256 -> 512 -> 1024 -> image, 512 -> 256 -> 1.

    LeakyReLU of slope 0.2, batch norm after the 2nd to 4th hidden layer with the epsilon of 0.8 that the original
    code passes (its `BatchNorm1d(out_feat, 0.8)` sets epsilon, not momentum), tanh at the end.

    Args:
        image_size: side of the images in pixels, any.
        channels: of the images.
        latent_dim: accepted because every row takes it; the layers fit whatever latents come.
        num_classes: above 0, both networks join a learned embedding of the labels to their inputs.
        generator_hidden: widths of the generator's hidden layers; "400,400" is as good as (400, 400).
        discriminator_hidden: widths of the discriminator's.
        norm: "batch" or "none".
        activation: a name of `ACTIVATIONS`.
        output_activation: "tanh" or "linear".
        dropout: rate after each hidden layer of the discriminator, in training only.
        dtype: of computation; parameters are float32.

    Returns:
        Players of Linen modules.

    Raises:
        ValueError: a name that is not among the choices.

    References:
        Goodfellow et al., "Generative Adversarial Networks", 2014; Erik Linder-Norén, PyTorch-GAN,
        `implementations/gan/gan.py` and `cgan/cgan.py`. Differs: the discriminator returns logits, not their sigmoid;
        with labels the layers stay those of the unconditional GAN.
    """
    del latent_dim
    one_of("norm", norm, ("batch", "none"))
    one_of("activation", activation, ACTIVATIONS)
    one_of("output_activation", output_activation, OUTPUT_ACTIVATIONS)
    generator = MlpGenerator(
        shape=(image_size, image_size, channels),
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
    dtype: Any = "float32",
) -> Players:
    """Builds perceptrons for points [batch, dim], e.g. mixtures of Gaussians in the plane; the output is linear.

    The defaults are VEEGAN's networks. PacGAN's are `generator_hidden=(400, 400)`, `norm="batch"`,
    `discriminator_hidden=(200, 200, 200)`, `discriminator_activation="maxout"` (of 5 pieces).

    Args:
        dim: of a point.
        latent_dim: accepted because every row takes it; the layers fit whatever latents come.
        num_classes: above 0, both networks join a learned embedding of the labels to their inputs.
        generator_hidden: widths of the generator's hidden layers; "400,400" is as good as (400, 400).
        discriminator_hidden: widths of the discriminator's; it takes packed points [batch, m * dim] as well.
        norm: of the generator's hidden layers, "batch" or "none".
        activation: a name of `ACTIVATIONS`, for both networks.
        discriminator_activation: where it differs: a name of `ACTIVATIONS`, or "maxout".
        dtype: of computation; parameters are float32.

    Returns:
        Players of Linen modules.

    Raises:
        ValueError: a name that is not among the choices.

    References:
        Srivastava et al., "VEEGAN", 2017, appendix; Lin et al., "PacGAN", 2018, section 4.1.
    """
    del latent_dim
    one_of("norm", norm, ("batch", "none"))
    one_of("activation", activation, ACTIVATIONS)
    discriminator_activation = one_of("discriminator_activation", discriminator_activation or activation, (*ACTIVATIONS, "maxout"))
    generator = MlpGenerator(
        shape=(dim,),
        hidden=widths(generator_hidden),
        num_classes=num_classes,
        norm=norm,
        norm_first=True,
        epsilon=1e-5,
        activation=activation,
        output_activation="linear",
        dtype=jnp.dtype(dtype),
    )
    discriminator = MlpDiscriminator(
        hidden=widths(discriminator_hidden), num_classes=num_classes, activation=discriminator_activation, dtype=jnp.dtype(dtype)
    )
    return Players(generator, discriminator)
