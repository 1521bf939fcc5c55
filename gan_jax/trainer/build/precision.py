"""The arithmetic of a run: how products of float32 numbers are computed.

| `--precision` | the networks compute in | products of float32 numbers |
|---|---|---|
| `float32` | float32 | float32, on every device |
| `tf32` | float32 | on an NVIDIA GPU since Ampere with 10 bits of mantissa, on a TPU in three passes of bfloat16 |
| `bfloat16` | bfloat16 | JAX's default for the device |

The matrix units of a GPU round float32 numbers to TF32 by default, so JAX alone is not as exact as its types say. A CPU always
computes in float32.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax

from gan_jax.typing import GAN, Network, Players

PRODUCTS = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": None}


def product_precision(precision: str, backend: str | None = None) -> str | None:
    """The value of `jax.default_matmul_precision` for a precision.

    Args:
        precision: A key of `PRODUCTS`.
        backend: Name of the backend. By default that of JAX.

    Returns:
        The name of the precision, or None for JAX's default.
    """
    # On a CPU all of them are the same, and XLA has its fastest products for the default only.
    return None if (backend or jax.default_backend()) == "cpu" else PRODUCTS[precision]


def in_precision(function: Callable[..., Any], precision: str, backend: str | None = None) -> Callable[..., Any]:
    """Returns the function with its products, and those of its derivatives, in a precision. See `product_precision` for the arguments."""

    @functools.wraps(function)
    def computed(*arguments: Any, **keywords: Any) -> Any:
        chosen = product_precision(precision, backend)
        if chosen is None:
            return function(*arguments, **keywords)
        with jax.default_matmul_precision(chosen):
            return function(*arguments, **keywords)

    return computed


def networks_in_precision(networks: Players, precision: str) -> Players:
    """The two networks, computed in a precision."""

    def computed(network: Network) -> Network:
        mapping = network.mapping and in_precision(network.mapping, precision)
        return network._replace(apply=in_precision(network.apply, precision), mapping=mapping)

    return Players(*map(computed, networks))


def gan_in_precision(gan: GAN, precision: str) -> GAN:
    """The three functions of a GAN, computed in a precision."""
    return GAN(*(in_precision(function, precision) for function in gan))
