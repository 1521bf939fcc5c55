"""Multi-scale discriminators: one structure, own parameters, each at its own scale of the image."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, PLAIN_NORMS, check_options
from gan_jax.models.dcgan import dcgan
from gan_jax.models.patch import PatchDiscriminator
from gan_jax.typing import Array, DiscriminatorOutput, Players


def halve(images: Array) -> Array:
    """Halves height and width as pix2pixHD does: the mean of 3x3 pixels at every second one, the border not counted.

    Args:
        images: float [batch, height, width, channels], even height and width.

    Returns:
        Float [batch, height / 2, width / 2, channels].
    """
    return nn.avg_pool(images, (3, 3), (2, 2), padding=((1, 1), (1, 1)), count_include_pad=False)


class MultiscaleDiscriminator(nn.Module):
    """PatchGANs of one structure on the image at full, half, quarter ... size.

    Attributes:
        scales: how many.
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
        """Returns a tuple of patch maps, the finest scale first, and features named scale_<i>/layer_<j>."""
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
    image_size: int = 64,
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
        image_size: side of the images in pixels, a size of DCGAN.
        channels: of the images.
        latent_dim: accepted because every row takes it; the layers fit whatever latents come.
        width: channels of the generator's last and the discriminators' first hidden map.
        discriminator_width: where it differs.
        scales: number of discriminators; the last sees the image reduced 2^(scales - 1) times.
        patch_layers: strided layers of each.
        norm: of the generator, see `dcgan`.
        discriminator_norm: of the discriminators, one of `PLAIN_NORMS`.
        up: see `dcgan`.
        activation: a name of `ACTIVATIONS`.
        output_activation: "tanh" or "linear".
        output_kernel: see `dcgan`.
        dtype: of computation; parameters are float32.

    Returns:
        Players of Linen modules.

    Raises:
        ValueError: a size that cannot be made or reduced so often, or a name that is not among the choices.

    References:
        Wang et al., "High-resolution image synthesis and semantic manipulation with conditional GANs" (pix2pixHD),
        2018. Differs: the generator is DCGAN's, from latents.
    """
    check_options(("discriminator_norm", discriminator_norm, PLAIN_NORMS), ("activation", activation, ACTIVATIONS))
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
    if not 1 <= scales <= 5 or image_size % 2 ** (scales - 1) or image_size >> (scales - 1) < 4:
        raise ValueError(f"scales must leave at least 4 of image_size {image_size} pixels at the coarsest; got {scales}")
    discriminator = MultiscaleDiscriminator(
        scales, discriminator_width or width, patch_layers, discriminator_norm, activation, dtype=jnp.dtype(dtype)
    )
    return Players(generator, discriminator)
