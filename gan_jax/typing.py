"""Types shared by several modules of the library. They hold data and have no behaviour."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import jax

Array: TypeAlias = jax.Array
PyTree: TypeAlias = Any
Metrics: TypeAlias = dict[str, Array]


class Players(NamedTuple):
    """A pair with one value for each player, e.g. parameters, gradients, optimisers or states."""

    generator: Any
    discriminator: Any


class AdversarialLoss(NamedTuple):
    """An adversarial loss as two functions. Both return one value per logit, not reduced.

    Attributes:
        discriminator: `(real_logits, fake_logits) -> values`.
        generator: `(fake_logits, real_logits=None) -> values`.
        needs_real: Whether `generator` needs `real_logits`, as relativistic losses do.
        couples_examples: Whether each value depends on the whole batch. Both functions then accept `axis_name`.
        takes_targets: Whether both functions accept `real_target` and `fake_target`, for soft and flipped labels.
        takes_classes: Whether both functions take class logits [batch, classes + 1] instead of logits, with the fakes as the last class,
            and the labels as their last argument. The rows of `gan_jax.losses.MULTICLASS` do.
        compared_with: What D compares a logit with when it decides: "zero", the logit of its "pair", or the "mean" logit of the other
            kind. The reported accuracies follow it.
    """

    discriminator: Callable[..., Array]
    generator: Callable[..., Array]
    needs_real: bool = False
    couples_examples: bool = False
    takes_targets: bool = False
    takes_classes: bool = False
    compared_with: Literal["zero", "pair", "mean"] = "zero"


class ParamTransform(NamedTuple):
    """A transformation of a parameter tree that is applied before the network uses it, e.g. spectral normalisation.

    Attributes:
        init: `(rng, params) -> state`.
        apply: `(params, state) -> (effective_params, state)`, differentiable in `params`. In evaluation, discard the returned
            state.
        prepare: `params -> params`, called once after initialisation. A reparametrisation uses it to add trainable leaves, e.g.
            the gain of weight normalisation. The default is the identity.
    """

    init: Callable[[Array, PyTree], PyTree]
    apply: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]]
    prepare: Callable[[PyTree], PyTree] = lambda params: params


class Augmentation(NamedTuple):
    """A transformation of the images that D receives, real and fake alike, e.g. noise, augmentation or packing.

    Attributes:
        init: `() -> state`. The state is a pytree of arrays, or `()` if the transformation is stateless.
        apply: `(images, state, rng, step) -> images`, pure and differentiable in `images`. `step` is the training step, an int32
            scalar. The same function is applied to reals and fakes.
        update: `(state, real_logits, fake_logits) -> state`, called once per D step. ADA adjusts its probability here.
        packs: Number of images that one row of the result holds (PacGAN).
        metrics: `(state, step) -> scalars by name`, logged with the metrics of the step.
    """

    init: Callable[[], PyTree]
    apply: Callable[[Array, PyTree, Array, Array], Array]
    update: Callable[[PyTree, Array, Array], PyTree] = lambda state, real_logits, fake_logits: state
    packs: int = 1
    metrics: Callable[[PyTree, Array], Mapping[str, Array]] = lambda state, step: {}


class PseudoAugmentation(NamedTuple):
    """Fakes that pose as reals in D's loss, each real replaced with a probability that evolves (APA).

    Attributes:
        init: `() -> state`.
        probability: `state -> probability`, float32 [].
        mix: `(real, fake, rng, probability) -> images`, the reals with the fakes among them.
        update: `(state, real_logits, fake_logits) -> state`, called once per D step.
    """

    init: Callable[[], PyTree]
    probability: Callable[[PyTree], Array]
    mix: Callable[[Array, Array, Array, Array], Array]
    update: Callable[[PyTree, Array, Array], PyTree]


class GeneratorOutput(NamedTuple):
    """The output of a generator.

    Attributes:
        images: Float [batch, height, width, channels] in [-1, 1], or points [batch, dim].
        extras: Other arrays that loss terms of this model use, e.g. the posterior mean or a coarse image.
    """

    images: Array
    extras: Mapping[str, Any] = {}


class DiscriminatorOutput(NamedTuple):
    """The output of a discriminator.

    Attributes:
        logits: Float [batch], a patch map [batch, h, w], or a tuple of such with one entry per scale.
        features: Intermediate activations for feature matching, name -> array.
        class_logits: Logits of an auxiliary classifier, float [batch, classes], or None. With a class of the fakes, which comes last, it
            is [batch, classes + 1].
        embeddings: Embeddings of the images, float [batch, dim], for losses that compare them with the proxies of their classes, or None.
        proxies: For each image the learned vector (proxy) of its label, float [batch, dim], or None.
    """

    logits: Any
    features: Mapping[str, Array] = {}
    class_logits: Array | None = None
    embeddings: Array | None = None
    proxies: Array | None = None


class Network(NamedTuple):
    """A network as two pure functions. This is the interface between the train step and a model of any framework.

    Attributes:
        init: `(rng, inputs, labels=None, context=None) -> (params, state)`. `state` holds what changes without gradients, e.g.
            batch statistics, or `{}`.
        apply: `(params, state, inputs, labels=None, context=None, *, rng=None, train=True) -> (output, state)`. The output is a
            `GeneratorOutput` or a `DiscriminatorOutput`. `inputs` are latents [batch, dim] for a generator and images for a
            discriminator. `labels` are int32 [batch]. `context` is what both networks are conditioned on, e.g. edges, a masked
            image or a smaller image.
        mapping: `(params, state, latents, labels=None, *, truncation=None) -> styles`, or None. A generator that has it also accepts
            styles, float [batch, layers, dim], in place of latents. `truncation` moves the styles towards their mean.
        last_layer: Path of the kernel of a generator's last layer in its parameters, such as "output/kernel", or None. The adaptive
            weight of the adversarial term compares gradients there.
    """

    init: Callable[..., tuple[PyTree, PyTree]]
    apply: Callable[..., tuple[Any, PyTree]]
    mapping: Callable[..., Array] | None = None
    last_layer: str | None = None


class GAN(NamedTuple):
    """A GAN as three pure functions.

    Attributes:
        init: `rng -> (params, opt_state)`. `params` are `Players`.
        train_step: `(params, opt_state, batch, rng) -> (params, opt_state, metrics)`, not jitted.
        sample: `(params, opt_state, rng, count, labels=None, context=None) -> images`. It uses the EMA weights if they are
            tracked.
    """

    init: Callable[..., tuple[Players, PyTree]]
    train_step: Callable[..., tuple[Players, PyTree, Metrics]]
    sample: Callable[..., Array]
