"""Schedules: functions of the step for learning rates, decays, weights and probabilities."""

from collections.abc import Callable

import jax.numpy as jnp
import optax

from gan_jax.typing import Array

# Each row is a function (learning_rate, *, steps, end_fraction, warmup_steps) -> schedule. `end_fraction` is the share of
# the learning rate that is left after `steps`. An exponential decay never reaches 0, so its row replaces 0 by 0.01. A row
# without a warm-up or a decay ignores the arguments that belong to it.
SCHEDULES: dict[str, Callable[..., optax.Schedule]] = {
    "constant": lambda learning_rate, *, steps, end_fraction=0.0, warmup_steps=0: optax.constant_schedule(learning_rate),
    "linear": lambda learning_rate, *, steps, end_fraction=0.0, warmup_steps=0: optax.linear_schedule(
        learning_rate, learning_rate * end_fraction, steps
    ),
    "constant_linear": lambda learning_rate, *, steps, end_fraction=0.0, warmup_steps=0: _constant_then_linear(
        learning_rate, steps, end_fraction
    ),
    "cosine": lambda learning_rate, *, steps, end_fraction=0.0, warmup_steps=0: optax.cosine_decay_schedule(
        learning_rate, steps, alpha=end_fraction
    ),
    "exponential": lambda learning_rate, *, steps, end_fraction=0.0, warmup_steps=0: optax.exponential_decay(
        learning_rate, steps, end_fraction or 0.01, end_value=learning_rate * (end_fraction or 0.01)
    ),
    "warmup_cosine": lambda learning_rate, *, steps, end_fraction=0.0, warmup_steps=0: optax.warmup_cosine_decay_schedule(
        0.0, learning_rate, warmup_steps, steps, end_value=learning_rate * end_fraction
    ),
}


def _constant_then_linear(learning_rate: float, steps: int, end_fraction: float) -> optax.Schedule:
    """Constant for the first half, then linear down, as in CycleGAN: 1 - max(0, t + 1 - n) / (steps - n + 1) with n = steps // 2."""
    half = steps // 2

    def schedule(step: Array | int) -> Array:
        done = jnp.clip((jnp.asarray(step, jnp.float32) + 1 - half) / (steps - half + 1), 0, 1)
        return learning_rate * (1 - (1 - end_fraction) * done)

    return schedule


def cosine_between(initial: float, final: float, steps: int) -> optax.Schedule:
    """Moves from one value to another by a half cosine over the first `steps` steps (the burn-in), and stays there.

        v(t) = final + (initial - final) (1 + cos(pi min(t / steps, 1))) / 2

    Args:
        initial: Value at step 0.
        final: Value from `steps` on. It can be smaller or larger.
        steps: Length of the burn-in, at least 1.

    Returns:
        `step -> value`.

    Raises:
        ValueError: `steps` is below 1.

    References:
        Huang et al., "The GAN is dead; long live the GAN! A Modern Baseline GAN", 2024: the weights of R1 and R2, the learning rate, the
        second moment's decay, the half-life of the moving average, and the augmentation probability.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")

    def schedule(step: Array | int) -> Array:
        done = jnp.minimum(jnp.asarray(step, jnp.float32) / steps, 1.0)
        return final + (initial - final) * (1 + jnp.cos(jnp.pi * done)) / 2

    return schedule


def half_life_decay(half_life: float | optax.Schedule, images_per_step: int, *, rampup: float | None = None) -> Callable[[Array], Array]:
    """Decay of a moving average whose half-life is given in images, so that it does not depend on the batch size.

        d = 0.5 ** (images_per_step / h),  h = min(half_life, rampup * images so far)

    Args:
        half_life: Number of images after which a set of parameters has half of its weight. StyleGAN2: 10,000, and 20,000 to 500,000 in
            the configurations of StyleGAN2-ADA. A function of the step is a schedule, as in R3GAN.
        images_per_step: Number of real images in one update of G's parameters.
        rampup: Largest half-life as a share of the images so far, 0.05 in StyleGAN2. None disables the ramp-up.

    Returns:
        `step -> decay`, for `gan_jax.optimizers.track_ema`.

    Raises:
        ValueError: `half_life`, `images_per_step` or `rampup` is not positive.

    References:
        Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, and the training loop of StyleGAN2-ADA.
    """
    if not ((callable(half_life) or half_life > 0) and images_per_step > 0 and (rampup is None or rampup > 0)):
        raise ValueError(f"half_life, images_per_step and rampup must be positive; got {half_life}, {images_per_step}, {rampup}")

    def decay(step: Array) -> Array:
        life = jnp.asarray(half_life(step) if callable(half_life) else half_life, jnp.float32)
        if rampup is not None:
            life = jnp.minimum(life, rampup * images_per_step * step.astype(jnp.float32))
        return 0.5 ** (images_per_step / jnp.maximum(life, 1e-8))

    return decay
