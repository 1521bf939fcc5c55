"""SAGAN: SNGAN's residual networks with self-attention in both players."""

from typing import Any

import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, OUTPUT_ACTIVATIONS, check_size, one_of
from gan_jax.models.residual import RESIZE, ResNetDiscriminator, ResNetGenerator
from gan_jax.typing import Players

# As in `resnet.py`, with the sides of the maps that self-attention stands behind, in the generator and in the discriminator.
ARCHITECTURES: dict[int, tuple[int, tuple[int, ...], tuple[int, ...], tuple[bool, ...], tuple[int, int]]] = {
    32: (4, (4, 4, 4), (2, 2, 2, 2), (True, True, False, False), (16, 8)),
    64: (16, (8, 4, 2, 1), (1, 2, 4, 8, 16), (True,) * 4 + (False,), (32, 32)),
    128: (16, (16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), (True,) * 5 + (False,), (32, 32)),
}


def sagan(
    *,
    image_size: int = 32,
    channels: int = 3,
    latent_dim: int = 128,
    num_classes: int = 0,
    width: int = 64,
    up: str = "nearest",
    activation: str = "relu",
    output_activation: str = "tanh",
    dtype: Any = "float32",
) -> Players:
    """Builds SAGAN's networks (Zhang 2019); apply `gan_jax.transforms.spectral_norm` to both.

    At 128 pixels with 1000 classes the parameters number 42,078,852 and 39,463,618, as in BigGAN-PyTorch's SAGAN
    (commit 9845943, attention at 32); its generator's are torch-mimicry's too. At 32 pixels with 10 classes they number
    4,386,308 and 1,075,586, as in torch-mimicry (commit a7fda06).

    Args:
        image_size: side of the images in pixels: 32, 64 or 128. Attention stands behind maps of 32 pixels a side at 64 and 128; at
            32 behind the generator's of 16 and, as in torch-mimicry, the discriminator's of 8.
        channels: of the images.
        latent_dim: accepted because every row takes it; the layers fit whatever latents come.
        num_classes: above 0, as in the paper, conditional batch norm in the generator and a projection discriminator.
        width: 64 as published; channels are 1 to 16 times as many.
        up: "nearest", as published, or "bilinear".
        activation: a name of `ACTIVATIONS`, in both networks.
        output_activation: "tanh" or "linear".
        dtype: of computation; parameters are float32.

    Returns:
        Players of Linen modules. Their attention maps are sown into "intermediates" as "attention_map".

    Raises:
        ValueError: a size the model cannot make, or a name that is not among the choices.

    References:
        Zhang et al., "Self-Attention Generative Adversarial Networks", 2019; brain-research/self-attention-gan. Differs: the
        networks for 32 and 64 pixels are adaptations (32: torch-mimicry's; 64: the blocks of BigGAN's table with SAGAN's widths).
    """
    del latent_dim
    check_size("sagan", image_size, tuple(ARCHITECTURES))
    one_of("up", up, RESIZE)
    one_of("activation", activation, ACTIVATIONS)
    one_of("output_activation", output_activation, OUTPUT_ACTIVATIONS)
    base, generator_widths, discriminator_widths, downsample, sides = ARCHITECTURES[image_size]
    shared = {"num_classes": num_classes, "activation": activation, "dtype": jnp.dtype(dtype)}
    generator = ResNetGenerator(
        channels=channels,
        base=base * width,
        widths=tuple(width * n for n in generator_widths),
        attention=sides[:1],
        up=up,
        output_activation=output_activation,
        **shared,
    )
    widths = tuple(width * n for n in discriminator_widths)
    discriminator = ResNetDiscriminator(widths=widths, downsample=downsample, wide=True, attention=sides[1:], **shared)
    return Players(generator, discriminator)
