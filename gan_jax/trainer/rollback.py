"""Rollback: after a failure, training continues from an earlier checkpoint with half the learning rates."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from gan_jax.monitor import Finding
from gan_jax.trainer.config import Config, save_config
from gan_jax.trainer.training_run import TrainingRun


class Rollback(NamedTuple):
    """A failed run that continues from an earlier checkpoint.

    Attributes:
        config: The changed configuration.
        directory: Directory of the run to resume.
    """

    config: Config
    directory: Path


def can_roll_back(run: TrainingRun) -> bool:
    """Whether the configuration allows another rollback of this run."""
    monitor = run.config.monitor
    return monitor.on_failure == "rollback" and len(run.rolled_back) < monitor.rollbacks


def roll_back(run: TrainingRun, failure: Finding) -> Rollback:
    """Prepares the directory of a run for a restart from the newest checkpoint before a failure, or from step 0 if there is none.

    Later checkpoints are deleted. config.yaml receives half the learning rates. run.json receives a row that describes the rollback.

    Args:
        run: The failed run.
        failure: The finding that ended it.

    Returns:
        The configuration and the directory to continue with.

    Raises:
        OSError: A file cannot be written or deleted.
    """
    config, manager = run.config, run.manager
    manager.wait()
    run.check_directory()
    healthy = max((step for step in manager.steps() if step < failure.since_step), default=None)
    manager.discard_after(-1 if healthy is None else healthy)
    rates = {name: getattr(config.optimizer, name) / 2 for name in ("generator_lr", "discriminator_lr")}
    config = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, **rates))
    save_config(dataclasses.replace(config, out=None), run.directory / "config.yaml")
    changed = {f"optimizer.{name}": value for name, value in rates.items()}
    row = {"finding": failure.id, "at_step": failure.step, "to_step": healthy or 0, "changed": changed}
    run.write({"status": "rolled back", "rollbacks": [*run.rolled_back, row]})
    run.print(f"rolling back to step {row['to_step']} with {changed}")
    return Rollback(config, run.directory)
