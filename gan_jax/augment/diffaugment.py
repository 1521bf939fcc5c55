"""DiffAugment: simple differentiable augmentations of D's inputs, applied to reals and fakes.

Each operation is a pure function of images and explicit random values. `diff_augment` samples these values for each example
and applies the operations one after the other. Images are float [batch, height, width, channels] in [-1, 1]. The results
are not clipped, as in the reference code.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gan_jax._internal.checks import check_float, check_not_empty, check_rank
from gan_jax.typing import Array, Augmentation

POLICIES = ("color", "translation", "cutout")
# Both are fractions of the height and of the width.
TRANSLATION_RATIO = 0.125
CUTOUT_RATIO = 0.5


def _share(extent: int, ratio: float) -> int:
    """A fraction of an extent in whole pixels. It is rounded as in the authors' code, to the nearest integer, halves upwards."""
    return int(extent * ratio + 0.5)


def _reach(images: Array) -> tuple[int, int]:
    """Largest translation along the height and the width, in pixels."""
    return _share(images.shape[1], TRANSLATION_RATIO), _share(images.shape[2], TRANSLATION_RATIO)


def _spread(draws: Array, images: Array) -> Array:
    return draws.astype(images.dtype).reshape(-1, 1, 1, 1)


def brightness(images: Array, shift: Array) -> Array:
    """Adds `shift` [batch] to all pixels of an example: x + s."""
    return images + _spread(shift, images)


def saturation(images: Array, factor: Array) -> Array:
    """Scales each pixel's colours about their mean over the channels: (x - m) f + m, with `factor` f [batch]."""
    mean = images.mean(axis=3, keepdims=True)
    return (images - mean) * _spread(factor, images) + mean


def contrast(images: Array, factor: Array) -> Array:
    """Scales each example about its mean over pixels and channels: (x - m) f + m, with `factor` f [batch]."""
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    return (images - mean) * _spread(factor, images) + mean


def translation(images: Array, offsets: Array) -> Array:
    """Moves pixel (i + dy, j + dx) to (i, j) and fills with zeros. `offsets` are (dy, dx), int [batch, 2].

    Offsets are clamped to an eighth of the height and width in both directions, rounded (4 pixels for 28).
    """
    height, width = images.shape[1:3]
    reach = _reach(images)
    padded = jnp.pad(images, ((0, 0), (reach[0],) * 2, (reach[1],) * 2, (0, 0)))
    # A negative start would be counted from the end of the axis.
    starts = jnp.clip(offsets + jnp.array(reach), 0, 2 * jnp.array(reach))

    # With one window per example, XLA copies (and in the gradient adds) whole windows instead of single pixels.
    def window(image: Array, start: Array) -> Array:
        return jax.lax.dynamic_slice(image, (start[0], start[1], 0), (height, width, image.shape[2]))

    return jax.vmap(window)(padded, starts)


def cutout(images: Array, centers: Array) -> Array:
    """Sets a rectangle of half the height and half the width to zero. `centers` are (y, x), int [batch, 2].

    The rectangle covers the rows y - h // 2, ..., y - h // 2 + h - 1, where h is half the height, rounded up. The same holds for
    the columns. Parts of the rectangle outside the image are ignored.
    """
    inside = []
    for axis in (0, 1):
        extent = images.shape[1 + axis]
        size = _share(extent, CUTOUT_RATIO)
        distance = jnp.arange(extent) - (centers[:, axis : axis + 1] - size // 2)
        inside.append((distance >= 0) & (distance < size))
    holes = inside[0][:, :, None] & inside[1][:, None, :]
    return jnp.where(holes[..., None], jnp.zeros((), images.dtype), images)


def _draw_color(images: Array, rng: Array) -> Array:
    if images.shape[3] == 4:  # The fourth channel is the opacity.
        return jnp.concatenate([_draw_color(images[..., :3], rng), images[..., 3:]], axis=3)
    draws = jax.random.uniform(rng, (3, images.shape[0]))
    images = brightness(images, draws[0] - 0.5)
    images = saturation(images, draws[1] * 2)
    return contrast(images, draws[2] + 0.5)


def _draw_translation(images: Array, rng: Array) -> Array:
    reach = jnp.array(_reach(images))
    return translation(images, jax.random.randint(rng, (images.shape[0], 2), -reach, reach + 1))


def _draw_cutout(images: Array, rng: Array) -> Array:
    # If the size is even, the centre may also lie on the far edge, so that both borders are cut equally often.
    limits = jnp.array([extent + (1 - _share(extent, CUTOUT_RATIO) % 2) for extent in images.shape[1:3]])
    return cutout(images, jax.random.randint(rng, (images.shape[0], 2), 0, limits))


_OPERATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "color": _draw_color,
    "translation": _draw_translation,
    "cutout": _draw_cutout,
}


def diff_augment(policy: str = "color,translation,cutout") -> Augmentation:
    """Augments every example that D receives, differentiably and independently: T(x) and T(G(z)).

    The operations run in the order of the policy:

    - color: brightness + U(-0.5, 0.5), then saturation x U(0, 2), then contrast x U(0.5, 1.5). An opacity, the fourth
      channel, keeps its values.
    - translation: by up to an eighth of the height and width. Zeros fill the border.
    - cutout: a rectangle of half the height and width becomes zero.

    The generator's gradient flows through all of them. Augment both reals and fakes, in the updates of both players. If only
    the reals are augmented, G learns to generate augmented images.

    Args:
        policy: Names of `POLICIES` joined by commas, in order. "" is the identity.

    Returns:
        An `Augmentation` without state. Its `apply` raises TypeError for integers, and ValueError unless the images are a
        non-empty [batch, height, width, channels].

    Raises:
        ValueError: The policy contains an unknown name.

    References:
        Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", 2020. The arithmetic is that of the
        authors' code. The random numbers are JAX's.
    """
    names = [name.strip() for name in policy.split(",") if name.strip()]
    for name in names:
        if name not in _OPERATIONS:
            raise ValueError(f"policy must list names from {', '.join(POLICIES)}, joined by commas; got {name!r} in {policy!r}")

    def apply(images: Array, state: tuple, rng: Array, step: Array) -> Array:
        del state, step
        check_float(images=images)
        check_rank(4, images=images)
        check_not_empty(images=images)
        for number, name in enumerate(names):
            images = _OPERATIONS[name](images, jax.random.fold_in(rng, number))
        return images

    return Augmentation(init=lambda: (), apply=apply)
