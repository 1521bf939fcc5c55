"""BigGAN: class-conditional residual networks."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, OUTPUT_ACTIVATIONS, check_class_heads, check_growth, one_of
from gan_jax.models.residual import RESIZE, ResNetDiscriminator, ResNetGenerator
from gan_jax.typing import Players

# The same fields as in `resnet.py`.
ARCHITECTURES: dict[int, tuple[int, tuple[int, ...], tuple[int, ...], tuple[bool, ...]]] = {
    32: (4, (4, 4, 4), (4, 4, 4, 4), (True, True, False, False)),
    64: (16, (16, 8, 4, 2), (1, 2, 4, 8, 16), (True,) * 4 + (False,)),
    128: (16, (16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), (True,) * 5 + (False,)),
}


def biggan(
    *,
    image_size: int | Sequence[int] = 32,
    channels: int = 3,
    latent_dim: int = 128,
    num_classes: int = 10,
    width: int = 64,
    shared_dim: int = 128,
    skip_latents: bool = True,
    attention: int = 0,
    proxy_dim: int = 0,
    fake_class: bool = False,
    up: str = "nearest",
    activation: str = "relu",
    output_activation: str = "tanh",
    gradient_checkpointing: bool = False,
    dtype: Any = "float32",
) -> Players:
    """Builds BigGAN's networks (Brock et al., 2019). Apply `gan_jax.transforms.spectral_norm` to both.

    In the generator, one class embedding and a part of the latents determine the scale and bias of every batch norm
    through linear maps. The discriminator is a projection discriminator.

    The parameter counts of generator and discriminator are those of BigGAN-PyTorch (commit 9845943): 4,373,251 and
    4,207,361 at 32 pixels, and 70,433,988 and 87,982,370 at 128 pixels with width=96, attention=64, latent_dim=120 and
    1000 classes.

    Args:
        image_size: Side of the images in pixels, or (height, width). The networks are those for 32, 64 or 128 pixels, for sides that are
            halved 3, 4 or 5 times, and begin at a map of another size if the sides are others.
        channels: Number of channels of the images.
        latent_dim: Unused, accepted because every model builder takes it. The latents are split into parts that are as
            equal as possible.
        num_classes: Number of classes. With 0, skip-z is the only condition.
        width: Base width: 64 for small images, 96 for BigGAN at 128 pixels. The layers have 1 to 16 times as many
            channels.
        shared_dim: Size of the class embedding that all norms share. With 0, each norm has its own tables, which is
            possible only without skip-z.
        skip_latents: Whether the norms of each block receive a part of the latents (skip-z).
        attention: Self-attention follows the feature maps with this shorter side. 0 disables it.
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
        Players(generator, discriminator) of Linen modules.

    Raises:
        ValueError: If `image_size` is not supported, if a name or `attention` is not among the allowed values, or if
            `skip_latents` is combined with classes and shared_dim=0.

    References:
        Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis", 2019, appendix B. Differs:
        weights are initialised as in SNGAN (Glorot uniform) instead of orthogonally, and the class embedding is
        initialised from N(0, 1). The linear maps of the conditional norms are orthogonal, as published.
    """
    del latent_dim
    levels, first = check_growth("biggan", image_size, levels=(3, 5), largest=512)
    one_of("up", up, RESIZE)
    one_of("activation", activation, ACTIVATIONS)
    one_of("output_activation", output_activation, OUTPUT_ACTIVATIONS)
    check_class_heads(num_classes, auxiliary=False, proxy_dim=proxy_dim, fake_class=fake_class)
    one_of("attention", attention, (0, *(min(first) * 2**n for n in range(1, levels))))
    if skip_latents and num_classes and not shared_dim:
        raise ValueError("skip_latents needs shared_dim above 0 or num_classes=0; got shared_dim=0")
    base, generator_widths, discriminator_widths, downsample = ARCHITECTURES[4 * 2**levels]
    sides = (attention,) if attention else ()
    shared = {"num_classes": num_classes, "attention": sides, "activation": activation, "dtype": jnp.dtype(dtype)}
    shared |= {"gradient_checkpointing": gradient_checkpointing}
    generator = ResNetGenerator(
        channels=channels,
        first=first,
        base=base * width,
        widths=tuple(width * n for n in generator_widths),
        shared_dim=shared_dim,
        skip_latents=skip_latents,
        up=up,
        output_activation=output_activation,
        **shared,
    )
    widths = tuple(width * n for n in discriminator_widths)
    heads = {"proxy_dim": proxy_dim, "fake_class": fake_class}
    return Players(generator, ResNetDiscriminator(widths=widths, downsample=downsample, wide=True, **heads, **shared))
