"""Adaptive discriminator augmentation: augment as strongly as the discriminator overfits, and no more."""

from collections.abc import Collection
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gan_jax._checks import check_float, check_interval, check_not_empty, check_rank
from gan_jax.augment.color import draw_color, recolor
from gan_jax.augment.geometry import blit, draw_blit, draw_geometry, warp
from gan_jax.typing import Array, InputTransform

OPERATIONS = ("blit", "geometry", "color")


class AdaptiveState(NamedTuple):
    """What the controller remembers.

    Attributes:
        probability: float32 [], p, with which each augmentation is applied to each example.
        overfitting: float32 [], r_t = E[sign D(x)] at the last adjustment; 0 before the first.
        sign_sum: float32 [], sum over updates since the last adjustment of the mean sign of D's real logits.
        image_count: float32 [], reals seen since the last adjustment.
        updates: int32 [], updates since the last adjustment.
    """

    probability: Array
    overfitting: Array
    sign_sum: Array
    image_count: Array
    updates: Array


def augment(images: Array, probability: ArrayLike, rng: Array, *, operations: Collection[str] = OPERATIONS) -> Array:
    """Augments each example with draws of its own, each augmentation with `probability`; see `adaptive_augment`.

    Args:
        images: float [batch, height, width, channels]; with colour, 1 or 3 channels.
        probability: p in [0, 1]; at 0 the images come back bit for bit.
        rng: key.
        operations: any of `OPERATIONS`; they are applied in that order.

    Returns:
        Images, same shape and type.

    Raises:
        TypeError: images that are not floating point.
        ValueError: not four axes, an empty batch, with colour other than 1 or 3 channels.

    References:
        Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, appendix B.
    """
    check_float(images=images)
    check_rank(4, images=images)
    check_not_empty(images=images)
    batch, height, width, _ = images.shape
    blit_rng, geometry_rng, color_rng = jax.random.split(rng, 3)
    if "blit" in operations:
        images = blit(images, draw_blit(blit_rng, batch, height, width, probability))
    if "geometry" in operations:
        images = warp(images, draw_geometry(geometry_rng, batch, height, width, probability))
    if "color" in operations:
        images = recolor(images, draw_color(color_rng, batch, probability))
    return images


def control(
    state: AdaptiveState,
    real_logits: Array,
    *,
    target: float,
    interval: int,
    images_to_full: float,
    max_probability: float,
    axis_name: str | tuple[str, ...] | None = None,
) -> AdaptiveState:
    """Counts the signs of D's real logits, and every `interval` updates moves p towards the target by one step.

    p <- clip(p + sign(r_t - target) n / images_to_full, 0, max_probability), n the reals since the last adjustment.
    """
    check_not_empty(real_logits=real_logits)
    mean_sign = jnp.mean(jnp.sign(real_logits).astype(jnp.float32))
    seen = jnp.float32(real_logits.shape[0])
    if axis_name is not None:
        mean_sign, seen = jax.lax.pmean(mean_sign, axis_name), jax.lax.psum(seen, axis_name)
    sign_sum, image_count, updates = state.sign_sum + mean_sign, state.image_count + seen, state.updates + 1
    due = updates >= interval
    overfitting = sign_sum / updates
    change = jnp.sign(overfitting - target) * image_count / images_to_full
    return AdaptiveState(
        probability=jnp.where(due, jnp.clip(state.probability + change, 0.0, max_probability), state.probability),
        overfitting=jnp.where(due, overfitting, state.overfitting),
        sign_sum=jnp.where(due, 0.0, sign_sum),
        image_count=jnp.where(due, 0.0, image_count),
        updates=jnp.where(due, 0, updates),
    )


def _initial_state(probability: float) -> AdaptiveState:
    # Separate arrays: a donated state must not hold one buffer twice.
    return AdaptiveState(
        probability=jnp.full((), probability, jnp.float32),
        overfitting=jnp.zeros((), jnp.float32),
        sign_sum=jnp.zeros((), jnp.float32),
        image_count=jnp.zeros((), jnp.float32),
        updates=jnp.zeros((), jnp.int32),
    )


def adaptive_augment(
    target: float = 0.6,
    *,
    operations: str = "blit,geometry,color",
    interval: int = 4,
    images_to_full: float = 500_000,
    initial_probability: float = 0.0,
    max_probability: float = 1.0,
    axis_name: str | tuple[str, ...] | None = None,
) -> InputTransform:
    """Augments what D sees with a probability p that follows its overfitting: p += sign(r_t - target) images / images_to_full.

    r_t = E[sign D(x)] over the reals of the last `interval` updates: 0 for a discriminator that cannot tell its reals, 1 for
    one that knows them by heart. Logits must be positive where D says "real", which holds for every loss whose
    discriminator has its threshold at 0: not for least squares with targets 1 and 0, nor for a Wasserstein critic, nor for
    relativistic losses, which a constant added to all logits leaves as they are, so that the sign of one says nothing.

    Each example draws each of these with probability p:

    - blit: x-flip, quarter turns, translation by whole pixels up to an eighth of the size;
    - geometry: isotropic scaling, rotation before and after anisotropic scaling, fractional translation;
    - color: brightness, contrast, luma flip, and for three channels hue and saturation.

    Blits move pixels exactly; the geometric operations are one warp at twice the resolution with the paper's filter, mirrored
    beyond the border. At p = 0 images come back bit for bit. Everything is differentiable in the images.

    Left out: image-space filtering, additive noise and cutout, which the paper found harmful or useless and which its
    recommended pipeline ("bgc", this one) leaves out too. The paper resamples the blits with the warp; here they are exact.

    Args:
        target: of r_t; 0.6 in the paper.
        operations: names of `OPERATIONS` joined by commas; their order is fixed.
        interval: updates between adjustments of p; 4 in the paper.
        images_to_full: reals over which p can rise from 0 to 1; 500,000 in the paper. Counted from the real logits' batch.
        initial_probability: p at the start.
        max_probability: upper bound of p; 1 in the paper, above which it means nothing.
        axis_name: mapped axes over which r_t and the count of images are gathered, inside `shard_map` or `pmap`.

    Returns:
        An `InputTransform` with an `AdaptiveState`. Its `apply` raises ValueError for anything but non-empty
        [batch, height, width, channels] (with colour: 1 or 3 channels), TypeError for integers.

    Raises:
        ValueError: an unknown operation, a target outside [-1, 1], a probability outside [0, 1], an interval below 1, a
            count that is not positive.

    References:
        Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, section 3 and appendix B.
    """
    names = {name.strip() for name in operations.split(",") if name.strip()}
    if not names or not names <= set(OPERATIONS):
        raise ValueError(f"operations must name any of {', '.join(OPERATIONS)}, joined by commas; got {operations!r}")
    check_interval(-1, 1, target=target)
    check_interval(0, 1, initial_probability=initial_probability, max_probability=max_probability)
    if interval < 1 or images_to_full <= 0:
        raise ValueError(f"interval must be at least 1 and images_to_full positive; got {interval} and {images_to_full}")

    bounds = {"images_to_full": images_to_full, "max_probability": max_probability}
    move = partial(control, target=target, interval=interval, axis_name=axis_name, **bounds)

    def apply(images: Array, state: AdaptiveState, rng: Array, step: Array) -> Array:
        del step
        return augment(images, state.probability, rng, operations=names)

    def update(state: AdaptiveState, real_logits: Array, fake_logits: Array) -> AdaptiveState:
        del fake_logits
        return move(state, real_logits)

    return InputTransform(init=partial(_initial_state, initial_probability), apply=apply, update=update)
