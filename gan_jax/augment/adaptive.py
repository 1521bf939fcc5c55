"""Adaptive discriminator augmentation (ADA): the strength of the augmentation follows the discriminator's overfitting."""

from collections.abc import Callable, Collection
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gan_jax._internal.checks import check_float, check_interval, check_not_empty, check_rank
from gan_jax._internal.keys import named_key
from gan_jax.augment.color import draw_color, recolor
from gan_jax.augment.corruption import add_noise, cut_randomly, filter_randomly
from gan_jax.augment.geometry import blit, compose, draw_blit, draw_geometry, warp
from gan_jax.typing import Array, Augmentation

_CORRUPTIONS = {"filter": filter_randomly, "noise": add_noise, "cutout": cut_randomly}
OPERATIONS = ("blit", "geometry", "color", *_CORRUPTIONS)


class AdaptiveState(NamedTuple):
    """State of the controller.

    Attributes:
        probability: Probability p of each augmentation for each example, float32 [].
        overfitting: r_t = E[sign D(x)] at the last adjustment, float32 []. It is 0 before the first adjustment.
        sign_sum: Mean sign of D's real logits, summed over the updates since the last adjustment, float32 [].
        image_count: Number of real images since the last adjustment, float32 [].
        updates: Number of updates since the last adjustment, int32 [].
    """

    probability: Array
    overfitting: Array
    sign_sum: Array
    image_count: Array
    updates: Array


def augment(images: Array, probability: ArrayLike, rng: Array, *, operations: Collection[str] = ("blit", "geometry", "color")) -> Array:
    """Augments each example independently, with each augmentation applied with `probability`. See `adaptive_augment`.

    Args:
        images: Float [batch, height, width, channels]. With colour there must be 1, 3 or 4 channels, and the fourth, the opacity,
            keeps its values.
        probability: Probability p, in [0, 1]. At 0 the images are returned bit for bit unchanged.
        rng: JAX random key.
        operations: Any of `OPERATIONS`. They are applied in the order of `OPERATIONS`.

    Returns:
        Images, same shape and type.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The images do not have four axes, the batch is empty, or colour is used with channels other than 1, 3 or 4.

    References:
        Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, appendix B.
    """
    check_float(images=images)
    check_rank(4, images=images)
    check_not_empty(images=images)
    batch, height, width, _ = images.shape
    blit_rng, geometry_rng, color_rng = jax.random.split(rng, 3)
    moves = draw_blit(blit_rng, batch, height, width, probability) if "blit" in operations else None
    if "geometry" in operations:
        # One warp of the mirrored original. A second one would mirror the border of the moved image.
        warps = draw_geometry(geometry_rng, batch, height, width, probability)
        warped = warp(images, warps if moves is None else compose(moves, warps))
        whole_pixels = jnp.all(warps == jnp.eye(3), axis=(1, 2))[:, None, None, None]
        images = jnp.where(whole_pixels, images if moves is None else blit(images, moves), warped)
    elif moves is not None:
        images = blit(images, moves)
    if "color" in operations:
        images = recolor(images, draw_color(color_rng, batch, probability))
    for name, corrupt in _CORRUPTIONS.items():
        if name in operations:
            images = corrupt(images, named_key(rng, name), probability)
    return images


def control(
    state: AdaptiveState,
    real_logits: Array,
    *,
    target: float,
    interval: int,
    images_to_full: float,
    max_probability: float,
    images_per_logit: int = 1,
    axis_name: str | tuple[str, ...] | None = None,
) -> AdaptiveState:
    """Accumulates the signs of D's real logits, and adjusts p by one step towards the target every `interval` updates.

    p <- clip(p + sign(r_t - target) n / images_to_full, 0, max_probability), where n is the number of reals since the last
    adjustment. The arguments are those of `adaptive_augment`.
    """
    check_not_empty(real_logits=real_logits)
    mean_sign = jnp.mean(jnp.sign(real_logits).astype(jnp.float32))
    seen = jnp.float32(real_logits.shape[0] * images_per_logit)
    if axis_name is not None:
        mean_sign, seen = jax.lax.pmean(mean_sign, axis_name), jax.lax.psum(seen, axis_name)
    sign_sum, image_count, updates = state.sign_sum + mean_sign, state.image_count + seen, state.updates + 1
    due = updates >= interval
    overfitting = sign_sum / updates.astype(jnp.float32)
    change = jnp.sign(overfitting - target) * image_count / images_to_full
    return AdaptiveState(
        probability=jnp.where(due, jnp.clip(state.probability + change, 0.0, max_probability), state.probability),
        overfitting=jnp.where(due, overfitting, state.overfitting),
        sign_sum=jnp.where(due, 0.0, sign_sum),
        image_count=jnp.where(due, 0.0, image_count),
        updates=jnp.where(due, 0, updates),
    )


def initial_state(probability: float) -> AdaptiveState:
    """The state of a controller before the first update."""
    # The arrays are separate, because a donated state must not contain the same buffer twice.
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
    schedule: Callable[[Array], Array] | None = None,
    images_per_logit: int = 1,
    axis_name: str | tuple[str, ...] | None = None,
) -> Augmentation:
    """Augments D's inputs with a probability p that follows D's overfitting: p += sign(r_t - target) images / images_to_full.

    r_t = E[sign D(x)] over the reals of the last `interval` updates. It is 0 if the discriminator cannot recognise reals, and 1
    if it has memorised them.

    The logits must be positive if D classifies an example as real. This holds for losses whose decision threshold is 0. It does
    not hold for least squares with targets 1 and 0, for a Wasserstein critic, or for relativistic losses. Relativistic losses
    are unchanged by a constant added to all logits, so the sign of a single logit has no meaning.

    Each of these augmentations is applied to each example with probability p:

    - blit: x-flip, quarter turns, translation by whole pixels up to an eighth of the size.
    - geometry: isotropic scaling, rotation before and after anisotropic scaling, fractional translation.
    - color: brightness, contrast, luma flip, and for three channels hue and saturation.
    - filter: amplification of each of four frequency bands.
    - noise: additive Gaussian noise with a half-normal standard deviation.
    - cutout: a grey rectangle of half the size of the image.

    Blits alone move whole pixels exactly. Together with geometric operations they are combined into one warp at twice the
    resolution with the paper's filter, and images are mirrored beyond their border. At p = 0 images are returned bit for bit
    unchanged. All operations are differentiable in the images.

    Args:
        target: Target of r_t, 0.6 in the paper.
        operations: Names of `OPERATIONS` joined by commas. They are always applied in the order of `OPERATIONS`.
        interval: Number of updates between adjustments of p, 4 in the paper.
        images_to_full: Number of reals over which p can rise from 0 to 1, 500,000 in the paper. With infinity p stays at its initial
            value.
        initial_probability: Initial value of p.
        max_probability: Upper bound of p, at most 1. The paper uses 1.
        schedule: `step -> p`, instead of the controller. R3GAN raises p by a cosine. None uses the controller.
        images_per_logit: Number of reals behind each real logit, the number of samples in a pack (PacGAN).
        axis_name: Mapped axes over which r_t is averaged and images are counted, inside `shard_map` or `pmap`.

    Returns:
        An `Augmentation` with an `AdaptiveState`. Its metrics are `augment/probability` (p) and `augment/overfitting` (r_t). Its
        `apply` raises TypeError for integers, and ValueError unless the images are a non-empty [batch, height, width, channels]
        (with colour, 1, 3 or 4 channels).

    Raises:
        ValueError: An operation is unknown, the target is outside [-1, 1], a probability is outside [0, 1], the interval is
            below 1, or `images_to_full` is not positive.

    References:
        Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, section 3 and appendix B.
        The default is the paper's recommended pipeline "bgc". The paper found that `filter`, `noise` and `cutout` do not help.
        Deviation: an example that only blits move is not resampled, so its pixels are exact.
    """
    names = {name.strip() for name in operations.split(",") if name.strip()}
    if not names or not names <= set(OPERATIONS):
        raise ValueError(f"operations must list names from {', '.join(OPERATIONS)}, joined by commas; got {operations!r}")
    check_interval(-1, 1, target=target)
    check_interval(0, 1, initial_probability=initial_probability, max_probability=max_probability)
    if interval < 1 or images_to_full <= 0:
        raise ValueError(f"interval must be at least 1 and images_to_full positive; got {interval} and {images_to_full}")

    bounds = {"images_to_full": images_to_full, "max_probability": max_probability}
    move = partial(control, target=target, interval=interval, images_per_logit=images_per_logit, axis_name=axis_name, **bounds)

    def apply(images: Array, state: AdaptiveState, rng: Array, step: Array) -> Array:
        probability = state.probability if schedule is None else schedule(step)
        return augment(images, probability, rng, operations=names)

    def update(state: AdaptiveState, real_logits: Array, fake_logits: Array) -> AdaptiveState:
        del fake_logits
        return move(state, real_logits)

    def metrics(state: AdaptiveState, step: Array) -> dict[str, Array]:
        probability = state.probability if schedule is None else schedule(step)
        measured = {} if schedule is not None or images_to_full == float("inf") else {"augment/overfitting": state.overfitting}
        return {"augment/probability": jnp.asarray(probability, jnp.float32), **measured}

    return Augmentation(init=partial(initial_state, initial_probability), apply=apply, update=update, metrics=metrics)
