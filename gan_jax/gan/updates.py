"""What one player does in its turn: a gradient of its objective, and one update of its parameters.

Strategies are made of these moves. A move of one player leaves the parameters and the optimiser state of the other
bit-identical.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.gan.diagnostics import update_diagnostics
from gan_jax.gan.objectives import discriminator_loss_of, generator_loss_of
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.state import TrainState, named_key
from gan_jax.gan.types import Minibatch
from gan_jax.typing import Array, GeneratorOutput, Metrics, Players, PyTree


class Forward(NamedTuple):
    """One pass through the generator, kept so that its backward pass can be taken later.

    Attributes:
        fake: G's output.
        pull: the vector-Jacobian product: cotangent of `fake` -> (gradient of G's parameters,).
    """

    fake: GeneratorOutput
    pull: Callable[[GeneratorOutput], tuple[PyTree]]


def forward_generator(spec: GANSpec, params: PyTree, state: TrainState, minibatch: Minibatch) -> tuple[Forward, TrainState]:
    """Generates the fakes of a round and keeps the way back."""
    fake, pull, state = jax.vjp(lambda p: spec.generate(p, state, minibatch), params, has_aux=True)
    return Forward(fake, pull), state


def further_fakes(spec: GANSpec, params: PyTree, state: TrainState, minibatch: Minibatch) -> Callable[[Array], GeneratorOutput]:
    """A function that makes further fakes for loss terms, from other latents, without advancing any state.

    What G draws beside its latents (noise, dropout, a posterior's sample) is what it drew for the round's own fakes.
    """

    def generate(latents: Array) -> GeneratorOutput:
        return spec.generate(params, state, minibatch._replace(latents=latents))[0]

    return generate


def discriminator_gradients(
    spec: GANSpec, params: Players, state: TrainState, minibatch: Minibatch, fake: GeneratorOutput, *, detach: bool = True
) -> tuple[PyTree, TrainState, Metrics]:
    """The gradient of D's objective against given fakes; `detach=False` keeps it differentiable in the fakes."""
    generate = further_fakes(spec, params.generator, state, minibatch)

    def objective(discriminator: PyTree) -> tuple[Array, tuple[TrainState, Metrics]]:
        return discriminator_loss_of(spec, discriminator, state, fake, minibatch, generate, detach=detach)

    gradients, (state, metrics) = jax.grad(objective, has_aux=True)(params.discriminator)
    return gradients, state, metrics


def generator_gradients(
    spec: GANSpec, params: Players, state: TrainState, minibatch: Minibatch, forward: Forward, *, detach: bool = True
) -> tuple[PyTree, TrainState, Metrics]:
    """The gradient of G's objective, given its pass, against `params.discriminator`.

    `detach=False` keeps it differentiable in D's parameters.

    With task terms beside the adversarial one, the metrics hold the norm of each part's gradient with respect to the
    images: `adversarial_gradient_norm` and `task_gradient_norm`.
    """

    def objective(fake: GeneratorOutput, generator: PyTree) -> tuple[tuple[Array, Array], tuple[TrainState, Metrics]]:
        effective, _ = spec.effective_params("generator", generator, state)
        further = further_fakes(spec, generator, state, minibatch)
        loss, (new, metrics, adversarial) = generator_loss_of(
            spec, fake, params.discriminator, state, minibatch, (effective, further), hold_discriminator=detach
        )
        return (loss, adversarial), (new, metrics)

    (loss, _), pull, (state, metrics) = jax.vjp(objective, forward.fake, params.generator, has_aux=True)
    one, none = jnp.ones_like(loss), jnp.zeros_like(loss)
    of_fake, direct = pull((one, none))
    gradients = jax.tree.map(jnp.add, forward.pull(of_fake)[0], direct)
    if any(term.player == "generator" for term in spec.terms):
        adversarial = pull((none, one))[0].images
        metrics["adversarial_gradient_norm"] = spec.norm_over_batch(adversarial)
        metrics["task_gradient_norm"] = spec.norm_over_batch(of_fake.images - adversarial)
    return gradients, state, metrics


def both_gradients(
    spec: GANSpec, params: Players, state: TrainState, minibatch: Minibatch, *, detach: bool = True
) -> tuple[Players, TrainState, Metrics]:
    """Both gradients at one point, from one pass through G; D's pass over the fakes is one computation, too.

    The two objectives see the same D, the same fakes and the same draws, so that the compiler finds D's forward pass once.
    `detach=False` keeps each player's gradient differentiable in the other's parameters.
    """
    forward, after = forward_generator(spec, params.generator, state, minibatch)
    fake, after = show_past_fakes(spec, after, minibatch, forward.fake)
    of_generator, with_terms, generator_metrics = generator_gradients(spec, params, state, minibatch, forward, detach=detach)
    of_discriminator, new, metrics = discriminator_gradients(
        spec, params, state._replace(terms=with_terms.terms), minibatch, fake, detach=detach
    )
    new = new._replace(
        networks=new.networks._replace(generator=after.networks.generator),
        transforms=new.transforms._replace(generator=after.transforms.generator),
        replay=after.replay,
    )
    return Players(of_generator, of_discriminator), new, metrics | generator_metrics


def show_past_fakes(spec: GANSpec, state: TrainState, minibatch: Minibatch, fake: GeneratorOutput) -> tuple[GeneratorOutput, TrainState]:
    """Replaces a share of the fakes by past ones, and puts the new ones into the buffer."""
    if spec.replay is None:
        return fake, state
    images, replay = spec.replay.apply(state.replay, jax.lax.stop_gradient(fake.images), named_key(minibatch.rng, "replay"))
    return fake._replace(images=images), state._replace(replay=replay)


def apply_gradients(
    spec: GANSpec, player: str, gradients: PyTree, params: Players, state: TrainState
) -> tuple[Players, TrainState, Metrics]:
    """One step of one player's optimiser, with the gradients of all devices; nothing of the other player changes."""
    gradients = spec.average(gradients)
    metrics = {f"{player}_gradient_norm": optax.global_norm(gradients)}
    of_layers = layers(gradients)
    if spec.layer_norms:
        for path, leaves in of_layers.items():
            metrics[f"gradient_norm/{player}/{path}"] = optax.global_norm(leaves)
    updates, optimizer = spec.optimizer.update(Players(None, None)._replace(**{player: gradients}), state.optimizer, params)
    first = getattr(spec.freeze, player)
    frozen = state.step < first
    watched = update_diagnostics(player, of_layers, layers(getattr(params, player)), getattr(updates, player), state.step, frozen)
    # The monitor reads the old parameters before they are overwritten in place, or they would have to be copied.
    params, watched = jax.lax.optimization_barrier((params, watched))
    metrics |= watched
    new = optax.apply_updates(getattr(params, player), getattr(updates, player))
    if first:
        old = (getattr(params, player), state.optimizer)
        new, optimizer = jax.tree.map(lambda before, after: jnp.where(frozen, before, after), old, (new, optimizer))
    return params._replace(**{player: new}), state._replace(optimizer=optimizer), metrics


def layers(params: PyTree) -> dict[str, PyTree]:
    """The leaves of a parameter tree, gathered under the path of their layer."""
    gathered: dict[str, list[Array]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        names = [str(getattr(entry, "key", getattr(entry, "idx", getattr(entry, "name", "")))) for entry in path]
        gathered.setdefault("/".join(names[:-1]) or names[-1], []).append(leaf)
    return gathered


def split_minibatch(minibatch: Minibatch, parts: int) -> Minibatch:
    """Cuts a round into `parts` smaller ones, stacked along a new leading axis; the keys differ."""
    size = minibatch.real.shape[0]
    if size % parts:
        raise ValueError(f"micro_batches must divide the batch; got {parts} and a batch of {size}")

    def cut(array: Array) -> Array:
        return array.reshape(parts, size // parts, *array.shape[1:])

    arrays = jax.tree.map(cut, minibatch._replace(rng=None))
    return arrays._replace(rng=jax.random.split(minibatch.rng, parts))


def accumulate(
    gradients: Callable[[TrainState, Minibatch], tuple[PyTree, TrainState, Metrics]], state: TrainState, minibatch: Minibatch, parts: int
) -> tuple[PyTree, TrainState, Metrics]:
    """Averages `gradients(state, round)` and its metrics over `parts` equal parts of the round, one after the other.

    Equal to the gradient of the whole round where no example influences another (no batch statistics).
    """
    if parts == 1:
        return gradients(state, minibatch)

    def body(state: TrainState, part: Minibatch) -> tuple[TrainState, tuple[PyTree, Metrics]]:
        of_part, state, metrics = gradients(state, part)
        return state, (of_part, metrics)

    rounds = split_minibatch(minibatch, parts)
    first, (total, metrics) = body(state, jax.tree.map(lambda array: array[0], rounds))

    def add(carry: tuple, part: Minibatch) -> tuple[tuple, None]:
        state, total = carry
        state, more = body(state, part)
        return (state, jax.tree.map(jnp.add, total, more)), None

    (state, total), _ = jax.lax.scan(add, (first, (total, metrics)), jax.tree.map(lambda array: array[1:], rounds))
    mean, metrics = jax.tree.map(lambda value: value / parts, total)
    return mean, state, metrics


def update_discriminator(
    spec: GANSpec, params: Players, state: TrainState, minibatch: Minibatch, *, opponent: PyTree | None = None, parts: int = 1
) -> tuple[Players, TrainState, Metrics]:
    """D's turn against fresh fakes of G, or of another generator's parameters `opponent`, which leaves what G carries as it is."""
    maker, before = params.generator if opponent is None else opponent, state

    def gradients(state: TrainState, minibatch: Minibatch) -> tuple[PyTree, TrainState, Metrics]:
        fake, state = spec.generate(maker, state, minibatch)
        fake, state = show_past_fakes(spec, state, minibatch, fake)
        return discriminator_gradients(spec, params._replace(generator=maker), state, minibatch, fake)

    of_discriminator, state, metrics = accumulate(gradients, state, minibatch, parts)
    if opponent is not None:
        # Batch statistics and power iterations of the opponent's passes are not those of the present G.
        state = state._replace(
            networks=state.networks._replace(generator=before.networks.generator),
            transforms=state.transforms._replace(generator=before.transforms.generator),
        )
    params, state, norms = apply_gradients(spec, "discriminator", of_discriminator, params, state)
    return params, state, metrics | norms


def update_generator(
    spec: GANSpec, params: Players, state: TrainState, minibatch: Minibatch, *, opponent: PyTree | None = None, parts: int = 1
) -> tuple[Players, TrainState, Metrics]:
    """G's turn against the present D, or against another discriminator's parameters `opponent`."""
    judge = params.discriminator if opponent is None else opponent

    def gradients(state: TrainState, minibatch: Minibatch) -> tuple[PyTree, TrainState, Metrics]:
        forward, state = forward_generator(spec, params.generator, state, minibatch)
        return generator_gradients(spec, params._replace(discriminator=judge), state, minibatch, forward)

    of_generator, state, metrics = accumulate(gradients, state, minibatch, parts)
    params, state, norms = apply_gradients(spec, "generator", of_generator, params, state)
    return params, state, metrics | norms
