"""Instance noise: Gaussian noise on what the discriminator sees, fading as training goes on."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from gan_jax._checks import check_float, check_not_empty
from gan_jax.typing import Array, InputTransform

Schedule = Literal["linear", "cosine", "exponential", "constant"]

# The exponential schedule reaches this share of its start after `decay_steps`; it never reaches 0.
_EXPONENTIAL_END = 0.01


def noise_schedule(std: float, decay_steps: int | None, schedule: Schedule) -> optax.Schedule:
    """Returns the deviation of the noise as a function of the step; see `instance_noise`."""
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


def instance_noise(std: float = 0.1, decay_steps: int | None = None, schedule: Schedule = "linear") -> InputTransform:
    """Adds Gaussian noise to every example: x + s(t) n, with n ~ N(0, I) and a deviation s(t) that fades.

    It makes the supports of reals and fakes overlap, which a perfect discriminator would otherwise tell apart
    without a useful gradient. With T = `decay_steps`:

    - linear: s(t) = std max(0, 1 - t / T)
    - cosine: s(t) = std (1 + cos(pi min(t / T, 1))) / 2
    - exponential: s(t) = std 0.01^(t / T); it never reaches 0
    - constant: s(t) = std; `decay_steps` is not needed

    Args:
        std: deviation at step 0, in units of the images, whose range is 2.
        decay_steps: T, in steps of training.
        schedule: "linear", "cosine", "exponential" or "constant".

    Returns:
        An `InputTransform` without state, for images or points of any shape. Its `apply` raises TypeError for integers,
        ValueError for an empty batch.

    Raises:
        ValueError: a negative std, no positive decay_steps where one is needed, an unknown schedule.

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

    return InputTransform(init=lambda: (), apply=apply)
