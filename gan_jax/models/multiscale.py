"""Multi-scale discriminators: the same architecture with separate parameters at several scales of the image."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, PLAIN_NORMS, check_growth, check_options, height_width
from gan_jax.models.dcgan import LARGEST, LEVELS, dcgan
from gan_jax.models.patch import PatchDiscriminator
from gan_jax.typing import Array, DiscriminatorOutput, Players


def halve(images: Array) -> Array:
    """Halves height and width as pix2pixHD does: average pooling over 3x3 pixels with stride 2. Padding is not counted.

    Args:
        images: float [batch, height, width, channels], with even height and width.

    Returns:
        float [batch, height / 2, width / 2, channels].
    """
    return nn.avg_pool(images, (3, 3), (2, 2), padding=((1, 1), (1, 1)), count_include_pad=False)


class MultiscaleDiscriminator(nn.Module):
    """Applies PatchGANs of the same architecture to the image at full size, half size, quarter size, and so on.

    The other attributes are those of `PatchDiscriminator`.

    Attributes:
        scales: Number of scales.
    """

    scales: int = 3
    width: int = 64
    layers: int = 3
    norm: str = "instance"
    activation: str = "leaky_relu"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Array, labels: Array | None = None, context: Array | None = None, *, train: bool = True
    ) -> DiscriminatorOutput:
        """Returns a tuple of patch maps, the finest scale first, and features with the names scale_<i>/layer_<j>."""
        x = images if context is None else jnp.concatenate([context.astype(images.dtype), images], axis=-1)
        logits, features = list[Array](), dict[str, Array]()
        for scale in range(self.scales):
            x = halve(x) if scale else x
            output = PatchDiscriminator(
                self.width, self.layers, self.norm, self.activation, padding=2, dtype=self.dtype, name=f"scale_{scale}"
            )(x, train=train)
            logits.append(output.logits)
            features |= {f"scale_{scale}/{name}": value for name, value in output.features.items()}
        return DiscriminatorOutput(tuple(logits), features)


def multiscale(
    *,
    image_size: int | Sequence[int] = 64,
    channels: int = 3,
    latent_dim: int = 100,
    width: int = 64,
    discriminator_width: int | None = None,
    scales: int = 3,
    patch_layers: int = 3,
    norm: str = "batch",
    discriminator_norm: str = "instance",
    up: str = "transposed",
    activation: str = "leaky_relu",
    output_activation: str = "tanh",
    output_kernel: int | None = None,
    dtype: Any = "float32",
) -> Players:
    """Builds DCGAN's generator with pix2pixHD's multi-scale discriminator.

    Args:
        image_size: Side of the images in pixels, or (height, width), a size of `dcgan`.
        channels: Number of channels of the images.
        latent_dim: Unused, accepted because every model builder takes it. The layers adapt to the size of the latents.
        width: Number of channels of the generator's last hidden map and of the discriminators' first one.
        discriminator_width: Overrides `width` for the discriminators.
        scales: Number of discriminators, 1 to 5. The last one receives the image reduced by a factor of 2^(scales - 1).
        patch_layers: Number of strided layers of each discriminator.
        norm: Norm of the generator, see `dcgan`.
        discriminator_norm: Norm of the discriminators, one of `PLAIN_NORMS`.
        up: See `dcgan`.
        activation: Key of `ACTIVATIONS`, for both networks.
        output_activation: "tanh" or "linear".
        output_kernel: See `dcgan`.
        dtype: Computation dtype. Parameters are float32.

    Returns:
        Players(generator, discriminator) of Linen modules.

    Raises:
        ValueError: If `image_size` is not supported, if `scales` is out of range for it, or if a name is not among the
            allowed values.

    References:
        Wang et al., "High-resolution image synthesis and semantic manipulation with conditional GANs" (pix2pixHD),
        2018. Differs: the generator is DCGAN's and takes latents.
    """
    check_options(("discriminator_norm", discriminator_norm, PLAIN_NORMS), ("activation", activation, ACTIVATIONS))
    check_growth("multiscale", image_size, levels=LEVELS, largest=LARGEST)
    generator = dcgan(
        image_size=image_size,
        channels=channels,
        latent_dim=latent_dim,
        width=width,
        norm=norm,
        up=up,
        activation=activation,
        output_activation=output_activation,
        output_kernel=output_kernel,
        dtype=dtype,
    ).generator
    sides = height_width(image_size)
    if not 1 <= scales <= 5 or any(side % 2 ** (scales - 1) or side >> (scales - 1) < 4 for side in sides):
        raise ValueError(
            f"scales must be in [1, 5], and 2^(scales - 1) must divide image_size={image_size} and leave at least 4 pixels; got {scales}"
        )
    discriminator = MultiscaleDiscriminator(
        scales, discriminator_width or width, patch_layers, discriminator_norm, activation, dtype=jnp.dtype(dtype)
    )
    return Players(generator, discriminator)
