"""The records that a train step is made of: a minibatch, a penalty, a loss term, and what a loss term may look at."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from gan_jax.typing import Array, DiscriminatorOutput, GeneratorOutput, PyTree


class GradientPenalty(NamedTuple):
    """A gradient penalty of the discriminator, as a row of `gan_jax.penalties.PENALTIES`, with its weight.

    Attributes:
        name: under `penalty/<name>` in the metrics.
        function: `(critic, real, fake, rng) -> values`, one per example.
        weight: the factor of its mean in the loss of D.
        interval: computed every `interval` steps with `interval` times the weight (lazy regularisation,
            Karras et al., 2020).
    """

    name: str
    function: Callable[..., Array]
    weight: float
    interval: int = 1


class Minibatch(NamedTuple):
    """One batch and the draws that go with it.

    Attributes:
        real: float [batch, ...] in [-1, 1].
        labels: int32 [batch] or None; the fakes of a conditional game carry the labels of the reals.
        context: what both networks are conditioned on, or None.
        latents: float [batch, latent_dim].
        rng: the key of every other draw of this round.
    """

    real: Array
    labels: Array | None
    context: Array | None
    latents: Array
    rng: Array


class LossContext(NamedTuple):
    """What a loss term may look at.

    Attributes:
        round: the batch and its draws.
        fake: the generator's output; without gradient in a term of D.
        real_output: D on the reals; None for a term of G unless the term says `needs_real`.
        fake_output: D on the fakes.
        params: the effective parameters of the player whose term this is.
        discriminate: `(images, name) -> DiscriminatorOutput`, another pass of the present D; `name` names its draws.
        generate: `latents -> GeneratorOutput`, another pass of G from other latents, under the draws that made `fake`.
        step: int32 [].
        axis_name: of the devices over which the batch is spread and whose statistics are shared; None where the batch is all here.
    """

    minibatch: Minibatch
    fake: GeneratorOutput
    real_output: DiscriminatorOutput | None
    fake_output: DiscriminatorOutput
    params: PyTree
    discriminate: Callable[..., DiscriminatorOutput]
    generate: Callable[[Array], GeneratorOutput]
    step: Array
    axis_name: str | None = None


class LossTerm(NamedTuple):
    """A further term of one player's loss: feature matching, reconstruction, consistency, an auxiliary classifier ...

    Attributes:
        name: under `term/<name>` in the metrics.
        player: "generator" or "discriminator".
        function: `(play, state) -> (values, state)`; its mean times `weight` is added to the loss, of a tree of values (one array a
            scale) the sum of their means.
        weight: the factor.
        needs_real: whether a term of G needs D's output on the reals.
        init: `(rng, params) -> state`, with the effective parameters of that player, as `LossContext.params` has them.
    """

    name: str
    player: str
    function: Callable[[LossContext, PyTree], tuple[PyTree, PyTree]]
    weight: float = 1.0
    needs_real: bool = False
    init: Callable[[Array, PyTree], PyTree] = lambda rng, params: ()


def normalize_images(images: Array) -> Array:
    """Maps uint8 images in [0, 255] to float32 in [-1, 1]; floating-point input passes unchanged.

    Raises:
        TypeError: any other type; nothing says which numbers of it are black and white.
    """
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 127.5 - 1.0
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(f"images: expected uint8 or floating point, got {images.dtype}")
    return images
