"""Repeats a run from its own record and compares the results byte by byte: metrics, samples and checkpoints."""

import dataclasses
import math
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from gan_jax.checkpoint import Checkpointer
from gan_jax.data import check_unchanged
from gan_jax.trainer import differences, run_directory
from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.config import Config, load_config
from gan_jax.trainer.differences import Difference, read_rows
from gan_jax.trainer.loop import train
from gan_jax.trainer.run_directory import METRICS, RunError
from gan_jax.trainer.run_record import recorded_starts

DEFAULT_STEPS = 100


class Verification(NamedTuple):
    """The result of repeating a run.

    Attributes:
        directory: Directory of the run.
        steps: Number of repeated steps.
        compared: Kind of result -> number of compared results.
        differences: The differences, ordered by step. Empty if the run is reproduced.
        settings: Fields of config.yaml that differ from the configuration that the run was trained with, one line each.
        environment: Differences between the environment of the run and the present one, one line each.
        notes: What could not be compared, and why.
    """

    directory: Path
    steps: int
    compared: dict[str, int]
    differences: list[Difference]
    settings: list[str]
    environment: list[str]
    notes: list[str]

    @property
    def reproduced(self) -> bool:
        """Whether all compared results have equal bytes."""
        return not self.differences and not self.settings


def verify(directory: Path | str, *, steps: int | None = None, whole_run: bool = False) -> Verification:
    """Repeats the first steps of a run in a temporary directory and compares the results.

    Args:
        directory: Directory of the run. It is not changed.
        steps: Number of steps to repeat. By default up to the first checkpoint if it is early, otherwise about 100.
        whole_run: Whether to repeat all steps and the evaluation at the end.

    Returns:
        The compared results and their differences.

    Raises:
        RunError: The directory holds no run that can be repeated.
        ConfigError, DataError: The configuration or the data of the run cannot be used.
    """
    directory = Path(directory)
    config, record = _read(directory)
    recorded, problems = read_rows(directory / METRICS)
    manager = Checkpointer(directory / "checkpoints", owner=False)
    # A killed run has no last step in run.json, but rows of metrics and checkpoints.
    last = max([_integer(record, "step", 0), *recorded, *manager.steps()])
    if last < 1:
        raise RunError(f"{directory}: the run has no steps to repeat")
    config = dataclasses.replace(config, steps=_integer(record, "steps", config.steps), epochs=0)
    until = last if whole_run else min(last, steps or _default_steps(config, manager.steps()))
    if isinstance(record.get("data"), dict):
        check_unchanged(record["data"], load_data(config))
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        repetition = _repeat(config, Path(folder) / "run", until, whole_run)
        record_now = run_directory.read_record(repetition)
        until = int(record_now["step"])
        repeated, _ = read_rows(repetition / METRICS)
        results = {
            "rows of metrics": differences.compare_rows(recorded, repeated, until),
            "grids of samples": differences.compare_samples(directory / "samples", repetition / "samples", until),
            "leaves of checkpoints": differences.compare_checkpoints(directory / "checkpoints", repetition / "checkpoints", until),
        }
        if whole_run:
            results["final metrics"] = differences.compare_evaluation(directory / "metrics.json", repetition / "metrics.json", until)
    unequal = [difference for rows, _ in results.values() for difference in rows]
    compared = {kind: count for kind, (_, count) in results.items() if count}
    if not compared and not unequal:
        raise RunError(f"{directory}: the first {until} steps have no results to compare; repeat more with --steps")
    return Verification(
        directory=directory,
        steps=until,
        compared=compared,
        differences=sorted(unequal + [Difference(0, METRICS, line) for line in problems], key=lambda difference: difference.step),
        settings=differences.compare_settings(manager, config, record),
        environment=differences.compare_environment(record, record_now),
        notes=_extra_rows(recorded, repeated, until),
    )


def describe(result: Verification) -> str:
    """A verification as text for the terminal: the verdict, the first difference of each kind, and the environment."""
    compared = ", ".join(f"{count} {kind}" for kind, count in result.compared.items()) or "nothing"
    if result.reproduced:
        lines = [f"{result.directory}: reproduced to the byte in its first {result.steps} steps ({compared})"]
    else:
        lines = [f"{result.directory}: NOT reproduced in its first {result.steps} steps (compared: {compared})"]
        lines += [f"  config.yaml is not what the run was trained with: {line}" for line in result.settings]
        for kind, rows in _by_kind(result.differences).items():
            first = rows[0]
            lines.append(f"  {kind}: {len(rows)} differ; first at step {first.step}: {first.what}: {first.detail}")
        lines += [] if result.environment else ["  the recorded environment is the same"]
    lines += [f"  {'differs' if not result.reproduced else 'differs, without effect'}: {line}" for line in result.environment]
    return "\n".join(lines + [f"  note: {note}" for note in result.notes])


def _read(directory: Path) -> tuple[Config, dict[str, Any]]:
    if not (directory / "config.yaml").is_file():
        raise RunError(f"{directory}: no run there (it has no config.yaml)")
    config = load_config(directory / "config.yaml")
    record = run_directory.read_record(directory)
    recorded_starts(directory)  # Raises an error if they are damaged.
    if record.get("rollbacks"):
        raise RunError(f"{directory}: the run was rolled back and continued with other settings; such a run cannot be repeated")
    if record.get("processes", 1) != 1:
        raise RunError(f"{directory}: the run had {record['processes']} processes; only runs of one process can be repeated")
    return config, record


def _integer(record: Mapping[str, Any], name: str, default: int) -> int:
    value = record.get(name)
    return value if isinstance(value, int) else default


def _default_steps(config: Config, checkpoints: list[int]) -> int:
    early = [step for step in checkpoints if 0 < step <= 2 * DEFAULT_STEPS]
    return early[0] if early else math.ceil(DEFAULT_STEPS / config.log_every) * config.log_every


def _repeat(config: Config, directory: Path, until: int, whole_run: bool) -> Path:
    # The repetition saves one more checkpoint than the run, at its last step, so it keeps one more.
    changed = dataclasses.replace(config, out=directory, keep_checkpoints=config.keep_checkpoints + 1, tensorboard=False)
    if not whole_run and not config.evaluation.every:
        changed = dataclasses.replace(changed, evaluation=dataclasses.replace(config.evaluation, samples=0))
    with open(os.devnull, "w") as nothing:
        return train(changed, console=Console(file=nothing), until=until).directory


def _extra_rows(recorded: Mapping[int, Any], repeated: Mapping[int, Any], until: int) -> list[str]:
    # A run that ended early, or was resumed with other intervals, has rows at steps that an uninterrupted run does not log.
    extra = [step for step in recorded if step <= until and step not in repeated]
    return [f"rows of steps that an uninterrupted run does not log were not compared: {', '.join(map(str, extra[:8]))}"] if extra else []


def _by_kind(rows: Iterable[Difference]) -> dict[str, list[Difference]]:
    kinds: dict[str, list[Difference]] = {}
    names = {"leaf ": "checkpoints", "checkpoint": "checkpoints", "samples/step_": "samples", "metrics.json:": "final metrics"}
    for difference in rows:
        # Names of metrics can begin with samples/ too.
        match = re.match(r"leaf |checkpoint$|samples/step_(?=\d+\.png$)|metrics\.json:", difference.what)
        kinds.setdefault(names[match[0]] if match else "metrics", []).append(difference)
    return kinds
