"""What each player of a game minimises, as pure functions: the adversarial loss, penalties and terms, reduced to one number.

How the players then move is a strategy (see `gan_jax.gan.update_rules`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gan_jax.gan.spec import GANSpec
from gan_jax.gan.state import TrainState, named_key
from gan_jax.gan.types import GradientPenalty, LossContext, Minibatch
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


def discriminator_loss_of(
    spec: GANSpec,
    params: PyTree,
    state: TrainState,
    fake: GeneratorOutput,
    minibatch: Minibatch,
    generate: Callable[[Array], GeneratorOutput],
    *,
    detach: bool = True,
) -> tuple[Array, tuple[TrainState, Metrics]]:
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
    effective, state = spec.effective_params("discriminator", params, state)
    real_output, fake_output, network_state = spec.discriminate_both(effective, state, fake.images, minibatch)
    values = _discriminator_values(spec, real_output.logits, fake_output.logits, minibatch)
    loss = total_mean(values) * (0.5 if spec.halve_discriminator_loss else 1.0)
    metrics = {
        "discriminator_adversarial_loss": loss,
        "real_logits": _pooled(real_output.logits),
        "fake_logits": _pooled(fake_output.logits),
        "real_accuracy": _pooled(jax.tree.map(lambda x: x > 0, real_output.logits)),
        "fake_accuracy": _pooled(jax.tree.map(lambda x: x < 0, fake_output.logits)),
    }
    for penalty in spec.penalties:
        value = _penalty(spec, penalty, effective, state, fake.images, minibatch)
        metrics[f"penalty/{penalty.name}"] = value
        loss += penalty.weight * value
    context = LossContext(
        minibatch=minibatch,
        fake=fake,
        real_output=real_output,
        fake_output=fake_output,
        params=effective,
        discriminate=lambda images, name: spec.discriminate(effective, before, images, minibatch, state, f"term/{name}")[0],
        generate=(lambda latents: jax.lax.stop_gradient(generate(latents))) if detach else generate,
        step=state.step,
        axis_name=spec.axis_name if spec.share_statistics else None,
    )
    term_loss, state, term_metrics = _terms(spec, "discriminator", context, state)
    loss += term_loss
    augmentations = tuple(
        jax.lax.stop_gradient(transform.update(input_state, _first(real_output.logits), _first(fake_output.logits)))
        for transform, input_state in zip(spec.augmentations, state.augmentations, strict=True)
    )
    state = state._replace(networks=state.networks._replace(discriminator=network_state), augmentations=augmentations)
    return loss, (state, metrics | term_metrics | {"discriminator_loss": loss})


def generator_loss_of(
    spec: GANSpec,
    fake: GeneratorOutput,
    discriminator_params: PyTree,
    state: TrainState,
    minibatch: Minibatch,
    generator: tuple[PyTree, Callable[[Array], GeneratorOutput]],
    *,
    hold_discriminator: bool = True,
) -> tuple[Array, tuple[TrainState, Metrics, Array]]:
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
    if spec.target_discriminator:
        discriminator_params = ema_params(state.optimizer, player="discriminator")
    effective, _ = spec.effective_params("discriminator", discriminator_params, state)
    if hold_discriminator:
        effective = jax.lax.stop_gradient(effective)
    network_state = state.networks.discriminator
    if spec.joint_batches:
        real_output, fake_output, _ = spec.discriminate_both(effective, state, fake.images, minibatch)
    else:
        real_output = None
        if needs_real(spec):
            real_output, network_state = spec.discriminate(effective, network_state, minibatch.real, minibatch, state, "real")
        fake_output, _ = spec.discriminate(effective, network_state, fake.images, minibatch, state, "fake")
    values = _generator_values(spec, fake_output.logits, None if real_output is None else real_output.logits)
    if spec.top_k is not None:
        values = jax.tree.map(lambda v, logits: v * spec.top_k(logits, state.step), values, fake_output.logits)
    adversarial = total_mean(values)
    context = LossContext(
        minibatch=minibatch,
        fake=fake,
        real_output=real_output,
        fake_output=fake_output,
        params=generator[0],
        discriminate=lambda images, name: spec.discriminate(effective, network_state, images, minibatch, state, f"term/{name}")[0],
        generate=generator[1],
        step=state.step,
        axis_name=spec.axis_name if spec.share_statistics else None,
    )
    term_loss, state, term_metrics = _terms(spec, "generator", context, state)
    loss = spec.adversarial_weight * adversarial + term_loss
    metrics = {
        "generator_adversarial_loss": adversarial,
        "generator_loss": loss,
        "fresh_fake_logits": _pooled(fake_output.logits),
    } | term_metrics
    return loss, (state, metrics, spec.adversarial_weight * adversarial)


def needs_real(spec: GANSpec) -> bool:
    """Whether G's objective looks at D's output on the reals: relativistic losses and some terms do."""
    return loss_needs_real(spec.loss) or any(term.needs_real and term.player == "generator" for term in spec.terms)


def repeat_reals(real: Array, fake: Array) -> Array:
    """What was found of each real, once for each of its fakes: a VAE-GAN has two, what it drew and what it reconstructed.

    Args:
        real: [batch, ...].
        fake: [copies * batch, ...], one copy of the batch behind the other.

    Returns:
        [copies * batch, ...]; the mean over it is that of `real`.
    """
    return jnp.concatenate([real] * (fake.shape[0] // real.shape[0]))


def _discriminator_values(spec: GANSpec, real_logits: PyTree, fake_logits: PyTree, minibatch: Minibatch) -> PyTree:
    def values(real: Array, fake: Array) -> Array:
        real = repeat_reals(real, fake)
        if spec.targets is None:
            return spec.loss.discriminator(real, fake)
        real_target, fake_target = spec.targets(named_key(minibatch.rng, "targets"), real.shape)
        return spec.loss.discriminator(real, fake, real_target=real_target, fake_target=fake_target)

    return jax.tree.map(values, real_logits, fake_logits)


def _generator_values(spec: GANSpec, fake_logits: PyTree, real_logits: PyTree | None) -> PyTree:
    keywords = {} if spec.generator_target is None else {"real_target": spec.generator_target}
    if real_logits is None:
        return jax.tree.map(lambda fake: spec.loss.generator(fake, **keywords), fake_logits)
    return jax.tree.map(lambda fake, real: spec.loss.generator(fake, repeat_reals(real, fake), **keywords), fake_logits, real_logits)


def _penalty(spec: GANSpec, penalty: GradientPenalty, effective: PyTree, state: TrainState, fake: Array, minibatch: Minibatch) -> Array:
    def critic(images: Array) -> PyTree:
        network_state = state.networks.discriminator
        rng = named_key(minibatch.rng, f"discriminator/penalty/{penalty.name}")
        return spec.discriminator.apply(effective, network_state, images, minibatch.labels, minibatch.context, rng=rng, train=True)[
            0
        ].logits

    def value() -> Array:
        rng = named_key(minibatch.rng, f"penalty/{penalty.name}")
        real = spec.augment(minibatch.real, state.augmentations, named_key(rng, "real"), state.step)
        seen = spec.augment(fake[: minibatch.real.shape[0]], state.augmentations, named_key(rng, "fake"), state.step)
        return jnp.mean(widen(penalty.function(critic, real, seen, rng)))

    if penalty.interval == 1:
        return value()
    nothing = jnp.zeros((), jax.eval_shape(value).dtype)
    return jax.lax.cond(state.step % penalty.interval == 0, lambda: penalty.interval * value(), lambda: nothing)


def _terms(spec: GANSpec, player: str, context: LossContext, state: TrainState) -> tuple[Array, TrainState, Metrics]:
    loss, metrics, states = jnp.float32(0), {}, list(state.terms)
    for number, term in enumerate(spec.terms):
        if term.player != player:
            continue
        values, new = term.function(context, states[number])
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
