"""Transformations of a parameter tree, and of a critic.

`spectral_norm` and `weight_norm` are a `ParamTransform`: pure functions and an explicit state. `gradient_normalized` makes a critic of a
critic, and has no state.
"""

from gan_jax._internal.kernels import is_kernel, is_weight
from gan_jax.transforms.gradient import gradient_normalized, gradient_normalized_network, normalize_gradient
from gan_jax.transforms.spectral import SpectralNormState, spectral_norm
from gan_jax.transforms.weight import WeightNormParams, weight_norm

__all__ = [
    "SpectralNormState",
    "WeightNormParams",
    "gradient_normalized",
    "gradient_normalized_network",
    "is_kernel",
    "is_weight",
    "normalize_gradient",
    "spectral_norm",
    "weight_norm",
]
