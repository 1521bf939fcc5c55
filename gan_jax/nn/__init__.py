"""Layers: Flax Linen modules where there is something to learn, plain functions where there is not. One concept a file.

Layers take images [batch, height, width, channels], and `MinibatchDiscrimination`, `ProjectionHead`, `EqualizedDense` vectors
[batch, features]; `ReferenceBatch` takes what its network takes. Each computes in its `dtype`, keeps its parameters and its
statistics in float32, and may be differentiated twice. A name loads its file when it is first used.
"""

import importlib
from typing import Any

_FILES = {
    "batch_norm": ("BatchNorm",),
    "class_embedding": ("ClassEmbedding",),
    "conditional_batch_norm": ("ConditionalBatchNorm",),
    "fast_conv.conv": ("Conv", "ConvTranspose"),
    "dropout": ("SamplingDropout",),
    "equalized": ("EqualizedConv", "EqualizedDense"),
    "gated_conv": ("GatedConv",),
    "fast_conv.grouped": ("GroupedConv",),
    "instance_norm": ("InstanceNorm",),
    "layer_norm": ("LayerNorm",),
    "minibatch_discrimination": ("MinibatchDiscrimination",),
    "noise": ("GaussianNoise", "NoiseInjection"),
    "norms": ("NORMS", "normalize"),
    "pixelwise_norm": ("pixel_norm",),
    "projection": ("ProjectionHead",),
    "resampling": ("DOWN", "UP", "Downsample", "Upsample"),
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
    "shuffle": ("pixel_shuffle", "pixel_unshuffle"),
    "statistics": ("moments",),
    "stddev": ("minibatch_stddev",),
    "switchable_norm": ("SwitchableNorm",),
    "virtual_batch_norm": ("ReferenceBatch", "VirtualBatchNorm", "set_reference"),
}
_HOME = {name: file for file, names in _FILES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    # No file may be called as one of the names is: importing it would hide the name.
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
