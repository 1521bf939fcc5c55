"""DCGAN: the all-convolutional generator and discriminator, with common options."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.models.common import (
    ACTIVATIONS,
    NORMAL,
    OUTPUT_ACTIVATIONS,
    PLAIN_NORMS,
    around_one,
    check_class_heads,
    check_growth,
    check_labels,
    check_options,
    class_margin,
    first_map,
    height_width,
    needs_bias,
)
from gan_jax.nn import (
    DOWN,
    NORMS,
    UP,
    ClassEmbedding,
    Conv,
    Downsample,
    GaussianNoise,
    MinibatchDiscrimination,
    NoiseInjection,
    ProxyHead,
    ReferenceBatch,
    SamplingDropout,
    Upsample,
    minibatch_stddev,
    normalize,
    resize_nearest,
)
from gan_jax.typing import Array, DiscriminatorOutput, Players

LEVELS = (1, 7)  # How often the first map can be doubled.
LARGEST = 512  # The largest side in pixels.
CONDITIONS = ("channels", "projection", "none")


def levels_of(image_size: int | Sequence[int]) -> int:
    """Returns how often the first map is doubled to reach `image_size`, see `gan_jax.models.common.first_map`."""
    return first_map(image_size)[0]


def _enlargement(context: tuple[int, ...], images: tuple[int, ...]) -> int:
    """Returns the factor by which a context must be enlarged to the size of the images."""
    factor = max(images[1] // max(context[1], 1), 1) if len(context) == 4 else 0
    if not factor or [factor * side for side in context[1:3]] != list(images[1:3]):
        raise ValueError(f"context must be an image with the sides of images {images} divided by a whole number; got shape {context}")
    return factor


class DcganGenerator(nn.Module):
    """Projects latents to a small map, then doubles its size and halves its channels until it is an image.

    The map has 4x4 pixels, or those of `first_map` if the image is no power of two or not square.
    The attributes are the options of `dcgan`.
    """

    image_size: int | tuple[int, int]
    channels: int
    width: int = 64
    num_classes: int = 0
    embedding_dim: int = 8
    norm: str = "batch"
    reference_size: int = 64
    up: str = "transposed"
    activation: str = "leaky_relu"
    output_activation: str = "tanh"
    output_kernel: int | None = None
    noise: bool = False
    noise_std: float = 0.0
    dropout: float = 0.0
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @property
    def last_layer(self) -> str:
        """Path of the kernel that makes the images."""
        return "output/kernel" if self.output_kernel else "output/conv/kernel"

    def _settle(self, x: Array, labels: Array | None, index: int, train: bool) -> Array:
        """Applies the norm, noise, activation and dropout that follow each layer except the last."""
        x = normalize(
            x,
            self.norm,
            train=train,
            name=f"norm_{index}",
            condition=labels,
            num_classes=self.num_classes,
            reference_size=self.reference_size,
            axis_name=self.axis_name,
            scale_init=around_one,
            dtype=self.dtype,
        )
        x = NoiseInjection(dtype=self.dtype, name=f"noise_{index}")(x) if self.noise else x
        x = GaussianNoise(self.noise_std, dtype=self.dtype)(x) if self.noise_std else x
        x = ACTIVATIONS[self.activation](x)
        return SamplingDropout(self.dropout)(x) if self.dropout else x

    def norm_inputs(self) -> dict[str, tuple[str, ...]]:
        """Path of each batch norm -> paths of the layers that alone make its input, see `gan_jax.models.folding`."""
        ups = levels_of(self.image_size) - 1 + bool(self.output_kernel)
        return {"norm_0": ("project",)} | {f"norm_{index}": (f"up_{index}/conv",) for index in range(1, ups + 1)}

    @nn.compact
    def __call__(self, latents: Array, labels: Array | None = None, context: Any = None, *, train: bool = True) -> Array:
        """Returns images, float32 [batch, height, width, channels]."""
        check_labels(labels, self.num_classes)
        settings = {"use_bias": needs_bias(self.norm), "kernel_init": NORMAL, "dtype": self.dtype}
        levels, (height, width) = first_map(self.image_size)
        features = self.width * 2 ** (levels - 1)
        rows = self.reference_size if self.norm == "virtual_batch" else 0
        latents = ReferenceBatch(rows, name="reference")(latents) if rows else latents

        # The published first layer is a transposed 4x4 convolution of a 1x1 map, which equals this matrix product.
        x = nn.Dense(height * width * features, name="project", **settings)(latents.astype(self.dtype))
        x = self._settle(x.reshape(-1, height, width, features), labels, 0, train)
        if self.num_classes:
            x = ClassEmbedding(self.num_classes, self.embedding_dim, dtype=self.dtype, name="embedding")(x, labels)
        for index in range(1, levels + bool(self.output_kernel)):
            features = max(features // 2, 1)
            x = self._settle(Upsample(features, self.up, name=f"up_{index}", **settings)(x), labels, index, train)
        if self.output_kernel:
            x = Conv(self.channels, (self.output_kernel, self.output_kernel), name="output", **settings)(x)
        else:
            x = Upsample(self.channels, self.up, name="output", **settings)(x)
        return OUTPUT_ACTIVATIONS[self.output_activation](x[rows:].astype(jnp.float32))


class DcganDiscriminator(nn.Module):
    """Halves the size and doubles the channels of images down to a 4x4 map, then computes one logit (and class logits).

    The other attributes are the options of `dcgan`, where `norm` and `dropout` are those of the discriminator.

    Attributes:
        join_context: Whether the context is concatenated with the images as extra channels. The context is an image whose
            sides are those of the images divided by a whole number.
    """

    width: int = 64
    num_classes: int = 0
    condition: str = "none"
    auxiliary: bool = False
    proxy_dim: int = 0
    fake_class: bool = False
    embedding_dim: int = 8
    norm: str = "batch"
    down: str = "strided"
    activation: str = "leaky_relu"
    dropout: float = 0.0
    minibatch_stddev: bool = False
    minibatch_discrimination: bool = False
    join_context: bool = False
    axis_name: str | None = None
    dtype: Any = jnp.float32

    def _join(self, images: Array, labels: Array | None, context: Array | None) -> Array:
        """Concatenates the images with the context and the class embedding as extra channels."""
        x = images.astype(self.dtype)
        if self.join_context:
            if context is None:
                raise ValueError("context must be an image, because join_context=True; got None")
            enlarged = resize_nearest(context.astype(self.dtype), _enlargement(context.shape, images.shape))
            x = jnp.concatenate([enlarged, x], axis=-1)
        if self.num_classes and self.condition == "channels":
            check_labels(labels, self.num_classes)
            x = ClassEmbedding(self.num_classes, self.embedding_dim, dtype=self.dtype, name="embedding")(x, labels)
        return x

    @nn.compact
    def __call__(
        self, images: Array, labels: Array | None = None, context: Array | None = None, *, train: bool = True
    ) -> DiscriminatorOutput:
        """Returns logits [batch], the features of each block, and the outputs of the other heads."""
        settings = {"use_bias": needs_bias(self.norm), "kernel_init": NORMAL, "dtype": self.dtype}
        x, features = self._join(images, labels, context), {}
        for index in range(levels_of(images.shape[1:3])):
            x = Downsample(self.width * 2**index, self.down, name=f"down_{index}", **settings)(x)
            if index:
                scale = {"axis_name": self.axis_name, "scale_init": around_one}
                x = normalize(x, self.norm, train=train, name=f"norm_{index}", dtype=self.dtype, **scale)
            x = ACTIVATIONS[self.activation](x)
            x = nn.Dropout(self.dropout, deterministic=not train)(x) if self.dropout else x
            features[f"block_{index}"] = x

        pooled = x.astype(jnp.float32).sum(axis=(1, 2))
        if self.minibatch_stddev:
            x = minibatch_stddev(x, axis_name=None if self.is_initializing() else self.axis_name)
        x = x.reshape(x.shape[0], -1)
        if self.minibatch_discrimination:
            x = MinibatchDiscrimination(axis_name=self.axis_name, dtype=self.dtype, name="minibatch_discrimination")(x)
        # The published last layer is a 4x4 convolution of the 4x4 map, which equals this inner product.
        class_logits = embeddings = proxies = None
        if self.auxiliary or self.fake_class:
            classes = self.num_classes + self.fake_class
            class_logits = nn.Dense(classes, kernel_init=NORMAL, dtype=self.dtype, name="classifier")(x).astype(jnp.float32)
        if self.fake_class:
            check_labels(labels, self.num_classes)
            logits = class_margin(class_logits, labels)
        else:
            logits = nn.Dense(1, name="output", **settings)(x)[:, 0].astype(jnp.float32)
        if self.num_classes and self.condition == "projection":
            check_labels(labels, self.num_classes)
            vectors = nn.Embed(self.num_classes, pooled.shape[-1], embedding_init=NORMAL, name="projection")(labels)
            logits += (vectors * pooled).sum(axis=-1)
        if self.proxy_dim:
            check_labels(labels, self.num_classes)
            head = ProxyHead(self.num_classes, self.proxy_dim, kernel_init=NORMAL, dtype=self.dtype, name="proxy_head")
            embeddings, proxies = head(pooled, labels)
        return DiscriminatorOutput(logits, features, class_logits, embeddings, proxies)


def dcgan(
    *,
    image_size: int | Sequence[int] = 64,
    channels: int = 3,
    latent_dim: int = 100,
    num_classes: int = 0,
    width: int = 64,
    discriminator_width: int | None = None,
    condition: str = "channels",
    auxiliary: bool = False,
    proxy_dim: int = 0,
    fake_class: bool = False,
    embedding_dim: int = 8,
    norm: str = "batch",
    discriminator_norm: str | None = None,
    reference_size: int = 64,
    up: str = "transposed",
    down: str = "strided",
    activation: str = "leaky_relu",
    output_activation: str = "tanh",
    output_kernel: int | None = None,
    noise: bool = False,
    noise_std: float = 0.0,
    dropout: float = 0.0,
    discriminator_dropout: float = 0.0,
    minibatch_stddev: bool = False,
    minibatch_discrimination: bool = False,
    axis_name: str | None = None,
    dtype: Any = "float32",
) -> Players:
    """Builds DCGAN (Radford et al., 2016).

    Weights are initialised from N(0, 0.02), and the scales of batch norm from N(1, 0.02). No norm follows the first
    convolution of the discriminator. Convolutions have a bias only in a network whose norm is "none" or "pixel".

    With image_size=64 and the defaults, generator and discriminator have 3,576,704 and 2,765,568 parameters, as in
    PyTorch's `examples/dcgan/main.py`.

    Args:
        image_size: Side of the images in pixels, or (height, width). The sides are at most 512 and halve evenly until the
            shorter one has 4 to 7 pixels, which is where growing begins.
        channels: Number of channels of the images.
        latent_dim: Unused, accepted because every model builder takes it. The layers adapt to the size of the latents.
        num_classes: Number of classes. Above 0, the generator appends a class embedding to its 4x4 map as extra
            channels.
        width: Number of channels of the discriminator's first and the generator's last hidden map. It doubles per
            level.
        discriminator_width: Overrides `width` for the discriminator, for example for one that is too weak on purpose.
        condition: How the discriminator is conditioned on the class, if num_classes > 0: "channels" (a class embedding
            as image channels), "projection" (Miyato and Koyama, 2018) or "none".
        auxiliary: Whether the discriminator also classifies (ACGAN, Odena et al., 2017).
        proxy_dim: Dimension of the discriminator's embedding of an image, which a loss compares with one learned vector for
            each class (ReACGAN 512 on CIFAR-10). 0: no embedding.
        fake_class: Whether the discriminator has one logit for each class and one more for the fakes, for the loss
            `multi_hinge`. Its logit is then that of the image's class minus that of the fakes.
        embedding_dim: Number of channels of the class embedding.
        norm: Key of `gan_jax.nn.NORMS` for the generator. "conditional_batch" needs classes. "virtual_batch" needs a
            generator without classes.
        discriminator_norm: Norm of the discriminator, one of `PLAIN_NORMS`, such as "none" for a gradient penalty.
            None: the value of `norm` if that is one of `PLAIN_NORMS`, else "batch".
        reference_size: Number of latents in the reference batch of "virtual_batch".
        up: Key of `gan_jax.nn.UP`.
        down: Key of `gan_jax.nn.DOWN`.
        activation: Key of `ACTIVATIONS`, for both networks. Differs from the paper, whose generator has ReLU.
        output_activation: "tanh" or "linear".
        output_kernel: 1, 3 or 9: the last up-sampling gives half of `width` channels, and a convolution with this
            kernel size makes the image. None, as published: the last up-sampling makes the image.
        noise: Whether to add Gaussian noise of learned strength, which starts at 0, to every layer of the generator.
        noise_std: Standard deviation of fixed Gaussian noise that is added to every layer of the generator.
        dropout: Dropout rate in the generator, in training and in sampling.
        discriminator_dropout: Dropout rate in the discriminator, in training only.
        minibatch_stddev: Whether to append the standard deviation over the batch to the discriminator's last map.
        minibatch_discrimination: Whether to append the minibatch features of Salimans et al. to the discriminator's
            last layer.
        axis_name: Mapped axis of `shard_map` whose devices share batch statistics. With `jit` alone they always do.
        dtype: Computation dtype. Parameters are float32.

    Returns:
        Players(generator, discriminator) of Linen modules.

    Raises:
        ValueError: If `image_size` is not supported, if a name is not among the allowed values, if the norm or a head for
            classes is incompatible with `num_classes`, or if the discriminator sees the classes that it has to find.

    References:
        Radford, Metz, Chintala, "Unsupervised representation learning with deep convolutional generative adversarial
        networks", 2016.
    """
    del latent_dim
    check_growth("dcgan", image_size, levels=LEVELS, largest=LARGEST)
    discriminator_norm = discriminator_norm or (norm if norm in PLAIN_NORMS else "batch")
    check_options(
        ("condition", condition, CONDITIONS),
        ("norm", norm, NORMS),
        ("discriminator_norm", discriminator_norm, PLAIN_NORMS),
        ("up", up, UP),
        ("down", down, DOWN),
        ("activation", activation, ACTIVATIONS),
        ("output_activation", output_activation, OUTPUT_ACTIVATIONS),
        ("output_kernel", output_kernel, (None, 1, 3, 9)),
    )
    check_class_heads(num_classes, auxiliary=auxiliary, proxy_dim=proxy_dim, fake_class=fake_class)
    if condition == "channels" and (proxy_dim or fake_class):
        name = "proxy_dim" if proxy_dim else "fake_class"
        raise ValueError(f"{name} needs condition none, because the discriminator has to find the class; got channels")
    if not num_classes and norm == "conditional_batch":
        raise ValueError("norm conditional_batch needs num_classes above 0; got 0")
    if num_classes and norm == "virtual_batch":
        raise ValueError(f"norm virtual_batch has a reference batch without labels, so num_classes must be 0, got {num_classes}")
    shared = {"num_classes": num_classes, "embedding_dim": embedding_dim, "activation": activation}
    shared |= {"axis_name": axis_name, "dtype": jnp.dtype(dtype)}
    generator = DcganGenerator(
        image_size=image_size if isinstance(image_size, int) else height_width(image_size),
        channels=channels,
        width=width,
        norm=norm,
        reference_size=reference_size,
        up=up,
        output_activation=output_activation,
        output_kernel=output_kernel,
        noise=noise,
        noise_std=noise_std,
        dropout=dropout,
        **shared,
    )
    discriminator = DcganDiscriminator(
        width=discriminator_width or width,
        condition=condition,
        auxiliary=auxiliary,
        proxy_dim=proxy_dim,
        fake_class=fake_class,
        norm=discriminator_norm,
        down=down,
        dropout=discriminator_dropout,
        minibatch_stddev=minibatch_stddev,
        minibatch_discrimination=minibatch_discrimination,
        **shared,
    )
    return Players(generator, discriminator)
