"""Hybrids of a variational autoencoder and a GAN: VAE-GAN, and KL + GAN.

Both have one network, and two ways to train it. `vaegan` is Larsen's: reconstructions are compared in the discriminator's
features, and are fakes for it beside samples from the prior. `klgan` (`gamma=1`, `reconstructions_are_fakes=False`)
is maximum likelihood with a GAN beside it: KL(data || model) is, up to the entropy of the data, bounded by
`|x - reconstruction|^2 / (2 s^2) + KL(q(z|x) || N(0, 1))`, in pixels, and both are added to the adversarial loss.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, NORMAL, PLAIN_NORMS, needs_bias, one_of
from gan_jax.models.dcgan import DcganGenerator, dcgan, levels_of
from gan_jax.nn import Downsample, normalize
from gan_jax.typing import Array, GeneratorOutput, Players

# Beyond these a posterior's variance would overflow exp or make the KL divergence useless as a gradient.
LOG_VARIANCE_BOUND = 20.0


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def scale_gradient(x: Array, factor: float) -> Array:
    """Returns x; the gradient that flows back through it is multiplied by `factor`.

    Args:
        x: any array.
        factor: a Python number.

    Returns:
        x, unchanged.
    """
    return x


scale_gradient.defvjp(lambda x, factor: (x, None), lambda factor, _, gradient: (gradient * factor,))


class Encoder(nn.Module):
    """Images, halved in size and doubled in channels down to 4x4, to the mean and log variance of their latents."""

    latent_dim: int
    width: int = 64
    norm: str = "batch"
    down: str = "strided"
    activation: str = "leaky_relu"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Array, *, train: bool = True) -> tuple[Array, Array]:
        """Returns the mean and the log variance, float32 [batch, latent_dim] each."""
        settings = {"use_bias": needs_bias(self.norm), "kernel_init": NORMAL, "dtype": self.dtype}
        x = images.astype(self.dtype)
        for index in range(levels_of(images.shape[1])):
            x = Downsample(self.width * 2**index, self.down, name=f"down_{index}", **settings)(x)
            x = ACTIVATIONS[self.activation](normalize(x, self.norm, train=train, name=f"norm_{index}", dtype=self.dtype))
        x = nn.Dense(2 * self.latent_dim, dtype=self.dtype, name="posterior")(x.reshape(x.shape[0], -1)).astype(jnp.float32)
        mean, log_variance = jnp.split(x, 2, axis=-1)
        return mean, jnp.clip(log_variance, -LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND)


class VaeGenerator(nn.Module):
    """An encoder and a decoder; the decoder alone is the generator in the sense of a GAN.

    With `context`, the real images x, it draws z ~ q(z|x) = N(mean(x), variance(x)) and returns as extras

    - `mean`, `log_variance`: float32 [batch, latent_dim], for the KL divergence to N(0, 1);
    - `reconstruction`: decoder(z), the shape of x. A loss of it trains the encoder at full weight and the decoder at
      `gamma` times that, as in the paper.

    `images`, which the discriminator sees as fakes, are in training decoder(latents), followed by decoder(z) if
    `reconstructions_are_fakes`, twice as many then; no gradient of theirs reaches the encoder. In evaluation, and without
    context, they are decoder(latents) only.

    Images and reconstruction come of two passes through the decoder, each with batch statistics of its own. Only the first,
    of the images, moves the running averages: it decodes what sampling decodes.
    """

    decoder: DcganGenerator
    encoder: Encoder
    gamma: float = 1.0
    reconstructions_are_fakes: bool = True

    @nn.compact
    def __call__(self, latents: Array, labels: Array | None = None, context: Array | None = None, *, train: bool = True) -> GeneratorOutput:
        """Returns images and, where there is context, the extras named above."""
        if context is None and not self.is_initializing():
            return GeneratorOutput(self.decoder(latents, train=train))
        if context is None:
            raise ValueError("the encoder needs images to be initialised: context must be float [batch, height, width, channels]; got None")
        mean, log_variance = self.encoder(context, train=train)
        draws = jax.random.normal(self.make_rng("noise"), mean.shape)
        z = mean + jnp.exp(0.5 * log_variance) * draws
        fakes = jnp.concatenate([latents, jax.lax.stop_gradient(z)]) if train and self.reconstructions_are_fakes else latents
        images = self.decoder(fakes, train=train)
        # Two passes: in one, batch norm would carry the gradient of the images into z, and 1 / gamma times it into the encoder.
        # Gradients of the reconstruction: times gamma at the decoder's output, and back to times 1 at its input.
        averages = jax.tree.map(lambda leaf: leaf, self.variables.get("batch_stats", {}))
        reconstruction = scale_gradient(self.decoder(scale_gradient(z, 1 / self.gamma), train=train), self.gamma)
        if train and "decoder" in averages:
            self.put_variable("batch_stats", "decoder", averages["decoder"])
        return GeneratorOutput(images, {"mean": mean, "log_variance": log_variance, "reconstruction": reconstruction})


def vaegan(
    *,
    image_size: int = 64,
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
    """Builds VAE-GAN: a variational autoencoder whose decoder is a GAN's generator.

    Train it with context = the real images and three terms beside the adversarial loss, all at weight 1: the KL
    divergence of N(mean, variance) from N(0, 1), and the squared distance between the discriminator's features of
    `reconstruction` and of the real images (the paper's likelihood; features "block_<i>" of the discriminator).

    Args:
        image_size: side of the images in pixels, a size of DCGAN.
        channels: of the images.
        latent_dim: of the latents; here it must be that of the game.
        width: channels of the first and last hidden maps; doubled per level.
        gamma: what the decoder weighs the reconstruction with, against the adversarial loss; the encoder weighs it with 1.
        reconstructions_are_fakes: whether the discriminator sees reconstructions as fakes beside samples from the prior. Then there are
            twice as many fakes as reals: losses that pair them (relativistic ones) compare each real with both of its fakes.
            Then there are twice as many fakes as reals: losses that pair them (relativistic ones) cannot be used.
        norm: one of `PLAIN_NORMS`.
        discriminator_norm: where it differs.
        up, down: see `dcgan`.
        activation: a name of `ACTIVATIONS`.
        output_activation: "tanh" or "linear".
        output_kernel: see `dcgan`.
        dtype: of computation; parameters are float32.

    Returns:
        Players of Linen modules.

    Raises:
        ValueError: a size the model cannot make, a gamma that is not positive, or a name that is not among the choices.

    References:
        Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", 2016, algorithm 1. Differs: DCGAN's
        layers instead of 5x5 convolutions; the reconstructions that the discriminator sees are decoded in one batch with the
        samples, those that it compares with the real images in a batch of their own.
    """
    one_of("norm", norm, PLAIN_NORMS)
    if not gamma > 0:
        raise ValueError(f"gamma must be above 0; got {gamma}")
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
