"""The last layer of a projection discriminator."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.typing import Array


class ProjectionHead(nn.Module):
    """Turns features into a logit that is linear in them and, with classes, in their inner product with the class's vector.

    logit = h . w + b + <embedding(y), h>.

    Attributes:
        num_classes: 0 for an unconditional head.
        use_bias: learn b.
        kernel_init: of w and of the embedding.
        dtype: of computation; parameters are float32.

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
            labels: int32 [batch]; needed where num_classes > 0, ignored where it is 0.

        Returns:
            float32 [batch].

        Raises:
            ValueError: classes without labels.
        """
        linear = nn.Dense(1, use_bias=self.use_bias, kernel_init=self.kernel_init, dtype=self.dtype, name="linear")
        logits = linear(features)[:, 0].astype(jnp.float32)
        if not self.num_classes:
            return logits
        if labels is None:
            raise ValueError(f"labels must be int32 [batch] for a head of num_classes={self.num_classes}; got None")
        embed = nn.Embed(self.num_classes, features.shape[-1], embedding_init=self.kernel_init, dtype=self.dtype, name="embedding")
        return logits + (embed(labels) * features.astype(self.dtype)).astype(jnp.float32).sum(axis=-1)
