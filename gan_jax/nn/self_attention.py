"""Self-attention over the pixels of a feature map, as in SAGAN."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax._checks import check_rank
from gan_jax.nn.resize import max_pool
from gan_jax.typing import Array


class SelfAttention(nn.Module):
    """Adds to each pixel a mixture of all others, weighed by how alike their features are; it starts as the identity.

    With 1x1 convolutions q, k (to channels/8), v (to channels/2) and o (back to channels), none with a bias, and 2x2
    max pooling P of keys and values: A = softmax_j(q(x)_i . P(k(x))_j), y = x + gamma * o(A P(v(x))), gamma = 0 at first.

    The map A is sown into collection "intermediates" as "attention_map", and returned on request.

    Attributes:
        kernel_init: of the four kernels.
        dtype: of computation; the softmax is float32, as the parameters are.

    References:
        Zhang et al., "Self-Attention Generative Adversarial Networks", 2019; pooling and widths are those of the authors' code
        (`non_local.py` of brain-research/self-attention-gan), where the paper leaves them open. The parameters are those
        of BigGAN's attention too.
    """

    kernel_init: Any = nn.initializers.glorot_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, return_map: bool = False) -> Array | tuple[Array, Array]:
        """Attends over the pixels of each image.

        Args:
            x: float [batch, height, width, channels]; even sides, at least 8 channels.
            return_map: return A as well.

        Returns:
            y, of the shape of x, in `dtype`; with `return_map` (y, A), A float32 [batch, height, width, height/2, width/2]:
            how much each pixel takes from each pooled pixel; each pixel's weights sum to one.

        Raises:
            ValueError: x is not of rank 4, has too few channels, or odd sides.
        """
        check_rank(4, x=x)
        batch, height, width, channels = x.shape
        if channels < 8 or height % 2 or width % 2:
            raise ValueError(f"x must have at least 8 channels and even sides; got shape {x.shape}")

        # A 1x1 convolution is a dense layer over the channels.
        def project(features: int, name: str) -> nn.Dense:
            return nn.Dense(features, use_bias=False, kernel_init=self.kernel_init, dtype=self.dtype, name=name)

        query = project(channels // 8, "query")(x).reshape(batch, height * width, -1)
        key = max_pool(project(channels // 8, "key")(x)).reshape(batch, height * width // 4, -1)
        value = max_pool(project(channels // 2, "value")(x)).reshape(batch, height * width // 4, -1)
        scores = jnp.einsum("bic,bjc->bij", query, key).astype(jnp.float32)
        attention = jax.nn.softmax(scores, axis=-1)
        mixed = jnp.einsum("bij,bjc->bic", attention.astype(self.dtype), value).reshape(batch, height, width, -1)
        gamma = self.param("gamma", nn.initializers.zeros, (), jnp.float32)
        y = x.astype(self.dtype) + gamma.astype(self.dtype) * project(channels, "output")(mixed)

        attention = attention.reshape(batch, height, width, height // 2, width // 2)
        self.sow("intermediates", "attention_map", attention)
        return (y, attention) if return_map else y
