"""Self-attention over the pixels of a feature map, as in SAGAN."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax._internal.checks import check_rank
from gan_jax.nn.resize import max_pool
from gan_jax.typing import Array


class SelfAttention(nn.Module):
    """Adds to each pixel a weighted mean over all pixels. The weights depend on the similarity of the features.

    The layer has 1x1 convolutions q and k (to channels/8), v (to channels/2) and o (back to channels), all without a
    bias. P is 2x2 max pooling of keys and values.

        A = softmax_j(q(x)_i . P(k(x))_j)
        y = x + gamma * o(A P(v(x)))

    gamma starts at 0, so the layer starts as the identity.

    The map A is sown into collection "intermediates" as "attention_map".

    Attributes:
        kernel_init: Initialiser of the four kernels.
        dtype: Computation dtype. The softmax and the parameters are float32.

    References:
        Zhang et al., "Self-Attention Generative Adversarial Networks", 2019. The paper does not specify the pooling and
        the widths. They are those of the authors' code (`non_local.py` of brain-research/self-attention-gan). BigGAN's
        attention has the same parameters.
    """

    kernel_init: Any = nn.initializers.glorot_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, return_map: bool = False) -> Array | tuple[Array, Array]:
        """Attends over the pixels of each image.

        Args:
            x: float [batch, height, width, channels], with even sides and at least 8 channels.
            return_map: Whether to return A too.

        Returns:
            y, with the shape of x, in `dtype`. With `return_map`, the pair (y, A). A is float32
            [batch, height, width, height/2, width/2] and holds the weight of each pooled pixel for each pixel. The
            weights of each pixel sum to one.

        Raises:
            ValueError: If x is not of rank 4, has fewer than 8 channels, or has odd sides.
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
