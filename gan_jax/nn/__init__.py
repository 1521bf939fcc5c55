"""Layers for generators and discriminators. Layers with parameters are Flax Linen modules, and all others are functions.

Most layers take images, float [batch, height, width, channels]. `MinibatchDiscrimination`, `ProjectionHead`, `ProxyHead`
and `EqualizedDense` take vectors, float [batch, features]. `ReferenceBatch` takes the inputs of its network.

Every layer computes in its `dtype` and keeps its parameters and statistics in float32. Every layer can be
differentiated twice.

Each file holds one concept. A file is imported when one of its names is first used.
"""

import importlib
from typing import Any

_FILES = {
    "batch_norm": ("BatchNorm",),
    "class_embedding": ("ClassEmbedding",),
    "conditional_batch_norm": ("ConditionalBatchNorm",),
    "fast_conv.conv": ("Conv", "ConvTranspose", "conv2d", "conv2d_transpose"),
    "dropout": ("SamplingDropout",),
    "equalized": ("EqualizedConv", "EqualizedDense"),
    "gated_conv": ("GatedConv",),
    "fast_conv.grouped": ("GroupedConv",),
    "instance_norm": ("InstanceNorm",),
    "layer_norm": ("LayerNorm",),
    "minibatch_discrimination": ("MinibatchDiscrimination",),
    "modulation": ("modulated_conv",),
    "noise": ("GaussianNoise", "NoiseInjection"),
    "norms": ("NORMS", "normalize"),
    "pixelwise_norm": ("pixel_norm",),
    "projection": ("ProjectionHead",),
    "proxy_head": ("ProxyHead",),
    "resampling": ("DOWN", "UP", "Downsample", "Upsample"),
    "resampling_conv": ("resampled_conv",),
    "resize": (
        "average_pool",
        "filtered_downsample",
        "filtered_upsample",
        "max_pool",
        "resize_bilinear",
        "resize_nearest",
    ),
    "self_attention": ("SelfAttention",),
    "shared_axis": ("gather_batch", "own_batch", "sharing_batch"),
    "shuffle": ("pixel_shuffle",),
    "statistics": ("moments",),
    "stddev": ("largest_group", "minibatch_stddev"),
    "switchable_norm": ("SwitchableNorm",),
    "upfirdn": ("fir_filter", "upfirdn2d"),
    "virtual_batch_norm": ("ReferenceBatch", "VirtualBatchNorm", "set_reference"),
}
_HOME = {name: file for file, names in _FILES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    # A file must not have the name of a layer, because importing the file would then hide the layer.
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
