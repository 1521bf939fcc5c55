"""The ways of playing that docs/strategies.md compares: what each changes in a configuration that alternates plainly."""

from typing import Any

ROWS: dict[str, dict[str, Any]] = {
    "alternating": {},
    "generator first": {"strategy.order": "generator_first"},
    "shared fakes": {"strategy.fakes": "shared"},
    "2 D steps": {"strategy.discriminator_steps": 2},
    "5 D steps": {"strategy.discriminator_steps": 5},
    "2 G steps": {"strategy.generator_steps": 2},
    "4 micro-batches": {"strategy.micro_batches": 4},
    "simultaneous": {"strategy.name": "simultaneous"},
    "unrolled, 5 steps": {"strategy.name": "unrolled", "strategy.unroll_steps": 5},
    "extragradient": {"strategy.name": "extragradient"},
    "optimistic Adam, simultaneous": {
        "strategy.name": "simultaneous",
        "ttur.generator": "optimistic_adam",
        "ttur.discriminator": "optimistic_adam",
    },
    "consensus, weight 0.1": {"strategy.name": "consensus", "strategy.consensus_weight": 0.1},
    "loss balanced at 1.0": {"strategy.name": "loss_balanced", "strategy.loss_threshold": 1.0},
    "pool of 5 players": {"strategy.pool_size": 5, "strategy.pool_interval": 200, "strategy.pool_duration": 20},
    "G frozen for 200 steps": {"strategy.freeze_generator": 200},
    "target discriminator": {"ttur.target_discriminator": True},
    "replay of 2,048 fakes": {"inputs.replay_size": 2048, "inputs.replay_share": 0.25},
    "packing 2": {"inputs.pack": 2},
    "instance noise": {"inputs.instance_noise": 0.1},
    "TTUR, D 4 times faster": {"ttur.discriminator_lr": 4e-3, "ttur.generator_lr": 1e-3},
    "EMA of G": {"ttur.ema_decay": 0.999},
    "historical averaging": {"ttur.historical_averaging": 1e-3},
    "gradients clipped at 1": {"ttur.clip_gradients": 1.0},
}
