"""Update rules: who moves when, and along which field. One table, `STRATEGIES`.

A strategy is a pair of pure functions. `init(game, params)` gives what it carries; `step` plays one round:
`(game, params, state, batch, rng) -> (params, state, metrics)`. The batch holds `rounds` times the images of one turn, a
part for each discriminator step.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.gan.objectives import discriminator_objective, generator_objective
from gan_jax.gan.spec import Game, with_averages_of
from gan_jax.gan.state import GameState, named_key
from gan_jax.gan.types import Round
from gan_jax.gan.updates import (
    accumulate,
    apply_gradients,
    both_gradients,
    discriminator_gradients,
    forward_generator,
    further_fakes,
    generator_gradients,
    move_discriminator,
    move_generator,
    show_past_fakes,
)
from gan_jax.replay import PlayerPool
from gan_jax.typing import Array, Metrics, Players, PyTree


class Strategy(NamedTuple):
    """An update rule.

    Attributes:
        step: `(game, params, state, batch, rng) -> (params, state, metrics)`.
        init: `(game, params) -> carried`, kept in `state.strategy`.
        rounds: how many parts a batch is cut into.
    """

    step: Callable[..., tuple[Players, GameState, Metrics]]
    init: Callable[[Game, Players], PyTree] = lambda game, params: ()
    rounds: int = 1


def deal_rounds(game: Game, batch: Mapping[str, Array], rng: Array, rounds: int) -> list[Round]:
    """Cuts a batch into one round for each discriminator step, each with its own draws."""
    size = batch["image"].shape[0]
    if size % rounds:
        raise ValueError(f"the batch must hold a multiple of {rounds} examples, one part for each discriminator step; got {size}")
    part = size // rounds
    return [
        game.deal({name: array[n * part : (n + 1) * part] for name, array in batch.items()}, named_key(rng, f"round/{n}"))
        for n in range(rounds)
    ]


def alternating(
    *,
    discriminator_steps: int = 1,
    generator_steps: int = 1,
    order: str = "discriminator_first",
    fakes: str = "fresh",
    micro_batches: int = 1,
    pool: PlayerPool | None = None,
) -> Strategy:
    """The players move in turn: D `discriminator_steps` times, each on images of its own, and G `generator_steps` times.

        theta_D <- theta_D - eta_D dL_D(theta_D, theta_G)/dtheta_D;   theta_G <- theta_G - eta_G dL_G(theta_D, theta_G)/dtheta_G

    Args:
        discriminator_steps: D's turns in a step (5 for WGAN).
        generator_steps: G's turns in a step.
        order: "discriminator_first", or "generator_first": G moves, then D.
        fakes: "fresh": every turn draws its own; "shared": D's last turn and G's first turn use the same fakes, made by one pass
            through G (detached where D uses them). The gradient of G still meets the newest D.
        micro_batches: gradients are averaged over this many parts of each turn's batch, one after the other, to save memory.
        pool: past players to swap in as opponents now and then.

    References:
        Goodfellow et al., "Generative Adversarial Nets", 2014, algorithm 1.
    """
    if order not in ("discriminator_first", "generator_first"):
        raise ValueError(f"order must be discriminator_first or generator_first; got {order}")
    if fakes not in ("fresh", "shared"):
        raise ValueError(f"fakes must be fresh or shared; got {fakes}")
    if discriminator_steps < 1 or generator_steps < 1:
        raise ValueError(f"each player needs at least one step; got {discriminator_steps} and {generator_steps}")
    if fakes == "shared" and (micro_batches > 1 or pool is not None):
        raise ValueError("fakes=shared excludes micro_batches and a pool of past players")

    def step(game: Game, params: Players, state: GameState, batch: Mapping[str, Array], rng: Array) -> tuple:
        rounds = deal_rounds(game, batch, rng, discriminator_steps)
        if fakes == "shared":
            return _shared_turns(game, params, state, rounds, generator_steps=generator_steps, order=order)
        if pool is not None:
            carried = pool.push(state.strategy, params, state.step, named_key(rng, "pool/push"))
            state = state._replace(strategy=carried)
        return _fresh_turns(game, params, state, rounds, generator_steps=generator_steps, order=order, parts=micro_batches, pool=pool)

    return Strategy(step, (lambda game, params: pool.init(params)) if pool else (lambda game, params: ()), discriminator_steps)


def _fresh_turns(
    game: Game,
    params: Players,
    state: GameState,
    rounds: list[Round],
    *,
    generator_steps: int,
    order: str,
    parts: int,
    pool: PlayerPool | None,
) -> tuple[Players, GameState, Metrics]:
    """Every turn draws its own fakes; past players of the pool are the opponents while they are swapped in."""

    def opponents(params: Players, state: GameState) -> Players:
        return Players(None, None) if pool is None else pool.opponents(state.strategy, params, state.step)

    def discriminator_turns(params: Players, state: GameState) -> tuple[Players, GameState, Metrics]:
        found: Metrics = {}
        for round in rounds:
            opponent = opponents(params, state).generator
            params, state, found = move_discriminator(game, params, state, round, opponent=opponent, parts=parts)
        return params, state, found

    def generator_turns(params: Players, state: GameState) -> tuple[Players, GameState, Metrics]:
        found: Metrics = {}
        for number in range(generator_steps):
            round = redraw(game, rounds[-1], f"generator/{number}")
            opponent = opponents(params, state).discriminator
            params, state, found = move_generator(game, params, state, round, opponent=opponent, parts=parts)
        return params, state, found

    return _one_after_the_other(order, discriminator_turns, generator_turns, params, state)


def _shared_turns(
    game: Game, params: Players, state: GameState, rounds: list[Round], *, generator_steps: int, order: str
) -> tuple[Players, GameState, Metrics]:
    """D's last turn and G's first one use the same fakes, made by one pass through G."""
    for round in rounds[:-1]:
        params, state, _ = move_discriminator(game, params, state, round)
    round, maker = rounds[-1], params.generator
    forward, state = forward_generator(game, maker, state, round)

    def discriminator_turn(params: Players, state: GameState) -> tuple[Players, GameState, Metrics]:
        fake, state = show_past_fakes(game, state, round, forward.fake)
        # Further fakes come from the G that made these, which may have moved since.
        gradients, state, found = discriminator_gradients(game, params._replace(generator=maker), state, round, fake)
        params, state, norms = apply_gradients(game, "discriminator", gradients, params, state)
        return params, state, found | norms

    def generator_turn(params: Players, state: GameState) -> tuple[Players, GameState, Metrics]:
        gradients, state, found = generator_gradients(game, params, state, round, forward)
        params, state, norms = apply_gradients(game, "generator", gradients, params, state)
        return params, state, found | norms

    params, state, metrics = _one_after_the_other(order, discriminator_turn, generator_turn, params, state)
    for number in range(1, generator_steps):
        params, state, found = move_generator(game, params, state, redraw(game, round, f"generator/{number}"))
        metrics |= found
    return params, state, metrics


def _one_after_the_other(
    order: str, discriminator: Callable[..., tuple], generator: Callable[..., tuple], params: Players, state: GameState
) -> tuple[Players, GameState, Metrics]:
    """Both players' turns in the order asked for, and the metrics of both."""
    metrics: Metrics = {}
    for turn in (discriminator, generator) if order == "discriminator_first" else (generator, discriminator):
        params, state, found = turn(params, state)
        metrics |= found
    return params, state, metrics


def redraw(game: Game, round: Round, name: str) -> Round:
    """The same reals with latents and key of their own."""
    rng = named_key(round.rng, name)
    return round._replace(latents=game.sample_latents(named_key(rng, "latents"), round.latents.shape), rng=rng)


def simultaneous(*, micro_batches: int = 1) -> Strategy:
    """Both players move at once, from one pass through G and one through D over the fakes.

        (theta_D, theta_G) <- (theta_D - eta_D dL_D/dtheta_D, theta_G - eta_G dL_G/dtheta_G), both at the old point

    Another algorithm than `alternating`: G meets the old D. See `single_loss` for the one loss whose gradient this is.

    References:
        Mescheder et al., "The Numerics of GANs", 2017 (simultaneous gradient ascent).
    """

    def step(game: Game, params: Players, state: GameState, batch: Mapping[str, Array], rng: Array) -> tuple:
        def gradients(state: GameState, round: Round) -> tuple[Players, GameState, Metrics]:
            return both_gradients(game, params, state, round)

        both, state, metrics = accumulate(gradients, state, game.deal(batch, named_key(rng, "round/0")), micro_batches)
        return apply_both(game, both, params, state, metrics)

    return Strategy(step)


def apply_both(game: Game, gradients: Players, params: Players, state: GameState, metrics: Metrics) -> tuple:
    """One optimiser step of each player."""
    for player in Players._fields:
        params, state, norms = apply_gradients(game, player, getattr(gradients, player), params, state)
        metrics = metrics | norms
    return params, state, metrics


def single_loss(game: Game, params: Players, state: GameState, round: Round) -> Array:
    """One scalar whose gradient is the simultaneous field of both players.

        L = L_D(x, stop(G(z))) + l_G(D(G(z))) - l_G(D(stop(G(z))))

    The last two terms are equal in value, and so are their gradients with respect to D, which cancel; what is left of them is the
    gradient of G with D held fixed. Needs more passes than `simultaneous`, which computes the same gradients apart.
    """
    fake, _ = game.generate(params.generator, state, round)
    further = further_fakes(game, params.generator, state, round)
    of_discriminator, _ = discriminator_objective(game, params.discriminator, state, fake, round, further)

    def of_generator(output: Any, generator: PyTree) -> Array:
        effective, _ = game.effective_params("generator", generator, state)
        makes = further_fakes(game, generator, state, round)
        return generator_objective(game, output, params.discriminator, state, round, (effective, makes), hold_discriminator=False)[0]

    held = jax.lax.stop_gradient((fake, params.generator))
    return of_discriminator + of_generator(fake, params.generator) - of_generator(*held)


def unrolled(*, unroll_steps: int = 5, discriminator_steps: int = 1) -> Strategy:
    """G moves against the D that would answer: its gradient flows through `unroll_steps` steps of D's optimiser.

        theta_D^(k+1) = update(theta_D^k, dL_D(theta_D^k, theta_G)/dtheta_D);   G minimises L_G(theta_D^K(theta_G), theta_G)

    D takes its own ordinary steps before, and is restored after the unrolling. With 0 steps this is `alternating`. The unrolled
    steps use D's optimiser (with Adam and its kin, set `eps_root` above 0: the derivative of a square root at 0 is not finite).

    References:
        Metz et al., "Unrolled Generative Adversarial Networks", 2017.
    """
    if unroll_steps < 0:
        raise ValueError(f"unroll_steps must not be negative; got {unroll_steps}")

    def step(game: Game, params: Players, state: GameState, batch: Mapping[str, Array], rng: Array) -> tuple:
        rounds = deal_rounds(game, batch, rng, discriminator_steps)
        metrics: Metrics = {}
        for round in rounds:
            params, state, metrics = move_discriminator(game, params, state, round)
        round = redraw(game, rounds[-1], "generator/0")

        def objective(generator: PyTree) -> tuple[Array, tuple[GameState, Metrics]]:
            fake, after = game.generate(generator, state, round)
            effective, _ = game.effective_params("generator", generator, state)
            further = further_fakes(game, generator, state, round)
            answered, inner = params, state
            for _ in range(unroll_steps):
                gradients, (inner, _found) = jax.grad(
                    lambda d, inner=inner: discriminator_objective(game, d, inner, fake, round, further, detach=False), has_aux=True
                )(answered.discriminator)
                updates, optimizer = game.optimizer.update(Players(None, game.average(gradients)), inner.optimizer, answered)
                answered = answered._replace(discriminator=optax.apply_updates(answered.discriminator, updates.discriminator))
                inner = inner._replace(optimizer=optimizer)
            loss, (new, found, _) = generator_objective(
                game, fake, answered.discriminator, inner, round, (effective, further), hold_discriminator=False
            )
            return loss, (after._replace(terms=new.terms if unroll_steps == 0 else after.terms), found)

        gradients, (state, found) = jax.grad(objective, has_aux=True)(params.generator)
        params, state, norms = apply_gradients(game, "generator", gradients, params, state)
        return params, state, metrics | found | norms

    return Strategy(step, rounds=discriminator_steps)


def extragradient() -> Strategy:
    """Both players look ahead along the field, and move from where they were along the field found there.

        w' = w - eta F(w);   w <- w - eta F(w')

    With an adaptive optimiser this is ExtraAdam: its moments follow both fields. A moving average of the parameters takes in the
    iterates w alone, once a step, and not the points w' that are only looked at.

    References:
        Korpelevich, 1976; Gidel et al., "A Variational Inequality Perspective on Generative Adversarial Networks", 2019.
    """

    def step(game: Game, params: Players, state: GameState, batch: Mapping[str, Array], rng: Array) -> tuple:
        round = game.deal(batch, named_key(rng, "round/0"))
        field, state, _ = both_gradients(game, params, state, round)
        ahead, after, _ = apply_both(game, field, params, state, {})
        after = after._replace(optimizer=with_averages_of(after.optimizer, state.optimizer))
        field, after, metrics = both_gradients(game, ahead, after, redraw(game, round, "ahead"))
        return apply_both(game, field, params, after, metrics)

    return Strategy(step)


def consensus(*, consensus_weight: float = 10.0) -> Strategy:
    """Simultaneous moves along the field plus the gradient of half its squared norm.

        w <- w - eta (F(w) + gamma d/dw ||F(w)||^2 / 2)

    The regulariser pulls both players towards points where the field vanishes. Needs second derivatives through both networks.

    References:
        Mescheder et al., "The Numerics of GANs", 2017.
    """
    if consensus_weight < 0:
        raise ValueError(f"consensus_weight must not be negative; got {consensus_weight}")

    def step(game: Game, params: Players, state: GameState, batch: Mapping[str, Array], rng: Array) -> tuple:
        round = game.deal(batch, named_key(rng, "round/0"))

        def half_squared_norm(params: Players) -> tuple[Array, tuple]:
            field, new, metrics = both_gradients(game, params, state, round, detach=False)
            field = game.average(field)
            value = 0.5 * sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(field))
            return value, (field, new, metrics)

        pull, (field, new, metrics) = jax.grad(half_squared_norm, has_aux=True)(params)
        total = jax.tree.map(lambda f, p: f + consensus_weight * p, field, pull)
        return apply_both(game, total, params, new, metrics)

    return Strategy(step)


def loss_balanced(*, loss_threshold: float = 0.7, max_discriminator_steps: int = 5) -> Strategy:
    """`while loss_D > A: train D`, then one step of G. For comparison: the folklore advises against it.

    D moves at least once and at most `max_discriminator_steps` times, on the same reals against fresh fakes. How often is not known
    beforehand, so that no learning-rate schedule of D by its own updates can span the run.

    References:
        Chintala et al., "How to Train a GAN?", 2016, number 11 (do not balance by loss statistics).
    """
    if max_discriminator_steps < 1:
        raise ValueError(f"max_discriminator_steps must be at least 1; got {max_discriminator_steps}")

    def step(game: Game, params: Players, state: GameState, batch: Mapping[str, Array], rng: Array) -> tuple:
        round = game.deal(batch, named_key(rng, "round/0"))

        def turn(params: Players, state: GameState, count: Array) -> tuple:
            again = redraw(game, round._replace(rng=jax.random.fold_in(round.rng, count)), "again")
            params, state, metrics = move_discriminator(game, params, state, again)
            return params, state, game.average(metrics)  # all devices must agree on going on

        def keep_on(carry: tuple) -> Array:
            _, _, metrics, count = carry
            return (metrics["discriminator_loss"] > loss_threshold) & (count < max_discriminator_steps)

        def once_more(carry: tuple) -> tuple:
            params, state, _, count = carry
            return (*turn(params, state, count), count + 1)

        start = (*turn(params, state, jnp.int32(0)), jnp.int32(1))
        params, state, metrics, count = jax.lax.while_loop(keep_on, once_more, start)
        params, state, found = move_generator(game, params, state, redraw(game, round, "generator/0"))
        return params, state, metrics | found | {"discriminator_steps": count.astype(jnp.float32)}

    return Strategy(step)


STRATEGIES: dict[str, Callable[..., Strategy]] = {
    "alternating": alternating,
    "simultaneous": simultaneous,
    "unrolled": unrolled,
    "extragradient": extragradient,
    "consensus": consensus,
    "loss_balanced": loss_balanced,
}
