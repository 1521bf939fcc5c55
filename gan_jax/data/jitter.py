"""Random jitter: images are enlarged a little and cropped back at a random place."""

import jax
import jax.numpy as jnp

from gan_jax.typing import Array


def jitter_images(images: Array, crops: Array, *, jitter: int) -> Array:
    """Enlarges images by some pixels a side, and crops them back to their size. The function is pure, for use inside a jitted program.

    The enlarged images are bicubic (Keys, 1981, a = -1/2) and rounded, as those of Pillow.

    Args:
        images: uint8 [..., height, width, channels].
        crops: int32 [..., 2], the top and left of each crop in the enlarged image, from 0 to `jitter`. Images with the same crops stay
            aligned.
        jitter: Number of pixels by which each side is enlarged, at least 1.

    Returns:
        uint8, the shape of `images`.

    References:
        Isola et al., "Image-to-image translation with conditional adversarial networks", 2017, section 6.2: 256x256 images become 286x286.
    """
    *leading, height, width, channels = images.shape
    flat = images.reshape(-1, height, width, channels).astype(jnp.float32)
    large = jax.image.resize(flat, (len(flat), height + jitter, width + jitter, channels), "cubic")
    cut = jax.vmap(lambda image, place: jax.lax.dynamic_slice(image, (place[0], place[1], 0), (height, width, channels)))
    cropped = cut(large, crops.reshape(-1, 2))
    return jnp.clip(jnp.round(cropped), 0, 255).astype(images.dtype).reshape(*leading, height, width, channels)
