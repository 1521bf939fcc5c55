"""What several models share: named activations, initialisers, and checks of a model's options."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.typing import Array

Activation: TypeAlias = Callable[[Array], Array]

ACTIVATIONS: dict[str, Activation] = {
    "leaky_relu": lambda x: jax.nn.leaky_relu(x, 0.2),
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
    "swish": jax.nn.swish,
    "tanh": jnp.tanh,
}
OUTPUT_ACTIVATIONS: dict[str, Activation] = {"tanh": jnp.tanh, "linear": lambda x: x}

# Those of `gan_jax.nn.NORMS` that need nothing but the map itself.
PLAIN_NORMS = ("batch", "none", "instance", "layer", "pixel", "switchable")

# DCGAN's: the convolutions N(0, 0.02), the scales of the norms N(1, 0.02).
NORMAL = nn.initializers.normal(0.02)


def around_one(rng: Array, shape: tuple[int, ...], dtype: Any = jnp.float32, **_: Any) -> Array:
    """Initialises the scales of a norm as DCGAN does, N(1, 0.02)."""
    return 1 + 0.02 * jax.random.normal(rng, shape, dtype)


def needs_bias(norm: str) -> bool:
    """Whether layers in front of a norm of this name need a bias of their own.

    All others learn one, behind the mean that they take away; "none" and "pixel" do neither. PGGAN has a bias in front of every
    pixel norm.
    """
    return norm in ("none", "pixel")


def one_of(option: str, value: Any, choices: Any) -> Any:
    """Returns `value`, or raises ValueError naming the option, what came, and what may come."""
    if value not in choices:
        raise ValueError(f"{option} must be one of {', '.join(map(str, choices))}; got {value!r}")
    return value


def check_options(*rows: tuple[str, Any, Any]) -> None:
    """Applies `one_of` to each (option, value, choices)."""
    for row in rows:
        one_of(*row)


def widths(value: str | int | Sequence[int]) -> tuple[int, ...]:
    """Layer widths from (400, 400), "400,400" or 400; a command line can only give the latter two."""
    if isinstance(value, str):
        return tuple(int(part) for part in value.split(",") if part.strip())
    return (value,) if isinstance(value, int) else tuple(value)


def check_size(model: str, image_size: int, sizes: tuple[int, ...]) -> int:
    """Returns `image_size`, or raises ValueError with the sizes that the model can make."""
    if image_size not in sizes:
        raise ValueError(f"image_size {image_size}: model {model!r} makes images of {', '.join(map(str, sizes))} pixels a side")
    return image_size


def check_labels(labels: Array | None, num_classes: int) -> None:
    """Raises ValueError if a conditional network is called without labels."""
    if num_classes and labels is None:
        raise ValueError(f"this network was built with num_classes={num_classes} and needs labels, int32 [batch]; got None")


def torch_dense(features: int, fan_in: int, *, dtype: Any = jnp.float32, name: str | None = None) -> nn.Dense:
    """A dense layer initialised as PyTorch's `nn.Linear`: kernel and bias uniform within 1/sqrt(fan_in)."""
    bound = fan_in**-0.5

    def uniform(rng: Array, shape: tuple[int, ...], param_dtype: Any = jnp.float32, **_: Any) -> Array:
        return jax.random.uniform(rng, shape, param_dtype, -bound, bound)

    return nn.Dense(features, kernel_init=uniform, bias_init=uniform, dtype=dtype, name=name)
