"""Optimisers for two players: optax transformations (EMA, clipping, historical averaging), rules by name, chains (TTUR), schedules."""

from gan_jax.optimizers.freezing import freeze_layers, frozen_paths
from gan_jax.optimizers.moving_average import (
    EmaState,
    HistoricalAverageState,
    ema_params,
    historical_averaging,
    track_ema,
    with_ema_params,
)
from gan_jax.optimizers.players import apply_updates, per_player
from gan_jax.optimizers.rules import OPTIMIZERS, schedule_b2, ttur
from gan_jax.optimizers.schedules import SCHEDULES, cosine_between, half_life_decay
from gan_jax.optimizers.transformations import average_gradients, clip_weights

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "EmaState",
    "HistoricalAverageState",
    "apply_updates",
    "average_gradients",
    "clip_weights",
    "cosine_between",
    "ema_params",
    "freeze_layers",
    "frozen_paths",
    "half_life_decay",
    "historical_averaging",
    "per_player",
    "schedule_b2",
    "track_ema",
    "ttur",
    "with_ema_params",
]
