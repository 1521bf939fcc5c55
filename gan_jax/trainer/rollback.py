"""Rollback: after a failure, training continues from an earlier checkpoint with smaller learning rates."""

import dataclasses
from pathlib import Path
from typing import Any

from gan_jax.checkpoint import Checkpointer
from gan_jax.monitor import Finding
from gan_jax.trainer import run_directory
from gan_jax.trainer.config import Config, save_config


def roll_back(config: Config, directory: Path, manager: Checkpointer, failure: Finding) -> tuple[Config, dict[str, Any]]:
    """Goes back to the newest checkpoint from before a failure, or to the beginning, with half the learning rates.

    Returns:
        The changed configuration, already the run's own, and what happened, for run.json.
    """
    manager.wait()
    healthy = max((step for step in manager.steps() if step < failure.since_step), default=None)
    manager.discard_after(-1 if healthy is None else healthy)
    rates = {name: getattr(config.optimizer, name) / 2 for name in ("generator_lr", "discriminator_lr")}
    changed = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, **rates))
    save_config(dataclasses.replace(changed, out=None), directory / "config.yaml")
    settings = {f"optimizer.{name}": value for name, value in rates.items()}
    return changed, {"finding": failure.id, "at_step": failure.step, "to_step": healthy or 0, "changed": settings}


def rollbacks(directory: Path) -> list[dict[str, Any]]:
    """The rollbacks that a run's record tells of."""
    path = directory / "run.json"
    told = run_directory.read_record(directory).get("rollbacks", []) if path.exists() else []
    if not isinstance(told, list) or not all(isinstance(row, dict) and isinstance(row.get("to_step"), int) for row in told):
        raise run_directory.RunError(f"{path}: what it says of rollbacks cannot be read")
    return told
