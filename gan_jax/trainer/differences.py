"""Compares two runs byte by byte: metrics, samples, checkpoints, final metrics, configuration and environment."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gan_jax._internal.files import read_bytes, read_text
from gan_jax.checkpoint import Checkpointer, DamagedCheckpoint, config_differences, read_step
from gan_jax.checkpoint.serialization import Leaf, assemble
from gan_jax.trainer import image_grid, run_directory
from gan_jax.trainer.config import Config
from gan_jax.trainer.fork import saved_settings
from gan_jax.trainer.run_directory import METRICS
from gan_jax.trainer.setup import config_fingerprint

# Fields of run.json about the machine and the versions.
ENVIRONMENT = (
    *("versions", "commit", "platform", "processor", "cpu", "cpus", "cpus_allowed"),
    *("device", "devices", "devices_used", "processes", "backend", "xla_flags", "jax_options"),
)
MISSING = "nothing"  # Stands for a value that a row does not have.


class Difference(NamedTuple):
    """A difference between a run and its repetition.

    Attributes:
        step: The step of the difference.
        what: The metric, the image file, or the leaf of a checkpoint.
        detail: Both values with their absolute and relative difference, as text.
    """

    step: int
    what: str
    detail: str


def read_rows(path: Path) -> tuple[dict[int, list[dict[str, Any]]], list[str]]:
    """Reads metrics.jsonl.

    Args:
        path: The file. If it does not exist, there are no rows.

    Returns:
        rows: Step -> the rows of this step, in their order.
        problems: One line for each line of the file that is no row.
    """
    rows: dict[int, list[dict[str, Any]]] = {}
    problems = list[str]()
    try:
        lines = read_text(path, errors="replace").splitlines()
    except FileNotFoundError:
        return rows, problems
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            rows.setdefault(int(row["step"]), []).append(row)
        except (ValueError, KeyError, TypeError):
            problems.append(f"line {number} of {path.name} is no row of metrics: {line[:60]!r}")
    return rows, problems


def compare_rows(
    recorded: Mapping[int, list[dict[str, Any]]], repeated: Mapping[int, list[dict[str, Any]]], until: int
) -> tuple[list[Difference], int]:
    """Compares the rows of metrics up to a step.

    Args:
        recorded: Step -> the rows of the run with this step, in their order.
        repeated: The same for the repetition. The run must have each of these rows.
        until: The last step to compare.

    Returns:
        The differences, ordered by step and then by metric, and the number of compared rows.
    """
    differences, count = list[Difference](), 0
    for step in sorted(step for step in repeated if step <= until):
        rows = recorded.get(step, [])
        if len(rows) < len(repeated[step]):
            differences.append(Difference(step, METRICS, f"the run has {len(rows)} rows of this step; now there are {len(repeated[step])}"))
        for old, new in zip(rows, repeated[step]):
            count += 1
            for name in [*old, *(name for name in new if name not in old)]:
                values = [row.get(name, MISSING) for row in (old, new)]
                if json.dumps(values[0]) != json.dumps(values[1]):
                    differences.append(Difference(step, name, describe_values(*values)))
    return differences, count


def describe_values(old: Any, new: Any) -> str:
    """Two values and their distance as text: `0.5 recorded, 0.25 now: difference 0.25 (relative 0.5)`."""
    text = f"{old} recorded, {new} now"
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in (old, new)):
        return text
    distance = abs(old - new)
    return f"{text}: difference {distance:.3g} (relative {distance / max(abs(old), abs(new), 1e-300):.3g})"


def compare_samples(recorded: Path, repeated: Path, until: int) -> tuple[list[Difference], int]:
    """Compares the bytes of the grids of samples up to a step that both directories have.

    Args:
        recorded: Directory of the grids of the run.
        repeated: Directory of the grids of the repetition.
        until: The last step to compare.

    Returns:
        The differences, in pixels, and the number of compared images.
    """
    differences, count = list[Difference](), 0
    for path in sorted(repeated.glob("step_*.png")):
        step, other = int(path.stem.removeprefix("step_")), recorded / path.name
        if step > until or not other.is_file():
            continue
        count += 1
        if read_bytes(other) != read_bytes(path):
            differences.append(Difference(step, f"samples/{path.name}", _describe_pixels(other, path)))
    return differences, count


def _describe_pixels(recorded: Path, repeated: Path) -> str:
    try:
        old, new = (image_grid.load_png(path).astype(int) for path in (recorded, repeated))
    except Exception as error:  # Pillow raises many types of errors for damaged files.
        return f"the image cannot be read: {error}"
    if old.shape != new.shape:
        return f"{old.shape} recorded, {new.shape} now"
    distance = np.abs(old - new)
    if not distance.any():
        return "the pixels are equal but the files differ"
    return f"{np.count_nonzero(distance.max(axis=-1))} of {distance[..., 0].size} pixels differ, by up to {distance.max()} of 255"


def compare_checkpoints(recorded: Path, repeated: Path, until: int) -> tuple[list[Difference], int]:
    """Compares the bytes of the checkpoints up to a step that both directories have.

    Args:
        recorded: Directory of the checkpoints of the run.
        repeated: Directory of the checkpoints of the repetition.
        until: The last step to compare.

    Returns:
        The differences, one for each leaf or damaged checkpoint, and the number of compared leaves.
    """
    differences, count = list[Difference](), 0
    managers = [Checkpointer(directory, owner=False) for directory in (recorded, repeated)]
    for step in sorted(set(managers[0].steps()) & set(managers[1].steps())):
        if step > until:
            continue
        try:
            old = read_step(managers[0].path(step)).leaves
        except DamagedCheckpoint as error:
            differences.append(Difference(step, "checkpoint", str(error)))
            continue
        new = read_step(managers[1].path(step)).leaves
        count += len(old.keys() & new.keys())
        for path in [*old, *(path for path in new if path not in old)]:
            detail = compare_leaves(old.get(path), new.get(path))
            if detail:
                differences.append(Difference(step, f"leaf {path}", detail))
    return differences, count


def compare_leaves(old: Leaf | None, new: Leaf | None) -> str:
    """The difference between two leaves of checkpoints as text. "" if their bytes are equal."""
    if old is None or new is None:
        return "only in the run" if new is None else "not in the run"
    if old.record != new.record:
        return f"{old.record} recorded, {new.record} now"
    if not old.pieces and not new.pieces:
        return ""
    values = [assemble(leaf) for leaf in (old, new)]
    if values[0].tobytes() == values[1].tobytes():
        return ""
    bits = [np.ascontiguousarray(value).reshape(-1).view(np.uint8).reshape(value.size, -1) for value in values]
    count = int((bits[0] != bits[1]).any(axis=1).sum())
    numbers = [value.astype(np.float64) for value in values]
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(numbers[0] - numbers[1])
        relative = distance / np.maximum(np.maximum(np.abs(numbers[0]), np.abs(numbers[1])), 1e-300)
    if not np.isfinite(distance).all():
        return f"{count} of {distance.size} values differ, some of them not finite"
    return f"{count} of {distance.size} values differ, by up to {distance.max():.3g} (relative {relative.max():.3g})"


def compare_evaluation(recorded: Path, repeated: Path, until: int) -> tuple[list[Difference], int]:
    """Compares two files metrics.json.

    Args:
        recorded: The file of the run.
        repeated: The file of the repetition.
        until: The step of the differences.

    Returns:
        The differences and the number of compared metrics. Empty and 0 if a file does not exist.
    """
    if not (recorded.is_file() and repeated.is_file()):
        return [], 0
    tables = []
    for path in (recorded, repeated):
        content = run_directory.read_json(path)
        records = content if isinstance(content, list) else []
        tables.append({str(row["metric"]): row.get("value") for row in records if isinstance(row, dict) and "metric" in row})
    old, new = tables
    shared = [name for name in new if name in old]
    changed = [name for name in shared if old[name] != new[name]]
    return [Difference(until, f"metrics.json: {name}", describe_values(old[name], new[name])) for name in changed], len(shared)


def compare_settings(manager: Checkpointer, config: Config, record: Mapping[str, Any]) -> list[str]:
    """The fields of config.yaml that differ from the configuration in run.json and in the newest intact checkpoint, one line each.

    Args:
        manager: Reads the checkpoints of the run.
        config: The contents of config.yaml.
        record: The contents of run.json.
    """
    lines = []
    if record.get("seed", config.seed) != config.seed:
        lines.append(f"seed: {record['seed']} in run.json, {config.seed} in config.yaml")
    _, saved = saved_settings(manager)
    if saved is not None:
        now = json.loads(json.dumps(config_fingerprint(config)))
        lines += [line.replace(" now", " in config.yaml") for line in config_differences(saved, now) if not line.startswith("steps:")]
    return lines


def compare_environment(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The differences between the environment of a run and the present one, e.g. `versions.jax: 0.10.2 then, 0.12.0 now`.

    Args:
        recorded: run.json of the run. Facts that it does not have are not compared.
        now: run.json of the repetition.
    """
    old, new = _environment(recorded), _environment(now)
    lines = [f"{name}: {old[name]} then, {new.get(name, MISSING)} now" for name in old if old[name] != new.get(name)]
    # The fields of run.json itself are those of the first start.
    for start in recorded.get("starts", [])[1:]:
        later = _environment(start)
        changed = [f"{name} {later[name]} instead of {old[name]}" for name in old if old[name] != later.get(name, old[name])]
        lines += [f"resumed at step {start['from_step']} with {', '.join(changed)}"] if changed else []
    return lines


def _environment(facts: Mapping[str, Any]) -> dict[str, Any]:
    return _flat({name: facts[name] for name in ENVIRONMENT if name in facts})


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for name, value in facts.items():
        rows |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return rows
