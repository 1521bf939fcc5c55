"""Class labels as extra channels of an image or feature map."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.typing import Array


class ClassEmbedding(nn.Module):
    """Appends a learned embedding of each label to the image as extra channels.

    The embedding of a label is a map of size x size pixels, repeated to the size of the image.

    Attributes:
        num_classes: Number of classes.
        features: Number of appended channels. Keep it small, so that the label does not dominate the image.
        size: Side of the learned map of each class. With 1, each appended channel is constant over the pixels.
        embedding_init: Initialiser of the table [num_classes, size * size * features].
        dtype: Dtype of the result. The table is float32.

    References:
        Chintala et al., "How to Train a GAN?", 2016, item 16. Mirza and Osindero, "Conditional GANs", 2014.
    """

    num_classes: int
    features: int = 8
    size: int = 1
    embedding_init: Any = nn.initializers.normal(1.0)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, labels: Array) -> Array:
        """Appends the channels of the labels to x.

        Args:
            x: float [batch, height, width, channels]. Height and width are multiples of `size`.
            labels: int32 [batch], in [0, num_classes).

        Returns:
            [batch, height, width, channels + features], in `dtype`.

        Raises:
            ValueError: If the shape of the labels does not match x, or if `size` does not divide the sides of x.
        """
        if labels.shape != x.shape[:1]:
            raise ValueError(f"labels must be of shape {x.shape[:1]}; got {labels.shape}")
        batch, height, width, _ = x.shape
        if height % self.size or width % self.size:
            raise ValueError(f"x must have sides that are multiples of size={self.size}; got shape {x.shape}")
        table = nn.Embed(self.num_classes, self.size**2 * self.features, embedding_init=self.embedding_init, dtype=self.dtype, name="table")
        maps = table(labels).reshape(batch, self.size, 1, self.size, 1, self.features)
        repeated = (batch, self.size, height // self.size, self.size, width // self.size, self.features)
        maps = jnp.broadcast_to(maps, repeated).reshape(batch, height, width, self.features)
        return jnp.concatenate([x.astype(self.dtype), maps], axis=-1)
