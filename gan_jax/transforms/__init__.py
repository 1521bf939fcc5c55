"""Transformations of a parameter tree. Each is a `ParamTransform`: pure functions and an explicit state."""

from gan_jax._kernels import is_kernel, is_weight
from gan_jax.transforms.spectral import SpectralNormState, spectral_norm
from gan_jax.transforms.weight import WeightNormParams, weight_norm

__all__ = ["SpectralNormState", "WeightNormParams", "is_kernel", "is_weight", "spectral_norm", "weight_norm"]
