"""The output layer of a projection discriminator."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.typing import Array


class ProjectionHead(nn.Module):
    """Maps features h to a logit. With classes, adds the inner product of the features and a learned vector of the class.

        logit = h . w + b + <embedding(y), h>

    Attributes:
        num_classes: Number of classes. 0 gives an unconditional head.
        use_bias: Whether to learn b.
        kernel_init: Initialiser of w and of the embedding.
        dtype: Computation dtype. Parameters are float32.

    References:
        Miyato and Koyama, "cGANs with Projection Discriminator", 2018.
    """

    num_classes: int = 0
    use_bias: bool = True
    kernel_init: Any = nn.initializers.glorot_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: Array, labels: Array | None = None) -> Array:
        """Maps features to logits.

        Args:
            features: float [batch, dim].
            labels: int32 [batch]. Required if num_classes > 0, ignored otherwise.

        Returns:
            float32 [batch].

        Raises:
            ValueError: If num_classes > 0 and `labels` is None.
        """
        linear = nn.Dense(1, use_bias=self.use_bias, kernel_init=self.kernel_init, dtype=self.dtype, name="linear")
        logits = linear(features)[:, 0].astype(jnp.float32)
        if not self.num_classes:
            return logits
        if labels is None:
            raise ValueError(f"labels must be int32 [batch] for a head of num_classes={self.num_classes}; got None")
        embed = nn.Embed(self.num_classes, features.shape[-1], embedding_init=self.kernel_init, dtype=self.dtype, name="embedding")
        return logits + (embed(labels) * features.astype(self.dtype)).astype(jnp.float32).sum(axis=-1)
