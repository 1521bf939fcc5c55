"""Projected GAN: discriminators on frozen features of the images, mixed by fixed random convolutions.

The features are a function of the user, e.g. `gan_jax.models.vgg.feature_extractor`. They, and the random convolutions, are not trained.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.models.common import one_of
from gan_jax.nn import Conv
from gan_jax.nn.norms import normalize
from gan_jax.typing import Array, DiscriminatorOutput

MIXINGS = ("none", "channels", "scales")
# A discriminator halves its features until they have 7 to 13 pixels a side. Channels for 0, 1, 2 ... halvings that are left.
SMALLEST_TO_HALVE = 14
WIDTHS = (512, 256, 128, 64, 64, 32, 16, 8)


def enlarge(x: Array) -> Array:
    """Doubles the sides by bilinear interpolation between the centres of the corner pixels.

    It equals PyTorch's `interpolate(scale_factor=2, mode="bilinear", align_corners=True)`.

    Args:
        x: Float [batch, height, width, channels].

    Returns:
        Float [batch, 2 height, 2 width, channels].
    """
    rows, columns = (jnp.asarray(_interpolation(size), x.dtype) for size in x.shape[1:3])
    return jnp.einsum("ih,jw,bhwc->bijc", rows, columns, x, precision=jax.lax.Precision.HIGHEST)


def _interpolation(size: int) -> np.ndarray:
    """The matrix [2 size, size] of linear interpolation at 2 size positions from the first to the last of size points."""
    positions = np.linspace(0, size - 1, 2 * size)
    return np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(size)[None, :])).astype(np.float32)


class RandomMixing(nn.Module):
    """Mixes the channels of features, and then features of different scales, by 1x1 convolutions with fixed random weights.

    With "channels" each feature map is convolved by itself (CCM). With "scales" a coarser result is then added to the next finer one,
    and the sum is enlarged to twice its sides and convolved (CSM), from the coarsest to the finest.

    The weights are in the collection "projection", which is part of the state and is not trained.

    Attributes:
        channels: Number of channels of the finest map. Each coarser map has twice as many as the one before it.
        mixing: One of `MIXINGS`.
    """

    channels: int = 64
    mixing: str = "scales"

    @nn.compact
    def __call__(self, features: Sequence[Array]) -> list[Array]:
        """Mixes maps [batch, h, w, c], from the finest to the coarsest. With "scales", the results have twice their sides.

        Raises:
            ValueError: The mixing is unknown, or the sides of a map are not half of those of the map before it.
        """
        one_of("mixing", self.mixing, MIXINGS)
        for fine, coarse in itertools.pairwise(features):
            if self.mixing == "scales" and fine.shape[1:3] != (2 * coarse.shape[1], 2 * coarse.shape[2]):
                sides = [tuple(feature.shape[1:3]) for feature in features]
                raise ValueError(f"each map of features must have half the sides of the one before it; got {sides}")
        if self.mixing == "none":
            return list(features)
        mixed = [self._convolve(feature, self.channels * 2**level, f"channels_{level}") for level, feature in enumerate(features)]
        if self.mixing == "channels":
            return mixed
        found: list[Array] = []
        for level, feature in reversed(list(enumerate(mixed))):
            joined = feature + found[0] if found else feature
            width = self.channels * 2 ** max(level - 1, 0)
            found.insert(0, self._convolve(enlarge(joined), width, f"scales_{level}"))
        return found

    def _convolve(self, x: Array, width: int, name: str) -> Array:
        # PyTorch's default for a convolution: uniform up to 1 / sqrt(fan-in), also for the bias.
        limit = x.shape[-1] ** -0.5

        def draw(shape: tuple[int, ...]) -> Array:
            return jax.random.uniform(self.make_rng("params"), shape, jnp.float32, -limit, limit)

        kernel = self.variable("projection", f"{name}_kernel", draw, (x.shape[-1], width)).value
        bias = self.variable("projection", f"{name}_bias", draw, (width,)).value
        return x @ kernel.astype(x.dtype) + bias.astype(x.dtype)


class FeatureDiscriminator(nn.Module):
    """Maps features to a map of logits: strided 4x4 convolutions with batch norm, and a last one without padding.

    Attributes:
        widths: Number of channels where 0, 1, 2 ... halvings are left. The first layer receives what the features have.
        norm: Key of `gan_jax.nn.NORMS`.
    """

    widths: tuple[int, ...] = WIDTHS
    norm: str = "batch"

    @nn.compact
    def __call__(self, x: Array, *, train: bool = True) -> Array:
        """Maps float [batch, h, w, c] to logits, float32 [batch, positions].

        Raises:
            ValueError: The features have fewer than 4 pixels a side.
        """
        if min(x.shape[1:3]) < 4:
            raise ValueError(f"features must have at least 4 pixels a side after mixing; got shape {x.shape}")
        settings = {"kernel_init": nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"), "dtype": x.dtype}
        halvings = 0
        while min(x.shape[1:3]) >> halvings >= SMALLEST_TO_HALVE:
            halvings += 1
        for left in reversed(range(halvings)):
            width = self.widths[min(left, len(self.widths) - 1)]
            x = Conv(width, (4, 4), (2, 2), padding=((1, 1), (1, 1)), name=f"down_{left}", **settings)(x)
            x = nn.leaky_relu(normalize(x, self.norm, train=train, name=f"norm_{left}", dtype=x.dtype), 0.2)
        logits = Conv(1, (4, 4), padding="VALID", use_bias=False, name="output", **settings)(x)
        return logits.reshape(len(x), -1).astype(jnp.float32)


class ProjectedDiscriminator(nn.Module):
    """Discriminates in a frozen feature space: features of the images, random mixing, and a discriminator for each scale.

    Apply `gan_jax.transforms.spectral_norm` to its parameters, and use the hinge loss, as published. Gradients reach the images through
    the features, so that G can be trained.

    Attributes:
        features: `images -> maps`, a pure function. The images are float [batch, height, width, channels] in [-1, 1]. The maps are float
            [batch, h, w, c], from the finest to the coarsest, in a sequence or as the values of a mapping.
        size: Side to which images are resized before, 224 in the paper. None keeps their size.
        channels: Number of channels of the finest map after mixing.
        mixing: One of `MIXINGS`.
        widths: See `FeatureDiscriminator`.
        norm: Norm of the discriminators.

    References:
        Sauer et al., "Projected GANs Converge Faster", 2021; autonomousvision/projected-gan, commit e1c246b. Differs: the features are
        given. The authors' are those of EfficientNet-Lite0 at 1/4 to 1/32 of the side. Unconditional only. The authors choose the number
        of halvings for images of 256 pixels, and here it follows from the size, which is the same for 224 and 256.
    """

    features: Callable[[Array], Sequence[Array] | Mapping[str, Array]]
    size: int | None = 224
    channels: int = 64
    mixing: str = "scales"
    widths: tuple[int, ...] = WIDTHS
    norm: str = "batch"

    @nn.compact
    def __call__(self, images: Array, labels: Any = None, context: Any = None, *, train: bool = True) -> DiscriminatorOutput:
        """Returns the logits of all positions of all scales, float32 [batch, logits, 1], and the mixed features.

        Raises:
            ValueError: `features` returns something else than maps, or maps that do not fit.
        """
        if self.size is not None and images.shape[1:3] != (self.size, self.size):
            shape = (len(images), self.size, self.size, images.shape[-1])
            images = jax.image.resize(images, shape, "linear", antialias=False)
        found = self.features(images)
        maps = list(found.values() if isinstance(found, Mapping) else found)
        shapes = [getattr(one, "shape", None) for one in maps]
        if not maps or any(shape is None or len(shape) != 4 or shape[0] != len(images) for shape in shapes):
            raise ValueError(f"features must return maps [batch, height, width, channels] of {len(images)} images; got shapes {shapes}")
        mixed = RandomMixing(self.channels, self.mixing, name="mixing")(maps)
        logits = [
            FeatureDiscriminator(self.widths, self.norm, name=f"scale_{scale}")(feature, train=train) for scale, feature in enumerate(mixed)
        ]
        return DiscriminatorOutput(jnp.concatenate(logits, axis=1)[..., None], {f"scale_{n}": one for n, one in enumerate(mixed)})
