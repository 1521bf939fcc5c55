"""Stacked GANs: one makes a small image, the next a large one given the small; each has an easier part."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models.common import ACTIVATIONS, NORMAL, OUTPUT_ACTIVATIONS, PLAIN_NORMS, check_options, check_size, needs_bias
from gan_jax.models.dcgan import SIZES, DcganDiscriminator
from gan_jax.nn import DOWN, UP, Conv, Upsample, normalize, resize_nearest
from gan_jax.typing import Array, Players

LATENT_CHANNELS = 8


def _doublings(shape: tuple[int, ...], image_size: int) -> int:
    """How often a context of this shape is doubled to make the image; at least once."""
    if len(shape) == 4 and shape[1] == shape[2]:
        for doublings in range(1, image_size.bit_length()):
            if shape[1] << doublings == image_size:
                return doublings
    raise ValueError(f"context must be square, its side {image_size} over a power of two; got shape {shape}")


class StackedGenerator(nn.Module):
    """A small image and latents to a larger image: residual blocks at the small size, then doublings to the large one."""

    image_size: int
    channels: int
    width: int = 64
    blocks: int = 2
    norm: str = "batch"
    up: str = "nearest"
    activation: str = "leaky_relu"
    output_activation: str = "tanh"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, latents: Array, labels: Array | None = None, context: Array | None = None, *, train: bool = True) -> Array:
        """Returns images, float32 [batch, image_size, image_size, channels]."""
        if context is None:
            raise ValueError("this stage enlarges an image: context must be float [batch, height, width, channels]; got None")
        doublings = _doublings(context.shape, self.image_size)
        small = context.shape[1]
        settings = {"use_bias": needs_bias(self.norm), "kernel_init": NORMAL, "dtype": self.dtype}

        def settle(x: Array, name: str) -> Array:
            return ACTIVATIONS[self.activation](normalize(x, self.norm, train=train, name=f"norm_{name}", dtype=self.dtype))

        drawn = nn.Dense(small * small * LATENT_CHANNELS, kernel_init=NORMAL, dtype=self.dtype, name="project")(latents.astype(self.dtype))
        x = jnp.concatenate([context.astype(self.dtype), drawn.reshape(-1, small, small, LATENT_CHANNELS)], axis=-1)
        features = self.width * 2**doublings
        x = settle(Conv(features, (3, 3), name="join", **settings)(x), "join")
        for index in range(self.blocks):
            y = settle(Conv(features, (3, 3), name=f"block_{index}_0", **settings)(x), f"block_{index}_0")
            y = Conv(features, (3, 3), name=f"block_{index}_1", **settings)(y)
            x = ACTIVATIONS[self.activation](x + normalize(y, self.norm, train=train, name=f"norm_block_{index}_1", dtype=self.dtype))
        for index in range(doublings):
            features //= 2
            x = settle(Upsample(features, self.up, name=f"up_{index}", **settings)(x), f"up_{index}")
        # The small image once more, so that the last layer need not carry its colours through all the others.
        x = jnp.concatenate([x, resize_nearest(context.astype(self.dtype), 2**doublings)], axis=-1)
        x = Conv(self.channels, (3, 3), name="output", **{**settings, "use_bias": True})(x)
        return OUTPUT_ACTIVATIONS[self.output_activation](x.astype(jnp.float32))


def stacked(
    *,
    image_size: int = 32,
    channels: int = 3,
    latent_dim: int = 100,
    width: int = 64,
    blocks: int = 2,
    norm: str = "batch",
    discriminator_norm: str | None = None,
    up: str = "nearest",
    down: str = "strided",
    activation: str = "leaky_relu",
    output_activation: str = "tanh",
    dtype: Any = "float32",
) -> Players:
    """Builds a further stage of a stacked GAN; the first is `dcgan` at the small size.

    Both networks are conditioned on the small image (context [batch, small, small, channels]): in training the real image
    reduced to that size, in sampling what the stage before has made. The discriminator sees it enlarged, as channels.
    Chain trained stages with `sample_stages`.

    Args:
        image_size: side of the images this stage makes, a size of DCGAN; the context's side times a power of two.
        channels: of the images.
        latent_dim: accepted because every row takes it; the layers fit whatever latents come.
        width: channels of the last hidden map of the generator and the first of the discriminator.
        blocks: residual blocks at the small size.
        norm: one of `PLAIN_NORMS`.
        discriminator_norm: where it differs.
        up, down: see `dcgan`.
        activation: a name of `ACTIVATIONS`.
        output_activation: "tanh" or "linear".
        dtype: of computation; parameters are float32.

    Returns:
        Players of Linen modules.

    Raises:
        ValueError: a size the model cannot make, or a name that is not among the choices.

    References:
        Denton et al., "Deep generative image models using a Laplacian pyramid of adversarial networks", 2015; Zhang et al.,
        "StackGAN", 2017, whose second stage is this one: join, residual blocks, up-sampling. Differs: no text; the
        discriminator sees the small image as LAPGAN's does.
    """
    del latent_dim
    check_size("stacked", image_size, SIZES[1:])
    discriminator_norm = discriminator_norm or norm
    check_options(
        ("norm", norm, PLAIN_NORMS),
        ("discriminator_norm", discriminator_norm, PLAIN_NORMS),
        ("up", up, UP),
        ("down", down, DOWN),
        ("activation", activation, ACTIVATIONS),
        ("output_activation", output_activation, OUTPUT_ACTIVATIONS),
    )
    shared = {"width": width, "activation": activation, "dtype": jnp.dtype(dtype)}
    generator = StackedGenerator(image_size, channels, blocks=blocks, norm=norm, up=up, output_activation=output_activation, **shared)
    return Players(generator, DcganDiscriminator(norm=discriminator_norm, down=down, join_context=True, **shared))


def sample_stages(stages: Sequence[Callable[[Array, Array | None], Array]], rng: Array) -> list[Array]:
    """Samples stage by stage, each given the images of the one before.

    Args:
        stages: `(rng, context) -> images`; the first is given None.
        rng: a key; every stage draws from its own.

    Returns:
        The images of every stage, the smallest first.
    """
    images: list[Array] = []
    for number, stage in enumerate(stages):
        images.append(stage(jax.random.fold_in(rng, number), images[-1] if images else None))
    return images
