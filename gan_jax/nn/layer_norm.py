"""Layer normalisation of images: each example by its own mean and variance over everything it has."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.typing import Array


class LayerNorm(nn.Module):
    """Normalises each example over all its pixels and channels, then scales and shifts each channel.

    y = scale * (x - mean_hwc(x)) / sqrt(var_hwc(x) + epsilon) + bias: Flax's `LayerNorm` with its reduction axes
    set for images. (Flax's default, over channels only, is another layer: it forgets nothing about pixels.)
    PyTorch's `GroupNorm(1, channels)`. It mixes no examples, so a gradient penalty per example stays meaningful.

    Attributes:
        epsilon: added to the variance.
        use_scale: learn one scale a channel, from `scale_init`.
        use_bias: learn one bias a channel, from zero.
        scale_init: initialiser of the scale.
        dtype: of the result; statistics and parameters are float32.

    References:
        Ba et al., "Layer Normalization", 2016; in critics: Gulrajani et al., "Improved Training of Wasserstein GANs",
        2017, section 4. Differs: one scale a channel, not one an element.
    """

    epsilon: float = 1e-5
    use_scale: bool = True
    use_bias: bool = True
    scale_init: Any = nn.initializers.ones
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns float [batch, ..., channels], as x."""
        return nn.LayerNorm(
            self.epsilon,
            dtype=self.dtype,
            use_bias=self.use_bias,
            use_scale=self.use_scale,
            scale_init=self.scale_init,
            reduction_axes=tuple(range(1, x.ndim)),
            feature_axes=-1,
            # E[x^2] - E[x]^2 loses the digits that a large mean takes.
            use_fast_variance=False,
            name="norm",
        )(x)
