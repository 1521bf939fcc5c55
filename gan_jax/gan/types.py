"""The records that a train step is made of: a minibatch, a gradient penalty, a loss term, and what a loss term receives."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from gan_jax.typing import Array, DiscriminatorOutput, GeneratorOutput, PyTree


class GradientPenalty(NamedTuple):
    """A gradient penalty of the discriminator with its weight. `gan_jax.penalties.PENALTIES` has the functions.

    Attributes:
        name: The metrics report it as `penalty/<name>`.
        function: `(critic, real, fake, rng) -> values`, one value per example.
        weight: Factor of the mean of the values in the loss of D, or a function `step -> factor`.
        interval: Compute the penalty every `interval` steps with `interval` times the weight (lazy regularisation, Karras et al.,
            2020).
        couples_examples: Whether the value of one example depends on the others. Such a function accepts `axis_name`.
    """

    name: str
    function: Callable[..., Array]
    weight: float | Callable[[Array], Array]
    interval: int = 1
    couples_examples: bool = False


class CutMix(NamedTuple):
    """CutMix regularisation of a D that judges images and their pixels (U-Net GAN).

    Attributes:
        weight: Factor of the consistency.
        probability: `step -> probability` of an update of D on mixed images.
        replaces: Whether such an update replaces D's adversarial loss. Otherwise it is added.
        draw: `(rng, (batch, height, width)) -> masks`, 1 where the mixed image is real.
    """

    weight: float
    probability: Callable[[Array], Array | float]
    replaces: bool
    draw: Callable[[Array, tuple[int, ...]], Array]


class Minibatch(NamedTuple):
    """One batch of reals and the draws that belong to it.

    Attributes:
        real: Float [batch, ...] in [-1, 1].
        labels: int32 [batch] or None. The fakes of a conditional GAN get the labels of the reals.
        context: The input that both networks are conditioned on, or None.
        latents: Float [batch, latent_dim].
        rng: Random key of every other draw of this minibatch.
    """

    real: Array
    labels: Array | None
    context: Array | None
    latents: Array
    rng: Array


class LossContext(NamedTuple):
    """What a loss term receives.

    Attributes:
        minibatch: The reals and their draws.
        fake: Output of the generator. In a term of D it carries no gradient.
        real_output: Output of D on the reals. None in a term of G unless the term sets `needs_real`.
        fake_output: Output of D on the fakes.
        params: Effective parameters of the player whose term this is.
        raw_params: Its parameters before their transformations (spectral normalisation ...).
        discriminate: `(images, name) -> DiscriminatorOutput`, another pass of the current D. `name` names its random draws.
        generate: `(latents, rng=None) -> GeneratorOutput`, another pass of G from other latents. Without `rng` it has the random draws
            of `fake`. Fewer latents than the minibatch has get the labels of its first examples.
        step: int32 [].
        axis_name: Mapped axis of the devices that share the batch and its statistics, or None on one device.
    """

    minibatch: Minibatch
    fake: GeneratorOutput
    real_output: DiscriminatorOutput | None
    fake_output: DiscriminatorOutput
    params: PyTree
    raw_params: PyTree
    discriminate: Callable[..., DiscriminatorOutput]
    generate: Callable[..., GeneratorOutput]
    step: Array
    axis_name: str | None = None


class LossTerm(NamedTuple):
    """A further term of one player's loss, e.g. feature matching, reconstruction, consistency or an auxiliary classifier.

    Attributes:
        name: The metrics report it as `term/<name>`.
        player: "generator" or "discriminator".
        function: `(context, state) -> (values, state)` with a `LossContext`. The mean of the values times `weight` is added to the
            loss. Of a tree of values (one array per scale) the means are summed.
        weight: Factor of the term.
        needs_real: Whether a term of G needs D's output on the reals.
        init: `(rng, params) -> state` with the effective parameters of the player.
        task: Whether the term of G compares its output with a target. The adaptive weight makes the adversarial gradient as large as that
            of the task terms.
    """

    name: str
    player: str
    function: Callable[[LossContext, PyTree], tuple[PyTree, PyTree]]
    weight: float = 1.0
    needs_real: bool = False
    init: Callable[[Array, PyTree], PyTree] = lambda rng, params: ()
    task: bool = False


def normalize_images(images: Array) -> Array:
    """Maps uint8 images in [0, 255] to float32 in [-1, 1]. Floating-point images are returned unchanged.

    Raises:
        TypeError: Any other dtype, since its values for black and white are unknown.
    """
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 127.5 - 1.0
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(f"images: expected uint8 or floating point, got {images.dtype}")
    return images
