"""CutMix in the loss of a discriminator that judges images and their pixels."""

import jax
import jax.numpy as jnp

from gan_jax.gan.spec import GANSpec
from gan_jax.gan.state import TrainState, named_key
from gan_jax.gan.types import CutMix, Minibatch
from gan_jax.penalties import cutmix_consistency, cutmix_loss, mix_images
from gan_jax.typing import Array, DiscriminatorOutput, Metrics, PyTree


def loss_with_cutmix(
    spec: GANSpec,
    cutmix: CutMix,
    effective: PyTree,
    state: TrainState,
    minibatch: Minibatch,
    fake: Array,
    outputs: tuple[DiscriminatorOutput, DiscriminatorOutput],
    loss: Array,
) -> tuple[Array, Metrics]:
    """The adversarial loss of D, which mixed images replace or extend in some updates.

    Args:
        spec: The GAN.
        cutmix: Its CutMix.
        effective: Effective parameters of D.
        state: The train state.
        minibatch: The reals and their draws.
        fake: The fakes.
        outputs: Output of D on the reals and on the fakes.
        loss: The adversarial loss of the reals and fakes, [].

    Returns:
        The loss, and the metrics `cutmix/loss` and `cutmix/consistency`. Both are 0 in an update without mixed images.

    Raises:
        ValueError: The logits of D are not those of images [batch] and of their pixels [batch, height, width].
    """
    rng = named_key(minibatch.rng, "cutmix")
    pixels = tuple(pixel_logits(output, minibatch.real.shape) for output in outputs)

    def mixed_losses() -> tuple[Array, Array]:
        masks = cutmix.draw(named_key(rng, "masks"), minibatch.real.shape[:3])
        mixed = mix_images(minibatch.real, fake, masks)
        output, _ = spec.discriminate(effective, state.networks.discriminator, mixed, minibatch, state, "cutmix")
        mixed_pixels = pixel_logits(output, mixed.shape)
        return cutmix_loss(output.logits[0], mixed_pixels, masks).mean(), cutmix_consistency(mixed_pixels, *pixels, masks).mean()

    # The decision is the same on all devices.
    mixing = jax.random.bernoulli(named_key(rng, "mixing"), cutmix.probability(state.step))
    mixed, consistency = jax.lax.cond(mixing, mixed_losses, lambda: (jnp.zeros(()), jnp.zeros(())))
    if cutmix.replaces:
        loss = jnp.where(mixing, 0.0, loss)
    return loss + mixed + cutmix.weight * consistency, {"cutmix/loss": mixed, "cutmix/consistency": consistency}


def pixel_logits(output: DiscriminatorOutput, shape: tuple[int, ...]) -> Array:
    """The logits of the pixels, [batch, height, width], of images of a shape. See `loss_with_cutmix` for the errors."""
    logits = output.logits
    found = [jnp.shape(leaf) for leaf in jax.tree.leaves(logits)]
    if not isinstance(logits, tuple) or found != [shape[:1], shape[:3]]:
        raise ValueError(f"CutMix needs a discriminator with logits {shape[:1]} of the images and {shape[:3]} of their pixels; got {found}")
    return logits[1]
