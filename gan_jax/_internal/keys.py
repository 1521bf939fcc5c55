"""Keys of random draws."""

import zlib

import jax

from gan_jax.typing import Array


def named_key(rng: Array, name: str) -> Array:
    """The key of one named use. A new use does not change the draws of the others, because no key is split."""
    return jax.random.fold_in(rng, zlib.crc32(name.encode()))
