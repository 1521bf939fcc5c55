"""SAGAN: the residual networks of SNGAN with self-attention in generator and discriminator."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, OUTPUT_ACTIVATIONS, check_class_heads, check_growth, one_of
from gan_jax.models.residual import RESIZE, ResNetDiscriminator, ResNetGenerator
from gan_jax.typing import Players

# The fields of `resnet.py`, then the sides of the maps that self-attention follows, in the generator and in the discriminator.
ARCHITECTURES: dict[int, tuple[int, tuple[int, ...], tuple[int, ...], tuple[bool, ...], tuple[int, int]]] = {
    32: (4, (4, 4, 4), (2, 2, 2, 2), (True, True, False, False), (16, 8)),
    64: (16, (8, 4, 2, 1), (1, 2, 4, 8, 16), (True,) * 4 + (False,), (32, 32)),
    128: (16, (16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), (True,) * 5 + (False,), (32, 32)),
}


def sagan(
    *,
    image_size: int | Sequence[int] = 32,
    channels: int = 3,
    latent_dim: int = 128,
    num_classes: int = 0,
    width: int = 64,
    proxy_dim: int = 0,
    fake_class: bool = False,
    up: str = "nearest",
    activation: str = "relu",
    output_activation: str = "tanh",
    gradient_checkpointing: bool = False,
    dtype: Any = "float32",
) -> Players:
    """Builds SAGAN's networks (Zhang et al., 2019). Apply `gan_jax.transforms.spectral_norm` to both.

    At 128 pixels with 1000 classes, generator and discriminator have 42,078,852 and 39,463,618 parameters, as in
    BigGAN-PyTorch's SAGAN (commit 9845943, attention at 32). The generator's count is also that of torch-mimicry. At 32
    pixels with 10 classes they have 4,386,308 and 1,075,586, as in torch-mimicry (commit a7fda06).

    Args:
        image_size: Side of the images in pixels, or (height, width). The networks are those for 32, 64 or 128 pixels, for sides that are
            halved 3, 4 or 5 times, and begin at a map of another size if the sides are others. At 64 and 128 pixels,
            self-attention follows the maps with 32 pixels a side. At 32 pixels it follows the generator's map with 16 and, as
            in torch-mimicry, the discriminator's map with 8 pixels a side. Other sizes have it after the same blocks.
        channels: Number of channels of the images.
        latent_dim: Unused, accepted because every model builder takes it. The layers adapt to the size of the latents.
        num_classes: Number of classes. Above 0, as in the paper, the generator has conditional batch norm and the
            discriminator a projection.
        width: Base width. Published: 64. The layers have 1 to 16 times as many channels.
        proxy_dim: Dimension of the discriminator's embedding of an image, which a loss compares with one learned vector for
            each class (ReACGAN 512 on CIFAR-10), instead of a projection. 0: no embedding.
        fake_class: Whether the discriminator has one logit for each class and one more for the fakes, for the loss
            `multi_hinge`. Its logit is then that of the image's class minus that of the fakes.
        up: "nearest", as published, or "bilinear".
        activation: Key of `ACTIVATIONS`, for both networks.
        output_activation: "tanh" or "linear".
        gradient_checkpointing: Whether the backward pass computes the activations inside each block again, which needs less
            memory and more time.
        dtype: Computation dtype. Parameters are float32.

    Returns:
        Players(generator, discriminator) of Linen modules. They sow their attention maps into collection
        "intermediates" as "attention_map".

    Raises:
        ValueError: If `image_size` is not supported, or if a name is not among the allowed values.

    References:
        Zhang et al., "Self-Attention Generative Adversarial Networks", 2019. Code: brain-research/self-attention-gan.
        Differs: the networks for 32 and 64 pixels are adaptations. Those for 32 pixels are torch-mimicry's, and those
        for 64 pixels have the blocks of BigGAN's table with SAGAN's widths.
    """
    del latent_dim
    levels, first = check_growth("sagan", image_size, levels=(3, 5), largest=512)
    one_of("up", up, RESIZE)
    one_of("activation", activation, ACTIVATIONS)
    one_of("output_activation", output_activation, OUTPUT_ACTIVATIONS)
    check_class_heads(num_classes, auxiliary=False, proxy_dim=proxy_dim, fake_class=fake_class)
    base, generator_widths, discriminator_widths, downsample, sides = ARCHITECTURES[4 * 2**levels]
    shared = {"num_classes": num_classes, "activation": activation, "dtype": jnp.dtype(dtype)}
    shared |= {"gradient_checkpointing": gradient_checkpointing}
    generator = ResNetGenerator(
        channels=channels,
        first=first,
        base=base * width,
        widths=tuple(width * n for n in generator_widths),
        attention=(sides[0] // 4 * min(first),),
        up=up,
        output_activation=output_activation,
        **shared,
    )
    widths = tuple(width * n for n in discriminator_widths)
    heads = {"proxy_dim": proxy_dim, "fake_class": fake_class}
    discriminator = ResNetDiscriminator(
        widths=widths, downsample=downsample, wide=True, attention=(sides[1] // 4 * min(first),), **heads, **shared
    )
    return Players(generator, discriminator)
