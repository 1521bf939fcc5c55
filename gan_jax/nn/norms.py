"""Every normalisation under its name, called in one way."""

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

# A row is `(x, *, train, condition, num_classes, reference_size, axis_name, scale_init, dtype, name) -> y`.
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
    """Normalises x by the norm of that name; to be called in a compact `__call__`, whose parameters it joins.

    Args:
        x: float [batch, height, width, channels].
        norm: a key of `NORMS`.
        train: batch and switchable norms take the batch's statistics and update the running ones; without, the running ones.
        name: of the norm's parameters.
        condition: of "conditional_batch": int32 [batch] labels, or float [batch, dim] vectors.
        num_classes: of "conditional_batch" with labels; 0 with vectors.
        reference_size: of "virtual_batch": how many rows of x are the reference, see `VirtualBatchNorm`.
        axis_name: of the devices that share batch statistics.
        scale_init: initialiser of the scales, where there are any but "conditional_batch"'s.
        dtype: of the result; parameters and statistics are float32.

    Returns:
        Same shape as x, in `dtype` ("none" returns x).

    Raises:
        ValueError: an unknown name, or an argument that this norm needs is missing.
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
