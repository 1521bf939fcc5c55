"""Builds the optimiser of both players and their learning rates from a configuration."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
import optax

from gan_jax import optimizers
from gan_jax.trainer.config import Config
from gan_jax.typing import Array, Metrics, Players


def updates_per_step(config: Config, player: str) -> int:
    """Returns the number of updates of a player in one train step. For D under `loss_balanced` it is the smallest number."""
    rule = config.update
    if rule.name == "extragradient":
        return 2
    if player == "discriminator" and rule.name in ("alternating", "unrolled"):
        return rule.discriminator_steps
    return rule.generator_steps if player == "generator" and rule.name == "alternating" else 1


def learning_rate_schedule(config: Config, player: str) -> optax.Schedule:
    """Returns the learning rate of a player as a function of its own updates. The schedule spans the run."""
    steps = max(1, config.steps) * updates_per_step(config, player)
    return optimizers.SCHEDULES[config.optimizer.schedule](getattr(config.optimizer, f"{player}_lr"), steps=steps, warmup_steps=steps // 20)


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
}


def build_optimizer(config: Config) -> optax.GradientTransformation:
    """Returns the optimiser of both players, see `gan_jax.optimizers.ttur`."""
    optimizer = config.optimizer

    def rate(player: str) -> float | optax.Schedule:
        return getattr(optimizer, f"{player}_lr") if optimizer.schedule == "constant" else learning_rate_schedule(config, player)

    def rule(name: str) -> str | Callable[..., optax.GradientTransformation]:
        # Unrolled steps are differentiated, and the root of a second moment of 0 has no finite derivative.
        return partial(_ROOTS[name], eps_root=1e-16) if name in _ROOTS and config.update.name == "unrolled" else name

    return optimizers.ttur(
        rate("generator"),
        rate("discriminator"),
        b1=optimizer.b1,
        b2=optimizer.b2,
        generator=rule(optimizer.generator),
        discriminator=rule(optimizer.discriminator),
        clip_norm=optimizer.clip_gradients or None,
        adaptive_clip=optimizer.adaptive_clip or None,
        historical_weight=optimizer.historical_averaging,
        discriminator_bound=optimizer.clip_weights or None,
        ema_decay=optimizer.ema_decay or None,
        ema_start_step=optimizer.ema_start,
        ema_warmup=optimizer.ema_warmup,
        discriminator_ema_decay=optimizer.target_decay if optimizer.target_discriminator else None,
    )
