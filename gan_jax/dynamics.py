"""Training dynamics of two losses as a gradient vector field, with update rules and local convergence analysis.

A field maps `Players` of parameters to `Players` of gradients, along whose negative each player moves. A step maps
`(players, opt_state)` to the next ones, so it can be scanned, jitted and differentiated. The `spectral_radius` of a step at
an equilibrium tells whether training converges there, and how fast.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from gan_jax.optimizers import apply_updates
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
        gradients, pull_back = jax.vjp(field, players)
        (pull,) = pull_back(gradients)
        return jax.tree.map(lambda gradient, extra: gradient + weight * extra, gradients, pull)

    return regularised


def simultaneous_step(field: Field, optimizer: optax.GradientTransformation) -> Step:
    """Makes a step that updates both players at once, with the field at their current parameters.

    Args:
        field: Gradient vector field, e.g. from `game_gradients`.
        optimizer: Optimiser over `Players`. See `gan_jax.optimizers.per_player` and `ttur`.

    Returns:
        Step `(players, opt_state) -> (players, opt_state)`.
    """

    def step(players: Players, opt_state: Any) -> tuple[Players, Any]:
        updates, opt_state = optimizer.update(field(players), opt_state, players)
        return apply_updates(players, updates), opt_state

    return step


def alternating_step(field: Field, optimizer: optax.GradientTransformation, *, first: str = "generator") -> Step:
    """Makes a step that updates one player, then the other with the field at the new parameters of the first.

    Args:
        field: Gradient vector field, e.g. from `game_gradients`.
        optimizer: Optimiser over `Players`. It must leave a player unchanged if its gradients are None, as `per_player` and
            `ttur` do.
        first: "generator" or "discriminator".

    Returns:
        Step `(players, opt_state) -> (players, opt_state)`.

    Raises:
        ValueError: `first` is neither player.
    """
    if first not in Players._fields:
        raise ValueError(f"first must be one of {', '.join(Players._fields)}; got {first!r}")
    order = (first, *(player for player in Players._fields if player != first))

    def step(players: Players, opt_state: Any) -> tuple[Players, Any]:
        for player in order:
            gradients = Players(None, None)._replace(**{player: getattr(field(players), player)})
            updates, opt_state = optimizer.update(gradients, opt_state, players)
            players = apply_updates(players, updates)
        return players, opt_state

    return step


def extragradient_step(field: Field, optimizer: optax.GradientTransformation) -> Step:
    """Makes a step that updates both players from their current parameters with the field one step ahead.

    The step ahead uses the optimiser too, but its optimiser state is discarded.

    Args:
        field: Gradient vector field, e.g. from `game_gradients`.
        optimizer: Optimiser over `Players`.

    Returns:
        Step `(players, opt_state) -> (players, opt_state)`.

    References:
        Korpelevich, "The extragradient method for finding saddle points", 1976.
        Gidel et al., "A Variational Inequality Perspective on Generative Adversarial Networks", 2019.
    """
    ahead = simultaneous_step(field, optimizer)

    def step(players: Players, opt_state: Any) -> tuple[Players, Any]:
        gradients = field(ahead(players, opt_state)[0])
        updates, opt_state = optimizer.update(gradients, opt_state, players)
        return apply_updates(players, updates), opt_state

    return step


def step_eigenvalues(step: Step, players: Players, opt_state: Any) -> np.ndarray:
    """Eigenvalues of the Jacobian of one step with respect to the parameters.

    If all of them are inside the unit circle, training converges locally. The Jacobian is dense, so use it for small models
    only. The function cannot be traced.

    Args:
        step: Update rule. The updates must not depend on the optimiser state, as in plain gradient descent.
        players: Parameters at which to linearise, normally an equilibrium, i.e. a fixed point of `step`.
        opt_state: Optimiser state at this point. It is held constant.

    Returns:
        Complex [parameters].

    References:
        Bertsekas, "Nonlinear Programming", 1999, proposition 4.4.1, as used by Mescheder et al., 2017 and 2018.
    """
    flat, unravel = ravel_pytree(players)
    return np.linalg.eigvals(np.asarray(jax.jacobian(lambda x: ravel_pytree(step(unravel(x), opt_state)[0])[0])(flat)))


def spectral_radius(step: Step, players: Players, opt_state: Any) -> float:
    """Largest modulus of `step_eigenvalues`: the factor by which the distance to the equilibrium shrinks or grows per step.

    Args:
        step: Update rule, as in `step_eigenvalues`.
        players: Parameters, as in `step_eigenvalues`.
        opt_state: Optimiser state, as in `step_eigenvalues`.

    Returns:
        Python float.
    """
    return float(np.max(np.abs(step_eigenvalues(step, players, opt_state))))


def trajectory(step: Step, players: Players, opt_state: Any, *, steps: int) -> Players:
    """Parameters of both players over `steps` applications of an update rule.

    Args:
        step: Update rule.
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
