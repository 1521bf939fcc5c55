"""SNGAN's residual networks."""

from typing import Any

import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, OUTPUT_ACTIVATIONS, PLAIN_NORMS, check_size, one_of
from gan_jax.models.residual import RESIZE, ResNetDiscriminator, ResNetGenerator
from gan_jax.typing import Players

# side -> channels of the generator's 4x4 map and blocks, of the discriminator's blocks, and which of those halve the sides; in `width`s.
ARCHITECTURES: dict[int, tuple[int, tuple[int, ...], tuple[int, ...], tuple[bool, ...]]] = {
    32: (4, (4, 4, 4), (2, 2, 2, 2), (True, True, False, False)),
    64: (16, (8, 4, 2, 1), (1, 2, 4, 8, 16), (True,) * 5),
}


def sngan(
    *,
    image_size: int = 32,
    channels: int = 3,
    latent_dim: int = 128,
    num_classes: int = 0,
    width: int = 64,
    auxiliary: bool = False,
    norm: str = "batch",
    up: str = "nearest",
    activation: str = "relu",
    output_activation: str = "tanh",
    output_kernel: int = 3,
    dtype: Any = "float32",
) -> Players:
    """Builds SNGAN's ResNet generator and discriminator (Miyato 2018); the discriminator has no norm but the spectral one outside.

    With the defaults the parameters number 4,276,739 and 1,053,825 at 32 pixels, 12,220,675 and 10,141,441 at 64, as
    in torch-mimicry (`nets/sngan`, commit a7fda06), which follows the authors' Chainer code. Apply
    `gan_jax.transforms.spectral_norm` to the discriminator.

    Args:
        image_size: side of the images in pixels, 32 or 64.
        channels: of the images.
        latent_dim: accepted because every row takes it; the layers fit whatever latents come.
        num_classes: above 0, conditional batch norm in the generator and a projection discriminator.
        width: 64 as published; at 32 pixels the generator has 4 and the discriminator 2 times as many channels in every
            block, at 64 pixels they range from 1 to 16 times as many.
        auxiliary: with classes, whether the discriminator classifies (ACGAN) in place of projecting.
        norm: of the generator without classes; one of `PLAIN_NORMS`.
        up: "nearest" (Chainer) or "bilinear" (mimicry).
        activation: a name of `ACTIVATIONS`, in both networks.
        output_activation: "tanh" or "linear".
        output_kernel: side of the generator's last convolution: 1, 3 or 9.
        dtype: of computation; parameters are float32.

    Returns:
        Players of Linen modules.

    Raises:
        ValueError: a size the model cannot make, or a name that is not among the choices.

    References:
        Miyato et al., "Spectral Normalization for GANs", 2018, table 4; the 64-pixel networks are torch-mimicry's; Miyato and
        Koyama, "cGANs with Projection Discriminator", 2018. Differs: the authors' 32-pixel discriminator has no bias in its last
        layer (one parameter fewer).
    """
    del latent_dim
    check_size("sngan", image_size, tuple(ARCHITECTURES))
    one_of("norm", norm, PLAIN_NORMS)
    one_of("up", up, RESIZE)
    one_of("activation", activation, ACTIVATIONS)
    one_of("output_activation", output_activation, OUTPUT_ACTIVATIONS)
    one_of("output_kernel", output_kernel, (1, 3, 9))
    if auxiliary and not num_classes:
        raise ValueError("auxiliary needs num_classes above 0; got 0")
    base, generator_widths, discriminator_widths, downsample = ARCHITECTURES[image_size]
    shared = {"num_classes": num_classes, "activation": activation, "dtype": jnp.dtype(dtype)}
    generator = ResNetGenerator(
        channels=channels,
        base=base * width,
        widths=tuple(width * n for n in generator_widths),
        norm=norm,
        up=up,
        output_activation=output_activation,
        output_kernel=output_kernel,
        **shared,
    )
    discriminator = ResNetDiscriminator(
        widths=tuple(width * n for n in discriminator_widths), downsample=downsample, auxiliary=auxiliary, **shared
    )
    return Players(generator, discriminator)
