"""Helpers shared by the losses: checks of logits, weights per example, and a softplus with exact derivatives."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gan_jax._internal.checks import check_float, check_not_empty, check_same_shape
from gan_jax.typing import Array, PyTree


def to_compute_dtype(array: ArrayLike) -> Array:
    """Returns `array` in float32 if its type is narrower (bfloat16, float16), and unchanged otherwise.

    A squared logit of 1e4 overflows float16, and a mean over a batch of bfloat16 values keeps only 8 bits.
    Gradients still have the type of the caller's array.
    """
    array = jnp.asarray(array)
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def check_logits(**logits: ArrayLike) -> tuple[Array, ...]:
    """Returns the named logits in their compute type.

    Raises:
        TypeError: An array is not floating point.
        ValueError: The shapes differ, or an array is empty.
    """
    check_float(**logits)
    check_same_shape(**logits)
    check_not_empty(**logits)
    return tuple(to_compute_dtype(array) for array in logits.values())


def per_example(name: str, value: ArrayLike, like: Array) -> Array:
    """Reshapes `value` so that it broadcasts against `like` from the left, as one factor per example.

    A scalar stays a scalar. An array must match the leading axes of `like`: `[batch]` or `[batch, height, width]`
    for a patch map `[batch, height, width]`. NumPy would align `[batch]` with the width instead.

    Raises:
        ValueError: The shape of `value` is not a prefix of the shape of `like`. Axes of size 1 are allowed.
    """
    value = jnp.asarray(value, dtype=like.dtype)
    prefix = like.shape[: value.ndim]
    if value.ndim > like.ndim or any(got not in (1, want) for got, want in zip(value.shape, prefix)):
        raise ValueError(f"{name} must be a scalar or match the leading axes of the logits' shape {like.shape}; got {value.shape}")
    return value.reshape(value.shape + (1,) * (like.ndim - value.ndim))


def weigh(values: Array, weights: ArrayLike | None, name: str = "weights") -> Array:
    """Multiplies `values` by one weight per example. `None` leaves them unchanged."""
    return values if weights is None else values * per_example(name, weights, values)


def weigh_pair(real_values: Array, fake_values: Array, weights: ArrayLike | tuple[ArrayLike, ArrayLike] | None) -> Array:
    """Returns the weighted sum of both terms. `weights` is one array for both or a tuple `(real_weights, fake_weights)`."""
    real_weights, fake_weights = weights if isinstance(weights, tuple) else (weights, weights)
    return weigh(real_values, real_weights, "real_weights") + weigh(fake_values, fake_weights, "fake_weights")


@jax.custom_jvp
def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)). Its derivative is computed as sigmoid(x) sigmoid(-x), which stays accurate for large x."""
    return jax.nn.sigmoid(x)


@sigmoid.defjvp
def _sigmoid_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents
    return sigmoid(x), sigmoid(x) * sigmoid(-x) * tangent


@jax.custom_jvp
def softplus(x: Array) -> Array:
    """log(1 + exp(x)), with the derivative sigmoid(x). All derivatives are finite and accurate for every finite x.

    The values of `jax.nn.softplus` are equally accurate. Its second derivative is s(1 - s) with s rounded near 1, which loses
    all digits at x = 17 in float32.
    """
    return jax.nn.softplus(x)


@softplus.defjvp
def _softplus_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents
    return softplus(x), sigmoid(x) * tangent


def cross_entropy(logits: Array, target: ArrayLike, name: str = "target") -> Array:
    """Returns -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)) for logits x and one target t per example."""
    target = per_example(name, target, logits)
    return target * softplus(-logits) + (1 - target) * softplus(logits)


def paired_leaves(real_features: PyTree, fake_features: PyTree) -> list[tuple[str, Array, Array]]:
    """Returns `(path, real, fake)` for each pair of leaves of two trees, in their compute types.

    Raises:
        TypeError: A leaf is not floating point.
        ValueError: The structures differ, the trees have no leaves, or a leaf is empty.
    """
    real_leaves, real_tree = jax.tree_util.tree_flatten_with_path(real_features)
    fake_leaves, fake_tree = jax.tree.flatten(fake_features)
    if real_tree != fake_tree:
        raise ValueError(f"real_features and fake_features must have one structure; got {real_tree} and {fake_tree}")
    if not real_leaves:
        raise ValueError("real_features and fake_features must hold at least one array; got none")
    pairs = []
    for (path, real), fake in zip(real_leaves, fake_leaves):
        name = jax.tree_util.keystr(path)
        named = {f"real_features{name}": real, f"fake_features{name}": fake}
        check_float(**named)
        check_not_empty(**named)
        pairs.append((name, to_compute_dtype(real), to_compute_dtype(fake)))
    return pairs
