"""The head of a discriminator that compares embeddings of images with one learned vector for each class."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.typing import Array


class ProxyHead(nn.Module):
    """Maps features to an embedding, and labels to the learned vectors (proxies) of their classes.

    Neither is normalised. The losses of `gan_jax.losses.contrastive` compare directions only.

    Attributes:
        num_classes: Number of classes.
        features: Dimension of embeddings and proxies.
        kernel_init: Initialiser of the map to the embedding.
        dtype: Computation dtype. Parameters are float32.

    References:
        Kang and Park, "ContraGAN", 2020. Kang et al., "ReACGAN", 2021, whose proxies are also initialised orthogonally.
    """

    num_classes: int
    features: int
    kernel_init: Any = nn.initializers.glorot_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, labels: Array) -> tuple[Array, Array]:
        """Maps float [batch, dim] and int32 [batch] to embeddings and proxies, both float32 [batch, features]."""
        embed = nn.Dense(self.features, kernel_init=self.kernel_init, dtype=self.dtype, name="embed")
        table = nn.Embed(self.num_classes, self.features, embedding_init=nn.initializers.orthogonal(), dtype=self.dtype, name="proxies")
        return embed(x.astype(self.dtype)).astype(jnp.float32), table(labels).astype(jnp.float32)
