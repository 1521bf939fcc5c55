"""The game: two networks, a loss, and everything that may be hung onto them, as pure functions of parameters and state.

`GANSpec` holds statics only. Its methods begin a game, deal a round, and lead through the networks; what each player minimises is in
`gan_jax.gan.objectives`, how the two then move in `gan_jax.gan.update_rules`. Everything that evolves and is not trained by gradients is a
`TrainState`.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax

from gan_jax.gan.state import TrainState, named_key
from gan_jax.gan.types import GradientPenalty, LossTerm, Minibatch, normalize_images
from gan_jax.optimizers import EmaState, average_gradients
from gan_jax.replay import Replay
from gan_jax.typing import (
    AdversarialLoss,
    Array,
    Augmentation,
    DiscriminatorOutput,
    GeneratorOutput,
    Metrics,
    Network,
    Players,
    PyTree,
)


def _no_context(rng: Array, real: Array) -> None:
    return None


NO_TRANSFORMS = Players((), ())
NEVER_FROZEN = Players(0, 0)


@dataclasses.dataclass(frozen=True)
class GANSpec:
    """Two players and what they play for; statics only. Built by `gan_jax.make_gan`.

    Attributes:
        generator, discriminator: the networks.
        loss: the adversarial loss pair.
        optimizer: one optax transformation over `Players`; None in place of a player's gradients leaves that player alone.
        image_shape: shape of one example, (height, width, channels) or (dim,).
        latent_dim: latents are [batch, latent_dim].
        sample_latents: `(rng, shape) -> latents`.
        num_classes: 0 for an unconditional game.
        sample_labels: `(rng, shape) -> int32 labels` of the fakes, in place of the batch's: a code that is not in the data (InfoGAN).
        penalties: gradient penalties of D.
        terms: further loss terms of either player.
        transforms: `Players` of tuples of `ParamTransform`. They nest: each prepares what the one before it has prepared, and is
            applied before it, so that the network sees what the first returns.
        augmentations: what happens to images before D sees them.
        targets: `(rng, shape) -> (real_target, fake_target)` for D's loss, or None for the loss's own.
        generator_target: the value that G wants D to output, where smoothing or the paper's c says so; None for the loss's own.
        adversarial_weight: the factor of G's adversarial term beside its other terms.
        halve_discriminator_loss: D minimises (real + fake) / 2 instead of the sum.
        joint_batches: D sees reals and fakes in one pass. Only for a D that does not couple examples, or to show what
            happens otherwise.
        context: `(rng, real) -> context` for games conditioned on something made from the batch.
        replay: shows D past fakes, or None.
        target_discriminator: G plays against the moving average of D (the target network of actor-critic learning).
        top_k: `(fake_logits, step) -> weights` per example for G's adversarial loss (top-k training), or None.
        freeze: `Players` of the number of first steps in which a player does not learn.
        curriculum: `(batch, state) -> (batch, state)`, first thing in every step: what changes over a run in the data and the
            networks (progressive growing), or None.
        learning_rates: `step -> metrics`, reported with the others, or None.
        layer_norms: report the gradient norm of every layer, too.
        example_batch: batch size of the examples that `init` shows the networks.
        axis_name: the mapped axis over whose devices the batch is spread, inside `shard_map` or `pmap`; `gan_jax.distributed` sets it.
        share_statistics: whether what couples the examples of a batch then means the batch of all these devices, or of each.
    """

    generator: Network
    discriminator: Network
    loss: AdversarialLoss
    optimizer: optax.GradientTransformation
    image_shape: tuple[int, ...]
    latent_dim: int
    sample_latents: Callable[..., Array]
    num_classes: int = 0
    sample_labels: Callable[..., Array] | None = None
    penalties: tuple[GradientPenalty, ...] = ()
    terms: tuple[LossTerm, ...] = ()
    transforms: Players = NO_TRANSFORMS
    augmentations: tuple[Augmentation, ...] = ()
    targets: Callable[..., tuple[Array, Array]] | None = None
    generator_target: float | None = None
    adversarial_weight: float = 1.0
    halve_discriminator_loss: bool = False
    joint_batches: bool = False
    context: Callable[[Array, Array], Array | None] = _no_context
    replay: Replay | None = None
    target_discriminator: bool = False
    top_k: Callable[[Array, Array], Array] | None = None
    freeze: Players = NEVER_FROZEN
    curriculum: Callable[[Mapping[str, Array], TrainState], tuple[Mapping[str, Array], TrainState]] | None = None
    learning_rates: Callable[[Array], Metrics] | None = None
    layer_norms: bool = False
    example_batch: int = 48
    axis_name: str | None = None
    share_statistics: bool = True

    # -- over devices ----------------------------------------------------------------------------------------

    def average(self, tree: PyTree) -> PyTree:
        """The mean over the devices of `axis_name`, by the link `average_gradients`; the tree itself where there is no such axis."""
        return tree if self.axis_name is None else average_gradients(self.axis_name).update(tree, optax.EmptyState())[0]

    def norm_over_batch(self, gradient: Array) -> Array:
        """The norm of a gradient [batch, ...] with respect to the examples, of the loss's mean over the whole batch."""
        if self.axis_name is None:
            return jnp.linalg.norm(gradient)
        # A device's own mean is over fewer examples: its gradient is larger by the number of devices.
        squares = jax.lax.psum(jnp.sum(jnp.square(gradient)), self.axis_name)
        return jnp.sqrt(squares) / jax.lax.axis_size(self.axis_name)

    # -- beginning -------------------------------------------------------------------------------------------

    def init(self, rng: Array) -> tuple[Players, TrainState]:
        """Draws the parameters of both players and the state that goes with them."""
        real = jnp.zeros((self.example_batch, *self.image_shape), jnp.float32)
        labels = jnp.zeros((self.example_batch,), jnp.int32) if self.num_classes else None
        context = self.context(named_key(rng, "context"), real)
        latents = self.sample_latents(named_key(rng, "latents"), (self.example_batch, self.latent_dim))
        augmentations = tuple(augmentation.init() for augmentation in self.augmentations)
        seen = self.augment(real, augmentations, named_key(rng, "inputs"), jnp.int32(0))

        generator, generator_state = self.generator.init(named_key(rng, "generator"), latents, labels, context)
        discriminator, discriminator_state = self.discriminator.init(named_key(rng, "discriminator"), seen, labels, context)
        drawn = Players(generator, discriminator)
        params, transforms = [], []
        for player in Players._fields:
            player_params, states = getattr(drawn, player), []
            for number, transform in enumerate(getattr(self.transforms, player)):
                player_params = transform.prepare(player_params)
                states.append(transform.init(named_key(rng, f"transform/{player}/{number}"), player_params))
            params.append(player_params)
            transforms.append(tuple(states))
        players = Players(*params)
        # Terms begin with the parameters that they will see, which the rest of the state decides: they come last.
        state = TrainState(
            step=jnp.int32(0),
            optimizer=self.optimizer.init(players),
            networks=Players(generator_state, discriminator_state),
            transforms=Players(*transforms),
            augmentations=augmentations,
            terms=(),
            replay=self.replay.init(self.image_shape) if self.replay else (),
            update_rule=(),
        )

        def begun(term: LossTerm) -> PyTree:
            effective, _ = self.effective_params(term.player, getattr(players, term.player), state)
            return term.init(named_key(rng, f"term/{term.name}"), effective)

        return players, state._replace(terms=tuple(begun(term) for term in self.terms))

    def prepare_minibatch(self, batch: Mapping[str, Array], rng: Array) -> Minibatch:
        """Normalises a batch and draws the latents that go with it.

        Raises:
            TypeError: images of a type that is neither uint8 nor floating point.
            ValueError: images of another shape than the game's, or no labels for a conditional game.
        """
        real = normalize_images(batch["image"])
        if real.shape[1:] != self.image_shape:
            raise ValueError(f"batch['image'] must have shape [batch, {', '.join(map(str, self.image_shape))}]; got {real.shape}")
        if self.sample_labels is not None:
            labels = self.sample_labels(named_key(rng, "labels"), (real.shape[0],))
        elif self.num_classes and "label" not in batch:
            raise ValueError(f"a game with num_classes={self.num_classes} needs batch['label']; got only {', '.join(sorted(batch))}")
        else:
            labels = batch["label"] if self.num_classes else None
        return Minibatch(
            real=real,
            labels=labels,
            context=self.context(named_key(rng, "context"), real),
            latents=self.sample_latents(named_key(rng, "latents"), (real.shape[0], self.latent_dim)),
            rng=rng,
        )

    # -- passes through the networks -------------------------------------------------------------------------

    def effective_params(self, player: str, params: PyTree, state: TrainState) -> tuple[PyTree, TrainState]:
        """Applies a player's parameter transformations, and returns the state with theirs advanced."""
        states: list[PyTree] = []
        # From the last, which was prepared last and is the outermost.
        for transform, old in reversed(list(zip(getattr(self.transforms, player), getattr(state.transforms, player), strict=True))):
            params, new = transform.apply(params, old)
            states.insert(0, jax.lax.stop_gradient(new))
        return params, state._replace(transforms=state.transforms._replace(**{player: tuple(states)}))

    def augment(self, images: Array, states: tuple[PyTree, ...], rng: Array, step: Array) -> Array:
        """What D sees of `images`."""
        for number, (transform, state) in enumerate(zip(self.augmentations, states, strict=True)):
            images = transform.apply(images, state, named_key(rng, f"input/{number}"), step)
        return images

    def generate(self, params: PyTree, state: TrainState, minibatch: Minibatch) -> tuple[GeneratorOutput, TrainState]:
        """The fakes of a round, and the state with G's batch statistics and transformations advanced."""
        effective, state = self.effective_params("generator", params, state)
        output, network_state = self.generator.apply(
            effective,
            state.networks.generator,
            minibatch.latents,
            minibatch.labels,
            minibatch.context,
            rng=named_key(minibatch.rng, "generator"),
            train=True,
        )
        return output, state._replace(networks=state.networks._replace(generator=network_state))

    def discriminate(
        self, effective: PyTree, network_state: PyTree, images: Array, minibatch: Minibatch, state: TrainState, name: str
    ) -> tuple[DiscriminatorOutput, PyTree]:
        """One pass of D over images of the round; `name` names its draws."""
        rng = named_key(minibatch.rng, f"discriminator/{name}")
        seen = self.augment(images, state.augmentations, rng, state.step)
        copies = images.shape[0] // minibatch.real.shape[0]
        labels, context = (
            None if extra is None else jnp.concatenate([extra] * copies)[: seen.shape[0]] for extra in (minibatch.labels, minibatch.context)
        )
        return self.discriminator.apply(effective, network_state, seen, labels, context, rng=rng, train=True)

    def discriminate_both(
        self, effective: PyTree, state: TrainState, fake: Array, minibatch: Minibatch
    ) -> tuple[DiscriminatorOutput, DiscriminatorOutput, PyTree]:
        """D on the reals and on the fakes: in two passes, so that batch statistics never mix, or in one."""
        network_state = state.networks.discriminator
        if not self.joint_batches:
            real_output, network_state = self.discriminate(effective, network_state, minibatch.real, minibatch, state, "real")
            fake_output, network_state = self.discriminate(effective, network_state, fake, minibatch, state, "fake")
            return real_output, fake_output, network_state
        both = jnp.concatenate([minibatch.real, fake])
        output, network_state = self.discriminate(effective, network_state, both, minibatch, state, "both")
        share = minibatch.real.shape[0] / both.shape[0]

        def cut(array: Array) -> int:
            return round_half(array.shape[0] * share)

        real_output = jax.tree.map(lambda array: array[: cut(array)], output)
        fake_output = jax.tree.map(lambda array: array[cut(array) :], output)
        return real_output, fake_output, network_state


def with_averages_of(optimizer: PyTree, other: PyTree) -> PyTree:
    """An optimiser's state with the moving averages of parameters (`track_ema`) of another, as if they had not followed its last moves."""

    def chosen(average: PyTree, leaf: PyTree) -> PyTree:
        return average if isinstance(average, EmaState) else leaf

    return jax.tree.map(chosen, other, optimizer, is_leaf=lambda node: isinstance(node, EmaState))


def round_half(value: float) -> int:
    """The nearest integer to a product of a size and a share."""
    return int(value + 0.5)
