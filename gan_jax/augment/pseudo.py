"""Adaptive pseudo augmentation (APA): the generator's own fakes stand among D's reals while D overfits."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gan_jax._internal.checks import check_interval, check_same_shape
from gan_jax.augment.adaptive import AdaptiveState, control, initial_state
from gan_jax.typing import Array, PseudoAugmentation


def mix_pseudo(real: Array, fake: Array, rng: Array, probability: ArrayLike) -> Array:
    """Replaces each real by the fake of the same index, independently with `probability`.

    Args:
        real: Float [batch, ...].
        fake: Fakes that pose as reals, same shape.
        rng: JAX random key.
        probability: Probability p, in [0, 1].

    Returns:
        Same shape as the reals. The fakes carry no gradient.

    Raises:
        ValueError: The shapes differ.

    References:
        Jiang et al., "Deceive D: Adaptive Pseudo Augmentation for GAN Training with Limited Data", 2021.
    """
    check_same_shape(real=real, fake=fake)
    posing = jax.random.bernoulli(rng, probability, (real.shape[0], *(1,) * (real.ndim - 1)))
    return jnp.where(posing, jax.lax.stop_gradient(fake), real)


def pseudo_augment(
    target: float = 0.6,
    *,
    interval: int = 4,
    images_to_full: float = 500_000,
    initial_probability: float = 0.0,
    max_probability: float = 1.0,
    images_per_logit: int = 1,
    axis_name: str | tuple[str, ...] | None = None,
) -> PseudoAugmentation:
    """Replaces D's reals by fakes with a probability p that follows D's overfitting: p += sign(l_r - target) images / images_to_full.

    l_r = E[sign D(x)] over the reals of the last `interval` updates, with the fakes among them. It is 0 if D cannot recognise reals, and 1
    if it has memorised them. The controller is that of `adaptive_augment`, and so are its demands on the loss: the logits must be positive
    if D classifies an example as real.

    Gradient penalties and further terms of D's loss receive the mixed reals, as in the authors' code. Losses of G that look at reals do
    not.

    Args:
        target: Target of l_r, 0.6 in the paper.
        interval: Number of updates between adjustments of p, 4 in the paper.
        images_to_full: Number of reals over which p can rise from 0 to 1. The authors have 500,000, and 100,000 if they resume.
        initial_probability: Initial value of p.
        max_probability: Upper bound of p, at most 1.
        images_per_logit: Number of reals behind each real logit, the number of samples in a pack (PacGAN).
        axis_name: Mapped axes over which l_r is averaged and images are counted, inside `shard_map` or `pmap`.

    Returns:
        A `PseudoAugmentation` with an `AdaptiveState`.

    Raises:
        ValueError: The target is outside [-1, 1], a probability is outside [0, 1], the interval is below 1, or `images_to_full` is not
            positive.

    References:
        Jiang et al., "Deceive D: Adaptive Pseudo Augmentation for GAN Training with Limited Data", 2021; EndlessSora/DeceiveD, commit
        042c5c4. Deviations: the authors' code takes the fakes of G's last update, which have other labels than the reals that they
        replace. Here G makes fresh ones, with the reals' labels. In the authors' code p has no upper bound, so that it falls later.
    """
    check_interval(-1, 1, target=target)
    check_interval(0, 1, initial_probability=initial_probability, max_probability=max_probability)
    if interval < 1 or images_to_full <= 0:
        raise ValueError(f"interval must be at least 1 and images_to_full positive; got {interval} and {images_to_full}")

    def update(state: AdaptiveState, real_logits: Array, fake_logits: Array) -> AdaptiveState:
        del fake_logits
        return control(
            state,
            real_logits,
            target=target,
            interval=interval,
            images_to_full=images_to_full,
            max_probability=max_probability,
            images_per_logit=images_per_logit,
            axis_name=axis_name,
        )

    return PseudoAugmentation(
        init=partial(initial_state, initial_probability), probability=lambda state: state.probability, mix=mix_pseudo, update=update
    )
