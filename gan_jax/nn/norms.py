"""A table of all normalisations by name, and one function that applies any of them."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.nn.batch_norm import BatchNorm
from gan_jax.nn.conditional_batch_norm import ConditionalBatchNorm
from gan_jax.nn.instance_norm import InstanceNorm
from gan_jax.nn.layer_norm import LayerNorm
from gan_jax.nn.pixelwise_norm import pixel_norm
from gan_jax.nn.switchable_norm import SwitchableNorm
from gan_jax.nn.virtual_batch_norm import VirtualBatchNorm
from gan_jax.typing import Array

# Signature of a row: `(x, *, train, condition, num_classes, reference_size, axis_name, scale_init, dtype, name) -> y`.
Norm = Callable[..., Array]


def _none(x: Array, **_: Any) -> Array:
    return x


def _pixel(x: Array, *, dtype: Any, **_: Any) -> Array:
    return pixel_norm(x).astype(dtype)


def _batch(x: Array, *, train: bool, axis_name: str | None, scale_init: Any, dtype: Any, name: str | None, **_: Any) -> Array:
    settings = {"momentum": 0.9, "epsilon": 1e-5, "axis_name": axis_name, "scale_init": scale_init, "dtype": dtype, "name": name}
    return BatchNorm(use_running_average=not train, **settings)(x)


def _instance(x: Array, *, scale_init: Any, dtype: Any, name: str | None, **_: Any) -> Array:
    return InstanceNorm(scale_init=scale_init, dtype=dtype, name=name)(x)


def _layer(x: Array, *, scale_init: Any, dtype: Any, name: str | None, **_: Any) -> Array:
    return LayerNorm(scale_init=scale_init, dtype=dtype, name=name)(x)


def _switchable(x: Array, *, train: bool, axis_name: str | None, scale_init: Any, dtype: Any, name: str | None, **_: Any) -> Array:
    norm = SwitchableNorm(axis_name=axis_name, scale_init=scale_init, dtype=dtype, name=name)
    return norm(x, use_running_average=not train)


def _virtual_batch(x: Array, *, reference_size: int, scale_init: Any, dtype: Any, name: str | None, **_: Any) -> Array:
    return VirtualBatchNorm(reference_size, scale_init=scale_init, dtype=dtype, name=name)(x)


def _conditional_batch(
    x: Array, *, train: bool, condition: Array | None, num_classes: int, axis_name: str | None, dtype: Any, name: str | None, **_: Any
) -> Array:
    if condition is None:
        raise ValueError("norm 'conditional_batch' needs a condition: int32 [batch] labels or float [batch, dim] vectors; got None")
    norm = ConditionalBatchNorm(num_classes, axis_name=axis_name, dtype=dtype, name=name)
    return norm(x, condition, use_running_average=not train)


NORMS: dict[str, Norm] = {
    "none": _none,
    "batch": _batch,
    "instance": _instance,
    "layer": _layer,
    "pixel": _pixel,
    "switchable": _switchable,
    "virtual_batch": _virtual_batch,
    "conditional_batch": _conditional_batch,
}


def normalize(
    x: Array,
    norm: str,
    *,
    train: bool,
    name: str | None = None,
    condition: Array | None = None,
    num_classes: int = 0,
    reference_size: int = 0,
    axis_name: str | None = None,
    scale_init: Any = nn.initializers.ones,
    dtype: Any = jnp.float32,
) -> Array:
    """Normalises x with the normalisation of the given name.

    Call it in a compact `__call__`. The parameters of the normalisation become parameters of that module.

    Args:
        x: float [batch, height, width, channels].
        norm: A key of `NORMS`.
        train: If true, the batch norms ("batch", "switchable", "conditional_batch") use the statistics of the batch and
            update the running statistics. If false, they use the running statistics.
        name: Name of the parameters of the normalisation.
        condition: Condition of "conditional_batch": int32 [batch] labels, or float [batch, dim] vectors.
        num_classes: Number of classes of "conditional_batch" with labels. 0 with vectors.
        reference_size: Number of leading rows of x that are the reference of "virtual_batch". See `VirtualBatchNorm`.
        axis_name: Mapped axis (`shard_map` or `pmap`) whose devices share batch statistics.
        scale_init: Initialiser of the scales. "conditional_batch" and normalisations without a scale ignore it.
        dtype: Dtype of the result. Parameters and statistics are float32.

    Returns:
        Same shape as x, in `dtype`. "none" returns x unchanged.

    Raises:
        ValueError: If the name is unknown, or if an argument that this normalisation needs is missing.
    """
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}; got {norm!r}")
    return NORMS[norm](
        x,
        train=train,
        condition=condition,
        num_classes=num_classes,
        reference_size=reference_size,
        axis_name=axis_name,
        scale_init=scale_init,
        dtype=dtype,
        name=name,
    )
