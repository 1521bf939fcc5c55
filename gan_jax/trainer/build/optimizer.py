"""Builds the optimiser of both players and their learning rates from a configuration."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
import optax

from gan_jax import optimizers
from gan_jax.optimizers import SCHEDULES, cosine_between, half_life_decay
from gan_jax.trainer.build.traced import is_on
from gan_jax.trainer.config import Config
from gan_jax.trainer.config.validate import frozen_layers
from gan_jax.typing import Array, Metrics, Players


def updates_per_step(config: Config, player: str) -> int:
    """Returns the number of updates of a player in one train step. For D under `loss_balanced` it is the smallest number."""
    rule = config.update
    if rule.name == "extragradient":
        return 2
    if player == "discriminator" and rule.name in ("alternating", "unrolled"):
        return rule.discriminator_steps
    return rule.generator_steps if player == "generator" and rule.name == "alternating" else 1


def over_burn_in(config: Config, initial: float, final: float, updates: int = 1) -> optax.Schedule:
    """Returns the schedule of a `..._final` field: by cosine over the burn-in of the run.

    Args:
        config: The configuration.
        initial: Value at the first step.
        final: Value after the burn-in.
        updates: Number of steps of the schedule in one train step.
    """
    return cosine_between(initial, final, max(1, round(config.burn_in * config.steps)) * updates)


def learning_rate_schedule(config: Config, player: str) -> optax.Schedule:
    """Returns the learning rate of a player as a function of its own updates. The schedule spans the run, or the burn-in."""
    optimizer, updates = config.optimizer, updates_per_step(config, player)
    rate, steps = getattr(optimizer, f"{player}_lr"), max(1, config.steps) * updates
    if optimizer.lr_final is not None:
        return over_burn_in(config, rate, rate * optimizer.lr_final, updates)
    schedule = partial(SCHEDULES[optimizer.schedule], steps=steps, warmup_steps=steps // 20)
    if isinstance(rate, int | float):
        return schedule(rate)
    relative = schedule(1.0)  # Every schedule is proportional to its rate, but optax compares the rate with 0.
    return lambda step: rate * relative(step)


def build_learning_rates(config: Config) -> Callable[[Array], Metrics]:
    """Returns a function that computes the learning rates of both players at a train step, for the metrics."""

    def learning_rates(step: Array) -> Metrics:
        return {
            f"learning_rate/{player}": jnp.asarray(
                learning_rate_schedule(config, player)(step * updates_per_step(config, player)), jnp.float32
            )
            for player in Players._fields
        }

    return learning_rates


# These rules divide by the root of a second moment, and have an option that keeps it above 0.
_ROOTS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": optax.adam,
    "adamw": optax.adamw,
    "amsgrad": optax.amsgrad,
    "optimistic_adam": partial(optax.optimistic_adam_v2, nesterov=False),
    # The root of 1e-16 is the epsilon that the rule adds outside of the root.
    "rmsprop": lambda learning_rate, *, b1, b2, eps_root: optax.rmsprop(learning_rate, decay=b2, eps=eps_root),
}


def build_optimizer(config: Config) -> optax.GradientTransformation:
    """Returns the optimiser of both players, see `gan_jax.optimizers.ttur`."""
    optimizer = config.optimizer

    def rate(player: str) -> float | optax.Schedule:
        constant = optimizer.schedule == "constant" and optimizer.lr_final is None
        return getattr(optimizer, f"{player}_lr") if constant else learning_rate_schedule(config, player)

    def rule(player: str) -> str | Callable[..., optax.GradientTransformation]:
        name = getattr(optimizer, player)
        # Unrolled steps are differentiated, and the root of a second moment of 0 has no finite derivative.
        chosen = partial(_ROOTS[name], eps_root=1e-16) if name in _ROOTS and config.update.name == "unrolled" else name
        if optimizer.b2_final is None:
            return chosen
        b2 = over_burn_in(config, optimizer.b2, optimizer.b2_final, updates_per_step(config, player))
        return optimizers.schedule_b2(optimizers.OPTIMIZERS[chosen] if isinstance(chosen, str) else chosen, b2)

    half_life, decay = optimizer.ema_images, None
    if optimizer.ema_images_final is not None:
        half_life = over_burn_in(config, half_life, optimizer.ema_images_final, updates_per_step(config, "generator"))
    if half_life:
        decay = half_life_decay(half_life, config.batch_size, rampup=optimizer.ema_rampup or None)
    return optimizers.ttur(
        rate("generator"),
        rate("discriminator"),
        b1=optimizer.b1,
        b2=optimizer.b2,
        generator=rule("generator"),
        discriminator=rule("discriminator"),
        clip_norm=optimizer.clip_gradients or None,
        adaptive_clip=optimizer.adaptive_clip or None,
        historical_weight=optimizer.historical_averaging,
        discriminator_bound=optimizer.clip_weights or None,
        ema_decay=decay or (optimizer.ema_decay if is_on(optimizer.ema_decay) else None),
        ema_start_step=optimizer.ema_start,
        ema_warmup=optimizer.ema_warmup and not decay,
        discriminator_ema_decay=optimizer.target_decay if optimizer.target_discriminator else None,
        freeze=frozen_layers(config),
    )
