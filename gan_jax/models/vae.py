"""Hybrids of a variational autoencoder and a GAN: VAE-GAN, and KL + GAN.

Both have the same networks and differ in their training:

- `vaegan` (Larsen et al., 2016) compares reconstructions in the features of the discriminator. The discriminator
  receives reconstructions as fakes, in addition to samples from the prior.
- `klgan` (`gamma=1`, `reconstructions_are_fakes=False`) adds maximum likelihood to a GAN. Up to the entropy of the
  data, KL(data || model) is bounded by `|x - reconstruction|^2 / (2 s^2) + KL(q(z|x) || N(0, 1))`, in pixels. Both
  terms are added to the adversarial loss.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, NORMAL, PLAIN_NORMS, check_growth, needs_bias, one_of
from gan_jax.models.dcgan import LARGEST, LEVELS, DcganGenerator, dcgan, levels_of
from gan_jax.nn import Downsample, normalize
from gan_jax.typing import Array, GeneratorOutput, Players

# Larger log variances would overflow exp or make the gradient of the KL divergence useless.
LOG_VARIANCE_BOUND = 20.0


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def scale_gradient(x: Array, factor: float) -> Array:
    """Returns x unchanged and multiplies the gradient that flows back through it by `factor`.

    Args:
        x: Any array.
        factor: A Python number.

    Returns:
        x, unchanged.
    """
    return x


scale_gradient.defvjp(lambda x, factor: (x, None), lambda factor, _, gradient: (gradient * factor,))


class Encoder(nn.Module):
    """Maps images to the mean and the log variance of their latents. Each level halves the size and doubles the channels.

    Attributes:
        latent_dim: Number of latents.
        width: Number of channels of the first level.
        norm: One of `PLAIN_NORMS`.
        down: Key of `gan_jax.nn.DOWN`.
        activation: Key of `ACTIVATIONS`.
        dtype: Computation dtype. Parameters are float32.
    """

    latent_dim: int
    width: int = 64
    norm: str = "batch"
    down: str = "strided"
    activation: str = "leaky_relu"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Array, *, train: bool = True) -> tuple[Array, Array]:
        """Returns the mean and the log variance, float32 [batch, latent_dim] each.

        The log variance is clipped to [-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND].
        """
        settings = {"use_bias": needs_bias(self.norm), "kernel_init": NORMAL, "dtype": self.dtype}
        x = images.astype(self.dtype)
        for index in range(levels_of(images.shape[1:3])):
            x = Downsample(self.width * 2**index, self.down, name=f"down_{index}", **settings)(x)
            x = ACTIVATIONS[self.activation](normalize(x, self.norm, train=train, name=f"norm_{index}", dtype=self.dtype))
        x = nn.Dense(2 * self.latent_dim, dtype=self.dtype, name="posterior")(x.reshape(x.shape[0], -1)).astype(jnp.float32)
        mean, log_variance = jnp.split(x, 2, axis=-1)
        return mean, jnp.clip(log_variance, -LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND)


class VaeGenerator(nn.Module):
    """An encoder and a decoder. The decoder alone is the generator of the GAN.

    With a `context`, the real images x, it samples z ~ q(z|x) = N(mean(x), variance(x)) and returns these extras:

    - `mean` and `log_variance`: float32 [batch, latent_dim], for the KL divergence from N(0, 1).
    - `reconstruction`: decoder(z), with the shape of x. A loss of it trains the encoder with weight 1 and the decoder
      with weight `gamma`, as in the paper.

    The `images` are what the discriminator receives as fakes. In training they are decoder(latents). With
    `reconstructions_are_fakes`, decoder(z) follows, so there are twice as many images. Their gradients do not reach the
    encoder. In evaluation, and without a context, they are only decoder(latents).

    Images and reconstruction are computed in two passes through the decoder, each with its own batch statistics. Only
    the pass of the images updates the running averages.

    Attributes:
        decoder: The decoder.
        encoder: The encoder.
        gamma: Weight of the reconstruction in the gradient of the decoder.
        reconstructions_are_fakes: Whether the discriminator also receives reconstructions as fakes.
    """

    decoder: DcganGenerator
    encoder: Encoder
    gamma: float = 1.0
    reconstructions_are_fakes: bool = True

    def norm_inputs(self) -> dict[str, tuple[str, ...]]:
        """Path of each batch norm -> paths of the layers that alone make its input, see `gan_jax.models.folding`."""
        inputs = self.decoder.norm_inputs().items()
        return {f"decoder/{norm}": tuple(f"decoder/{layer}" for layer in layers) for norm, layers in inputs}

    @property
    def last_layer(self) -> str:
        """Path of the kernel that makes the images."""
        return f"decoder/{self.decoder.last_layer}"

    @nn.compact
    def __call__(self, latents: Array, labels: Array | None = None, context: Array | None = None, *, train: bool = True) -> GeneratorOutput:
        """Returns images and, with a context, the extras that the class docstring describes.

        Raises:
            ValueError: If the module is initialised without a context.
        """
        if context is None and not self.is_initializing():
            return GeneratorOutput(self.decoder(latents, train=train))
        if context is None:
            raise ValueError("the encoder needs images to be initialised: context must be float [batch, height, width, channels]; got None")
        mean, log_variance = self.encoder(context, train=train)
        draws = jax.random.normal(self.make_rng("noise"), mean.shape)
        z = mean + jnp.exp(0.5 * log_variance) * draws
        fakes = jnp.concatenate([latents, jax.lax.stop_gradient(z)]) if train and self.reconstructions_are_fakes else latents
        images = self.decoder(fakes, train=train)
        # The decoder runs twice. In a single pass, batch norm would pass the gradient of the images on to z, and 1 / gamma times
        # that gradient to the encoder. The gradient of the reconstruction is multiplied by gamma at the decoder's output and by
        # 1 / gamma at its input.
        averages = jax.tree.map(lambda leaf: leaf, self.variables.get("batch_stats", {}))
        reconstruction = scale_gradient(self.decoder(scale_gradient(z, 1 / self.gamma), train=train), self.gamma)
        if train and "decoder" in averages:
            self.put_variable("batch_stats", "decoder", averages["decoder"])
        return GeneratorOutput(images, {"mean": mean, "log_variance": log_variance, "reconstruction": reconstruction})


def vaegan(
    *,
    image_size: int | Sequence[int] = 64,
    channels: int = 3,
    latent_dim: int = 128,
    width: int = 64,
    gamma: float = 1e-2,
    reconstructions_are_fakes: bool = True,
    norm: str = "batch",
    discriminator_norm: str | None = None,
    up: str = "transposed",
    down: str = "strided",
    activation: str = "leaky_relu",
    output_activation: str = "tanh",
    output_kernel: int | None = None,
    dtype: Any = "float32",
) -> Players:
    """Builds VAE-GAN: a variational autoencoder whose decoder is the generator of a GAN.

    Train it with the real images as context and with two terms in addition to the adversarial loss, both with weight 1.
    The first is the KL divergence of N(mean, variance) from N(0, 1). The second is half the squared distance between
    the discriminator's features of `reconstruction` and of the real images, which is the paper's likelihood. The
    features are those of the discriminator's last "block_<i>".

    Args:
        image_size: Side of the images in pixels, or (height, width), a size of `dcgan`.
        channels: Number of channels of the images.
        latent_dim: Number of latents that the encoder returns. It must equal the number of latents that the generator
            receives.
        width: Number of channels of the first and last hidden maps. It doubles per level.
        gamma: Weight of the reconstruction relative to the adversarial loss in the decoder, above 0. In the encoder the
            weight is 1.
        reconstructions_are_fakes: Whether the discriminator also receives reconstructions as fakes, in addition to
            samples from the prior. Then there are twice as many fakes as reals, and losses that pair reals and fakes
            (relativistic losses) compare each real with both of its fakes.
        norm: Norm of encoder and decoder, one of `PLAIN_NORMS`.
        discriminator_norm: Norm of the discriminator, one of `PLAIN_NORMS`. None: the value of `norm`.
        up, down: See `dcgan`.
        activation: Key of `ACTIVATIONS`, for all networks.
        output_activation: "tanh" or "linear".
        output_kernel: See `dcgan`.
        dtype: Computation dtype. Parameters are float32.

    Returns:
        Players(generator, discriminator) of Linen modules.

    Raises:
        ValueError: If `image_size` is not supported, if `gamma` is not positive, or if a name is not among the allowed
            values.

    References:
        Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", 2016, algorithm 1. Differs: the
        layers are those of DCGAN instead of 5x5 convolutions. The reconstructions that the discriminator receives as
        fakes are decoded in one batch with the samples, and those that are compared with the real images are decoded in
        a separate batch.
    """
    one_of("norm", norm, PLAIN_NORMS)
    if not gamma > 0:
        raise ValueError(f"gamma must be above 0; got {gamma}")
    check_growth("vaegan", image_size, levels=LEVELS, largest=LARGEST)
    decoder, discriminator = dcgan(
        image_size=image_size,
        channels=channels,
        width=width,
        norm=norm,
        discriminator_norm=discriminator_norm,
        up=up,
        down=down,
        activation=activation,
        output_activation=output_activation,
        output_kernel=output_kernel,
        dtype=dtype,
    )
    encoder = Encoder(latent_dim, width, norm, down, activation, jnp.dtype(dtype))
    return Players(VaeGenerator(decoder, encoder, gamma, reconstructions_are_fakes), discriminator)
