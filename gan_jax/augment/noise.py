"""Instance noise: Gaussian noise on the inputs of the discriminator, which decays during training."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from gan_jax._internal.checks import check_float, check_not_empty
from gan_jax.typing import Array, Augmentation

Schedule = Literal["linear", "cosine", "exponential", "constant"]

# The exponential schedule reaches this fraction of its initial value after `decay_steps`. It never reaches 0.
_EXPONENTIAL_END = 0.01


def noise_schedule(std: float, decay_steps: int | None, schedule: Schedule) -> optax.Schedule:
    """Returns the standard deviation of the noise as a function of the step. See `instance_noise`."""
    if std < 0:
        raise ValueError(f"std must not be negative; got {std}")
    if schedule != "constant" and (decay_steps is None or decay_steps < 1):
        raise ValueError(f"decay_steps must be at least 1 for schedule={schedule!r}; got {decay_steps}")
    if schedule == "linear":
        return optax.linear_schedule(std, 0.0, decay_steps)
    if schedule == "cosine":
        return optax.cosine_decay_schedule(std, decay_steps)
    if schedule == "exponential":
        return optax.exponential_decay(std, decay_steps, _EXPONENTIAL_END)
    if schedule == "constant":
        return optax.constant_schedule(std)
    raise ValueError(f"schedule must be 'linear', 'cosine', 'exponential' or 'constant'; got {schedule!r}")


def instance_noise(std: float = 0.1, decay_steps: int | None = None, schedule: Schedule = "linear") -> Augmentation:
    """Adds Gaussian noise to every example: x + s(t) n, with n ~ N(0, I) and a standard deviation s(t) that decays.

    The noise makes the supports of reals and fakes overlap. Without overlap, a perfect discriminator separates them and gives
    no useful gradient. With T = `decay_steps` the schedules are:

    - linear: s(t) = std max(0, 1 - t / T)
    - cosine: s(t) = std (1 + cos(pi min(t / T, 1))) / 2
    - exponential: s(t) = std 0.01^(t / T), which never reaches 0
    - constant: s(t) = std, without `decay_steps`

    Args:
        std: Standard deviation at step 0, in the units of the images, whose range is 2.
        decay_steps: T, in training steps.
        schedule: "linear", "cosine", "exponential" or "constant".

    Returns:
        An `Augmentation` without state, for images or points of any shape. Its `apply` raises TypeError for integers and
        ValueError for an empty batch.

    Raises:
        ValueError: `std` is negative, the schedule is unknown, or it needs `decay_steps` and this is None or below 1.

    References:
        Sønderby et al., "Amortised MAP Inference for Image Super-resolution", 2017, section 4 (annealed linearly).
        Arjovsky and Bottou, "Towards Principled Methods for Training GANs", 2017, section 3.
    """
    deviation = noise_schedule(std, decay_steps, schedule)

    def apply(images: Array, state: tuple, rng: Array, step: Array) -> Array:
        del state
        check_float(images=images)
        check_not_empty(images=images)
        scale = jnp.asarray(deviation(step), jnp.float32).astype(images.dtype)
        return images + scale * jax.random.normal(rng, images.shape, images.dtype)

    return Augmentation(init=lambda: (), apply=apply)
