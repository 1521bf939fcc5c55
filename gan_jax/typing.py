"""The few types that the rooms of the house share: data only, no behaviour."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax

Array: TypeAlias = jax.Array
PyTree: TypeAlias = Any
Metrics: TypeAlias = dict[str, Array]


class Players(NamedTuple):
    """One thing for each of the two players: parameters, gradients, optimisers, states ..."""

    generator: Any
    discriminator: Any


class AdversarialLoss(NamedTuple):
    """The two halves of an adversarial loss; one value per logit, not reduced.

    Attributes:
        discriminator: `(real_logits, fake_logits) -> values`.
        generator: `(fake_logits, real_logits=None) -> values`; only relativistic losses need the second.
    """

    discriminator: Callable[..., Array]
    generator: Callable[..., Array]


class ParamTransform(NamedTuple):
    """A transformation of a parameter tree applied before the network sees it, e.g. spectral normalisation.

    Attributes:
        init: `(rng, params) -> state`.
        apply: `(params, state) -> (effective_params, state)`; differentiable in `params`. Not called with
            the intention to advance in evaluation: drop the returned state there.
        prepare: `params -> params`, run once after initialisation; adds trainable leaves where a
            reparametrisation needs them (the gain of weight normalisation). The identity for most.
    """

    init: Callable[[Array, PyTree], PyTree]
    apply: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]]
    prepare: Callable[[PyTree], PyTree] = lambda params: params


class InputTransform(NamedTuple):
    """A transformation of the images that D sees, real and fake alike, e.g. noise, augmentation, packing.

    Attributes:
        init: `() -> state`; a pytree of arrays, `()` where nothing is carried.
        apply: `(images, state, rng, step) -> images`; pure and differentiable in `images`;
            `step` is the int32 scalar step of training. The same function sees reals and fakes.
        update: `(state, real_logits, fake_logits) -> state`, once per D step (ADA's controller).
    """

    init: Callable[[], PyTree]
    apply: Callable[[Array, PyTree, Array, Array], Array]
    update: Callable[[PyTree, Array, Array], PyTree] = lambda state, real_logits, fake_logits: state


class GeneratorOutput(NamedTuple):
    """What a generator returns.

    Attributes:
        images: float [batch, height, width, channels] in [-1, 1] (or [batch, dim] points).
        extras: further arrays that loss terms of this model read (posterior mean, coarse image ...).
    """

    images: Array
    extras: Mapping[str, Any] = {}


class DiscriminatorOutput(NamedTuple):
    """What a discriminator returns.

    Attributes:
        logits: float [batch], or a patch map [batch, h, w], or a tuple of such (one per scale).
        features: intermediate activations, name -> array, for feature matching.
        class_logits: float [batch, classes] of an auxiliary classifier, or None.
    """

    logits: Any
    features: Mapping[str, Array] = {}
    class_logits: Array | None = None


class Network(NamedTuple):
    """A network as two pure functions; what the game sees of a model, whatever framework made it.

    Attributes:
        init: `(rng, inputs, labels=None, context=None) -> (params, state)`; `state` holds what evolves
            without gradients (batch statistics), `{}` where there is none.
        apply: `(params, state, inputs, labels=None, context=None, *, rng=None, train=True)
            -> (output, state)`; a `GeneratorOutput` or a `DiscriminatorOutput`. `inputs` are latents
            [batch, dim] for a generator, images for a discriminator; `labels` int32 [batch];
            `context` what both are conditioned on (edges, a masked image, a smaller image).
    """

    init: Callable[..., tuple[PyTree, PyTree]]
    apply: Callable[..., tuple[Any, PyTree]]


class GAN(NamedTuple):
    """A game, ready to be played.

    Attributes:
        init: `rng -> (params, opt_state)`; `params` are `Players`.
        train_step: `(params, opt_state, batch, rng) -> (params, opt_state, metrics)`, pure, not jitted.
        sample: `(params, opt_state, rng, count, labels=None, context=None) -> images`, from the EMA
            weights where they are tracked.
    """

    init: Callable[..., tuple[Players, PyTree]]
    train_step: Callable[..., tuple[Players, PyTree, Metrics]]
    sample: Callable[..., Array]
