"""A run done again from its own record, and what came out compared to the byte: metrics, sample pictures, leaves of checkpoints.

`verify` does it; `compare_rows`, `compare_pictures`, `compare_checkpoints`, `compare_settings` and `compare_environment` are its parts.
"""

import dataclasses
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from gan_jax.checkpoint import Checkpointer, DamagedCheckpoint, config_differences, read_manifest, read_step
from gan_jax.checkpoint.serialization import Leaf, assemble
from gan_jax.data import check_unchanged
from gan_jax.trainer import image_grid, run_directory
from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.config import Config, load_config
from gan_jax.trainer.loop import train
from gan_jax.trainer.run_directory import METRICS, RunError
from gan_jax.trainer.setup import config_fingerprint

ENOUGH = 100  # steps of a verification that is not told how many
# Of run.json: what the machine and the versions are; what is configuration is compared as such.
CIRCUMSTANCES = (
    *("versions", "commit", "platform", "processor", "cpu", "cpus", "cpus_allowed"),
    *("device", "devices", "devices_used", "processes", "backend", "xla_flags", "jax_options"),
)


class Difference(NamedTuple):
    """One thing that did not come out as it was recorded.

    Attributes:
        step: where.
        what: the quantity of a row, the picture, or the leaf of a checkpoint.
        detail: both values and their absolute and relative difference, in words.
    """

    step: int
    what: str
    detail: str


class Verification(NamedTuple):
    """What came out of doing a run again.

    Attributes:
        directory: of the run.
        steps: how many were done again.
        compared: kind -> how many of them were compared.
        differences: in the order of steps; empty where the run is reproduced.
        settings: fields of config.yaml that are not what the run was trained with, one line each.
        environment: what differs between the machine and versions of then and of now, one line each.
        notes: what could not be compared, and why.
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
        """Whether everything that was compared is equal to the byte."""
        return not self.differences and not self.settings


def verify(directory: Path | str, *, steps: int | None = None, whole_run: bool = False) -> Verification:
    """Does the first steps of a run again, in a temporary directory, and compares what both left behind.

    Args:
        directory: of the run.
        steps: how many to do again; by default up to its first checkpoint if that is early, else about 100.
        whole_run: do all of them, and the evaluation at the end.

    Returns:
        What was compared, and the differences.

    Raises:
        RunError: the directory holds no run that can be done again.
        ConfigError, DataError: its configuration or its data cannot be used.
    """
    directory = Path(directory)
    config, record = _read(directory)
    log, notes = _rows(directory / METRICS)
    manager = Checkpointer(directory / "checkpoints", owner=False)
    # A killed run's record tells of no last step; its log and its checkpoints do.
    last = max([_whole_number(record, "step", 0), *log, *manager.steps()])
    if last < 1:
        raise RunError(f"{directory}: the run has no steps that could be done again")
    config = dataclasses.replace(config, steps=_whole_number(record, "steps", config.steps), epochs=0)
    until = last if whole_run else min(last, steps or _enough(config, manager.steps()))
    if isinstance(record.get("data"), dict):
        check_unchanged(record["data"], load_data(config))
    with tempfile.TemporaryDirectory(prefix="verify-") as place:
        again = _rerun(config, Path(place) / "run", until, whole_run)
        record_now = run_directory.read_record(again)
        until = int(record_now["step"])
        rows, _ = _rows(again / METRICS)
        differences, compared = list[Difference](), dict[str, int]()
        for kind, (found, count) in {
            "rows of metrics": compare_rows(log, rows, until),
            "sample pictures": compare_pictures(directory / "samples", again / "samples", until),
            "leaves of checkpoints": compare_checkpoints(directory / "checkpoints", again / "checkpoints", until),
            "final metrics": compare_evaluation(directory / "metrics.json", again / "metrics.json", until) if whole_run else ([], 0),
        }.items():
            differences += found
            compared[kind] = count
    if not any(compared.values()) and not differences:
        raise RunError(f"{directory}: nothing was recorded in its first {until} steps that could be compared; give more with --steps")
    return Verification(
        directory=directory,
        steps=until,
        compared={kind: count for kind, count in compared.items() if count},
        differences=sorted(differences + [Difference(0, METRICS, note) for note in notes], key=lambda difference: difference.step),
        settings=compare_settings(manager, config, record),
        environment=compare_environment(record, record_now),
        notes=_extra_rows(log, rows, until),
    )


def _read(directory: Path) -> tuple[Config, dict[str, Any]]:
    if not (directory / "config.yaml").is_file():
        raise RunError(f"{directory}: no run there (it has no config.yaml)")
    config = load_config(directory / "config.yaml")
    record = run_directory.read_record(directory)
    if record.get("rollbacks"):
        raise RunError(f"{directory}: the run was rolled back and went on with other settings; only runs of one piece can be done again")
    if record.get("processes", 1) != 1:
        raise RunError(f"{directory}: the run was of {record['processes']} processes; only runs of one process can be done again")
    return config, record


def _whole_number(record: Mapping[str, Any], name: str, default: int) -> int:
    value = record.get(name)
    return value if isinstance(value, int) else default


def _enough(config: Config, checkpoints: list[int]) -> int:
    early = [step for step in checkpoints if 0 < step <= 2 * ENOUGH]
    return early[0] if early else math.ceil(ENOUGH / config.log_every) * config.log_every


def _rerun(config: Config, place: Path, until: int, whole_run: bool) -> Path:
    # One checkpoint more than the run kept: the last one is made because the rerun stops there.
    changed = dataclasses.replace(config, out=place, keep_checkpoints=config.keep_checkpoints + 1, tensorboard=False)
    if not whole_run and not config.evaluation.every:
        changed = dataclasses.replace(changed, evaluation=dataclasses.replace(config.evaluation, samples=0))
    with open(os.devnull, "w") as nothing:
        return train(changed, console=Console(file=nothing), until=until).directory


def _rows(path: Path) -> tuple[dict[int, list[dict[str, Any]]], list[str]]:
    """The rows of a log by their step, and what is wrong with lines that are none."""
    rows: dict[int, list[dict[str, Any]]] = {}
    problems = list[str]()
    try:
        lines = path.read_text(errors="replace").splitlines()
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
    recorded: Mapping[int, list[dict[str, Any]]], again: Mapping[int, list[dict[str, Any]]], until: int
) -> tuple[list[Difference], int]:
    """Compares the rows of metrics up to a step.

    Args:
        recorded: step -> the rows of the run with that step, in their order.
        again: the same of the run done again; each of its rows must be in the run, too.
        until: the last step compared.

    Returns:
        The differences, by step and then in the order of the quantities; and how many rows were compared.
    """
    differences, count = list[Difference](), 0
    for step in sorted(step for step in again if step <= until):
        rows = recorded.get(step, [])
        if len(rows) < len(again[step]):
            differences.append(Difference(step, METRICS, f"the run has {len(rows)} rows of this step; now there are {len(again[step])}"))
        for old, new in zip(rows, again[step]):
            count += 1
            for name in [*old, *(name for name in new if name not in old)]:
                values = [json.dumps(row.get(name, "nothing")) for row in (old, new)]
                if values[0] != values[1]:
                    differences.append(Difference(step, name, apart(old.get(name, "nothing"), new.get(name, "nothing"))))
    return differences, count


def _extra_rows(recorded: Mapping[int, Any], again: Mapping[int, Any], until: int) -> list[str]:
    # A run that ended early, or was resumed with other intervals, logged steps that a run in one piece does not.
    extra = [step for step in recorded if step <= until and step not in again]
    return [f"rows of steps that a run in one piece does not log were not compared: {', '.join(map(str, extra[:8]))}"] if extra else []


def apart(old: Any, new: Any) -> str:
    """Two values and how far they are from each other: `0.5 recorded, 0.25 now: 0.25 apart (relative 0.5)`."""
    text = f"{old} recorded, {new} now"
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in (old, new)):
        return text
    distance = abs(old - new)
    return f"{text}: {distance:.3g} apart (relative {distance / max(abs(old), abs(new), 1e-300):.3g})"


def compare_pictures(recorded: Path, again: Path, until: int) -> tuple[list[Difference], int]:
    """Compares the grids of samples up to a step that both directories hold, to the byte.

    Returns:
        The differences, in pixels; and how many pictures were compared.
    """
    differences, count = list[Difference](), 0
    for path in sorted(again.glob("step_*.png")):
        step, other = int(path.stem.removeprefix("step_")), recorded / path.name
        if step > until or not other.is_file():
            continue
        count += 1
        if other.read_bytes() != path.read_bytes():
            differences.append(Difference(step, f"samples/{path.name}", _pixels_apart(other, path)))
    return differences, count


def _pixels_apart(recorded: Path, again: Path) -> str:
    try:
        old, new = (image_grid.load_png(path).astype(int) for path in (recorded, again))
    except Exception as error:  # Pillow raises nearly every kind on damaged files
        return f"the picture cannot be read: {error}"
    if old.shape != new.shape:
        return f"{old.shape} recorded, {new.shape} now"
    far = np.abs(old - new)
    if not far.any():
        return "the same pixels in another file"
    return f"{np.count_nonzero(far.max(axis=-1))} of {far[..., 0].size} pixels differ, by up to {far.max()} of 255"


def compare_checkpoints(recorded: Path, again: Path, until: int) -> tuple[list[Difference], int]:
    """Compares the leaves of the checkpoints up to a step that both directories hold, to the byte.

    Returns:
        The differences, one a leaf, or one a checkpoint that is damaged; and how many leaves were compared.
    """
    differences, count = list[Difference](), 0
    keepers = [Checkpointer(directory, owner=False) for directory in (recorded, again)]
    for step in sorted(set(keepers[0].steps()) & set(keepers[1].steps())):
        if step > until:
            continue
        try:
            old = read_step(keepers[0].path(step)).leaves
        except DamagedCheckpoint as error:
            differences.append(Difference(step, "checkpoint", str(error)))
            continue
        new = read_step(keepers[1].path(step)).leaves
        count += len(old.keys() & new.keys())
        for path in [*old, *(path for path in new if path not in old)]:
            detail = leaves_apart(old.get(path), new.get(path))
            if detail:
                differences.append(Difference(step, f"leaf {path}", detail))
    return differences, count


def leaves_apart(old: Leaf | None, new: Leaf | None) -> str:
    """How two leaves of checkpoints differ, in words; "" where they are equal to the byte."""
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
        far = np.abs(numbers[0] - numbers[1])
        relative = far / np.maximum(np.maximum(np.abs(numbers[0]), np.abs(numbers[1])), 1e-300)
    if not np.isfinite(far).all():
        return f"{count} of {far.size} values differ, some of them not finite"
    return f"{count} of {far.size} values differ, by up to {far.max():.3g} (relative {relative.max():.3g})"


def compare_evaluation(recorded: Path, again: Path, until: int) -> tuple[list[Difference], int]:
    """Compares the metrics measured at the end of a run; nothing where either was not measured."""
    if not (recorded.is_file() and again.is_file()):
        return [], 0
    tables = []
    for path in (recorded, again):
        records = run_directory.read_json(path)
        listed = records if isinstance(records, list) else []
        tables.append({str(row["metric"]): row.get("value") for row in listed if isinstance(row, dict) and "metric" in row})
    old, new = tables
    shared = [name for name in new if name in old]
    differences = [Difference(until, f"metrics.json: {name}", apart(old[name], new[name])) for name in shared if old[name] != new[name]]
    return differences, len(shared)


def compare_settings(manager: Checkpointer, config: Config, record: Mapping[str, Any]) -> list[str]:
    """The fields in which config.yaml is not what the run's record and checkpoints say that it was trained with."""
    lines = []
    if record.get("seed", config.seed) != config.seed:
        lines.append(f"seed: {record['seed']} in run.json, {config.seed} in config.yaml")
    for step in reversed(manager.steps()):
        try:
            saved = read_manifest(manager.path(step))["metadata"].get("config")
        except DamagedCheckpoint:
            continue
        if saved is not None:
            now = json.loads(json.dumps(config_fingerprint(config)))
            lines += [line.replace(" now", " in config.yaml") for line in config_differences(saved, now) if not line.startswith("steps:")]
        break
    return lines


def compare_environment(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between the circumstances of a run and those of now.

    Args:
        recorded: run.json.
        now: run.json of the run done again.

    Returns:
        Lines such as `versions.jax: 0.10.2 then, 0.12.0 now`; a fact that the run did not record is left out.
    """
    old, new = ({**_flat({name: facts[name] for name in CIRCUMSTANCES if name in facts})} for facts in (recorded, now))
    return [f"{name}: {old[name]} then, {new.get(name, 'nothing')} now" for name in old if old[name] != new.get(name)]


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for name, value in facts.items():
        rows |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return rows


def describe(found: Verification) -> str:
    """A verification for the terminal: the verdict first, then the first differences, then the circumstances."""
    compared = ", ".join(f"{count} {kind}" for kind, count in found.compared.items()) or "nothing"
    if found.reproduced:
        lines = [f"{found.directory}: reproduced to the byte in its first {found.steps} steps ({compared})"]
    else:
        lines = [f"{found.directory}: NOT reproduced in its first {found.steps} steps (compared: {compared})"]
        lines += [f"  config.yaml is not what the run was trained with: {line}" for line in found.settings]
        for kind, rows in _by_kind(found.differences).items():
            first = rows[0]
            lines.append(f"  {kind}: {len(rows)} differ; first at step {first.step}: {first.what}: {first.detail}")
        lines += [] if found.environment else ["  the environment is the same, as far as it was recorded"]
    lines += [f"  {'differs' if not found.reproduced else 'differs, without consequence'}: {line}" for line in found.environment]
    return "\n".join(lines + [f"  note: {note}" for note in found.notes])


def _by_kind(differences: Iterable[Difference]) -> dict[str, list[Difference]]:
    kinds: dict[str, list[Difference]] = {}
    for difference in differences:
        # The names of metrics, too, begin with samples/.
        match = re.match(r"leaf |checkpoint$|samples/step_(?=\d+\.png$)|metrics\.json:", difference.what)
        found = {"leaf ": "checkpoints", "checkpoint": "checkpoints", "samples/step_": "pictures", "metrics.json:": "final metrics"}
        kinds.setdefault(found[match[0]] if match else "metrics", []).append(difference)
    return kinds
