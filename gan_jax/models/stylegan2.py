"""StyleGAN2: a mapping network, a synthesis network of modulated convolutions with skip connections, and a residual discriminator.

The generator has two parts. The mapping network maps a latent z to a style w. The synthesis network starts from a learned constant, and
each of its layers is modulated by one copy of w. `latents` of rank 2 are z. `latents` of rank 3, float [batch, layers, style_dim], are
styles, and the mapping network is not used. Truncation, style mixing, path-length regularisation and inversion work on such styles.

The state of the generator has two collections: "moving_average" holds the moving mean of w, towards which styles are truncated, and
"noise" holds one fixed noise image for each layer, for `noise_mode="const"`.
"""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models.common import check_growth, check_labels, one_of
from gan_jax.models.stylegan2_layers import GAIN, NORMAL, EqualizedResampledConv, MappingNetwork, SynthesisLayer, ToImage
from gan_jax.nn.equalized import EqualizedDense
from gan_jax.nn.resize import filtered_upsample
from gan_jax.nn.stddev import largest_group, minibatch_stddev
from gan_jax.typing import Array, DiscriminatorOutput, GeneratorOutput, Players

SIZES = (16, 32, 64, 128, 256, 512, 1024)  # Sizes of the authors' networks, which begin at 4x4.
NOISE_MODES = ("random", "const", "none")


class StyleGenerator(nn.Module):
    """StyleGAN2's generator.

    Attributes:
        channels: Number of channels of the images.
        widths: Number of channels of each stage, the smallest size first.
        style_dim: Size of the styles.
        mapping_layers: Number of layers of the mapping network.
        num_classes: Above 0, the generator is conditioned on classes.
        lr_multiplier: Factor of the learning rate of the mapping network.
        style_mixing: Probability that the later layers of a training batch use the styles of other latents.
        average_decay: Decay of the moving mean of the styles.
        noise: Whether there are noise inputs.
        noise_mode: "random" samples new noise in every pass, "const" uses the images in the state, "none" uses no noise.
        clamp: Bound of the activations, or None.
        dtypes: Computation dtype of each stage.
        first: Height and width of the learned constant.
    """

    channels: int
    widths: tuple[int, ...]
    style_dim: int
    mapping_layers: int = 8
    num_classes: int = 0
    lr_multiplier: float = 0.01
    style_mixing: float = 0.9
    average_decay: float = 0.995
    noise: bool = True
    noise_mode: str = "random"
    clamp: float | None = None
    dtypes: tuple[Any, ...] = ()
    first: tuple[int, int] = (4, 4)

    @property
    def style_layers(self) -> int:
        """Number of layers that have a style: two for each stage, one of which is shared with the image layer of the stage before."""
        return 2 * len(self.widths)

    def setup(self) -> None:
        """Creates the layers."""
        self.mapping = MappingNetwork(self.style_dim, self.mapping_layers, self.num_classes, self.lr_multiplier, self.average_decay)
        self.constant = self.param("constant", NORMAL, (*self.first, self.widths[0]), jnp.float32)

        def layers(up: int, skip: int) -> list[SynthesisLayer]:
            stages = list(zip(self.widths, self.dtypes, strict=True))[skip:]
            return [SynthesisLayer(width, up, self.noise, self.noise_mode, self.clamp, dtype) for width, dtype in stages]

        self.up = layers(2, 1)
        self.conv = layers(1, 0)
        self.to_image = [ToImage(self.channels, self.clamp, dtype) for dtype in self.dtypes]

    def map_latents(self, latents: Array, labels: Array | None = None, *, truncation: float | Array | None = None) -> Array:
        """Maps latents to styles, float32 [batch, layers, style_dim]. `truncation` moves them towards the moving mean."""
        check_labels(labels, self.num_classes)
        styles = self.mapping(latents, labels)
        if truncation is not None:
            styles = self.mapping.truncate(styles, truncation)
        return jnp.repeat(styles[:, None], self.style_layers, axis=1)

    def _training_styles(self, latents: Array, labels: Array | None) -> Array:
        """Styles with mixing: with probability `style_mixing` the layers from a random one on use the styles of new latents."""
        styles = jnp.repeat(self.mapping(latents, labels, track=True)[:, None], self.style_layers, axis=1)
        if not self.style_mixing:
            return styles
        for_latents, for_layer, for_choice = jax.random.split(self.make_rng("noise"), 3)
        others = self.mapping(jax.random.normal(for_latents, latents.shape, latents.dtype), labels)
        first = jax.random.randint(for_layer, (), 1, self.style_layers)
        first = jnp.where(jax.random.bernoulli(for_choice, self.style_mixing), first, self.style_layers)
        return jnp.where((jnp.arange(self.style_layers) < first)[:, None], styles, others[:, None])

    def __call__(self, latents: Array, labels: Array | None = None, context: Any = None, *, train: bool = True) -> GeneratorOutput:
        """Generates images.

        Args:
            latents: float [batch, latent_dim], or styles, float [batch, layers, style_dim].
            labels: int32 [batch]. Required if num_classes > 0, except with styles.
            context: Unused.
            train: Whether to mix styles and to update their moving mean. It has no effect on styles that are given.

        Returns:
            float32 images [batch, height, width, channels], and the styles under `extras["styles"]`.

        Raises:
            ValueError: If labels are missing, or if given styles have another shape.
        """
        if latents.ndim == 3:
            styles = latents.astype(jnp.float32)
            if styles.shape[1:] != (self.style_layers, self.style_dim):
                raise ValueError(f"styles must be [batch, {self.style_layers}, {self.style_dim}]; got {styles.shape}")
        else:
            check_labels(labels, self.num_classes)
            styles = self._training_styles(latents, labels) if train else self.map_latents(latents, labels)
        x = jnp.broadcast_to(self.constant.astype(self.dtypes[0]), (styles.shape[0], *self.constant.shape))
        x = self.conv[0](x, styles[:, 0])
        image = self.to_image[0](x, styles[:, 1])
        for stage in range(1, len(self.widths)):
            x = self.up[stage - 1](x, styles[:, 2 * stage - 1])
            x = self.conv[stage](x, styles[:, 2 * stage])
            image = filtered_upsample(image) + self.to_image[stage](x, styles[:, 2 * stage + 1])
        return GeneratorOutput(image, {"styles": styles})


class StyleDiscriminator(nn.Module):
    """StyleGAN2's residual discriminator.

    Attributes:
        widths: Number of channels of each stage, the largest size first.
        num_classes: Above 0, the logit is the inner product with a mapped label.
        group_size: Group size of the minibatch standard deviation. 0 disables it.
        clamp: Bound of the activations, or None.
        axis_name: Mapped axis (`shard_map` or `pmap`) whose devices share the batch.
        dtypes: Computation dtype of each stage.
    """

    widths: tuple[int, ...]
    num_classes: int = 0
    group_size: int = 4
    clamp: float | None = None
    axis_name: str | None = None
    dtypes: tuple[Any, ...] = ()

    @nn.compact
    def __call__(self, images: Array, labels: Array | None = None, context: Any = None, *, train: bool = True) -> DiscriminatorOutput:
        """Returns float32 logits [batch] and the features of each stage."""
        check_labels(labels, self.num_classes)
        features, half = {}, math.sqrt(0.5)

        def conv(width: int, stage: int, name: str, **settings: Any) -> EqualizedResampledConv:
            linear = settings.get("linear", False)
            clamp = None if linear else self.clamp
            return EqualizedResampledConv(width, clamp=clamp, dtype=self.dtypes[stage], name=f"{name}_{stage}", **settings)

        x = conv(self.widths[0], 0, "from_image", kernel_size=1)(images)
        for stage, (width, after) in enumerate(zip(self.widths[:-1], self.widths[1:], strict=True)):
            y = conv(after, stage, "skip", kernel_size=1, down=2, gain=half, linear=True)(x)
            x = conv(width, stage, "conv", gain=1.0)(x)
            x = y + conv(after, stage, "down", down=2, gain=half)(x)
            features[f"stage_{stage}"] = x
        x, width = x.astype(jnp.float32), self.widths[-1]
        if self.group_size:
            axis_name = None if self.is_initializing() else self.axis_name
            batch = x.shape[0] * (1 if axis_name is None else jax.lax.axis_size(axis_name))
            x = minibatch_stddev(x, largest_group(batch, self.group_size), axis_name=axis_name)
        x = EqualizedResampledConv(width, clamp=self.clamp, name="last_conv")(x)
        features[f"stage_{len(self.widths) - 1}"] = x
        x = jax.nn.leaky_relu(EqualizedDense(width, gain=1.0, name="dense")(x.reshape(x.shape[0], -1)), 0.2) * GAIN
        x = EqualizedDense(width if self.num_classes else 1, gain=1.0, name="head")(x)
        if self.num_classes:
            x = x * MappingNetwork(width, num_classes=self.num_classes, average_decay=None, name="mapping")(None, labels) / math.sqrt(width)
        return DiscriminatorOutput(x.sum(axis=-1), features)


def stylegan2(
    *,
    image_size: int | Sequence[int] = 32,
    channels: int = 3,
    latent_dim: int = 512,
    num_classes: int = 0,
    width: int = 512,
    channel_base: int | None = None,
    style_dim: int | None = None,
    mapping_layers: int = 8,
    lr_multiplier: float = 0.01,
    style_mixing: float = 0.9,
    average_decay: float = 0.995,
    noise: bool = True,
    noise_mode: str = "random",
    group_size: int = 4,
    clamp: float | None = None,
    low_precision_stages: int = 4,
    dtype: Any = "float32",
) -> Players:
    """Builds StyleGAN2's networks (Karras et al., 2020).

    The paper trains with the non-saturating loss, R1, path-length regularisation and style mixing. At 1024 pixels the generator has
    30,370,060 and the discriminator 29,012,513 parameters, as in the authors' code (NVlabs/stylegan2-ada-pytorch, commit d72cc7d).

    Args:
        image_size: Side of the images in pixels, or (height, width): sides that are halved 2 to 8 times to reach the learned constant,
            whose shorter side has 4 to 7 pixels. It is 4x4 if the side is a power of two, as published.
        channels: Number of channels of the images.
        latent_dim: Unused, accepted because every model builder takes it. The layers adapt to the size of the latents. Published: 512.
        num_classes: Number of classes. Above 0, the mapping network gets an embedding of the label, and the discriminator projects on a
            mapped label.
        width: Largest number of channels of a stage. Published: 512.
        channel_base: A stage of s x s pixels has channel_base / s channels, at most `width`. If the constant is not 4x4, s is the side
            that the stage would have from 4x4. None: 64 * width. Published: 32768, and
            16384 for small images.
        style_dim: Size of the styles w. None: `width`. Published: 512.
        mapping_layers: Number of layers of the mapping network. Published: 8, and 2 for small data sets.
        lr_multiplier: Factor of the learning rate of the mapping networks.
        style_mixing: Probability of style mixing in training. Published: 0.9, and 0 for CIFAR-10.
        average_decay: Decay of the moving mean of the styles, which truncation uses.
        noise: Whether the layers of the generator have noise inputs of learned strength.
        noise_mode: "random" samples new noise in every pass, "const" uses the same noise images for all samples, "none" uses no noise.
        group_size: Group size of the minibatch standard deviation. 0 disables it. Published: 4 to 32.
        clamp: Bound of the activations. 0: none. None: 256 if `dtype` is of low precision, otherwise none, as in the authors' code.
        low_precision_stages: Number of stages of the largest sizes that compute in `dtype`. The other stages use float32.
        dtype: Computation dtype of these stages. Parameters are float32.

    Returns:
        Players(generator, discriminator) of Linen modules.

    Raises:
        ValueError: If `image_size` is not supported, if `channel_base` leaves a stage without channels, or if a value is not allowed.

    References:
        Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020. Low precision: Karras et al., "Training Generative
        Adversarial Networks with Limited Data", 2020. bfloat16 takes the place of their float16.
    """
    del latent_dim
    levels, first = check_growth("stylegan2", image_size, levels=(2, 8), largest=1024)
    one_of("noise_mode", noise_mode, NOISE_MODES)
    for name, value in (("style_mixing", style_mixing), ("average_decay", average_decay)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be between 0 and 1; got {value}")
    if mapping_layers < 1 or lr_multiplier <= 0 or min(group_size, low_precision_stages, clamp or 0) < 0:
        raise ValueError(
            "mapping_layers must be at least 1, lr_multiplier positive, group_size, low_precision_stages and clamp at least 0; "
            f"got {mapping_layers}, {lr_multiplier}, {group_size}, {low_precision_stages} and {clamp}"
        )
    base = 64 * width if channel_base is None else channel_base
    sizes = [2**level for level in range(2, levels + 3)]
    widths = tuple(min(base // size, width) for size in sizes)
    if min(widths) < 1:
        raise ValueError(f"channel_base={base} leaves no channels at image_size={image_size}; it must be at least {sizes[-1]}")
    low = jnp.dtype(dtype)
    # As in the authors' code, the 4x4 stage never computes in low precision.
    lowest = max(len(sizes) - low_precision_stages, 1)
    dtypes = tuple(low if stage >= lowest else jnp.dtype("float32") for stage in range(len(sizes)))
    bound = (256.0 if low != jnp.float32 else None) if clamp is None else clamp or None
    generator = StyleGenerator(
        channels=channels,
        first=first,
        widths=widths,
        style_dim=style_dim or width,
        mapping_layers=mapping_layers,
        num_classes=num_classes,
        lr_multiplier=lr_multiplier,
        style_mixing=style_mixing,
        average_decay=average_decay,
        noise=noise,
        noise_mode=noise_mode,
        clamp=bound,
        dtypes=dtypes,
    )
    discriminator = StyleDiscriminator(
        widths=widths[::-1], num_classes=num_classes, group_size=group_size, clamp=bound, dtypes=dtypes[::-1]
    )
    return Players(generator, discriminator)
