"""Update rules: which player is updated when, and along which vector field. `UPDATE_RULES` is the table.

An update rule is a pair of pure functions. `init(spec, params)` returns its state. `step` makes one train step:
`(spec, params, state, batch, rng) -> (params, state, metrics)`. The batch contains `batches_per_step` times the images of one
discriminator update, one part for each.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.gan.player_losses import discriminator_loss, generator_loss
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.state import TrainState, named_key
from gan_jax.gan.types import Minibatch
from gan_jax.gan.updates import (
    accumulate,
    apply_gradients,
    both_gradients,
    forward_generator,
    further_fakes,
    update_discriminator,
    update_generator,
)
from gan_jax.optimizers import EmaState
from gan_jax.replay import PlayerPool
from gan_jax.typing import Array, Metrics, Players, PyTree

StepResult = tuple[Players, TrainState, Metrics]


class UpdateRule(NamedTuple):
    """An update rule.

    Attributes:
        step: `(spec, params, state, batch, rng) -> (params, state, metrics)`.
        init: `(spec, params) -> state`, kept in `TrainState.update_rule`.
        batches_per_step: Number of parts into which a batch is split, one for each discriminator update.
    """

    step: Callable[..., StepResult]
    init: Callable[[GANSpec, Players], PyTree] = lambda spec, params: ()
    batches_per_step: int = 1


def split_batch(spec: GANSpec, batch: Mapping[str, Array], rng: Array, parts: int) -> list[Minibatch]:
    """Splits a batch into one minibatch for each discriminator update, each with its own draws."""
    size = batch["image"].shape[0]
    if size % parts:
        raise ValueError(f"the batch must hold a multiple of {parts} examples, one part for each minibatch of the step; got {size}")
    rows = [slice(part * (size // parts), (part + 1) * (size // parts)) for part in range(parts)]
    return [
        spec.prepare_minibatch({name: array[rows[part]] for name, array in batch.items()}, named_key(rng, f"round/{part}"))
        for part in range(parts)
    ]


def scan_updates(update: Callable[..., StepResult], params: Players, state: TrainState, minibatches: list[Minibatch]) -> StepResult:
    """Applies `update(params, state, minibatch)` to each minibatch in turn. Returns the metrics of the last one.

    Several updates are one loop of the compiled program, so the time to compile does not grow with their number.
    """
    if len(minibatches) == 1:
        return update(params, state, minibatches[0])

    def body(carry: tuple[Players, TrainState], minibatch: Minibatch) -> tuple[tuple[Players, TrainState], Metrics]:
        params, state, metrics = update(*carry, minibatch)
        return (params, state), metrics

    stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *minibatches)
    (params, state), metrics = jax.lax.scan(body, (params, state), stacked)
    return params, state, jax.tree.map(lambda values: values[-1], metrics)


def resample_latents(spec: GANSpec, minibatch: Minibatch, name: str) -> Minibatch:
    """The same reals with new latents and a new key."""
    rng = named_key(minibatch.rng, name)
    return minibatch._replace(latents=spec.sample_latents(named_key(rng, "latents"), minibatch.latents.shape), rng=rng)


def alternating(
    *,
    discriminator_steps: int = 1,
    generator_steps: int = 1,
    order: str = "discriminator_first",
    fakes: str = "fresh",
    micro_batches: int = 1,
    generator_reals: str = "shared",
    pool: PlayerPool | None = None,
) -> UpdateRule:
    """The players are updated in turn: D `discriminator_steps` times, each time on other images, and G `generator_steps` times.

        theta_D <- theta_D - eta_D dL_D(theta_D, theta_G)/dtheta_D;   theta_G <- theta_G - eta_G dL_G(theta_D, theta_G)/dtheta_G

    Args:
        discriminator_steps: Updates of D in a train step (5 for WGAN).
        generator_steps: Updates of G in a train step.
        order: "discriminator_first" or "generator_first".
        fakes: With "fresh", each update samples its own fakes. With "shared", the last update of D and the first of G use the same
            fakes from one forward pass of G, without gradient in D's loss. G's gradient still uses the newest D.
        micro_batches: Gradients are averaged over this many parts of a minibatch, one after the other, to save memory.
        generator_reals: Reals that G's loss uses, if it needs any (relativistic losses, feature matching). With "shared" they are those
            of the last update of D. With "fresh" each update of G has its own part of the batch, as in R3GAN's trainer.
        pool: Past players that replace the opponents in some steps.

    References:
        Goodfellow et al., "Generative Adversarial Nets", 2014, algorithm 1.
    """
    if order not in ("discriminator_first", "generator_first"):
        raise ValueError(f"order must be discriminator_first or generator_first; got {order}")
    if fakes not in ("fresh", "shared"):
        raise ValueError(f"fakes must be fresh or shared; got {fakes}")
    if discriminator_steps < 1 or generator_steps < 1:
        raise ValueError(f"each player needs at least one step; got {discriminator_steps} and {generator_steps}")
    if generator_reals not in ("shared", "fresh"):
        raise ValueError(f"generator_reals must be shared or fresh; got {generator_reals}")
    if fakes == "shared" and (micro_batches > 1 or pool is not None or generator_reals == "fresh"):
        raise ValueError("fakes=shared excludes micro_batches, generator_reals=fresh and a pool of past players")
    parts = discriminator_steps + (generator_steps if generator_reals == "fresh" else 0)
    players = ("discriminator", "generator") if order == "discriminator_first" else ("generator", "discriminator")

    def fresh_step(spec: GANSpec, params: Players, state: TrainState, batch: Mapping[str, Array], rng: Array) -> StepResult:
        minibatches, metrics = split_batch(spec, batch, rng, parts), Metrics()
        if pool is not None:
            state = state._replace(update_rule=pool.push(state.update_rule, params, state.step, named_key(rng, "pool/push")))

        def opponents(params: Players, state: TrainState) -> Players:
            return Players(None, None) if pool is None else pool.opponents(state.update_rule, params, state.step)

        for player in players:
            if player == "discriminator":
                past = opponents(params, state).generator
                update = partial(update_discriminator, spec, generator=past, micro_batches=micro_batches)
                params, state, new = scan_updates(update, params, state, minibatches[:discriminator_steps])
            else:
                for number in range(generator_steps):
                    part = discriminator_steps + (number if generator_reals == "fresh" else -1)
                    minibatch = resample_latents(spec, minibatches[part], f"generator/{number}")
                    past = opponents(params, state).discriminator
                    params, state, new = update_generator(spec, params, state, minibatch, discriminator=past, micro_batches=micro_batches)
            metrics |= new
        return params, state, metrics

    def shared_step(spec: GANSpec, params: Players, state: TrainState, batch: Mapping[str, Array], rng: Array) -> StepResult:
        *first, minibatch = split_batch(spec, batch, rng, discriminator_steps)
        if first:
            params, state, _ = scan_updates(partial(update_discriminator, spec), params, state, first)
        forward, state = forward_generator(spec, params.generator, state, minibatch)
        # Further fakes of D's loss terms come from the G that made these fakes, which may be updated before D is.
        fakes, metrics = {"fake": forward.fake, "generator": params.generator}, Metrics()
        for player in players:
            if player == "discriminator":
                params, state, new = update_discriminator(spec, params, state, minibatch, **fakes)
            else:
                params, state, new = update_generator(spec, params, state, minibatch, forward=forward)
            metrics |= new
        for number in range(1, generator_steps):
            params, state, new = update_generator(spec, params, state, resample_latents(spec, minibatch, f"generator/{number}"))
            metrics |= new
        return params, state, metrics

    init = (lambda spec, params: pool.init(params)) if pool else (lambda spec, params: ())
    return UpdateRule(shared_step if fakes == "shared" else fresh_step, init, parts)


def simultaneous(*, micro_batches: int = 1) -> UpdateRule:
    """Both players are updated at once, from one forward pass of G and one of D over the fakes.

        (theta_D, theta_G) <- (theta_D - eta_D dL_D/dtheta_D, theta_G - eta_G dL_G/dtheta_G), both at the old point

    This is another algorithm than `alternating`, because G's gradient uses the old D. `single_loss` is the loss with this gradient.

    References:
        Mescheder et al., "The Numerics of GANs", 2017 (simultaneous gradient ascent).
    """

    def step(spec: GANSpec, params: Players, state: TrainState, batch: Mapping[str, Array], rng: Array) -> StepResult:
        def gradients(state: TrainState, minibatch: Minibatch) -> tuple[Players, TrainState, Metrics]:
            return both_gradients(spec, params, state, minibatch)

        minibatch = spec.prepare_minibatch(batch, named_key(rng, "round/0"))
        both, state, metrics = accumulate(gradients, state, minibatch, micro_batches)
        return _apply_both(spec, both, params, state, metrics)

    return UpdateRule(step)


def single_loss(spec: GANSpec, params: Players, state: TrainState, minibatch: Minibatch) -> Array:
    """One scalar whose gradient is the simultaneous field of both players.

        L = L_D(x, stop(G(z))) + l_G(D(G(z))) - l_G(D(stop(G(z))))

    The last two terms have the same value and the same gradient with respect to D, which cancels. What remains is the gradient of G
    with D fixed. `simultaneous` computes the same gradients with fewer passes.

    Raises:
        ValueError: The weight of the adversarial term is adaptive, so that no scalar has these gradients.
    """
    _check_fixed_weight(spec)
    fake, _ = spec.generate(params.generator, state, minibatch)
    generate = further_fakes(spec, params.generator, state, minibatch)
    of_discriminator, _ = discriminator_loss(spec, params.discriminator, state, fake, minibatch, generate)

    def of_generator(fake: Any, generator: PyTree) -> Array:
        generate = further_fakes(spec, generator, state, minibatch)
        return generator_loss(spec, fake, params.discriminator, state, minibatch, generator, generate, stop_gradient=False)[0]

    return of_discriminator + of_generator(fake, params.generator) - of_generator(*jax.lax.stop_gradient((fake, params.generator)))


def unrolled(*, unroll_steps: int = 5, discriminator_steps: int = 1) -> UpdateRule:
    """G is updated against D after `unroll_steps` further steps of D's optimiser. G's gradient flows through these steps.

        theta_D^(k+1) = update(theta_D^k, dL_D(theta_D^k, theta_G)/dtheta_D);   G minimises L_G(theta_D^K(theta_G), theta_G)

    D is first updated as usual, and is restored after the unrolling. With 0 steps this is `alternating`. The unrolled steps use D's
    optimiser. With Adam and its variants set `eps_root` above 0, since the derivative of a square root at 0 is not finite.

    References:
        Metz et al., "Unrolled Generative Adversarial Networks", 2017.
    """
    if unroll_steps < 0:
        raise ValueError(f"unroll_steps must not be negative; got {unroll_steps}")

    def step(spec: GANSpec, params: Players, state: TrainState, batch: Mapping[str, Array], rng: Array) -> StepResult:
        _check_fixed_weight(spec)
        minibatches = split_batch(spec, batch, rng, discriminator_steps)
        params, state, metrics = scan_updates(partial(update_discriminator, spec), params, state, minibatches)
        minibatch = resample_latents(spec, minibatches[-1], "generator/0")

        def loss(generator: PyTree) -> tuple[Array, tuple[TrainState, Metrics]]:
            fake, after = spec.generate(generator, state, minibatch)
            generate = further_fakes(spec, generator, state, minibatch)
            unrolled_params, unrolled_state = params, state
            gradient = jax.grad(discriminator_loss, argnums=1, has_aux=True)
            for _ in range(unroll_steps):
                discriminator = unrolled_params.discriminator
                grads, (unrolled_state, _) = gradient(spec, discriminator, unrolled_state, fake, minibatch, generate, stop_gradient=False)
                grads = Players(None, spec.average(grads))
                updates, optimizer = spec.optimizer.update(grads, unrolled_state.optimizer, unrolled_params)
                unrolled_params = unrolled_params._replace(discriminator=optax.apply_updates(discriminator, updates.discriminator))
                unrolled_state = unrolled_state._replace(optimizer=optimizer)
            value, (new, generator_metrics, _) = generator_loss(
                spec, fake, unrolled_params.discriminator, unrolled_state, minibatch, generator, generate, stop_gradient=False
            )
            return value, (after._replace(terms=new.terms if unroll_steps == 0 else after.terms), generator_metrics)

        generator_grads, (state, generator_metrics) = jax.grad(loss, has_aux=True)(params.generator)
        params, state, update_metrics = apply_gradients(spec, "generator", generator_grads, params, state)
        return params, state, metrics | generator_metrics | update_metrics

    return UpdateRule(step, batches_per_step=discriminator_steps)


def extragradient() -> UpdateRule:
    """Both players look ahead along the field, and are then updated from where they were along the field at the point ahead.

        w' = w - eta F(w);   w <- w - eta F(w')

    With an adaptive optimiser this is ExtraAdam, whose moments follow both fields. A moving average of the parameters includes the
    iterates w once a step, and never the points w'.

    References:
        Korpelevich, 1976; Gidel et al., "A Variational Inequality Perspective on Generative Adversarial Networks", 2019.
    """

    def step(spec: GANSpec, params: Players, state: TrainState, batch: Mapping[str, Array], rng: Array) -> StepResult:
        minibatch = spec.prepare_minibatch(batch, named_key(rng, "round/0"))
        field, state, _ = both_gradients(spec, params, state, minibatch)
        ahead, after, _ = _apply_both(spec, field, params, state, {})
        after = after._replace(optimizer=_with_averages_of(after.optimizer, state.optimizer))
        field, after, metrics = both_gradients(spec, ahead, after, resample_latents(spec, minibatch, "ahead"))
        return _apply_both(spec, field, params, after, metrics)

    return UpdateRule(step)


def consensus(*, consensus_weight: float = 10.0) -> UpdateRule:
    """Simultaneous updates along the field plus the gradient of half its squared norm.

        w <- w - eta (F(w) + gamma d/dw ||F(w)||^2 / 2)

    The regulariser pulls both players towards points where the field is zero. It needs second derivatives of both networks.

    References:
        Mescheder et al., "The Numerics of GANs", 2017.
    """
    if consensus_weight < 0:
        raise ValueError(f"consensus_weight must not be negative; got {consensus_weight}")

    def step(spec: GANSpec, params: Players, state: TrainState, batch: Mapping[str, Array], rng: Array) -> StepResult:
        minibatch = spec.prepare_minibatch(batch, named_key(rng, "round/0"))

        def half_squared_norm(params: Players) -> tuple[Array, tuple]:
            field, new, metrics = both_gradients(spec, params, state, minibatch, stop_gradient=False)
            field = spec.average(field)
            value = 0.5 * sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(field))
            return value, (field, new, metrics)

        norm_grads, (field, new, metrics) = jax.grad(half_squared_norm, has_aux=True)(params)
        total = jax.tree.map(lambda f, n: f + consensus_weight * n, field, norm_grads)
        return _apply_both(spec, total, params, new, metrics)

    return UpdateRule(step)


def loss_balanced(
    *,
    loss_threshold: float = 0.7,
    max_discriminator_steps: int = 5,
    generator_loss_threshold: float | None = None,
    max_generator_steps: int = 5,
) -> UpdateRule:
    """`while loss_D > A: train D`, then `while loss_G > B: train G`. For comparison only, since practitioners advise against it.

    Each player is updated at least once and at most `max_..._steps` times, on the same reals and fresh fakes. The number of updates is
    not known in advance. The learning rates can therefore not follow a schedule that spans the run.

    Args:
        loss_threshold: A. D is updated while its loss is above this value.
        max_discriminator_steps: Largest number of updates of D in a train step.
        generator_loss_threshold: B. G is updated while its loss is above this value. None updates G once.
        max_generator_steps: Largest number of updates of G in a train step.

    References:
        Chintala et al., "How to Train a GAN?", 2016, number 11 (do not balance by loss statistics).
    """
    if max_discriminator_steps < 1 or max_generator_steps < 1:
        got = f"got {max_discriminator_steps} and {max_generator_steps}"
        raise ValueError(f"max_discriminator_steps and max_generator_steps must be at least 1; {got}")

    def step(spec: GANSpec, params: Players, state: TrainState, batch: Mapping[str, Array], rng: Array) -> StepResult:
        minibatch, metrics = spec.prepare_minibatch(batch, named_key(rng, "round/0")), Metrics()

        def loop(player: str, threshold: float, most: int) -> tuple[Callable[[tuple], Array], Callable[[tuple], tuple]]:
            update, name = (update_discriminator, "again") if player == "discriminator" else (update_generator, "generator/0")

            def continues(carry: tuple) -> Array:
                _, _, metrics, count = carry
                return (metrics[f"{player}_loss"] > threshold) & (count < most)

            def body(carry: tuple) -> tuple:
                params, state, _, count = carry
                fresh = resample_latents(spec, minibatch._replace(rng=jax.random.fold_in(minibatch.rng, count)), name)
                params, state, metrics = update(spec, params, state, fresh)
                return params, state, spec.average(metrics), count + 1  # All devices have to make the same decision.

            return continues, body

        loops = {"discriminator": loop("discriminator", loss_threshold, max_discriminator_steps)}
        if generator_loss_threshold is not None:
            loops["generator"] = loop("generator", generator_loss_threshold, max_generator_steps)
        for player, (continues, body) in loops.items():
            first = body((params, state, None, jnp.int32(0)))
            params, state, new, count = jax.lax.while_loop(continues, body, first)
            metrics |= new | {f"{player}_steps": count.astype(jnp.float32)}
        if "generator" not in loops:
            params, state, new = update_generator(spec, params, state, resample_latents(spec, minibatch, "generator/0"))
            metrics |= new
        return params, state, metrics

    return UpdateRule(step)


def _check_fixed_weight(spec: GANSpec) -> None:
    """Raises ValueError if the weight of the adversarial term depends on gradients."""
    if spec.adaptive_weight:
        raise ValueError("adaptive_weight excludes update rules that differentiate G's loss as one scalar; got unrolled or single_loss")


def _apply_both(spec: GANSpec, gradients: Players, params: Players, state: TrainState, metrics: Metrics) -> StepResult:
    """One optimiser step of each player."""
    for player in Players._fields:
        params, state, update_metrics = apply_gradients(spec, player, getattr(gradients, player), params, state)
        metrics = metrics | update_metrics
    return params, state, metrics


def _with_averages_of(optimizer: PyTree, other: PyTree) -> PyTree:
    """An optimiser's state with the moving averages of parameters (`track_ema`) of another optimiser's state."""

    def choose(average: PyTree, leaf: PyTree) -> PyTree:
        return average if isinstance(average, EmaState) else leaf

    return jax.tree.map(choose, other, optimizer, is_leaf=lambda node: isinstance(node, EmaState))


UPDATE_RULES: dict[str, Callable[..., UpdateRule]] = {
    "alternating": alternating,
    "simultaneous": simultaneous,
    "unrolled": unrolled,
    "extragradient": extragradient,
    "consensus": consensus,
    "loss_balanced": loss_balanced,
}
