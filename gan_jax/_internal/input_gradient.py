"""The gradient of a critic with respect to its inputs, and norms of such gradients."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from gan_jax._internal.checks import check_float, check_not_empty
from gan_jax.typing import Array, DiscriminatorOutput

Critic: TypeAlias = Callable[[Array], Any]


def value_and_input_gradient(critic: Critic, inputs: Array, *, has_aux: bool = False) -> tuple[Any, Array]:
    """Computes the critic's logits, and the gradient of each example's logits with respect to that example, in one pass.

    gradient[i] = d (sum of the logits of example i) / d inputs[i]. The forward pass is shared, so a train step that needs
    both D(real) and R1 runs it once:

        logits, gradient = value_and_input_gradient(critic, real)
        loss = softplus(-logits).mean() + 0.5 * gamma * squared_norm(gradient).mean()

    The function uses reverse mode only, and the result can be differentiated again (reverse over reverse).

    Args:
        critic: Maps inputs to logits [batch], to a patch map [batch, h, w], or to a tuple of such. The logits of a patch map
            are summed, not averaged, over each example. The critic is a closure over its parameters and labels.
        inputs: Float [batch, ...].
        has_aux: Whether the critic returns `(logits, anything else)`.

    Returns:
        `(logits, gradient)`: the output of the critic (with `has_aux` the whole pair), and the gradient with the shape and dtype
        of `inputs`. If the critic couples examples (batch norm, minibatch statistics, packing), row i is the gradient of the
        logits of the *whole* batch with respect to example i. Every implementation that differentiates the sum of the logits
        computes this. It is then no longer a property of D at one point.

    Raises:
        TypeError: `inputs` or the logits are not floating point, or the critic returns a `DiscriminatorOutput`.
        ValueError: `inputs` are empty, or the critic reduces its logits over the batch.
    """
    check_not_empty(inputs=inputs)
    check_float(inputs=inputs)
    batch = jnp.shape(inputs)[0]

    def total(points: Array) -> tuple[Array, Any]:
        output = critic(points)
        logits = output[0] if has_aux else output
        if isinstance(logits, DiscriminatorOutput):
            raise TypeError("critic must return logits; got a DiscriminatorOutput: pass `lambda x: discriminator(x).logits`")
        leaves = jax.tree.leaves(logits)
        for leaf in leaves:
            check_float(logits=leaf)
            # The number of rows may be a divisor of the batch size, because a critic may receive packs of examples (PacGAN).
            if jnp.ndim(leaf) == 0 or jnp.shape(leaf)[0] == 0 or batch % jnp.shape(leaf)[0]:
                raise ValueError(
                    f"critic must return one row of logits per example (or per pack of examples), {batch} for inputs of shape "
                    f"{jnp.shape(inputs)}; got shape {jnp.shape(leaf)}"
                )
        return sum((at_least_float32(leaf).sum() for leaf in leaves), start=jnp.zeros(())), output

    # Unlike vjp with a cotangent of ones, value_and_grad gives the cotangent the correct type inside shard_map.
    (_, output), gradient = jax.value_and_grad(total, has_aux=True)(inputs)
    return output, gradient


def squared_norm(gradient: Array) -> Array:
    """Squared Euclidean norm of each example: the sum of gradient^2 over all axes except the first, in at least float32.

    Args:
        gradient: Float [batch, ...].

    Returns:
        [batch], float32, or float64 for float64. A bfloat16 sum of thousands of squares would keep only two digits.
    """
    flat = at_least_float32(gradient).reshape(gradient.shape[0], -1)
    return jnp.sum(jnp.square(flat), axis=1)


def guarded_norm(gradient: Array) -> Array:
    """Euclidean norm of each example. If the norm is 0, its gradient and every higher derivative are 0. NaN stays NaN.

    Args:
        gradient: Float [batch, ...].

    Returns:
        [batch], in at least float32.
    """
    square = squared_norm(gradient)
    # Both branches of a `where` are differentiated, so the square root must not receive the zero.
    zero = square == 0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, square)))


def at_least_float32(x: Array) -> Array:
    """`x` in float32, or in its own type if that is wider."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
