"""The losses of the two players: adversarial loss, penalties and further terms, reduced to one number."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.augment.packing import join_packs, split_packs
from gan_jax.gan.cutmix import loss_with_cutmix
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.state import TrainState, named_key
from gan_jax.gan.types import GradientPenalty, LossContext, Minibatch
from gan_jax.optimizers import ema_params
from gan_jax.typing import Array, DiscriminatorOutput, GeneratorOutput, Metrics, PseudoAugmentation, PyTree


class GeneratorParts(NamedTuple):
    """The parts of G's loss, which is `weight * adversarial + task + further`.

    Attributes:
        adversarial: The adversarial loss.
        task: The weighted terms that compare G's output with a target.
        further: The other weighted terms.
    """

    adversarial: Array
    task: Array
    further: Array


def discriminator_loss(
    spec: GANSpec,
    params: PyTree,
    state: TrainState,
    fake: GeneratorOutput,
    minibatch: Minibatch,
    generate: Callable[..., GeneratorOutput],
    *,
    stop_gradient: bool = True,
) -> tuple[Array, tuple[TrainState, Metrics]]:
    """Loss of D against given fakes.

    Args:
        spec: The GAN.
        params: Parameters of D.
        state: The train state.
        fake: Output of G.
        minibatch: The reals and their draws.
        generate: `(latents, rng=None) -> GeneratorOutput`, makes further fakes for loss terms.
        stop_gradient: Whether the loss is constant in the fakes. Unrolling sets it to False.

    Returns:
        The scalar loss, and (the advanced state, the metrics).
    """
    if stop_gradient:
        fake = jax.lax.stop_gradient(fake)
    before = state.networks.discriminator
    posing: Metrics = {}
    if spec.pseudo_augmentation is not None:
        minibatch, posing = _with_posing_fakes(spec, spec.pseudo_augmentation, state, minibatch, generate)
    effective, state = spec.effective_params("discriminator", params, state)
    real_output, fake_output, network_state = spec.discriminate_both(effective, state, fake.images, minibatch)

    values, real_right, fake_right = [], [], []
    for real_logits, fake_logits in zip(jax.tree.leaves(real_output.logits), jax.tree.leaves(fake_output.logits), strict=True):
        real_logits, targets = repeat_reals(real_logits, fake_logits), {}
        real_right.append(real_logits - _reference(spec, fake_logits) > 0)
        fake_right.append(fake_logits - _reference(spec, real_logits) < 0)
        if spec.targets is not None:
            real_target, fake_target = spec.targets(named_key(minibatch.rng, "targets"), real_logits.shape)
            targets = {"real_target": real_target, "fake_target": fake_target}
        if spec.loss.takes_classes:
            values.append(spec.loss.discriminator(_classes(real_output), _classes(fake_output), minibatch.labels))
        else:
            values.append(spec.loss.discriminator(real_logits, fake_logits, **targets))
    loss = total_mean(values) * (0.5 if spec.halve_discriminator_loss else 1.0)
    metrics = {
        "discriminator_adversarial_loss": loss,
        "real_logits": _pooled_mean(real_output.logits),
        "fake_logits": _pooled_mean(fake_output.logits),
        "real_accuracy": _pooled_mean(real_right),
        "fake_accuracy": _pooled_mean(fake_right),
    } | posing
    if spec.observe_update is not None:  # The diagnostics read these, and do not log them.
        logits = jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves((real_output.logits, fake_output.logits))])
        metrics |= {"_logit_low": spec.minimum(logits), "_logit_high": -spec.minimum(-logits)}

    if spec.cutmix is not None:
        loss, mixed = loss_with_cutmix(spec, spec.cutmix, effective, state, minibatch, fake.images, (real_output, fake_output), loss)
        metrics |= mixed

    for penalty in spec.penalties:
        value = _penalty_mean(spec, penalty, effective, state, fake.images, minibatch)
        metrics[f"penalty/{penalty.name}"] = value
        loss += (penalty.weight(state.step) if callable(penalty.weight) else penalty.weight) * value

    context = LossContext(
        minibatch=minibatch,
        fake=fake,
        real_output=real_output,
        fake_output=fake_output,
        params=effective,
        raw_params=params,
        discriminate=lambda images, name: spec.discriminate(effective, before, images, minibatch, state, f"term/{name}")[0],
        generate=(lambda *inputs: jax.lax.stop_gradient(generate(*inputs))) if stop_gradient else generate,
        step=state.step,
        axis_name=spec.axis_name if spec.share_statistics else None,
    )
    term_loss, state, term_metrics = _weighted_terms(spec, "discriminator", context, state)
    loss = started(spec, state.step) * (loss + term_loss)

    state = state._replace(networks=state.networks._replace(discriminator=network_state))
    state = _update_augmentations(spec, state, real_output, fake_output)
    return loss, (state, metrics | term_metrics | {"discriminator_loss": loss})


def _update_augmentations(
    spec: GANSpec, state: TrainState, real_output: DiscriminatorOutput, fake_output: DiscriminatorOutput
) -> TrainState:
    """The state after the controllers of the augmentations have received the logits of the first scale."""
    logits = jax.tree.leaves(real_output.logits)[0], jax.tree.leaves(fake_output.logits)[0]
    augmentations = tuple(
        jax.lax.stop_gradient(augmentation.update(old, *logits))
        for augmentation, old in zip(spec.augmentations, state.augmentations, strict=True)
    )
    state = state._replace(augmentations=augmentations)
    if spec.pseudo_augmentation is not None:
        pseudo = spec.pseudo_augmentation.update(state.pseudo_augmentation, *logits)
        state = state._replace(pseudo_augmentation=jax.lax.stop_gradient(pseudo))
    return state


def generator_loss(
    spec: GANSpec,
    fake: GeneratorOutput,
    discriminator_params: PyTree,
    state: TrainState,
    minibatch: Minibatch,
    generator_params: PyTree,
    generate: Callable[..., GeneratorOutput],
    *,
    stop_gradient: bool = True,
) -> tuple[Array, tuple[TrainState, Metrics, GeneratorParts]]:
    """Loss of G as a function of its output. The state of D does not change.

    The adaptive weight of the adversarial term is not part of it, since it needs gradients. See `gan_jax.gan.updates.generator_gradients`.

    Args:
        spec: The GAN.
        fake: Output of G.
        discriminator_params: Parameters of D.
        state: The train state.
        minibatch: The reals and their draws.
        generator_params: Parameters of G, for terms of its weights.
        generate: `(latents, rng=None) -> GeneratorOutput`, makes further fakes for loss terms.
        stop_gradient: Whether the loss is constant in D's parameters. Unrolling and `single_loss` set it to False.

    Returns:
        The scalar loss, and (the state with the terms advanced, the metrics, the parts of the loss).
    """
    effective_generator, _ = spec.effective_params("generator", generator_params, state)
    if spec.target_discriminator:
        discriminator_params = ema_params(state.optimizer, player="discriminator")
    effective, _ = spec.effective_params("discriminator", discriminator_params, state)
    if stop_gradient:
        effective = jax.lax.stop_gradient(effective)
    network_state, real_output = state.networks.discriminator, None
    if spec.joint_batches:
        real_output, fake_output, _ = spec.discriminate_both(effective, state, fake.images, minibatch)
    else:
        if needs_real(spec):
            real_output, network_state = spec.discriminate(effective, network_state, minibatch.real, minibatch, state, "real")
        fake_output, _ = spec.discriminate(effective, network_state, fake.images, minibatch, state, "fake")

    values = []
    for scale, fake_logits in enumerate(jax.tree.leaves(fake_output.logits)):
        targets = {} if spec.generator_target is None else {"real_target": spec.generator_target}
        if spec.loss.takes_classes:
            value = spec.loss.generator(_classes(fake_output), minibatch.labels)
        elif real_output is None:
            value = spec.loss.generator(fake_logits, **targets)
        else:
            real_logits = jax.tree.leaves(real_output.logits)[scale]
            value = spec.loss.generator(fake_logits, repeat_reals(real_logits, fake_logits), **targets)
        values.append(value if spec.top_k is None else value * spec.top_k(fake_logits, state.step))
    adversarial = total_mean(values)

    context = LossContext(
        minibatch=minibatch,
        fake=fake,
        real_output=real_output,
        fake_output=fake_output,
        params=effective_generator,
        raw_params=generator_params,
        discriminate=lambda images, name: spec.discriminate(effective, network_state, images, minibatch, state, f"term/{name}")[0],
        generate=generate,
        step=state.step,
        axis_name=spec.axis_name if spec.share_statistics else None,
    )
    task, state, task_metrics = _weighted_terms(spec, "generator", context, state, task=True)
    further, state, further_metrics = _weighted_terms(spec, "generator", context, state, task=False)
    loss = adversarial_weight(spec, state.step) * adversarial + task + further
    metrics = {
        "generator_adversarial_loss": adversarial,
        "generator_loss": loss,
        "fresh_fake_logits": _pooled_mean(fake_output.logits),
    }
    return loss, (state, metrics | task_metrics | further_metrics, GeneratorParts(adversarial, task, further))


def started(spec: GANSpec, step: Array) -> Array | float:
    """1 from the first step of the adversarial game on, and 0 before it."""
    return jnp.where(step >= spec.adversarial_start, 1.0, 0.0) if spec.adversarial_start else 1.0


def adversarial_weight(spec: GANSpec, step: Array) -> Array | float:
    """Factor of G's adversarial term, without the adaptive one."""
    return spec.adversarial_weight * started(spec, step)


def _with_posing_fakes(
    spec: GANSpec, pseudo: PseudoAugmentation, state: TrainState, minibatch: Minibatch, generate: Callable[..., GeneratorOutput]
) -> tuple[Minibatch, Metrics]:
    """The minibatch with fresh fakes in place of some of its reals, with their labels and context (APA)."""
    rng, probability = named_key(minibatch.rng, "pseudo"), pseudo.probability(state.pseudo_augmentation)
    latents = spec.sample_latents(named_key(rng, "latents"), minibatch.latents.shape)

    def mixed() -> Array:
        fake = generate(latents, rng).images[: minibatch.real.shape[0]].astype(minibatch.real.dtype)
        return pseudo.mix(minibatch.real, fake, named_key(rng, "mix"), probability)

    # While the probability is 0, no fakes are made. It is the same on all devices.
    real = jax.lax.stop_gradient(jax.lax.cond(probability > 0, mixed, lambda: minibatch.real))
    return minibatch._replace(real=real), {"pseudo_probability": probability}


def needs_real(spec: GANSpec) -> bool:
    """Whether the loss of G needs D's output on the reals, as relativistic losses and some terms declare."""
    return spec.loss.needs_real or any(term.needs_real and term.player == "generator" for term in spec.terms)


def _classes(output: DiscriminatorOutput) -> Array:
    if output.class_logits is None:
        raise ValueError("this loss needs a discriminator with class logits [batch, classes + 1]; got none")
    return output.class_logits


def repeat_reals(real: Array, fake: Array) -> Array:
    """Repeats values of the reals once for each copy of the fakes. A VAE-GAN makes two fakes for each real.

    Args:
        real: [batch, ...].
        fake: [copies * batch, ...], one copy of the batch after the other.

    Returns:
        [copies * batch, ...]. Its mean is that of `real`.
    """
    return jnp.concatenate([real] * (fake.shape[0] // real.shape[0]))


def total_mean(values: PyTree) -> Array:
    """Mean over all elements of each array, summed over the arrays (scales) of a tree of values."""
    return sum(jnp.mean(_at_least_float32(leaf)) for leaf in jax.tree.leaves(values))


def _pooled_mean(values: PyTree) -> Array:
    """Mean over all logits of all scales together."""
    leaves = [jnp.ravel(leaf) for leaf in jax.tree.leaves(values)]
    return jnp.mean(_at_least_float32(jnp.concatenate(leaves)))


def _at_least_float32(values: Array) -> Array:
    return values if values.dtype == jnp.float64 else values.astype(jnp.float32)


def _reference(spec: GANSpec, other_logits: Array) -> Array | float:
    """What the loss compares a logit with: 0, the paired logit, or the mean of the other kind on all devices."""
    if spec.loss.compared_with == "zero":
        return 0.0
    return other_logits if spec.loss.compared_with == "pair" else spec.average(other_logits.mean())


def _penalty_mean(
    spec: GANSpec, penalty: GradientPenalty, effective: PyTree, state: TrainState, fake: Array, minibatch: Minibatch
) -> Array:
    """Mean of a penalty, computed every `interval` steps with `interval` times its value, and 0 in the other steps."""

    packed = math.prod(augmentation.packs for augmentation in spec.augmentations)

    # The critic is D after the augmentations, and its gradient is taken at the plain images: d D(T(x)) / dx. With packing, the point is
    # the pack of plain images, as in PacGAN.
    def critic(points: Array) -> PyTree:
        images, network_state = split_packs(points, packed), state.networks.discriminator
        return spec.discriminate(effective, network_state, images, minibatch, state, f"penalty/{penalty.name}")[0].logits

    def value() -> Array:
        rng = named_key(minibatch.rng, f"penalty/{penalty.name}")
        real, one_fake = (join_packs(images, packed) for images in (minibatch.real, fake[: minibatch.real.shape[0]]))
        return jnp.mean(_at_least_float32(penalty.function(critic, real, one_fake, rng)))

    if penalty.interval == 1:
        return value()
    zero = jnp.zeros((), jax.eval_shape(value).dtype)
    return jax.lax.cond(state.step % penalty.interval == 0, lambda: penalty.interval * value(), lambda: zero)


def _weighted_terms(
    spec: GANSpec, player: str, context: LossContext, state: TrainState, *, task: bool = False
) -> tuple[Array, TrainState, Metrics]:
    """The sum of the weighted terms of a player that are task terms, or of those that are not."""
    loss, metrics, states = jnp.float32(0), {}, list(state.terms)
    for number, term in enumerate(spec.terms):
        if term.player != player or term.task != task:
            continue
        values, new = term.function(context, states[number])
        value = total_mean(values)
        states[number] = jax.lax.stop_gradient(new)
        metrics[f"term/{term.name}"] = value
        loss += term.weight * value
    return loss, state._replace(terms=tuple(states)), metrics
