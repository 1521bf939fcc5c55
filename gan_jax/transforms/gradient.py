"""Gradient normalisation as a transformation of a critic."""

from typing import Any

import jax.numpy as jnp

from gan_jax._internal.checks import check_rank, check_same_shape
from gan_jax._internal.input_gradient import Critic, guarded_norm, value_and_input_gradient
from gan_jax.typing import Array, DiscriminatorOutput, Network, PyTree


def normalize_gradient(logits: Array, gradient: Array) -> Array:
    """Gradient normalisation of logits whose gradients are known: f / (|grad f| + |f|).

    The result lies in [-1, 1] and has the sign of f. If f is linear near x, then the norm of its gradient is at most 1.

    Args:
        logits: f(x), float [batch].
        gradient: Gradient of each logit with respect to its example, float [batch, ...].

    Returns:
        Float [batch], in at least float32. Where f and its gradient are both 0, the result is 0.

    Raises:
        ValueError: The logits are not [batch], or their number differs from that of the gradients.

    References:
        Wu et al., "Gradient Normalization for Generative Adversarial Networks", 2021. Deviation: in the authors' code 0 / 0
        gives NaN.
    """
    check_rank(1, logits=logits)
    norm = guarded_norm(gradient)
    check_same_shape(logits=logits, gradient_norms=norm)
    logits = logits.astype(norm.dtype)
    total = norm + jnp.abs(logits)
    return logits / jnp.where(total == 0, 1.0, total)


def gradient_normalized(critic: Critic) -> Critic:
    """Gradient normalisation of a critic: f becomes f / (|grad_x f| + |f|).

    The new critic is bounded, and where f is piecewise linear it is 1-Lipschitz in each piece. Any loss and any penalty can be applied to
    it. It costs a backward pass with respect to the inputs, and a loss of it is differentiated twice.

    Args:
        critic: Maps inputs [batch, ...] to logits [batch]. It should not couple examples: with batch norm the gradient is that of the sum
            of the batch.

    Returns:
        A function of the inputs with logits [batch], in at least float32.

    Raises:
        ValueError: The returned function raises it if the logits are not [batch] (one logit per example), or if the batch is empty.
        TypeError: The returned function raises it if the inputs or the logits are not floating point.

    References:
        Wu et al., "Gradient Normalization for Generative Adversarial Networks", 2021; `normalize_gradient` of basiclab/GNGAN-PyTorch,
        commit b320584. Deviation: the authors' function also accepts maps of logits, for which its bound does not hold.
    """

    def normalized(inputs: Array) -> Array:
        return normalize_gradient(*value_and_input_gradient(critic, inputs))

    return normalized


def gradient_normalized_network(network: Network) -> Network:
    """Gradient normalisation of a discriminator, see `gradient_normalized`.

    The parameters and the state are those of the network. Features and the logits of a classifier are not changed. The gradient is that
    with respect to the network's own inputs, so augmentation comes before it.

    Args:
        network: A discriminator with logits [batch].

    Returns:
        The discriminator with normalised logits.

    Raises:
        ValueError: `apply` raises it if the logits are not [batch].
    """

    def apply(
        params: PyTree, state: PyTree, inputs: Array, labels: Any = None, context: Any = None, *, rng: Any = None, train: bool = True
    ) -> tuple[DiscriminatorOutput, PyTree]:
        def critic(points: Array) -> tuple[Any, tuple[DiscriminatorOutput, PyTree]]:
            output, new = network.apply(params, state, points, labels, context, rng=rng, train=train)
            if getattr(output.logits, "ndim", None) != 1:
                got = output.logits.shape if hasattr(output.logits, "shape") else f"{len(output.logits)} scales"
                raise ValueError(f"gradient normalisation needs one logit per example, [batch]; got {got}")
            return output.logits, (output, new)

        (logits, (output, new)), gradient = value_and_input_gradient(critic, inputs, has_aux=True)
        return output._replace(logits=normalize_gradient(logits, gradient)), new

    return network._replace(apply=apply)
