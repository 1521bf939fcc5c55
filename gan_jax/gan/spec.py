"""The static description of a GAN: two networks, a loss, and everything that is added to them.

`GANSpec` holds no arrays. Its methods initialise the train state, prepare a minibatch, and apply the networks. The losses of the two
players are in `gan_jax.gan.player_losses`, their updates in `gan_jax.gan.updates`.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax

from gan_jax.conditioning import CONDITIONS, Condition
from gan_jax.gan.state import TrainState, named_key
from gan_jax.gan.types import CutMix, GradientPenalty, LossTerm, Minibatch, normalize_images
from gan_jax.optimizers import average_gradients
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
    PseudoAugmentation,
    PyTree,
)

NO_TRANSFORMS = Players((), ())
NEVER_FROZEN = Players(0, 0)


@dataclasses.dataclass(frozen=True)
class GANSpec:
    """A GAN without its arrays. `gan_jax.make_gan` builds it from the same arguments.

    Attributes:
        generator, discriminator: The networks.
        loss: The adversarial loss.
        optimizer: One optax transformation over `Players`. A player whose gradients are None is not updated.
        image_shape: Shape of one example, (height, width, channels) or (dim,).
        latent_dim: Dimension of the latents [batch, latent_dim].
        sample_latents: `(rng, shape) -> latents`.
        num_classes: Number of classes, 0 for an unconditional GAN.
        sample_labels: `(rng, shape) -> int32 labels` of the fakes instead of the labels of the batch, for codes that are not in the
            data (InfoGAN).
        penalties: Gradient penalties of D.
        terms: Further loss terms of either player.
        transforms: `Players` of tuples of `ParamTransform`. Each prepares the parameters that the one before it prepared, and is
            applied before it. The network receives the result of the first.
        augmentations: Transformations of the images that D receives, reals and fakes alike.
        pseudo_augmentation: Fakes that pose as reals in D's loss, or None.
        cutmix: CutMix regularisation of a D that judges images and their pixels, or None.
        targets: `(rng, shape) -> (real_target, fake_target)` for D's loss, or None for the loss's own.
        generator_target: Value that G wants D to output, or None for the loss's own.
        adversarial_weight: Factor of G's adversarial term beside its other terms.
        adaptive_weight: Whether the factor of G's adversarial term is also multiplied by the ratio of the gradient norms of its task terms
            and of the adversarial term at the generator's last layer (VQGAN).
        adversarial_start: First step with the adversarial term of G and with the loss of D. Before it both are 0.
        halve_discriminator_loss: Whether D minimises (real + fake) / 2 instead of the sum.
        joint_batches: Whether D receives reals and fakes in one pass. With batch norm in D this mixes their statistics.
        context: Makes the input that both networks are conditioned on.
        two_domains: Whether an example is an image of each of two domains, joined along the channels: `input` of the batch, then `image`.
            `image_shape` is that of the joined images (CycleGAN).
        replay: Buffer of past fakes that are shown to D again, or None.
        target_discriminator: Whether G is trained against the moving average of D (target network).
        top_k: `(fake_logits, step) -> weights` per example for G's adversarial loss (top-k training), or None.
        freeze: `Players` of the number of first steps in which a player is not updated.
        curriculum: `(batch, state) -> (batch, state)`, called first in every step, or None. Progressive growing uses it.
        learning_rates: `step -> metrics` with the current learning rates, or None.
        layer_norms: Whether the metrics include the gradient norm of every layer.
        observe_update: `(player, gradients, params, updates, step, frozen) -> metrics`, called in each update of a player, or None.
        example_batch: Batch size of the examples with which `init` initialises the networks.
        axis_name: Mapped axis over which the batch is spread inside `shard_map` or `pmap`. `gan_jax.distributed` sets it.
        share_statistics: Whether batch statistics on several devices are those of the whole batch.
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
    pseudo_augmentation: PseudoAugmentation | None = None
    cutmix: CutMix | None = None
    targets: Callable[..., tuple[Array, Array]] | None = None
    generator_target: float | None = None
    adversarial_weight: float = 1.0
    adaptive_weight: bool = False
    adversarial_start: int = 0
    halve_discriminator_loss: bool = False
    joint_batches: bool = False
    context: Condition = CONDITIONS[None]
    two_domains: bool = False
    replay: Replay | None = None
    target_discriminator: bool = False
    top_k: Callable[[Array, Array], Array] | None = None
    freeze: Players = NEVER_FROZEN
    curriculum: Callable[[Mapping[str, Array], TrainState], tuple[Mapping[str, Array], TrainState]] | None = None
    learning_rates: Callable[[Array], Metrics] | None = None
    layer_norms: bool = False
    observe_update: Callable[..., Metrics] | None = None
    example_batch: int = 48
    axis_name: str | None = None
    share_statistics: bool = True

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one image. With two domains, that of the image of one domain."""
        shape = self.image_shape
        return (*shape[:-1], shape[-1] // 2) if self.two_domains else shape

    def init(self, rng: Array) -> tuple[Players, TrainState]:
        """Initialises the parameters of both players and the train state."""
        return self.init_state(rng, *self.init_networks(rng))

    def init_networks(self, rng: Array) -> tuple[Players, Players]:
        """Initialises both networks. Returns their parameters, which no transformation has prepared yet, and their states."""
        real = jnp.zeros((self.example_batch, *self.image_shape), jnp.float32)
        labels = jnp.zeros((self.example_batch,), jnp.int32) if self.num_classes else None
        context = self.context.example(named_key(rng, "context"), real)
        latents = self.sample_latents(named_key(rng, "latents"), (self.example_batch, self.latent_dim))
        augmentations = tuple(augmentation.init() for augmentation in self.augmentations)
        seen = self.augment(real, augmentations, named_key(rng, "inputs"), jnp.int32(0))
        generator, generator_state = self.generator.init(named_key(rng, "generator"), latents, labels, context)
        discriminator, discriminator_state = self.discriminator.init(named_key(rng, "discriminator"), seen, labels, context)
        return Players(generator, discriminator), Players(generator_state, discriminator_state)

    def init_state(self, rng: Array, networks: Players, network_states: Players) -> tuple[Players, TrainState]:
        """Initialises the train state for given networks, e.g. for those of another run.

        Args:
            rng: Typed key.
            networks: `Players` of parameters that no transformation has prepared yet.
            network_states: `Players` of the states of the networks.

        Returns:
            The parameters, as the transformations prepare them, and the train state.
        """
        generator, generator_transforms = self.init_transforms("generator", networks.generator, rng)
        discriminator, discriminator_transforms = self.init_transforms("discriminator", networks.discriminator, rng)
        params = Players(generator, discriminator)
        state = TrainState(
            step=jnp.int32(0),
            optimizer=self.optimizer.init(params),
            networks=network_states,
            transforms=Players(generator_transforms, discriminator_transforms),
            augmentations=tuple(augmentation.init() for augmentation in self.augmentations),
            terms=(),
            replay=self.replay.init(self.image_shape) if self.replay else (),
            update_rule=(),
            pseudo_augmentation=self.pseudo_augmentation.init() if self.pseudo_augmentation else (),
        )
        # The state of a term is initialised from effective parameters, which depend on the rest of the state.
        effective = Players(*(self.effective_params(player, getattr(params, player), state)[0] for player in Players._fields))
        terms = tuple(term.init(named_key(rng, f"term/{term.name}"), getattr(effective, term.player)) for term in self.terms)
        return params, state._replace(terms=terms)

    def init_transforms(self, player: str, params: PyTree, rng: Array) -> tuple[PyTree, tuple[PyTree, ...]]:
        """Prepares a player's parameters for its transformations. Returns the result and the states of the transformations."""
        states = []
        for number, transform in enumerate(getattr(self.transforms, player)):
            params = transform.prepare(params)
            states.append(transform.init(named_key(rng, f"transform/{player}/{number}"), params))
        return params, tuple(states)

    def prepare_minibatch(self, batch: Mapping[str, Array], rng: Array) -> Minibatch:
        """Normalises the images of a batch, and samples the latents and the context that belong to it.

        Raises:
            TypeError: The images are neither uint8 nor floating point.
            ValueError: The images do not have the spec's shape, or a conditional GAN gets no labels or labels of another shape. Also if
                inputs are missing, not used, or of another shape.
        """
        real = normalize_images(batch["image"])
        given = normalize_images(batch["input"]) if "input" in batch else None
        if self.two_domains:
            if given is None or given.shape != real.shape:
                got = None if given is None else given.shape
                raise ValueError(
                    f"batch['input'] must be images of the other domain, of the shape {real.shape} of batch['image']; got {got}"
                )
            real, given = jnp.concatenate([given, real], axis=-1), None
        if real.shape[1:] != self.image_shape:
            raise ValueError(f"batch['image'] must have shape [batch, {', '.join(map(str, self.image_shape))}]; got {real.shape}")
        if self.sample_labels is not None:
            labels = self.sample_labels(named_key(rng, "labels"), (real.shape[0],))
        elif self.num_classes and "label" not in batch:
            raise ValueError(f"a GAN with num_classes={self.num_classes} needs batch['label']; got only {', '.join(sorted(batch))}")
        else:
            labels = batch["label"] if self.num_classes else None
        if labels is not None and (labels.shape != real.shape[:1] or not jnp.issubdtype(labels.dtype, jnp.integer)):
            raise ValueError(f"batch['label'] must be integer classes [{real.shape[0]}], not one-hot; got {labels.dtype} {labels.shape}")
        context = self.context(named_key(rng, "context"), real, given)
        latents = self.sample_latents(named_key(rng, "latents"), (real.shape[0], self.latent_dim))
        return Minibatch(real, labels, context, latents, rng)

    def effective_params(self, player: str, params: PyTree, state: TrainState) -> tuple[PyTree, TrainState]:
        """Applies a player's parameter transformations. Returns the result and the state with theirs advanced."""
        states: list[PyTree] = []
        # The last transformation was prepared last and is the outermost.
        for transform, old in reversed(list(zip(getattr(self.transforms, player), getattr(state.transforms, player), strict=True))):
            params, new = transform.apply(params, old)
            states.insert(0, jax.lax.stop_gradient(new))
        return params, state._replace(transforms=state.transforms._replace(**{player: tuple(states)}))

    def augment(self, images: Array, states: tuple[PyTree, ...], rng: Array, step: Array) -> Array:
        """Applies the augmentations to images."""
        for number, (augmentation, state) in enumerate(zip(self.augmentations, states, strict=True)):
            images = augmentation.apply(images, state, named_key(rng, f"input/{number}"), step)
        return images

    def generate(self, params: PyTree, state: TrainState, minibatch: Minibatch) -> tuple[GeneratorOutput, TrainState]:
        """Generates the fakes of a minibatch. Returns them and the state with G's batch statistics and transformations advanced."""
        effective, state = self.effective_params("generator", params, state)
        rng, network_state = named_key(minibatch.rng, "generator"), state.networks.generator
        inputs = (minibatch.latents, minibatch.labels, minibatch.context)
        output, network_state = self.generator.apply(effective, network_state, *inputs, rng=rng, train=True)
        return output, state._replace(networks=state.networks._replace(generator=network_state))

    def discriminate(
        self, effective: PyTree, network_state: PyTree, images: Array, minibatch: Minibatch, state: TrainState, name: str
    ) -> tuple[DiscriminatorOutput, PyTree]:
        """One pass of D over images of a minibatch, with augmentation. `name` names its random draws."""
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
        """D on reals and on fakes. By default these are two passes, so that batch statistics never mix."""
        network_state = state.networks.discriminator
        if not self.joint_batches:
            real_output, network_state = self.discriminate(effective, network_state, minibatch.real, minibatch, state, "real")
            fake_output, network_state = self.discriminate(effective, network_state, fake, minibatch, state, "fake")
            return real_output, fake_output, network_state
        both = jnp.concatenate([minibatch.real, fake])
        output, network_state = self.discriminate(effective, network_state, both, minibatch, state, "both")
        share = minibatch.real.shape[0] / both.shape[0]

        def boundary(array: Array) -> int:
            return int(array.shape[0] * share + 0.5)

        real_output = jax.tree.map(lambda array: array[: boundary(array)], output)
        fake_output = jax.tree.map(lambda array: array[boundary(array) :], output)
        return real_output, fake_output, network_state

    def average(self, tree: PyTree) -> PyTree:
        """The mean over the devices of `axis_name`. Without such an axis the tree is returned unchanged."""
        return tree if self.axis_name is None else average_gradients(self.axis_name).update(tree, optax.EmptyState())[0]

    def minimum(self, values: Array) -> Array:
        """The smallest value on all devices of `axis_name`. It has no gradient."""
        smallest = jax.lax.stop_gradient(values).min()
        return smallest if self.axis_name is None else jax.lax.pmin(smallest, self.axis_name)
