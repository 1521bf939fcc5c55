"""CutMix for a discriminator with one logit for each pixel: images that are real inside a box and fake outside, or the reverse."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gan_jax._internal.checks import check_float, check_rank, check_same_shape
from gan_jax.typing import Array


def cutmix_mask(share: ArrayLike, row: ArrayLike, column: ArrayLike, inverted: ArrayLike, *, height: int, width: int) -> Array:
    """The mask of one box: 0 inside and 1 outside, or the reverse.

    The box has `share` of the area of the image, and is cut off at its border. Its sides are rounded down to whole pixels.

    Args:
        share: Share of the area, float [] in [0, 1].
        row, column: Pixel at the centre of the box, int32 [].
        inverted: Whether the box is 1 and the rest 0, bool [].
        height, width: Size of the image in pixels.

    Returns:
        float32 [height, width].
    """
    side = jnp.sqrt(share)

    def inside(center: ArrayLike, size: int) -> Array:
        half = (size * side).astype(jnp.int32) // 2
        pixels = jnp.arange(size)
        return (pixels >= center - half) & (pixels < center + half)

    box = inside(row, height)[:, None] & inside(column, width)[None, :]
    return jnp.where(inverted, box, ~box).astype(jnp.float32)


def draw_cutmix_masks(rng: Array, shape: tuple[int, ...]) -> Array:
    """Draws the masks of CutMix. A mask is 1 where the mixed image is real.

    The box has a uniform share of the area and a uniform centre. With probability 1/2 the real part is inside of it.

    Args:
        rng: JAX random key.
        shape: (batch, height, width).

    Returns:
        float32 of that shape, 0 or 1.

    References:
        Yun et al., "CutMix", 2019; `CutMix` of boschresearch/unetgan, mixup.py, commit 37adcf0.
    """
    batch, height, width = shape
    share_rng, row_rng, column_rng, side_rng = jax.random.split(rng, 4)
    share = jax.random.uniform(share_rng, (batch,))
    row = jax.random.randint(row_rng, (batch,), 0, height)
    column = jax.random.randint(column_rng, (batch,), 0, width)
    inverted = jax.random.bernoulli(side_rng, 0.5, (batch,))
    return jax.vmap(lambda *box: cutmix_mask(*box, height=height, width=width))(share, row, column, inverted)


def mix_images(real: Array, fake: Array, masks: Array) -> Array:
    """CutMix of images: M x + (1 - M) G(z).

    Args:
        real: Float [batch, height, width, channels].
        fake: Float, same shape.
        masks: [batch, height, width], 1 where the result is real.

    Raises:
        ValueError: The shapes differ, or the masks do not fit the images.
    """
    check_same_shape(real=real, fake=fake)
    check_rank(4, real=real)
    if masks.shape != real.shape[:3]:
        raise ValueError(f"masks must be {real.shape[:3]}, one value for each pixel; got {masks.shape}")
    masks = masks[..., None].astype(real.dtype)
    return masks * real + (1 - masks) * fake


def cutmix_loss(image_logits: Array, pixel_logits: Array, masks: Array) -> Array:
    """Loss of D on mixed images: the image is a fake, and each pixel is what it is, in cross-entropy.

        softplus(D(x)) + mean over the pixels of softplus(D_p(x)) - M_p D_p(x)

    Args:
        image_logits: Logits of the mixed images, float [batch].
        pixel_logits: Logits of their pixels, float [batch, height, width].
        masks: Same shape, 1 where the image is real.

    Returns:
        [batch], at least float32.

    Raises:
        ValueError: The shapes do not fit.
        TypeError: The logits are not floating point.

    References:
        Schönfeld et al., "A U-Net Based Discriminator for Generative Adversarial Networks", 2020; train_fns.py of
        boschresearch/unetgan, commit 37adcf0.
    """
    check_float(image_logits=image_logits, pixel_logits=pixel_logits)
    _check_pixels(image_logits, pixel_logits, masks)
    image_logits, pixel_logits = (logits.astype(jnp.promote_types(logits.dtype, jnp.float32)) for logits in (image_logits, pixel_logits))
    return jax.nn.softplus(image_logits) + jnp.mean(jax.nn.softplus(pixel_logits) - masks * pixel_logits, axis=(1, 2))


def cutmix_consistency(mixed_logits: Array, real_logits: Array, fake_logits: Array, masks: Array) -> Array:
    """CutMix consistency of D's map: the mean over the pixels of (D(M x + (1 - M) G(z)) - M D(x) - (1 - M) D(G(z)))^2.

    All three maps carry gradient, as in the authors' code.

    Args:
        mixed_logits, real_logits, fake_logits: Logits of the pixels of the mixed images, the reals and the fakes, float [batch, height,
            width].
        masks: Same shape, 1 where the mixed image is real.

    Returns:
        [batch], at least float32. The paper's weight is 1.

    Raises:
        ValueError: The shapes differ.
        TypeError: The logits are not floating point.

    References:
        Schönfeld et al., "A U-Net Based Discriminator for Generative Adversarial Networks", 2020; train_fns.py of
        boschresearch/unetgan, commit 37adcf0.
    """
    check_float(mixed_logits=mixed_logits, real_logits=real_logits, fake_logits=fake_logits)
    check_same_shape(mixed_logits=mixed_logits, real_logits=real_logits, fake_logits=fake_logits, masks=masks)
    check_rank(3, mixed_logits=mixed_logits)
    mixed, real, fake = (logits.astype(jnp.promote_types(logits.dtype, jnp.float32)) for logits in (mixed_logits, real_logits, fake_logits))
    return jnp.mean(jnp.square(mixed - masks * real - (1 - masks) * fake), axis=(1, 2))


def _check_pixels(image_logits: Array, pixel_logits: Array, masks: Array) -> None:
    check_same_shape(pixel_logits=pixel_logits, masks=masks)
    check_rank(3, pixel_logits=pixel_logits)
    if image_logits.shape != pixel_logits.shape[:1]:
        raise ValueError(f"image_logits must be one for each image, {pixel_logits.shape[:1]}; got {image_logits.shape}")
