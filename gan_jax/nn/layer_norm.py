"""Layer normalisation of images: each example is normalised by the mean and variance of all its elements."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.typing import Array


class LayerNorm(nn.Module):
    """Normalises each example over all its pixels and channels, then scales and shifts each channel.

        y = scale * (x - mean_hwc(x)) / sqrt(var_hwc(x) + epsilon) + bias

    Equal to PyTorch's `GroupNorm(1, channels)` and to Flax's `LayerNorm` with reduction axes for images. Flax's default
    reduces over the channels only, which is a different layer.

    The layer does not mix examples, so a gradient penalty per example remains valid.

    Attributes:
        epsilon: Added to the variance.
        use_scale: Whether to multiply by one learned scale per channel.
        use_bias: Whether to add one learned bias per channel, which starts at zero.
        scale_init: Initialiser of the scale.
        dtype: Dtype of the result. Statistics and parameters are float32.

    References:
        Ba et al., "Layer Normalization", 2016. In critics: Gulrajani et al., "Improved Training of Wasserstein GANs",
        2017, section 4. Differs: one scale per channel instead of one per element.
    """

    epsilon: float = 1e-5
    use_scale: bool = True
    use_bias: bool = True
    scale_init: Any = nn.initializers.ones
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps float [batch, ..., channels] to the same shape in `dtype`."""
        return nn.LayerNorm(
            self.epsilon,
            dtype=self.dtype,
            use_bias=self.use_bias,
            use_scale=self.use_scale,
            scale_init=self.scale_init,
            reduction_axes=tuple(range(1, x.ndim)),
            feature_axes=-1,
            # The fast variance E[x^2] - E[x]^2 loses digits if the mean is large.
            use_fast_variance=False,
            name="norm",
        )(x)
