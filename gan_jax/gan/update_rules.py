"""Update rules: who moves when, and along which field. One table, `UPDATE_RULES`.

A strategy is a pair of pure functions. `init(game, params)` gives what it carries; `step` plays one round:
`(game, params, state, batch, rng) -> (params, state, metrics)`. The batch holds `minibatches` times the images of one turn, a
part for each discriminator step.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.gan.objectives import discriminator_loss_of, generator_loss_of
from gan_jax.gan.spec import GANSpec, with_averages_of
from gan_jax.gan.state import TrainState, named_key
from gan_jax.gan.types import Minibatch
from gan_jax.gan.updates import (
    accumulate,
    apply_gradients,
    both_gradients,
    discriminator_gradients,
    forward_generator,
    further_fakes,
    generator_gradients,
    show_past_fakes,
    update_discriminator,
    update_generator,
)
from gan_jax.replay import PlayerPool
from gan_jax.typing import Array, Metrics, Players, PyTree


class UpdateRule(NamedTuple):
    """An update rule.

    Attributes:
        step: `(game, params, state, batch, rng) -> (params, state, metrics)`.
        init: `(game, params) -> carried`, kept in `state.strategy`.
        batches_per_step: how many parts a batch is cut into.
    """

    step: Callable[..., tuple[Players, TrainState, Metrics]]
    init: Callable[[GANSpec, Players], PyTree] = lambda spec, params: ()
    batches_per_step: int = 1


def split_batch(spec: GANSpec, batch: Mapping[str, Array], rng: Array, minibatches: int) -> list[Minibatch]:
    """Cuts a batch into one round for each discriminator step, each with its own draws."""
    size = batch["image"].shape[0]
    if size % minibatches:
        raise ValueError(f"the batch must hold a multiple of {minibatches} examples, one part for each discriminator step; got {size}")
    part = size // minibatches
    return [
        spec.prepare_minibatch({name: array[n * part : (n + 1) * part] for name, array in batch.items()}, named_key(rng, f"round/{n}"))
        for n in range(minibatches)
    ]


def alternating(
    *,
    discriminator_steps: int = 1,
    generator_steps: int = 1,
    order: str = "discriminator_first",
    fakes: str = "fresh",
    micro_batches: int = 1,
    pool: PlayerPool | None = None,
) -> UpdateRule:
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

    def step(spec: GANSpec, params: Players, state: TrainState, batch: Mapping[str, Array], rng: Array) -> tuple:
        minibatches = split_batch(spec, batch, rng, discriminator_steps)
        if fakes == "shared":
            return _shared_turns(spec, params, state, minibatches, generator_steps=generator_steps, order=order)
        if pool is not None:
            carried = pool.push(state.update_rule, params, state.step, named_key(rng, "pool/push"))
            state = state._replace(update_rule=carried)
        return _fresh_turns(spec, params, state, minibatches, generator_steps=generator_steps, order=order, parts=micro_batches, pool=pool)

    return UpdateRule(step, (lambda spec, params: pool.init(params)) if pool else (lambda spec, params: ()), discriminator_steps)


def _fresh_turns(
    spec: GANSpec,
    params: Players,
    state: TrainState,
    minibatches: list[Minibatch],
    *,
    generator_steps: int,
    order: str,
    parts: int,
    pool: PlayerPool | None,
) -> tuple[Players, TrainState, Metrics]:
    """Every turn draws its own fakes; past players of the pool are the opponents while they are swapped in."""

    def opponents(params: Players, state: TrainState) -> Players:
        return Players(None, None) if pool is None else pool.opponents(state.update_rule, params, state.step)

    def discriminator_turns(params: Players, state: TrainState) -> tuple[Players, TrainState, Metrics]:
        found: Metrics = {}
        for minibatch in minibatches:
            opponent = opponents(params, state).generator
            params, state, found = update_discriminator(spec, params, state, minibatch, opponent=opponent, parts=parts)
        return params, state, found

    def generator_turns(params: Players, state: TrainState) -> tuple[Players, TrainState, Metrics]:
        found: Metrics = {}
        for number in range(generator_steps):
            minibatch = resample_latents(spec, minibatches[-1], f"generator/{number}")
            opponent = opponents(params, state).discriminator
            params, state, found = update_generator(spec, params, state, minibatch, opponent=opponent, parts=parts)
        return params, state, found

    return _one_after_the_other(order, discriminator_turns, generator_turns, params, state)


def _shared_turns(
    spec: GANSpec, params: Players, state: TrainState, minibatches: list[Minibatch], *, generator_steps: int, order: str
) -> tuple[Players, TrainState, Metrics]:
    """D's last turn and G's first one use the same fakes, made by one pass through G."""
    for minibatch in minibatches[:-1]:
        params, state, _ = update_discriminator(spec, params, state, minibatch)
    minibatch, maker = minibatches[-1], params.generator
    forward, state = forward_generator(spec, maker, state, minibatch)

    def discriminator_turn(params: Players, state: TrainState) -> tuple[Players, TrainState, Metrics]:
        fake, state = show_past_fakes(spec, state, minibatch, forward.fake)
        # Further fakes come from the G that made these, which may have moved since.
        gradients, state, found = discriminator_gradients(spec, params._replace(generator=maker), state, minibatch, fake)
        params, state, norms = apply_gradients(spec, "discriminator", gradients, params, state)
        return params, state, found | norms

    def generator_turn(params: Players, state: TrainState) -> tuple[Players, TrainState, Metrics]:
        gradients, state, found = generator_gradients(spec, params, state, minibatch, forward)
        params, state, norms = apply_gradients(spec, "generator", gradients, params, state)
        return params, state, found | norms

    params, state, metrics = _one_after_the_other(order, discriminator_turn, generator_turn, params, state)
    for number in range(1, generator_steps):
        params, state, found = update_generator(spec, params, state, resample_latents(spec, minibatch, f"generator/{number}"))
        metrics |= found
    return params, state, metrics


def _one_after_the_other(
    order: str, discriminator: Callable[..., tuple], generator: Callable[..., tuple], params: Players, state: TrainState
) -> tuple[Players, TrainState, Metrics]:
    """Both players' turns in the order asked for, and the metrics of both."""
    metrics: Metrics = {}
    for turn in (discriminator, generator) if order == "discriminator_first" else (generator, discriminator):
        params, state, found = turn(params, state)
        metrics |= found
    return params, state, metrics


def resample_latents(spec: GANSpec, minibatch: Minibatch, name: str) -> Minibatch:
    """The same reals with latents and key of their own."""
    rng = named_key(minibatch.rng, name)
    return minibatch._replace(latents=spec.sample_latents(named_key(rng, "latents"), minibatch.latents.shape), rng=rng)


def simultaneous(*, micro_batches: int = 1) -> UpdateRule:
    """Both players move at once, from one pass through G and one through D over the fakes.

        (theta_D, theta_G) <- (theta_D - eta_D dL_D/dtheta_D, theta_G - eta_G dL_G/dtheta_G), both at the old point

    Another algorithm than `alternating`: G meets the old D. See `single_loss` for the one loss whose gradient this is.

    References:
        Mescheder et al., "The Numerics of GANs", 2017 (simultaneous gradient ascent).
    """

    def step(spec: GANSpec, params: Players, state: TrainState, batch: Mapping[str, Array], rng: Array) -> tuple:
        def gradients(state: TrainState, minibatch: Minibatch) -> tuple[Players, TrainState, Metrics]:
            return both_gradients(spec, params, state, minibatch)

        both, state, metrics = accumulate(gradients, state, spec.prepare_minibatch(batch, named_key(rng, "round/0")), micro_batches)
        return apply_both(spec, both, params, state, metrics)

    return UpdateRule(step)


def apply_both(spec: GANSpec, gradients: Players, params: Players, state: TrainState, metrics: Metrics) -> tuple:
    """One optimiser step of each player."""
    for player in Players._fields:
        params, state, norms = apply_gradients(spec, player, getattr(gradients, player), params, state)
        metrics = metrics | norms
    return params, state, metrics


def single_loss(spec: GANSpec, params: Players, state: TrainState, minibatch: Minibatch) -> Array:
    """One scalar whose gradient is the simultaneous field of both players.

        L = L_D(x, stop(G(z))) + l_G(D(G(z))) - l_G(D(stop(G(z))))

    The last two terms are equal in value, and so are their gradients with respect to D, which cancel; what is left of them is the
    gradient of G with D held fixed. Needs more passes than `simultaneous`, which computes the same gradients apart.
    """
    fake, _ = spec.generate(params.generator, state, minibatch)
    further = further_fakes(spec, params.generator, state, minibatch)
    of_discriminator, _ = discriminator_loss_of(spec, params.discriminator, state, fake, minibatch, further)

    def of_generator(output: Any, generator: PyTree) -> Array:
        effective, _ = spec.effective_params("generator", generator, state)
        makes = further_fakes(spec, generator, state, minibatch)
        return generator_loss_of(spec, output, params.discriminator, state, minibatch, (effective, makes), hold_discriminator=False)[0]

    held = jax.lax.stop_gradient((fake, params.generator))
    return of_discriminator + of_generator(fake, params.generator) - of_generator(*held)


def unrolled(*, unroll_steps: int = 5, discriminator_steps: int = 1) -> UpdateRule:
    """G moves against the D that would answer: its gradient flows through `unroll_steps` steps of D's optimiser.

        theta_D^(k+1) = update(theta_D^k, dL_D(theta_D^k, theta_G)/dtheta_D);   G minimises L_G(theta_D^K(theta_G), theta_G)

    D takes its own ordinary steps before, and is restored after the unrolling. With 0 steps this is `alternating`. The unrolled
    steps use D's optimiser (with Adam and its kin, set `eps_root` above 0: the derivative of a square root at 0 is not finite).

    References:
        Metz et al., "Unrolled Generative Adversarial Networks", 2017.
    """
    if unroll_steps < 0:
        raise ValueError(f"unroll_steps must not be negative; got {unroll_steps}")

    def step(spec: GANSpec, params: Players, state: TrainState, batch: Mapping[str, Array], rng: Array) -> tuple:
        minibatches = split_batch(spec, batch, rng, discriminator_steps)
        metrics: Metrics = {}
        for minibatch in minibatches:
            params, state, metrics = update_discriminator(spec, params, state, minibatch)
        minibatch = resample_latents(spec, minibatches[-1], "generator/0")

        def objective(generator: PyTree) -> tuple[Array, tuple[TrainState, Metrics]]:
            fake, after = spec.generate(generator, state, minibatch)
            effective, _ = spec.effective_params("generator", generator, state)
            further = further_fakes(spec, generator, state, minibatch)
            answered, inner = params, state
            for _ in range(unroll_steps):
                gradients, (inner, _found) = jax.grad(
                    lambda d, inner=inner: discriminator_loss_of(spec, d, inner, fake, minibatch, further, detach=False), has_aux=True
                )(answered.discriminator)
                updates, optimizer = spec.optimizer.update(Players(None, spec.average(gradients)), inner.optimizer, answered)
                answered = answered._replace(discriminator=optax.apply_updates(answered.discriminator, updates.discriminator))
                inner = inner._replace(optimizer=optimizer)
            loss, (new, found, _) = generator_loss_of(
                spec, fake, answered.discriminator, inner, minibatch, (effective, further), hold_discriminator=False
            )
            return loss, (after._replace(terms=new.terms if unroll_steps == 0 else after.terms), found)

        gradients, (state, found) = jax.grad(objective, has_aux=True)(params.generator)
        params, state, norms = apply_gradients(spec, "generator", gradients, params, state)
        return params, state, metrics | found | norms

    return UpdateRule(step, batches_per_step=discriminator_steps)


def extragradient() -> UpdateRule:
    """Both players look ahead along the field, and move from where they were along the field found there.

        w' = w - eta F(w);   w <- w - eta F(w')

    With an adaptive optimiser this is ExtraAdam: its moments follow both fields. A moving average of the parameters takes in the
    iterates w alone, once a step, and not the points w' that are only looked at.

    References:
        Korpelevich, 1976; Gidel et al., "A Variational Inequality Perspective on Generative Adversarial Networks", 2019.
    """

    def step(spec: GANSpec, params: Players, state: TrainState, batch: Mapping[str, Array], rng: Array) -> tuple:
        minibatch = spec.prepare_minibatch(batch, named_key(rng, "round/0"))
        field, state, _ = both_gradients(spec, params, state, minibatch)
        ahead, after, _ = apply_both(spec, field, params, state, {})
        after = after._replace(optimizer=with_averages_of(after.optimizer, state.optimizer))
        field, after, metrics = both_gradients(spec, ahead, after, resample_latents(spec, minibatch, "ahead"))
        return apply_both(spec, field, params, after, metrics)

    return UpdateRule(step)


def consensus(*, consensus_weight: float = 10.0) -> UpdateRule:
    """Simultaneous moves along the field plus the gradient of half its squared norm.

        w <- w - eta (F(w) + gamma d/dw ||F(w)||^2 / 2)

    The regulariser pulls both players towards points where the field vanishes. Needs second derivatives through both networks.

    References:
        Mescheder et al., "The Numerics of GANs", 2017.
    """
    if consensus_weight < 0:
        raise ValueError(f"consensus_weight must not be negative; got {consensus_weight}")

    def step(spec: GANSpec, params: Players, state: TrainState, batch: Mapping[str, Array], rng: Array) -> tuple:
        minibatch = spec.prepare_minibatch(batch, named_key(rng, "round/0"))

        def half_squared_norm(params: Players) -> tuple[Array, tuple]:
            field, new, metrics = both_gradients(spec, params, state, minibatch, detach=False)
            field = spec.average(field)
            value = 0.5 * sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(field))
            return value, (field, new, metrics)

        pull, (field, new, metrics) = jax.grad(half_squared_norm, has_aux=True)(params)
        total = jax.tree.map(lambda f, p: f + consensus_weight * p, field, pull)
        return apply_both(spec, total, params, new, metrics)

    return UpdateRule(step)


def loss_balanced(*, loss_threshold: float = 0.7, max_discriminator_steps: int = 5) -> UpdateRule:
    """`while loss_D > A: train D`, then one step of G. For comparison: the folklore advises against it.

    D moves at least once and at most `max_discriminator_steps` times, on the same reals against fresh fakes. How often is not known
    beforehand, so that no learning-rate schedule of D by its own updates can span the run.

    References:
        Chintala et al., "How to Train a GAN?", 2016, number 11 (do not balance by loss statistics).
    """
    if max_discriminator_steps < 1:
        raise ValueError(f"max_discriminator_steps must be at least 1; got {max_discriminator_steps}")

    def step(spec: GANSpec, params: Players, state: TrainState, batch: Mapping[str, Array], rng: Array) -> tuple:
        minibatch = spec.prepare_minibatch(batch, named_key(rng, "round/0"))

        def turn(params: Players, state: TrainState, count: Array) -> tuple:
            again = resample_latents(spec, minibatch._replace(rng=jax.random.fold_in(minibatch.rng, count)), "again")
            params, state, metrics = update_discriminator(spec, params, state, again)
            return params, state, spec.average(metrics)  # all devices must agree on going on

        def keep_on(carry: tuple) -> Array:
            _, _, metrics, count = carry
            return (metrics["discriminator_loss"] > loss_threshold) & (count < max_discriminator_steps)

        def once_more(carry: tuple) -> tuple:
            params, state, _, count = carry
            return (*turn(params, state, count), count + 1)

        start = (*turn(params, state, jnp.int32(0)), jnp.int32(1))
        params, state, metrics, count = jax.lax.while_loop(keep_on, once_more, start)
        params, state, found = update_generator(spec, params, state, resample_latents(spec, minibatch, "generator/0"))
        return params, state, metrics | found | {"discriminator_steps": count.astype(jnp.float32)}

    return UpdateRule(step)


UPDATE_RULES: dict[str, Callable[..., UpdateRule]] = {
    "alternating": alternating,
    "simultaneous": simultaneous,
    "unrolled": unrolled,
    "extragradient": extragradient,
    "consensus": consensus,
    "loss_balanced": loss_balanced,
}
