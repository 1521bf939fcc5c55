"""Training dynamics of two losses: their gradient vector field, and the local convergence of a train step.

A field maps `Players` of parameters to `Players` of gradients, along whose negative each player moves. A step maps
`(players, opt_state)` to the next ones, like `gan.train_step` with its batch and its key fixed. The `spectral_radius` of a step at
an equilibrium tells whether training converges there, and how fast.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gan_jax.typing import Array, Players

Field: TypeAlias = Callable[[Players], Players]
Step: TypeAlias = Callable[[Players, Any], tuple[Players, Any]]


def game_gradients(generator_loss: Callable[[Players], Array], discriminator_loss: Callable[[Players], Array]) -> Field:
    """Makes the gradient vector field of two losses: each player's gradient of its own loss, with the other player fixed.

    g(theta, psi) = (d L_G / d theta, d L_D / d psi).

    Args:
        generator_loss: `Players -> float []`. The generator minimises it.
        discriminator_loss: `Players -> float []`. The discriminator minimises it.

    Returns:
        Field `Players -> Players`. It holds positive gradients, so the players move along the negative field.

    References:
        Mescheder et al., "The Numerics of GANs", 2017. Their v is the negative of this field.
    """

    def field(players: Players) -> Players:
        generator, discriminator = players
        return Players(
            generator=jax.grad(lambda own: generator_loss(Players(own, discriminator)))(generator),
            discriminator=jax.grad(lambda own: discriminator_loss(Players(generator, own)))(discriminator),
        )

    return field


def consensus_field(field: Field, *, weight: float) -> Field:
    """Consensus optimisation: adds the gradient of half the squared norm of the field, g + weight * grad(|g|^2 / 2).

    The added gradient is J^T g, where J is the Jacobian of g. It is computed by reverse mode over reverse mode.

    Args:
        field: Gradient vector field, e.g. from `game_gradients`.
        weight: Weight of the added gradient, not negative. It is gamma in the paper, which uses 10.

    Returns:
        Field `Players -> Players`.

    Raises:
        ValueError: `weight` is negative.

    References:
        Mescheder et al., "The Numerics of GANs", 2017, algorithm 1.
    """
    if isinstance(weight, int | float) and weight < 0:
        raise ValueError(f"weight must not be negative; got {weight}")

    def regularised(players: Players) -> Players:
        gradients, vjp = jax.vjp(field, players)
        (extra,) = vjp(gradients)
        return jax.tree.map(lambda gradient, more: gradient + weight * more, gradients, extra)

    return regularised


def step_eigenvalues(step: Step, players: Players, opt_state: Any, *, difference: float | None = None) -> np.ndarray:
    """Eigenvalues of the Jacobian of one step with respect to the parameters.

    If all of them are inside the unit circle, training converges locally. The Jacobian is dense, so use it for small models
    only. The function cannot be traced.

    Args:
        step: Train step. Its updates must not depend on the optimiser state, as in plain gradient descent.
        players: Parameters at which to linearise, normally an equilibrium, i.e. a fixed point of `step`.
        opt_state: Optimiser state at this point. It is held constant.
        difference: Half-width of central differences, e.g. 1e-5 in float64. `gan.train_step` needs them because it stops gradients
            between the players. With None the step is differentiated.

    Returns:
        Complex [parameters].

    References:
        Bertsekas, "Nonlinear Programming", 1999, proposition 4.4.1, as used by Mescheder et al., 2017 and 2018.
    """
    flat, unravel = ravel_pytree(players)

    def move(x: Array) -> Array:
        return ravel_pytree(step(unravel(x), opt_state)[0])[0]

    if difference is None:
        jacobian = jax.jacobian(move)(flat)
    else:
        offsets = difference * jnp.eye(len(flat), dtype=flat.dtype)
        jacobian = jax.vmap(lambda offset: (move(flat + offset) - move(flat - offset)) / (2 * difference))(offsets).T
    return np.linalg.eigvals(np.asarray(jacobian))


def spectral_radius(step: Step, players: Players, opt_state: Any, *, difference: float | None = None) -> float:
    """Largest modulus of `step_eigenvalues`: the factor by which the distance to the equilibrium shrinks or grows per step.

    Args:
        step: Train step, as in `step_eigenvalues`.
        players: Parameters, as in `step_eigenvalues`.
        opt_state: Optimiser state, as in `step_eigenvalues`.
        difference: Half-width of central differences, as in `step_eigenvalues`.

    Returns:
        Python float.
    """
    return float(np.max(np.abs(step_eigenvalues(step, players, opt_state, difference=difference))))


def trajectory(step: Step, players: Players, opt_state: Any, *, steps: int) -> Players:
    """Parameters of both players over `steps` train steps.

    Args:
        step: Train step.
        players: Initial parameters.
        opt_state: Initial optimiser state.
        steps: Number of steps.

    Returns:
        `Players` of the same trees with a leading axis [steps + 1]. The first entry is the initial parameters.
    """

    def advance(carry: tuple[Players, Any], _: None) -> tuple[tuple[Players, Any], Players]:
        carry = step(*carry)
        return carry, carry[0]

    _, path = jax.lax.scan(advance, (players, opt_state), length=steps)
    return jax.tree.map(lambda start, rest: jnp.concatenate([start[None], rest]), players, path)
