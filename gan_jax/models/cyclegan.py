"""CycleGAN: two translators between two domains of images, and a PatchGAN discriminator for each domain."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models.common import NORMAL, SizeError, height_width
from gan_jax.models.patch import PatchDiscriminator, largest_patch, smallest_image
from gan_jax.nn import Conv, ConvTranspose, InstanceNorm
from gan_jax.typing import Array, DiscriminatorOutput, GeneratorOutput, Players

# Sides are halved twice. Reflection needs more pixels than it adds, also at a quarter of the size.
STEP, SMALLEST, LARGEST = 4, 8, 1024
SMALL_BLOCKS, LARGE_BLOCKS, LARGE = 6, 9, 256  # The paper has 6 residual blocks below 256 pixels and 9 from there.


class ResNetTranslator(nn.Module):
    """Maps images of one domain to another: two steps down, residual blocks, two steps up. Reflected borders, instance norm.

    Instance norm has no learned scale and bias, as in the authors' code.

    Attributes:
        channels: Number of channels of the images that it makes.
        width: Number of channels of the first layer. It doubles twice.
        blocks: Number of residual blocks at a quarter of the size.
        dtype: Computation dtype. Parameters are float32.
    """

    channels: int
    width: int = 64
    blocks: int = 9
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """Returns images, float32 [batch, height, width, channels], of the height and width of the argument."""
        settings = {"kernel_init": NORMAL, "dtype": self.dtype}

        def reflected(x: Array, width: int, kernel: int, name: str) -> Array:
            border = (kernel // 2, kernel // 2)
            x = jnp.pad(x, ((0, 0), border, border, (0, 0)), mode="reflect")
            return Conv(width, (kernel, kernel), padding=((0, 0), (0, 0)), name=name, **settings)(x)

        def normalized(x: Array) -> Array:
            return InstanceNorm(use_scale=False, use_bias=False, dtype=self.dtype)(x)

        x = jax.nn.relu(normalized(reflected(images.astype(self.dtype), self.width, 7, "input")))
        for level in (1, 2):
            x = Conv(self.width * 2**level, (3, 3), (2, 2), padding=((1, 1), (1, 1)), name=f"down_{level}", **settings)(x)
            x = jax.nn.relu(normalized(x))
        for number in range(self.blocks):
            y = jax.nn.relu(normalized(reflected(x, x.shape[-1], 3, f"block_{number}_0")))
            x = x + normalized(reflected(y, x.shape[-1], 3, f"block_{number}_1"))
        for level in (1, 0):
            # PyTorch's padding of 1 with an output padding of 1: the result has exactly twice the size.
            x = ConvTranspose(self.width * 2**level, (3, 3), (2, 2), padding=((1, 2), (1, 2)), name=f"up_{level}", **settings)(x)
            x = jax.nn.relu(normalized(x))
        return jnp.tanh(reflected(x, self.channels, 7, "output").astype(jnp.float32))


class CycleGenerator(nn.Module):
    """Two translators, A to B and B to A. An example is an image of each domain, joined along the channels.

    Attributes:
        channels: Number of channels of the images of each domain.
        width: See `ResNetTranslator`.
        blocks: See `ResNetTranslator`.
        reverse: Whether images of a single domain are translated from B to A, instead of from A to B.
        dtype: Computation dtype. Parameters are float32.
    """

    channels: int
    width: int = 64
    blocks: int = 9
    reverse: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, latents: Array | None, labels: Array | None = None, context: Array | None = None, *, train: bool = True) -> Any:
        """Translates images. Latents are ignored.

        Args:
            latents: Ignored.
            labels: Ignored.
            context: Either images of domain A and of domain B, joined along the channels, float [batch, height, width, 2 channels], or
                images of one domain, float [batch, height, width, channels].
            train: Ignored.

        Returns:
            For images of both domains, the fakes of both, float32 [batch, height, width, 2 channels]: G_BA(b), then G_AB(a). The extras
            are "cycled", G_BA(G_AB(a)) and G_AB(G_BA(b)), and "identity", G_BA(a) and G_AB(b), of the same shape. For images of one
            domain, their translations.

        Raises:
            ValueError: If the context has another number of channels, or if its height or width is not a multiple of 4 from 8 to 1024.
        """
        if context is None or context.ndim != 4 or context.shape[-1] not in (self.channels, 2 * self.channels):
            got = None if context is None else context.shape
            raise ValueError(
                f"context must be [batch, height, width, {self.channels} or {2 * self.channels}], images to translate; got {got}"
            )
        check_sides(context.shape[1:3])
        a_to_b, b_to_a = (ResNetTranslator(self.channels, self.width, self.blocks, self.dtype, name=name) for name in ("a_to_b", "b_to_a"))
        if context.shape[-1] == self.channels:
            images = (b_to_a if self.reverse else a_to_b)(context)
            if self.is_initializing():  # The parameters of both translators.
                (a_to_b if self.reverse else b_to_a)(images)
            return GeneratorOutput(images)
        a, b = jnp.split(context, 2, axis=-1)
        fake_a, fake_b = b_to_a(b), a_to_b(a)
        extras = {"cycled": join(b_to_a(fake_b), a_to_b(fake_a)), "identity": join(b_to_a(a), a_to_b(b))}
        return GeneratorOutput(join(fake_a, fake_b), extras)


class CycleDiscriminator(nn.Module):
    """A PatchGAN for each domain. The first one judges the first half of the channels, the second one the second half.

    Attributes:
        width: See `PatchDiscriminator`.
        layers: See `PatchDiscriminator`.
        dtype: Computation dtype. Parameters are float32.
    """

    width: int = 64
    layers: int = 3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Array, labels: Array | None = None, *, train: bool = True) -> DiscriminatorOutput:
        """Returns a map of logits for each domain, each float32 [batch, height, width], and the features of each layer."""
        settings = {"norm": "instance", "affine": False, "dtype": self.dtype}
        halves = dict(zip("ab", jnp.split(images, 2, axis=-1), strict=True))
        outputs = {
            domain: PatchDiscriminator(self.width, self.layers, name=domain, **settings)(half, train=train)
            for domain, half in halves.items()
        }
        features = {f"{domain}/{name}": value for domain, output in outputs.items() for name, value in output.features.items()}
        return DiscriminatorOutput(tuple(output.logits for output in outputs.values()), features)


def join(a: Array, b: Array) -> Array:
    """Images of domain A and of domain B, joined along the channels."""
    return jnp.concatenate([a, b], axis=-1)


def check_sides(size: tuple[int, ...]) -> None:
    """Raises SizeError unless the height and width are multiples of 4, from 8 to 1024."""
    if any(side % STEP or not SMALLEST <= side <= LARGEST for side in size):
        below, above = (
            tuple(min(max(side // STEP * STEP, SMALLEST), LARGEST) for side in near) for near in (size, [s + STEP - 1 for s in size])
        )
        rule = f"sides that are multiples of {STEP}, from {SMALLEST} to {LARGEST}"
        raise SizeError("cyclegan", size, rule, list(dict.fromkeys((below, above))))


def cyclegan(
    *,
    image_size: int = 256,
    channels: int = 3,
    latent_dim: int = 1,
    width: int = 64,
    discriminator_width: int | None = None,
    blocks: int | None = None,
    patch_layers: int | None = None,
    reverse: bool = False,
    dtype: Any = "float32",
) -> Players:
    """Builds CycleGAN: a generator of two residual translators, and a discriminator of two PatchGANs.

    At 256x256 with the defaults, each translator and each PatchGAN has 11,378,179 and 2,764,737 parameters. This is the size of the
    networks `resnet_9blocks` and `basic` of the authors' PyTorch code, which prints 11.378 M and 2.765 M.

    Args:
        image_size: Side of the images in pixels, or (height, width): multiples of 4 from 8 to 1024.
        channels: Number of channels of the images of each domain.
        latent_dim: Unused, accepted because every model builder takes it. Latents are ignored.
        width: Number of channels of the first layer of each translator. It doubles twice.
        discriminator_width: Overrides `width` for the discriminators.
        blocks: Number of residual blocks of each translator. None: 9 from 256 pixels on, and 6 below.
        patch_layers: Number of strided layers of the PatchGANs. 3 gives patches of 70x70 as in the paper. None: the largest of the
            patches 16, 34 and 70 that fits into the image.
        reverse: Whether images of one domain are translated from B to A, instead of from A to B. It does not change the training.
        dtype: Computation dtype. Parameters are float32.

    Returns:
        Players(generator, discriminator) of Linen modules. Their parameters are trees with the entries a_to_b and b_to_a, and a and b.

    Raises:
        ValueError: If `image_size` is not supported, or is too small for `patch_layers`.

    References:
        Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks", 2017.
    """
    del latent_dim
    size = height_width(image_size)
    check_sides(size)
    if blocks is None:
        blocks = LARGE_BLOCKS if min(size) >= LARGE else SMALL_BLOCKS
    layers = largest_patch(min(size)) if patch_layers is None else patch_layers
    if min(size) < smallest_image(layers):
        raise ValueError(
            f"patch_layers={layers} needs images of at least {smallest_image(layers)} pixels a side; got image_size={image_size}"
        )
    shared = {"dtype": jnp.dtype(dtype)}
    generator = CycleGenerator(channels=channels, width=width, blocks=blocks, reverse=reverse, **shared)
    return Players(generator, CycleDiscriminator(width=discriminator_width or width, layers=layers, **shared))
