"""A class label as further channels of an image or feature map."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.nn.resize import resize_nearest
from gan_jax.typing import Array


class ClassEmbedding(nn.Module):
    """Looks up a low-dimensional embedding of each label, up-samples it to the image and appends it as channels.

    Attributes:
        num_classes: of the labels.
        features: channels to append; few, so that the label does not drown the image.
        size: side of the learned map of each class; 1 gives channels that are the same for all pixels.
        embedding_init: of the table [num_classes, size * size * features].
        dtype: of the result; the table is float32.

    References:
        Chintala et al., "How to Train a GAN?", 2016, item 16; Mirza and Osindero, "Conditional GANs", 2014.
    """

    num_classes: int
    features: int = 8
    size: int = 1
    embedding_init: Any = nn.initializers.normal(1.0)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, labels: Array) -> Array:
        """Appends the labels' channels to x.

        Args:
            x: float [batch, height, width, channels]; square, its sides a multiple of `size`.
            labels: int32 [batch], in [0, num_classes).

        Returns:
            [batch, height, width, channels + features], in `dtype`.

        Raises:
            ValueError: shapes that do not fit.
        """
        if labels.shape != x.shape[:1]:
            raise ValueError(f"labels must be of shape {x.shape[:1]}; got {labels.shape}")
        if x.shape[1] != x.shape[2] or x.shape[1] % self.size:
            raise ValueError(f"x must be square with sides a multiple of size={self.size}; got shape {x.shape}")
        table = nn.Embed(self.num_classes, self.size**2 * self.features, embedding_init=self.embedding_init, dtype=self.dtype, name="table")
        maps = table(labels).reshape(-1, self.size, self.size, self.features)
        return jnp.concatenate([x.astype(self.dtype), resize_nearest(maps, x.shape[1] // self.size)], axis=-1)
