"""SNGAN: residual networks."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, OUTPUT_ACTIVATIONS, PLAIN_NORMS, check_class_heads, check_growth, one_of
from gan_jax.models.residual import RESIZE, ResNetDiscriminator, ResNetGenerator
from gan_jax.typing import Players

# For each image size that begins at 4x4: channels of the generator's first map, of its blocks and of the discriminator's blocks,
# all as multiples of `width`, and whether each block of the discriminator halves the sides.
ARCHITECTURES: dict[int, tuple[int, tuple[int, ...], tuple[int, ...], tuple[bool, ...]]] = {
    32: (4, (4, 4, 4), (2, 2, 2, 2), (True, True, False, False)),
    64: (16, (8, 4, 2, 1), (1, 2, 4, 8, 16), (True,) * 5),
}


def sngan(
    *,
    image_size: int | Sequence[int] = 32,
    channels: int = 3,
    latent_dim: int = 128,
    num_classes: int = 0,
    width: int = 64,
    auxiliary: bool = False,
    proxy_dim: int = 0,
    fake_class: bool = False,
    norm: str = "batch",
    up: str = "nearest",
    activation: str = "relu",
    output_activation: str = "tanh",
    output_kernel: int = 3,
    gradient_checkpointing: bool = False,
    dtype: Any = "float32",
) -> Players:
    """Builds SNGAN's ResNet generator and discriminator (Miyato et al., 2018).

    The discriminator has no norm layers. Apply `gan_jax.transforms.spectral_norm` to its parameters.

    With the defaults, generator and discriminator have 4,276,739 and 1,053,825 parameters at 32 pixels, and 12,220,675
    and 10,141,441 at 64 pixels, as in torch-mimicry (`nets/sngan`, commit a7fda06). The computation follows the authors'
    Chainer code, from which torch-mimicry differs in two points. It up-samples bilinearly, and the ReLU at the start of a
    block of D works in place, so that the shortcut receives the rectified input.

    Args:
        image_size: Side of the images in pixels, or (height, width). Sides that are halved three times, such as 32, 40 or 32x48, have the
            networks for 32 pixels, and those that are halved four times the networks for 64, with a first map of another size.
        channels: Number of channels of the images.
        latent_dim: Unused, accepted because every model builder takes it. The layers adapt to the size of the latents.
        num_classes: Number of classes. Above 0, the generator has conditional batch norm and the discriminator a
            projection.
        width: Base width. Published: 64. At 32 pixels every block of the generator has 4 times and every block of the
            discriminator 2 times as many channels. At 64 pixels the blocks have 1 to 16 times as many.
        auxiliary: Whether the discriminator classifies (ACGAN) instead of using a projection. Requires classes.
        proxy_dim: Dimension of the discriminator's embedding of an image, which a loss compares with one learned vector for
            each class (ReACGAN 512 on CIFAR-10), instead of a projection. 0: no embedding.
        fake_class: Whether the discriminator has one logit for each class and one more for the fakes, for the loss
            `multi_hinge`. Its logit is then that of the image's class minus that of the fakes.
        norm: Norm of the generator without classes, one of `PLAIN_NORMS`.
        up: "nearest" (Chainer code) or "bilinear" (mimicry).
        activation: Key of `ACTIVATIONS`, for both networks.
        output_activation: "tanh" or "linear".
        output_kernel: Kernel size of the generator's last convolution: 1, 3 or 9.
        gradient_checkpointing: Whether the backward pass computes the activations inside each block again, which needs less
            memory and more time.
        dtype: Computation dtype. Parameters are float32.

    Returns:
        Players(generator, discriminator) of Linen modules.

    Raises:
        ValueError: If `image_size` is not supported, if a name is not among the allowed values, or if a
            head for classes is set without classes.

    References:
        Miyato et al., "Spectral Normalization for GANs", 2018, table 4. The 64-pixel networks are those of
        torch-mimicry. Miyato and Koyama, "cGANs with Projection Discriminator", 2018. Differs: the authors' 32-pixel
        discriminator has no bias in its last layer, so it has one parameter fewer.
    """
    del latent_dim
    levels, first = check_growth("sngan", image_size, levels=(3, 4), largest=512)
    one_of("norm", norm, PLAIN_NORMS)
    one_of("up", up, RESIZE)
    one_of("activation", activation, ACTIVATIONS)
    one_of("output_activation", output_activation, OUTPUT_ACTIVATIONS)
    one_of("output_kernel", output_kernel, (1, 3, 9))
    check_class_heads(num_classes, auxiliary=auxiliary, proxy_dim=proxy_dim, fake_class=fake_class)
    base, generator_widths, discriminator_widths, downsample = ARCHITECTURES[4 * 2**levels]
    shared = {"num_classes": num_classes, "activation": activation, "dtype": jnp.dtype(dtype)}
    shared |= {"gradient_checkpointing": gradient_checkpointing}
    generator = ResNetGenerator(
        channels=channels,
        first=first,
        base=base * width,
        widths=tuple(width * n for n in generator_widths),
        norm=norm,
        up=up,
        output_activation=output_activation,
        output_kernel=output_kernel,
        **shared,
    )
    discriminator = ResNetDiscriminator(
        widths=tuple(width * n for n in discriminator_widths),
        downsample=downsample,
        auxiliary=auxiliary,
        proxy_dim=proxy_dim,
        fake_class=fake_class,
        **shared,
    )
    return Players(generator, discriminator)
