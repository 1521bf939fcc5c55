"""Contexts of a conditional GAN, computed from the real images of the batch: one pure function per kind, and a table.

Each function has the form `(rng, real) -> context`, where `real` is float [batch, height, width, channels] in [-1, 1].
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.typing import Array


def edges(rng: Array, real: Array) -> Array:
    """Edge map of each image: the magnitude of the Sobel gradient of the mean over the channels.

        e = 2 min(1, 2 |grad|) - 1

    The kernels are [1 2 1] x [1 0 -1] / 8. Border pixels are repeated outwards.

    Returns:
        Float [batch, height, width, 1] in [-1, 1]. The value is -1 if the image is flat.
    """
    grey = real.mean(axis=-1)
    padded = jnp.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    columns = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    across = (rows[:, :, 2:] - rows[:, :, :-2]) / 8
    down = (columns[:, 2:] - columns[:, :-2]) / 8
    # The magnitude is not differentiated, so the square root needs no guard at zero.
    magnitude = jnp.sqrt(across**2 + down**2)
    return (2 * jnp.minimum(1.0, 2 * magnitude) - 1)[..., None]


def masked(rng: Array, real: Array) -> Array:
    """Each image with a missing square at a random place, and the mask as the last channel.

    The side of the square is half the side of the image.

    Returns:
        Float [batch, height, width, channels + 1]. The image is 0 in the hole. The mask is 1 in the hole and 0 outside.
    """
    batch, height, width, _ = real.shape
    top_key, left_key = jax.random.split(rng)
    top = jax.random.randint(top_key, (batch, 1, 1), 0, height - height // 2 + 1)
    left = jax.random.randint(left_key, (batch, 1, 1), 0, width - width // 2 + 1)
    row, column = jnp.arange(height)[None, :, None], jnp.arange(width)[None, None, :]
    inside = (row >= top) & (row < top + height // 2) & (column >= left) & (column < left + width // 2)
    mask = inside[..., None].astype(real.dtype)
    return jnp.concatenate([real * (1 - mask), mask], axis=-1)


def small(rng: Array, real: Array) -> Array:
    """Each image, averaged down to a quarter of its height and width: float [batch, height / 4, width / 4, channels]."""
    batch, height, width, channels = real.shape
    return real.reshape(batch, height // 4, 4, width // 4, 4, channels).mean(axis=(2, 4))


def real_images(rng: Array, real: Array) -> Array:
    """The real images themselves, for a generator with an encoder."""
    return real


def nothing(rng: Array, real: Array) -> None:
    """Returns None, for a GAN without a context."""
    return None


class Condition(NamedTuple):
    """Where the context of a batch comes from: a function of its reals, or the data.

    Attributes:
        function: `(rng, real) -> context`.
        draws: Whether the function uses its random key. If not, each context depends on its own image alone.
        shape: Shape of one context that is in the data, beside the real image. The function is then not used. None if it makes them.
    """

    function: Callable[[Array, Array], Array | None]
    draws: bool = False
    shape: tuple[int, ...] | None = None

    def __call__(self, rng: Array, real: Array, given: Array | None = None) -> Array | None:
        """Makes the context of a batch of reals.

        Args:
            rng: Typed key.
            real: Float [batch, ...].
            given: The contexts in the data, float [batch, *shape]. None if `shape` is None.

        Raises:
            ValueError: If contexts are given but not used, are missing, or have another shape.
        """
        if self.shape is None:
            if given is not None:
                raise ValueError("batch['input'] is given, but the GAN makes its contexts from the images; use conditioning.given_inputs")
            return self.function(rng, real)
        expected = (real.shape[0], *self.shape)
        if given is None or given.shape != expected:
            raise ValueError(f"batch['input'] must have shape {expected}; got {None if given is None else given.shape}")
        return given

    def example(self, rng: Array, real: Array) -> Array | None:
        """A context for the initialisation of the networks: zeros if contexts are in the data."""
        return self.function(rng, real) if self.shape is None else jnp.zeros((real.shape[0], *self.shape), jnp.float32)


def given_inputs(shape: tuple[int, ...]) -> Condition:
    """The condition on inputs in the data, as in paired image-to-image translation: each batch has them as `input`.

    Args:
        shape: (height, width, channels) of one input.
    """
    return Condition(nothing, shape=tuple(shape))


CONDITIONS: dict[str | None, Condition] = {
    None: Condition(nothing),
    "image": Condition(edges),
    "masked": Condition(masked, draws=True),
    "small": Condition(small),
    "real": Condition(real_images),
    "domains": Condition(real_images),  # The real images are those of both domains, joined along the channels.
}
