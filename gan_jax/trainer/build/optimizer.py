"""From a configuration to the optimisers of both players and their learning rates."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
import optax

from gan_jax import optimizers
from gan_jax.trainer.config import Config, ConfigError
from gan_jax.typing import Array, Metrics, Players


def updates_per_step(config: Config, player: str) -> int:
    """How often a player's optimiser is called in one step of the game; of D under `loss_balanced`, how often at least."""
    rule = config.update
    if rule.name == "extragradient":
        return 2
    if player == "discriminator" and rule.name in ("alternating", "unrolled"):
        return rule.discriminator_steps
    return rule.generator_steps if player == "generator" and rule.name == "alternating" else 1


def schedule_of(config: Config, player: str) -> optax.Schedule:
    """A player's learning rate by the number of its own updates; the schedule spans the run."""
    steps = max(1, config.steps) * updates_per_step(config, player)
    return optimizers.SCHEDULES[config.optimizer.schedule](getattr(config.optimizer, f"{player}_lr"), steps=steps, warmup_steps=steps // 20)


def build_learning_rates(config: Config) -> Callable[[Array], Metrics]:
    """The learning rates of both players at a step of the game, for the metrics."""

    def learning_rates(step: Array) -> Metrics:
        return {
            f"learning_rate/{player}": jnp.asarray(schedule_of(config, player)(step * updates_per_step(config, player)), jnp.float32)
            for player in Players._fields
        }

    return learning_rates


# The rules that divide by the root of a second moment, and can be told to keep it above 0; the others of OPTIMIZERS need not be.
_ROOTS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": optax.adam,
    "adamw": optax.adamw,
    "amsgrad": optax.amsgrad,
    "optimistic_adam": partial(optax.optimistic_adam_v2, nesterov=False),
}


def build_optimizer(config: Config) -> optax.GradientTransformation:
    """One chain for each player: clipping, historical averaging, the rule, weight clipping, averages."""
    optimizer = config.optimizer

    def rule(player: str) -> optax.GradientTransformation:
        name, rate = getattr(optimizer, player), getattr(optimizer, f"{player}_lr")
        if name not in optimizers.OPTIMIZERS:
            raise ConfigError(f"--optimizer.{player} {name}: must be one of {', '.join(optimizers.OPTIMIZERS)}")
        rate = rate if optimizer.schedule == "constant" else schedule_of(config, player)
        if name in _ROOTS and config.update.name == "unrolled":
            # The unrolled steps are differentiated, and the root of a second moment of 0 has no finite derivative.
            return _ROOTS[name](rate, b1=optimizer.b1, b2=optimizer.b2, eps_root=1e-16)
        return optimizers.OPTIMIZERS[name](rate, b1=optimizer.b1, b2=optimizer.b2)

    def chain(player: str) -> optax.GradientTransformation:
        links = []
        if optimizer.clip_gradients:
            links.append(optax.clip_by_global_norm(optimizer.clip_gradients))
        if optimizer.adaptive_clip:
            links.append(optax.adaptive_grad_clip(optimizer.adaptive_clip))
        if optimizer.historical_averaging:
            links.append(optimizers.historical_averaging(optimizer.historical_averaging))
        links.append(rule(player))
        if player == "discriminator":
            if optimizer.clip_weights:
                links.append(optimizers.clip_weights(optimizer.clip_weights))
            if optimizer.target_discriminator:
                links.append(optimizers.track_ema(optimizer.target_decay))
        elif optimizer.ema_decay:
            links.append(optimizers.track_ema(optimizer.ema_decay, start_step=optimizer.ema_start, warmup=optimizer.ema_warmup))
        return optax.chain(*links)

    return optimizers.per_player(*(chain(player) for player in Players._fields))
