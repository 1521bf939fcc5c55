"""BigGAN's class-conditional residual networks."""

from typing import Any

import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, OUTPUT_ACTIVATIONS, check_size, one_of
from gan_jax.models.residual import RESIZE, ResNetDiscriminator, ResNetGenerator
from gan_jax.typing import Players

# As in `resnet.py`.
ARCHITECTURES: dict[int, tuple[int, tuple[int, ...], tuple[int, ...], tuple[bool, ...]]] = {
    32: (4, (4, 4, 4), (4, 4, 4, 4), (True, True, False, False)),
    64: (16, (16, 8, 4, 2), (1, 2, 4, 8, 16), (True,) * 4 + (False,)),
    128: (16, (16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), (True,) * 5 + (False,)),
}


def biggan(
    *,
    image_size: int = 32,
    channels: int = 3,
    latent_dim: int = 128,
    num_classes: int = 10,
    width: int = 64,
    shared_dim: int = 128,
    skip_latents: bool = True,
    attention: int = 0,
    up: str = "nearest",
    activation: str = "relu",
    output_activation: str = "tanh",
    dtype: Any = "float32",
) -> Players:
    """Builds BigGAN's networks (Brock 2019); apply `gan_jax.transforms.spectral_norm` to both.

    One class embedding, joined with a part of the latents, steers every batch norm of the generator through linear maps; the
    discriminator projects. As in BigGAN-PyTorch (commit 9845943) the parameters number 4,373,251 and 4,207,361 at 32
    pixels, and 70,433,988 and 87,982,370 at 128 with width=96, attention=64, latent_dim=120 and 1000 classes.

    Args:
        image_size: side of the images in pixels: 32, 64 or 128.
        channels: of the images.
        latent_dim: accepted because every row takes it; the latents are cut into as even parts as they allow.
        num_classes: above 0; 0 leaves skip-z as the only condition.
        width: 64 for small images, 96 for BigGAN at 128 pixels; channels are 1 to 16 times as many.
        shared_dim: of the class embedding that all norms share; 0: each norm has tables of its own (then without skip-z).
        skip_latents: whether each block's norms see a part of the latents.
        attention: side of the maps behind which self-attention stands; 0 for none.
        up: "nearest", as published, or "bilinear".
        activation: a name of `ACTIVATIONS`, in both networks.
        output_activation: "tanh" or "linear".
        dtype: of computation; parameters are float32.

    Returns:
        Players of Linen modules.

    Raises:
        ValueError: a size the model cannot make, a name that is not among the choices, or skip-z without what carries it.

    References:
        Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis", 2019, appendix B. Differs: weights start
        as SNGAN's (Glorot uniform), not orthogonal; the linear maps of the conditional norms are orthogonal, as published; the class
        embedding starts as N(0, 1).
    """
    del latent_dim
    check_size("biggan", image_size, tuple(ARCHITECTURES))
    one_of("up", up, RESIZE)
    one_of("activation", activation, ACTIVATIONS)
    one_of("output_activation", output_activation, OUTPUT_ACTIVATIONS)
    one_of("attention", attention, (0, *(2**n for n in range(3, image_size.bit_length() - 1))))
    if skip_latents and num_classes and not shared_dim:
        raise ValueError("skip_latents needs shared_dim above 0 (or num_classes=0); got shared_dim=0")
    base, generator_widths, discriminator_widths, downsample = ARCHITECTURES[image_size]
    sides = (attention,) if attention else ()
    shared = {"num_classes": num_classes, "attention": sides, "activation": activation, "dtype": jnp.dtype(dtype)}
    generator = ResNetGenerator(
        channels=channels,
        base=base * width,
        widths=tuple(width * n for n in generator_widths),
        shared_dim=shared_dim,
        skip_latents=skip_latents,
        up=up,
        output_activation=output_activation,
        **shared,
    )
    widths = tuple(width * n for n in discriminator_widths)
    return Players(generator, ResNetDiscriminator(widths=widths, downsample=downsample, wide=True, **shared))
