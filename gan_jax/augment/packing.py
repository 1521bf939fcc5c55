"""Packing: the discriminator receives m samples at once, so that it can detect a lack of variety."""

import jax.numpy as jnp

from gan_jax._internal.checks import check_float, check_not_empty
from gan_jax.typing import Array, Augmentation


def pack(m: int = 2) -> Augmentation:
    """Joins m neighbouring examples of the batch along the last axis: [b m, h, w, c] -> [b, h, w, c m].

    Pack i holds the examples i m, ..., i m + m - 1, in that order of channels. The batch of logits is m times smaller, and the
    discriminator has m times as many input channels. Points [b m, d] become [b, d m]. With m = 1 the result is unchanged.

    Args:
        m: Number of samples in a pack, at least 1. The paper calls it "packing degree" and uses 2 to 4.

    Returns:
        An `Augmentation` without state or randomness. Its `apply` raises TypeError for integers. It raises ValueError if the
        batch size is not a positive multiple of m, or if there is no axis besides the batch.

    Raises:
        ValueError: `m` is below 1.

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
        return join_packs(images, m)

    return Augmentation(init=lambda: (), apply=apply, packs=m)


def join_packs(images: Array, m: int) -> Array:
    """[b m, ..., c] -> [b, ..., c m]; see `pack`."""
    if m == 1:
        return images
    packs = jnp.moveaxis(images.reshape(images.shape[0] // m, m, *images.shape[1:]), 1, -2)
    return packs.reshape(*packs.shape[:-2], m * images.shape[-1])


def split_packs(packs: Array, m: int) -> Array:
    """[b, ..., c m] -> [b m, ..., c]; the inverse of `join_packs`."""
    if m == 1:
        return packs
    images = jnp.moveaxis(packs.reshape(*packs.shape[:-1], m, packs.shape[-1] // m), -2, 1)
    return images.reshape(-1, *images.shape[2:])
