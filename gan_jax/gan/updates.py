"""One update of one player: fakes, loss, gradient, optimiser step.

The update rules are made of these. An update of one player leaves the parameters and the optimiser state of the other unchanged.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax._internal.kernels import leaf_at
from gan_jax.gan.player_losses import GeneratorParts, adversarial_weight, discriminator_loss, generator_loss
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.state import TrainState, named_key
from gan_jax.gan.types import Minibatch
from gan_jax.losses import adaptive_weight
from gan_jax.typing import Array, GeneratorOutput, Metrics, Players, PyTree


class Forward(NamedTuple):
    """One forward pass of the generator and its backward pass.

    Attributes:
        fake: Output of G.
        vjp: Vector-Jacobian product: cotangent of `fake` -> (gradient of G's parameters,).
    """

    fake: GeneratorOutput
    vjp: Callable[[GeneratorOutput], tuple[PyTree]]


def update_discriminator(
    spec: GANSpec,
    params: Players,
    state: TrainState,
    minibatch: Minibatch,
    *,
    fake: GeneratorOutput | None = None,
    generator: PyTree | None = None,
    micro_batches: int = 1,
) -> tuple[Players, TrainState, Metrics]:
    """One optimiser step of D.

    Args:
        spec: The GAN.
        params: Parameters of both players.
        state: The train state.
        minibatch: The reals and their draws.
        fake: Fakes that were already generated. By default fresh ones are generated.
        generator: Parameters of another generator as the opponent (a past one). What the current G carries does not change then.
        micro_batches: Number of parts over which the gradient is averaged.

    Returns:
        The parameters, the state, and the metrics.
    """
    opponent = params._replace(generator=params.generator if generator is None else generator)

    def gradients(state: TrainState, minibatch: Minibatch) -> tuple[PyTree, TrainState, Metrics]:
        images, after = (fake, state) if fake is not None else spec.generate(opponent.generator, state, minibatch)
        images, after = replay_fakes(spec, after, minibatch, images)
        return discriminator_gradients(spec, opponent, after, minibatch, images)

    discriminator_grads, after, metrics = accumulate(gradients, state, minibatch, micro_batches)
    # Batch statistics and power iterations of another generator are not those of the current one.
    state = after if generator is None else _with_generator_state(after, state)
    params, state, update_metrics = apply_gradients(spec, "discriminator", discriminator_grads, params, state)
    return params, state, metrics | update_metrics


def update_generator(
    spec: GANSpec,
    params: Players,
    state: TrainState,
    minibatch: Minibatch,
    *,
    forward: Forward | None = None,
    discriminator: PyTree | None = None,
    micro_batches: int = 1,
) -> tuple[Players, TrainState, Metrics]:
    """One optimiser step of G.

    Args:
        spec: The GAN.
        params: Parameters of both players.
        state: The train state.
        minibatch: The reals and their draws.
        forward: A forward pass of the current G that was already made. By default a new one is made.
        discriminator: Parameters of another discriminator as the opponent (a past one).
        micro_batches: Number of parts over which the gradient is averaged.

    Returns:
        The parameters, the state, and the metrics.
    """
    opponent = params._replace(discriminator=params.discriminator if discriminator is None else discriminator)

    def gradients(state: TrainState, minibatch: Minibatch) -> tuple[PyTree, TrainState, Metrics]:
        made, after = (forward, state) if forward is not None else forward_generator(spec, params.generator, state, minibatch)
        return generator_gradients(spec, opponent, after, minibatch, made)

    generator_grads, state, metrics = accumulate(gradients, state, minibatch, micro_batches)
    params, state, update_metrics = apply_gradients(spec, "generator", generator_grads, params, state)
    return params, state, metrics | update_metrics


def discriminator_gradients(
    spec: GANSpec, params: Players, state: TrainState, minibatch: Minibatch, fake: GeneratorOutput, *, stop_gradient: bool = True
) -> tuple[PyTree, TrainState, Metrics]:
    """Gradient of D's loss against given fakes. With `stop_gradient=False` it can be differentiated with respect to the fakes."""
    generate = further_fakes(spec, params.generator, state, minibatch)
    gradient = jax.grad(discriminator_loss, argnums=1, has_aux=True)
    gradients, (state, metrics) = gradient(spec, params.discriminator, state, fake, minibatch, generate, stop_gradient=stop_gradient)
    return gradients, state, metrics


def generator_gradients(
    spec: GANSpec, params: Players, state: TrainState, minibatch: Minibatch, forward: Forward, *, stop_gradient: bool = True
) -> tuple[PyTree, TrainState, Metrics]:
    """Gradient of G's loss against `params.discriminator`, given G's forward pass.

    With `stop_gradient=False` it can be differentiated with respect to D's parameters. If there are terms beside the adversarial one, the
    metrics contain the norm of each part's gradient with respect to the images: `adversarial_gradient_norm` and `task_gradient_norm`. If
    the weight of the adversarial term changes, it is in the metrics as `adversarial_weight`.

    Raises:
        ValueError: The weight is adaptive, and G has no task term or declares no last layer.
    """

    def loss_parts(fake: GeneratorOutput, generator: PyTree) -> tuple[GeneratorParts, tuple[TrainState, Metrics]]:
        generate = further_fakes(spec, generator, state, minibatch)
        _, (new, metrics, parts) = generator_loss(
            spec, fake, params.discriminator, state, minibatch, generator, generate, stop_gradient=stop_gradient
        )
        return parts, (new, metrics)

    weight = adversarial_weight(spec, state.step)
    parts, vjp, (state, metrics) = jax.vjp(loss_parts, forward.fake, params.generator, has_aux=True)

    def pull(adversarial: Array | float, terms: Array | float) -> tuple[GeneratorOutput, PyTree]:
        """Gradient of the weighted parts. It depends on G's parameters through the fakes, and directly through terms of its weights."""
        factors = GeneratorParts(adversarial, terms, terms)
        return vjp(jax.tree.map(lambda factor, part: jnp.asarray(factor, part.dtype), factors, parts))

    has_terms = any(term.player == "generator" for term in spec.terms)
    if not spec.adaptive_weight:
        fake_grads, direct_grads = pull(weight, 1.0)
        adversarial_images = pull(weight, 0.0)[0].images if has_terms else None
    else:
        # Two passes through D instead of one, and their weighted sum is pulled back through G once.
        adversarial_grads, terms_grads = pull(1.0, 0.0), pull(0.0, 1.0)
        weight *= _adaptive_weight(spec, params.generator, forward, adversarial_grads, _task_gradients(spec, vjp, parts, terms_grads))
        fake_grads, direct_grads = jax.tree.map(lambda adversarial, terms: weight * adversarial + terms, adversarial_grads, terms_grads)
        adversarial_images = weight * adversarial_grads[0].images
        metrics["generator_loss"] = weight * parts.adversarial + parts.task + parts.further
    gradients = jax.tree.map(jnp.add, forward.vjp(fake_grads)[0], direct_grads)
    if has_terms:
        metrics["adversarial_gradient_norm"] = _norm_over_batch(spec, adversarial_images)
        metrics["task_gradient_norm"] = _norm_over_batch(spec, fake_grads.images - adversarial_images)
    if spec.adaptive_weight or spec.adversarial_start:
        metrics["adversarial_weight"] = jnp.asarray(weight, jnp.float32)
    return gradients, state, metrics


def _task_gradients(
    spec: GANSpec, vjp: Callable[[GeneratorParts], tuple[GeneratorOutput, PyTree]], parts: GeneratorParts, terms_grads: tuple
) -> tuple[GeneratorOutput, PyTree]:
    """The gradient of the task terms: that of all terms of G if all of them are."""
    own = [term.task for term in spec.terms if term.player == "generator"]
    if not any(own):
        raise ValueError("adaptive_weight needs a task term of the generator: a LossTerm with task=True; got none")
    return terms_grads if all(own) else vjp(jax.tree.map(jnp.zeros_like, parts)._replace(task=jnp.ones_like(parts.task)))


def _adaptive_weight(spec: GANSpec, params: PyTree, forward: Forward, adversarial_grads: tuple, task_grads: tuple) -> Array:
    """The ratio of the gradient norms at G's last layer. Each argument is a gradient of (the fakes, G's parameters)."""
    path = spec.generator.last_layer
    if path is None:
        raise ValueError("adaptive_weight needs a generator that declares its last layer, e.g. Network(..., last_layer='output/kernel')")
    leaf_at(params, path)

    def at_last_layer(grads: tuple[GeneratorOutput, PyTree]) -> Array:
        # The compiler removes the backward pass through the other layers.
        pulled = jax.tree.map(jnp.add, forward.vjp(grads[0])[0], grads[1])
        return spec.average(leaf_at(pulled, path))

    return adaptive_weight(at_last_layer(task_grads), at_last_layer(adversarial_grads))


def both_gradients(
    spec: GANSpec, params: Players, state: TrainState, minibatch: Minibatch, *, stop_gradient: bool = True
) -> tuple[Players, TrainState, Metrics]:
    """Gradients of both players at the same point, from one forward pass of G.

    Both losses use the same D, the same fakes and the same draws, so the compiler computes D's forward pass over the fakes once.
    With `stop_gradient=False` each player's gradient can be differentiated with respect to the other's parameters.
    """
    forward, after = forward_generator(spec, params.generator, state, minibatch)
    fake, after = replay_fakes(spec, after, minibatch, forward.fake)
    generator_grads, with_terms, generator_metrics = generator_gradients(
        spec, params, state, minibatch, forward, stop_gradient=stop_gradient
    )
    state = state._replace(terms=with_terms.terms)
    discriminator_grads, new, metrics = discriminator_gradients(spec, params, state, minibatch, fake, stop_gradient=stop_gradient)
    new = _with_generator_state(new, after)._replace(replay=after.replay)
    return Players(generator_grads, discriminator_grads), new, metrics | generator_metrics


def forward_generator(spec: GANSpec, params: PyTree, state: TrainState, minibatch: Minibatch) -> tuple[Forward, TrainState]:
    """Generates the fakes of a minibatch and keeps the backward pass."""
    fake, vjp, state = jax.vjp(lambda p: spec.generate(p, state, minibatch), params, has_aux=True)
    return Forward(fake, vjp), state


def further_fakes(spec: GANSpec, params: PyTree, state: TrainState, minibatch: Minibatch) -> Callable[..., GeneratorOutput]:
    """A function `(latents, rng=None)` that generates further fakes for loss terms. It does not advance any state.

    G's other draws (noise, dropout, a sample of the posterior) are those of the minibatch's own fakes, unless `rng` is given. Fewer
    latents than the minibatch has get the labels of its first examples.
    """

    def generate(latents: Array, rng: Array | None = None) -> GeneratorOutput:
        labels, context = (None if extra is None else extra[: len(latents)] for extra in (minibatch.labels, minibatch.context))
        own = minibatch._replace(latents=latents, labels=labels, context=context, rng=minibatch.rng if rng is None else rng)
        return spec.generate(params, state, own)[0]

    return generate


def replay_fakes(spec: GANSpec, state: TrainState, minibatch: Minibatch, fake: GeneratorOutput) -> tuple[GeneratorOutput, TrainState]:
    """Replaces a share of the fakes by past ones, and adds the new ones to the buffer. Without a buffer nothing changes."""
    if spec.replay is None:
        return fake, state
    images, replay = spec.replay.apply(state.replay, jax.lax.stop_gradient(fake.images), named_key(minibatch.rng, "replay"))
    return fake._replace(images=images), state._replace(replay=replay)


def apply_gradients(
    spec: GANSpec, player: str, gradients: PyTree, params: Players, state: TrainState
) -> tuple[Players, TrainState, Metrics]:
    """One step of one player's optimiser with the gradients of all devices. The other player does not change."""
    gradients, old = spec.average(gradients), getattr(params, player)
    metrics = {f"{player}_gradient_norm": optax.global_norm(gradients)}
    if spec.layer_norms:
        for path, leaves in group_by_layer(gradients).items():
            metrics[f"gradient_norm/{player}/{path}"] = optax.global_norm(leaves)
    both_grads = Players(None, None)._replace(**{player: gradients})
    all_updates, optimizer = spec.optimizer.update(both_grads, state.optimizer, params)
    updates, freeze_steps = getattr(all_updates, player), getattr(spec.freeze, player)
    frozen = state.step < freeze_steps
    if spec.observe_update is not None:
        observed = spec.observe_update(player, gradients, old, updates, state.step, frozen)
        # The old parameters are read before they are overwritten in place. Otherwise they would have to be copied.
        params, observed = jax.lax.optimization_barrier((params, observed))
        metrics, old = metrics | observed, getattr(params, player)
    new = optax.apply_updates(old, updates)
    if freeze_steps:
        before, after = (old, state.optimizer), (new, optimizer)
        new, optimizer = jax.tree.map(lambda kept, moved: jnp.where(frozen, kept, moved), before, after)
    return params._replace(**{player: new}), state._replace(optimizer=optimizer), metrics


def group_by_layer(params: PyTree) -> dict[str, PyTree]:
    """The leaves of a parameter tree, grouped under the path of their layer."""
    grouped: dict[str, list[Array]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        names = [str(getattr(entry, "key", getattr(entry, "idx", getattr(entry, "name", "")))) for entry in path]
        grouped.setdefault("/".join(names[:-1] or names) or "params", []).append(leaf)
    return grouped


def split_minibatch(minibatch: Minibatch, parts: int) -> Minibatch:
    """Splits a minibatch into `parts` smaller ones, stacked along a new leading axis. Their keys differ."""
    size = minibatch.real.shape[0]
    if size % parts:
        raise ValueError(f"micro_batches must divide the batch; got {parts} and a batch of {size}")
    arrays = jax.tree.map(lambda array: array.reshape(parts, size // parts, *array.shape[1:]), minibatch._replace(rng=None))
    return arrays._replace(rng=jax.random.split(minibatch.rng, parts))


def accumulate(
    gradients: Callable[[TrainState, Minibatch], tuple[PyTree, TrainState, Metrics]], state: TrainState, minibatch: Minibatch, parts: int
) -> tuple[PyTree, TrainState, Metrics]:
    """Averages `gradients(state, minibatch)` and its metrics over `parts` equal parts of the minibatch, one after the other.

    The result equals the gradient of the whole minibatch if the examples do not influence each other (no batch statistics).
    """
    if parts == 1:
        return gradients(state, minibatch)

    def body(state: TrainState, part: Minibatch) -> tuple[TrainState, tuple[PyTree, Metrics]]:
        part_grads, state, metrics = gradients(state, part)
        return state, (part_grads, metrics)

    minibatches = split_minibatch(minibatch, parts)
    first, (total, metrics) = body(state, jax.tree.map(lambda array: array[0], minibatches))

    def add(carry: tuple, part: Minibatch) -> tuple[tuple, None]:
        state, total = carry
        state, more = body(state, part)
        return (state, jax.tree.map(jnp.add, total, more)), None

    (state, total), _ = jax.lax.scan(add, (first, (total, metrics)), jax.tree.map(lambda array: array[1:], minibatches))
    mean, metrics = jax.tree.map(lambda value: value / parts, total)
    return mean, state, metrics


def _with_generator_state(state: TrainState, other: TrainState) -> TrainState:
    """`state` with the batch statistics and the transformations of G of `other`."""
    networks = state.networks._replace(generator=other.networks.generator)
    return state._replace(networks=networks, transforms=state.transforms._replace(generator=other.transforms.generator))


def _norm_over_batch(spec: GANSpec, gradient: Array) -> Array:
    """Norm of a gradient [batch, ...] with respect to the examples, for the mean of the loss over the batch of all devices."""
    if spec.axis_name is None:
        return jnp.linalg.norm(gradient)
    # The mean on one device is over fewer examples. Its gradient is larger by the number of devices.
    squares = jax.lax.psum(jnp.sum(jnp.square(gradient)), spec.axis_name)
    return jnp.sqrt(squares) / jax.lax.axis_size(spec.axis_name)
