"""Stacked GANs: the first stage generates a small image, and each further stage enlarges the image of the previous one."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models.common import (
    ACTIVATIONS,
    NORMAL,
    OUTPUT_ACTIVATIONS,
    PLAIN_NORMS,
    check_growth,
    check_options,
    height_width,
    needs_bias,
)
from gan_jax.models.dcgan import LARGEST, LEVELS, DcganDiscriminator
from gan_jax.nn import DOWN, UP, Conv, Upsample, normalize, resize_nearest
from gan_jax.typing import Array, Players

LATENT_CHANNELS = 8


def _doublings(shape: tuple[int, ...], image_size: tuple[int, int]) -> int:
    """Returns how often a context of this shape is doubled to reach the image size, at least once."""
    if len(shape) == 4:
        for doublings in range(1, min(image_size).bit_length()):
            if tuple(side << doublings for side in shape[1:3]) == image_size:
                return doublings
    height, width = image_size
    raise ValueError(f"context must have the sides {height}x{width} divided by 2, 4, 8 ...; got shape {shape}")


class StackedGenerator(nn.Module):
    """Enlarges a small image, given latents: residual blocks at the small size, then doublings to the large size.

    Attributes:
        image_size: Height and width of the large image in pixels.
        channels: Number of channels of the images.
        width: Number of channels of the last hidden map.
        blocks: Number of residual blocks at the small size.
        norm: One of `PLAIN_NORMS`.
        up: Key of `gan_jax.nn.UP`.
        activation: Key of `ACTIVATIONS`.
        output_activation: "tanh" or "linear".
        dtype: Computation dtype. Parameters are float32.
    """

    image_size: tuple[int, int]
    channels: int
    width: int = 64
    blocks: int = 2
    norm: str = "batch"
    up: str = "nearest"
    activation: str = "leaky_relu"
    output_activation: str = "tanh"
    dtype: Any = jnp.float32

    def norm_inputs(self) -> dict[str, tuple[str, ...]]:
        """Path of each batch norm -> paths of the layers that alone make its input, see `gan_jax.models.folding`."""
        blocks = [f"block_{index}_{part}" for index in range(self.blocks) for part in range(2)]
        ups = [f"up_{index}" for index in range(min(self.image_size).bit_length())]
        return {f"norm_{name}": (name,) for name in ("join", *blocks)} | {f"norm_{name}": (f"{name}/conv",) for name in ups}

    @property
    def last_layer(self) -> str:
        """Path of the kernel that makes the images."""
        return "output/kernel"

    @nn.compact
    def __call__(self, latents: Array, labels: Array | None = None, context: Array | None = None, *, train: bool = True) -> Array:
        """Returns images, float32 [batch, height, width, channels].

        Raises:
            ValueError: If the context is None, or if its size is not `image_size` divided by a power of two.
        """
        if context is None:
            raise ValueError("context must be float [batch, height, width, channels], the image that this stage enlarges; got None")
        doublings = _doublings(context.shape, self.image_size)
        height, width = context.shape[1:3]
        settings = {"use_bias": needs_bias(self.norm), "kernel_init": NORMAL, "dtype": self.dtype}

        def settle(x: Array, name: str) -> Array:
            return ACTIVATIONS[self.activation](normalize(x, self.norm, train=train, name=f"norm_{name}", dtype=self.dtype))

        drawn = nn.Dense(height * width * LATENT_CHANNELS, kernel_init=NORMAL, dtype=self.dtype, name="project")(latents.astype(self.dtype))
        x = jnp.concatenate([context.astype(self.dtype), drawn.reshape(-1, height, width, LATENT_CHANNELS)], axis=-1)
        features = self.width * 2**doublings
        x = settle(Conv(features, (3, 3), name="join", **settings)(x), "join")
        for index in range(self.blocks):
            y = settle(Conv(features, (3, 3), name=f"block_{index}_0", **settings)(x), f"block_{index}_0")
            y = Conv(features, (3, 3), name=f"block_{index}_1", **settings)(y)
            x = ACTIVATIONS[self.activation](x + normalize(y, self.norm, train=train, name=f"norm_block_{index}_1", dtype=self.dtype))
        for index in range(doublings):
            features //= 2
            x = settle(Upsample(features, self.up, name=f"up_{index}", **settings)(x), f"up_{index}")
        # The small image is appended again, so that the layers in between need not preserve its colours.
        x = jnp.concatenate([x, resize_nearest(context.astype(self.dtype), 2**doublings)], axis=-1)
        x = Conv(self.channels, (3, 3), name="output", **{**settings, "use_bias": True})(x)
        return OUTPUT_ACTIVATIONS[self.output_activation](x.astype(jnp.float32))


def stacked(
    *,
    image_size: int | Sequence[int] = 32,
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
    """Builds a further stage of a stacked GAN. The first stage is `dcgan` at the small size.

    Both networks are conditioned on the small image, context [batch, small, small, channels]. In training this is the
    real image reduced to that size, and in sampling it is the output of the previous stage. The discriminator receives
    it enlarged, as extra channels.

    Use `sample_stages` to sample from a chain of trained stages.

    Args:
        image_size: Side of the images of this stage in pixels, or (height, width), a size of `dcgan` that halves at least twice. It is
            the size of the context times a power of two.
        channels: Number of channels of the images.
        latent_dim: Unused, accepted because every model builder takes it. The layers adapt to the size of the latents.
        width: Number of channels of the generator's last and the discriminator's first hidden map.
        blocks: Number of residual blocks at the small size.
        norm: Norm of the generator, one of `PLAIN_NORMS`.
        discriminator_norm: Norm of the discriminator, one of `PLAIN_NORMS`. None: the value of `norm`.
        up, down: See `dcgan`.
        activation: Key of `ACTIVATIONS`, for both networks.
        output_activation: "tanh" or "linear".
        dtype: Computation dtype. Parameters are float32.

    Returns:
        Players(generator, discriminator) of Linen modules.

    Raises:
        ValueError: If `image_size` is not supported, or if a name is not among the allowed values.

    References:
        Denton et al., "Deep generative image models using a Laplacian pyramid of adversarial networks" (LAPGAN), 2015.
        Zhang et al., "StackGAN", 2017, whose second stage this is: join, residual blocks, up-sampling. Differs: there
        is no text condition, and the discriminator receives the small image as in LAPGAN.
    """
    del latent_dim
    check_growth("stacked", image_size, levels=(2, LEVELS[1]), largest=LARGEST)
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
    generator = StackedGenerator(
        height_width(image_size), channels, blocks=blocks, norm=norm, up=up, output_activation=output_activation, **shared
    )
    return Players(generator, DcganDiscriminator(norm=discriminator_norm, down=down, join_context=True, **shared))


def sample_stages(stages: Sequence[Callable[[Array, Array | None], Array]], rng: Array) -> list[Array]:
    """Samples stage by stage. Each stage receives the images of the previous one.

    Args:
        stages: Functions `(rng, context) -> images`. The first one receives None as its context.
        rng: PRNG key. Every stage receives its own key, which is folded in from it.

    Returns:
        The images of every stage, the smallest first.
    """
    images: list[Array] = []
    for number, stage in enumerate(stages):
        images.append(stage(jax.random.fold_in(rng, number), images[-1] if images else None))
    return images
