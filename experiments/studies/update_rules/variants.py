"""The ways of playing that docs/update_rules.md compares: what each changes in a configuration that alternates plainly."""

from typing import Any

ROWS: dict[str, dict[str, Any]] = {
    "alternating": {},
    "generator first": {"update.order": "generator_first"},
    "shared fakes": {"update.fakes": "shared"},
    "2 D steps": {"update.discriminator_steps": 2},
    "5 D steps": {"update.discriminator_steps": 5},
    "2 G steps": {"update.generator_steps": 2},
    "4 micro-batches": {"update.micro_batches": 4},
    "simultaneous": {"update.name": "simultaneous"},
    "unrolled, 5 steps": {"update.name": "unrolled", "update.unroll_steps": 5},
    "extragradient": {"update.name": "extragradient"},
    "optimistic Adam, simultaneous": {
        "update.name": "simultaneous",
        "optimizer.generator": "optimistic_adam",
        "optimizer.discriminator": "optimistic_adam",
    },
    "consensus, weight 0.1": {"update.name": "consensus", "update.consensus_weight": 0.1},
    "loss balanced at 1.0": {"update.name": "loss_balanced", "update.loss_threshold": 1.0},
    "pool of 5 players": {"update.pool_size": 5, "update.pool_interval": 200, "update.pool_duration": 20},
    "G frozen for 200 steps": {"update.freeze_generator": 200},
    "target discriminator": {"optimizer.target_discriminator": True},
    "replay of 2,048 fakes": {"replay.size": 2048, "replay.share": 0.25},
    "packing 2": {"augment.pack": 2},
    "instance noise": {"augment.instance_noise": 0.1},
    "TTUR, D 4 times faster": {"optimizer.discriminator_lr": 4e-3, "optimizer.generator_lr": 1e-3},
    "EMA of G": {"optimizer.ema_decay": 0.999},
    "historical averaging": {"optimizer.historical_averaging": 1e-3},
    "gradients clipped at 1": {"optimizer.clip_gradients": 1.0},
}
