"""Packing: the discriminator judges m samples at once, so that a lack of variety shows."""

import jax.numpy as jnp

from gan_jax._checks import check_float, check_not_empty
from gan_jax.typing import Array, InputTransform


def pack(m: int = 2) -> InputTransform:
    """Joins m neighbouring examples of the batch along the last axis: [b m, h, w, c] -> [b, h, w, c m].

    Pack i holds the examples i m, ..., i m + m - 1, in that order of channels. The batch of logits is m times smaller,
    and the discriminator has m times as many input channels. Points [b m, d] become [b, d m]. m = 1 is the identity.

    Args:
        m: samples in a pack, at least 1; the paper's "packing degree", 2 to 4 there.

    Returns:
        An `InputTransform` without state or randomness. Its `apply` raises ValueError for a batch that is not a
        multiple of m or has no axis beside the batch, TypeError for integers.

    Raises:
        ValueError: m below 1.

    References:
        Lin et al., "PacGAN: The power of two samples in generative adversarial networks", 2018.
    """
    if m < 1:
        raise ValueError(f"m must be at least 1; got {m}")

    def apply(images: Array, state: tuple, rng: Array, step: Array) -> Array:
        del state, rng, step
        check_float(images=images)
        check_not_empty(images=images)
        if images.ndim < 2 or images.shape[0] % m:
            raise ValueError(f"images must be [batch, ...] with a batch that is a multiple of m = {m}; got {images.shape}")
        if m == 1:
            return images
        packs = images.reshape(images.shape[0] // m, m, *images.shape[1:])
        packs = jnp.moveaxis(packs, 1, -2)
        return packs.reshape(*packs.shape[:-2], m * images.shape[-1])

    return InputTransform(init=lambda: (), apply=apply)
