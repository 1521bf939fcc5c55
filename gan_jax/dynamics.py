"""Two-player games as vector fields on any two losses: their gradients, consensus, and update rules as pure functions.

A field maps `Players` of parameters to `Players` of gradients, what each player descends. A step made from it maps
`(players, opt_state)` to the next ones, so it scans, jits and differentiates: `spectral_radius` of a step at an equilibrium
tells whether the game converges there, and how fast.
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
    """The field of a game: each player's gradient of its own loss, the other held fixed.

    g(theta, psi) = (d L_G / d theta, d L_D / d psi).

    Args:
        generator_loss: `Players -> float []`, what the generator minimises.
        discriminator_loss: `Players -> float []`, what the discriminator minimises.

    Returns:
        `Players -> Players`; positive gradients, so the players move along minus the field.

    References:
        Mescheder et al., "The Numerics of GANs", 2017 (their v is minus this).
    """

    def field(players: Players) -> Players:
        generator, discriminator = players
        return Players(
            generator=jax.grad(lambda own: generator_loss(Players(own, discriminator)))(generator),
            discriminator=jax.grad(lambda own: discriminator_loss(Players(generator, own)))(discriminator),
        )

    return field


def consensus_field(field: Field, *, weight: float) -> Field:
    """Consensus optimisation: both players also descend half the squared norm of the field, g + weight * grad(|g|^2 / 2).

    The gradient is J^T g with J the Jacobian of g, taken by reverse mode over reverse mode.

    Args:
        field: the game's gradients.
        weight: not negative; gamma in the paper, 10 there.

    Returns:
        `Players -> Players`.

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
    """Both players move at once, by the field where they both stand.

    Args:
        field: the game's gradients.
        optimizer: over `Players`, see `gan_jax.optimizers.per_player` and `ttur`.

    Returns:
        `(players, opt_state) -> (players, opt_state)`.
    """

    def step(players: Players, opt_state: Any) -> tuple[Players, Any]:
        updates, opt_state = optimizer.update(field(players), opt_state, players)
        return apply_updates(players, updates), opt_state

    return step


def alternating_step(field: Field, optimizer: optax.GradientTransformation, *, first: str = "generator") -> Step:
    """One player moves, then the other, by the field where the first now stands.

    Args:
        field: the game's gradients.
        optimizer: over `Players`, leaving a player whose gradients are None untouched, as `per_player` and `ttur` do.
        first: "generator" or "discriminator".

    Returns:
        `(players, opt_state) -> (players, opt_state)`.

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
    """Both players look one step ahead, and move from where they are by the field they find there.

    The step ahead uses the optimiser too, but its state is dropped.

    Args:
        field: the game's gradients.
        optimizer: over `Players`.

    Returns:
        `(players, opt_state) -> (players, opt_state)`.

    References:
        Korpelevich, "The extragradient method for finding saddle points", 1976; Gidel et al., "A Variational Inequality Perspective on
        Generative Adversarial Networks", 2019.
    """
    ahead = simultaneous_step(field, optimizer)

    def step(players: Players, opt_state: Any) -> tuple[Players, Any]:
        gradients = field(ahead(players, opt_state)[0])
        updates, opt_state = optimizer.update(gradients, opt_state, players)
        return apply_updates(players, updates), opt_state

    return step


def step_eigenvalues(step: Step, players: Players, opt_state: Any) -> np.ndarray:
    """Eigenvalues of the Jacobian of one step with respect to the parameters; all inside the unit circle means local convergence.

    Args:
        step: an update rule whose optimiser state does not feed back (plain gradient descent).
        players: where, normally an equilibrium: `step` leaves it as it is.
        opt_state: the optimiser's state there, held constant.

    Returns:
        complex [parameters]; small games only, the Jacobian is dense. Not traceable.

    References:
        Bertsekas, "Nonlinear Programming", 1999, proposition 4.4.1, as used by Mescheder et al., 2017 and 2018.
    """
    flat, unravel = ravel_pytree(players)
    return np.linalg.eigvals(np.asarray(jax.jacobian(lambda x: ravel_pytree(step(unravel(x), opt_state)[0])[0])(flat)))


def spectral_radius(step: Step, players: Players, opt_state: Any) -> float:
    """Largest modulus of `step_eigenvalues`: the factor by which the distance to the equilibrium shrinks (or grows) per step.

    Args:
        step: see `step_eigenvalues`.
        players: likewise.
        opt_state: likewise.

    Returns:
        Python float.
    """
    return float(np.max(np.abs(step_eigenvalues(step, players, opt_state))))


def trajectory(step: Step, players: Players, opt_state: Any, *, steps: int) -> Players:
    """The path of both players under a rule.

    Args:
        step: the rule.
        players: start.
        opt_state: the optimiser's state there.
        steps: how many.

    Returns:
        `Players` of the same trees with a leading axis [steps + 1]; the first entry is the start.
    """

    def advance(carry: tuple[Players, Any], _: None) -> tuple[tuple[Players, Any], Players]:
        carry = step(*carry)
        return carry, carry[0]

    _, path = jax.lax.scan(advance, (players, opt_state), length=steps)
    return jax.tree.map(lambda start, rest: jnp.concatenate([start[None], rest]), players, path)
