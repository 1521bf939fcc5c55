"""What each player of a game minimises, as pure functions: the adversarial loss, penalties and terms, reduced to one number.

How the players then move is a strategy (see `gan_jax.gan.update_rules`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gan_jax.gan.spec import Game
from gan_jax.gan.state import GameState, named_key
from gan_jax.gan.types import Penalty, Play, Round
from gan_jax.optimizers import ema_params
from gan_jax.typing import AdversarialLoss, Array, GeneratorOutput, Metrics, PyTree


def total_mean(values: PyTree) -> Array:
    """Mean over all elements of each array, summed over the arrays (scales) of a tree of values."""
    return sum(jnp.mean(widen(leaf)) for leaf in jax.tree.leaves(values))


def widen(values: Array) -> Array:
    """At least float32."""
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def _pooled(values: PyTree) -> Array:
    """Mean over all logits of all scales."""
    leaves = [jnp.ravel(leaf) for leaf in jax.tree.leaves(values)]
    return jnp.mean(widen(jnp.concatenate(leaves)))


def discriminator_objective(
    game: Game,
    params: PyTree,
    state: GameState,
    fake: GeneratorOutput,
    round: Round,
    generate: Callable[[Array], GeneratorOutput],
    *,
    detach: bool = True,
) -> tuple[Array, tuple[GameState, Metrics]]:
    """D's loss against given fakes.

    Args:
        game: the game.
        params: D's parameters.
        state: the state.
        fake: G's output.
        round: the batch.
        generate: `latents -> GeneratorOutput`, makes further fakes, for terms.
        detach: whether no gradient reaches whoever made the fakes; only unrolling wants it otherwise.

    Returns:
        The scalar loss, and (the state advanced, the metrics).
    """
    if detach:
        fake = jax.lax.stop_gradient(fake)
    before = state.networks.discriminator
    effective, state = game.effective_params("discriminator", params, state)
    real_output, fake_output, network_state = game.discriminate_both(effective, state, fake.images, round)
    values = _discriminator_values(game, real_output.logits, fake_output.logits, round)
    loss = total_mean(values) * (0.5 if game.halve_discriminator_loss else 1.0)
    metrics = {
        "discriminator_adversarial_loss": loss,
        "real_logits": _pooled(real_output.logits),
        "fake_logits": _pooled(fake_output.logits),
        "real_accuracy": _pooled(jax.tree.map(lambda x: x > 0, real_output.logits)),
        "fake_accuracy": _pooled(jax.tree.map(lambda x: x < 0, fake_output.logits)),
    }
    for penalty in game.penalties:
        value = _penalty(game, penalty, effective, state, fake.images, round)
        metrics[f"penalty/{penalty.name}"] = value
        loss += penalty.weight * value
    play = Play(
        round=round,
        fake=fake,
        real_output=real_output,
        fake_output=fake_output,
        params=effective,
        discriminate=lambda images, name: game.discriminate(effective, before, images, round, state, f"term/{name}")[0],
        generate=(lambda latents: jax.lax.stop_gradient(generate(latents))) if detach else generate,
        step=state.step,
        axis_name=game.axis_name if game.share_statistics else None,
    )
    term_loss, state, term_metrics = _terms(game, "discriminator", play, state)
    loss += term_loss
    inputs = tuple(
        jax.lax.stop_gradient(transform.update(input_state, _first(real_output.logits), _first(fake_output.logits)))
        for transform, input_state in zip(game.input_transforms, state.inputs, strict=True)
    )
    state = state._replace(networks=state.networks._replace(discriminator=network_state), inputs=inputs)
    return loss, (state, metrics | term_metrics | {"discriminator_loss": loss})


def generator_objective(
    game: Game,
    fake: GeneratorOutput,
    discriminator_params: PyTree,
    state: GameState,
    round: Round,
    generator: tuple[PyTree, Callable[[Array], GeneratorOutput]],
    *,
    hold_discriminator: bool = True,
) -> tuple[Array, tuple[GameState, Metrics, Array]]:
    """G's loss, as a function of its output; D's state is not advanced.

    Args:
        game: the game.
        fake: G's output.
        discriminator_params: D's parameters.
        state: the state.
        round: the batch.
        generator: G's effective parameters, for terms of weights, and `latents -> GeneratorOutput`.
        hold_discriminator: whether no gradient reaches D's parameters; only unrolling and the single loss of the
            simultaneous game want it otherwise.

    Returns:
        The scalar loss, and (the state with its terms advanced, the metrics, the adversarial part of the loss).
    """
    if game.target_discriminator:
        discriminator_params = ema_params(state.optimizer, player="discriminator")
    effective, _ = game.effective_params("discriminator", discriminator_params, state)
    if hold_discriminator:
        effective = jax.lax.stop_gradient(effective)
    network_state = state.networks.discriminator
    if game.joint_batches:
        real_output, fake_output, _ = game.discriminate_both(effective, state, fake.images, round)
    else:
        real_output = None
        if needs_real(game):
            real_output, network_state = game.discriminate(effective, network_state, round.real, round, state, "real")
        fake_output, _ = game.discriminate(effective, network_state, fake.images, round, state, "fake")
    values = _generator_values(game, fake_output.logits, None if real_output is None else real_output.logits)
    if game.top_k is not None:
        values = jax.tree.map(lambda v, logits: v * game.top_k(logits, state.step), values, fake_output.logits)
    adversarial = total_mean(values)
    play = Play(
        round=round,
        fake=fake,
        real_output=real_output,
        fake_output=fake_output,
        params=generator[0],
        discriminate=lambda images, name: game.discriminate(effective, network_state, images, round, state, f"term/{name}")[0],
        generate=generator[1],
        step=state.step,
        axis_name=game.axis_name if game.share_statistics else None,
    )
    term_loss, state, term_metrics = _terms(game, "generator", play, state)
    loss = game.adversarial_weight * adversarial + term_loss
    metrics = {
        "generator_adversarial_loss": adversarial,
        "generator_loss": loss,
        "fresh_fake_logits": _pooled(fake_output.logits),
    } | term_metrics
    return loss, (state, metrics, game.adversarial_weight * adversarial)


def needs_real(game: Game) -> bool:
    """Whether G's objective looks at D's output on the reals: relativistic losses and some terms do."""
    return loss_needs_real(game.loss) or any(term.needs_real and term.player == "generator" for term in game.terms)


def repeat_reals(real: Array, fake: Array) -> Array:
    """What was found of each real, once for each of its fakes: a VAE-GAN has two, what it drew and what it reconstructed.

    Args:
        real: [batch, ...].
        fake: [copies * batch, ...], one copy of the batch behind the other.

    Returns:
        [copies * batch, ...]; the mean over it is that of `real`.
    """
    return jnp.concatenate([real] * (fake.shape[0] // real.shape[0]))


def _discriminator_values(game: Game, real_logits: PyTree, fake_logits: PyTree, round: Round) -> PyTree:
    def values(real: Array, fake: Array) -> Array:
        real = repeat_reals(real, fake)
        if game.targets is None:
            return game.loss.discriminator(real, fake)
        real_target, fake_target = game.targets(named_key(round.rng, "targets"), real.shape)
        return game.loss.discriminator(real, fake, real_target=real_target, fake_target=fake_target)

    return jax.tree.map(values, real_logits, fake_logits)


def _generator_values(game: Game, fake_logits: PyTree, real_logits: PyTree | None) -> PyTree:
    keywords = {} if game.generator_target is None else {"real_target": game.generator_target}
    if real_logits is None:
        return jax.tree.map(lambda fake: game.loss.generator(fake, **keywords), fake_logits)
    return jax.tree.map(lambda fake, real: game.loss.generator(fake, repeat_reals(real, fake), **keywords), fake_logits, real_logits)


def _penalty(game: Game, penalty: Penalty, effective: PyTree, state: GameState, fake: Array, round: Round) -> Array:
    def critic(images: Array) -> PyTree:
        network_state = state.networks.discriminator
        rng = named_key(round.rng, f"discriminator/penalty/{penalty.name}")
        return game.discriminator.apply(effective, network_state, images, round.labels, round.context, rng=rng, train=True)[0].logits

    def value() -> Array:
        rng = named_key(round.rng, f"penalty/{penalty.name}")
        real = game.transform_inputs(round.real, state.inputs, named_key(rng, "real"), state.step)
        seen = game.transform_inputs(fake[: round.real.shape[0]], state.inputs, named_key(rng, "fake"), state.step)
        return jnp.mean(widen(penalty.function(critic, real, seen, rng)))

    if penalty.interval == 1:
        return value()
    nothing = jnp.zeros((), jax.eval_shape(value).dtype)
    return jax.lax.cond(state.step % penalty.interval == 0, lambda: penalty.interval * value(), lambda: nothing)


def _terms(game: Game, player: str, play: Play, state: GameState) -> tuple[Array, GameState, Metrics]:
    loss, metrics, states = jnp.float32(0), {}, list(state.terms)
    for number, term in enumerate(game.terms):
        if term.player != player:
            continue
        values, new = term.function(play, states[number])
        value = total_mean(values)
        states[number] = jax.lax.stop_gradient(new)
        metrics[f"term/{term.name}"] = value
        loss += term.weight * value
    return loss, state._replace(terms=tuple(states)), metrics


def _first(logits: PyTree) -> Array:
    return jax.tree.leaves(logits)[0]


def loss_needs_real(loss: AdversarialLoss) -> bool:
    """Whether the generator's half refuses to do without the logits of the reals."""
    try:
        jax.eval_shape(loss.generator, jax.ShapeDtypeStruct((2,), jnp.float32))
    except (TypeError, ValueError):
        return True
    return False
