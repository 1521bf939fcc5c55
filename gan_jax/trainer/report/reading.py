"""Reads a run directory in bounded time and memory. Files can be missing or damaged. Checkpoints are not read."""

import json
import math
import re
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gan_jax._internal.files import open_regular
from gan_jax.trainer.report.series import Series, make_series

_ANY_OF = ("run.json", "config.yaml", "metrics.jsonl", "metrics.json", "samples")
_SMALL_FILE = 2 * 2**20
_STREAM = 256 * 2**20
_BLOCK = 2**20
_LONGEST_LINE = 2**20
_MOST_SERIES = 400
_MOST_FINDINGS = 200


class ReportError(ValueError):
    """No report can be made. The message is one line that names the path and the reason."""


class Picture(NamedTuple):
    """An image of RUN/pictures.

    Attributes:
        path: Path of the PNG file.
        caption: Caption below it.
        alt: Alternative text for screen readers.
    """

    path: Path
    caption: str
    alt: str


class Explorer(NamedTuple):
    """The tiles of the latent explorer, see `gan_jax.trainer.explorer`.

    Attributes:
        path: The image with all tiles. Planes of the classes lie side by side, and those of the truncations below each other.
        side: Number of tiles on a side of a plane.
        height: Height of a tile in pixels.
        width: Width of a tile in pixels.
        classes: Names of the classes, at least one. A single name is not shown.
        truncations: Names of the truncations, at least one. A single name is not shown.
        caption: Caption.
        alt: Alternative text.
    """

    path: Path
    side: int
    height: int
    width: int
    classes: list[str]
    truncations: list[str]
    caption: str
    alt: str


class Run(NamedTuple):
    """The content of a run directory.

    Attributes:
        name: Name of the directory.
        path: Path of the directory.
        record: Content of run.json. Empty if it is missing.
        config_text: Text of config.yaml. Empty if it is missing.
        series: Maps names of metrics to curves.
        steps: The last logged step, or None.
        seconds: Training time of all sessions together, or None.
        metrics: Records of metrics.json.
        findings: Records of findings.jsonl in the order of `since_step`.
        samples: Pairs (step, path) of the sample grids in the order of steps.
        animation: Path of the animation of the samples, or None.
        pictures: Images of RUN/pictures.
        explorer: The tiles of the latent explorer, or None.
        updated: Time of the last write to the log, or None.
        notes: One line for each thing that was left out, with the reason.
    """

    name: str
    path: Path
    record: dict[str, Any]
    config_text: str
    series: dict[str, Series]
    steps: int | None
    seconds: float | None
    metrics: list[dict[str, Any]]
    findings: list[dict[str, Any]]
    samples: list[tuple[int, Path]]
    animation: Path | None
    pictures: list[Picture]
    explorer: Explorer | None
    updated: datetime | None
    notes: list[str]

    @property
    def status(self) -> str:
        """The status in run.json, or "unknown"."""
        status = self.record.get("status")
        return status if isinstance(status, str) and status else "unknown"


def read_run(directory: Path | str) -> Run:
    """Reads a run directory.

    Args:
        directory: Directory of the run.

    Returns:
        The run. Missing or damaged files are empty and named in `notes`.

    Raises:
        ReportError: If the directory does not exist, cannot be listed, or has no file of a run.
    """
    path = Path(directory)
    try:
        entries = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise ReportError(f"{path}: not a readable run directory: {error.strerror}") from error
    if not entries.intersection(_ANY_OF):
        raise ReportError(f"{path}: not a run directory: it has none of {', '.join(_ANY_OF)}")
    notes: list[str] = []
    record = _json(path / "run.json", notes)
    log = path / "metrics.jsonl"
    series, steps, seconds = _read_series(log, notes)
    speed, _, measured = _read_series(path / "timing.jsonl", notes)
    record = record if isinstance(record, dict) else {}
    return Run(
        name=path.resolve().name,
        path=path,
        record=record,
        config_text=_text(path / "config.yaml", notes),
        series=series | speed,
        steps=steps,
        seconds=next((value for value in (measured, seconds, _number(record.get("seconds"))) if value is not None), None),
        metrics=_read_metrics(path / "metrics.json", notes),
        findings=_read_findings(path / "findings.jsonl", notes),
        samples=sample_grids(path / "samples"),
        animation=path / "samples" / "animation.gif" if (path / "samples" / "animation.gif").is_file() else None,
        pictures=_read_pictures(path / "pictures", notes),
        explorer=_read_explorer(path / "pictures" / "explorer.json", notes),
        updated=datetime.fromtimestamp(log.stat().st_mtime, UTC) if log.is_file() else None,
        notes=notes,
    )


def _text(path: Path, notes: list[str]) -> str:
    try:
        with open_regular(path) as file:
            content = file.read(_SMALL_FILE + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        notes.append(f"{path.name} could not be read: {error.strerror}")
        return ""
    if len(content) > _SMALL_FILE:
        notes.append(f"{path.name} is larger than {_SMALL_FILE // 2**20} MiB; only its beginning was read")
    return content[:_SMALL_FILE].decode("utf-8", errors="replace")


def _json(path: Path, notes: list[str]) -> Any:
    text = _text(path, notes)
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        notes.append(f"{path.name} is not JSON and was left out")
        return None


def lines_of(path: Path, notes: list[str], limit: int = _STREAM) -> Iterator[dict[str, Any]]:
    """Reads a file with one JSON object per line. Damaged lines are skipped and counted in `notes`.

    If a file is larger than `limit`, evenly spaced blocks are read, including the first and the last.

    Args:
        path: Path of the file. A missing file has no records.
        notes: A line is appended for everything that is left out.
        limit: Maximum number of bytes to read.

    Yields:
        One dictionary per line.
    """
    bad, cut = 0, False
    try:
        size = path.stat().st_size
        if size > limit:
            notes.append(f"{path.name} has {size / 2**20:,.0f} MiB; {limit // 2**20} MiB, evenly spaced, were read")
        with open_regular(path) as file:
            for line, complete in _raw_lines(file, size, limit):
                try:
                    record = json.loads(line)
                    if not isinstance(record, dict):
                        raise ValueError
                except (ValueError, RecursionError):
                    bad, cut = bad + 1, not complete
                    continue
                yield record
    except FileNotFoundError:
        return
    except OSError as error:
        notes.append(f"{path.name} could not be read: {error.strerror}")
    if cut:
        bad -= 1
        notes.append(f"the last line of {path.name} is incomplete and was left out")
    if bad:
        notes.append(f"{bad} damaged {'line' if bad == 1 else 'lines'} of {path.name} left out")


def _raw_lines(file: Any, size: int, limit: int) -> Iterator[tuple[bytes, bool]]:
    blocks = [(0, size)]
    if size > limit:
        count = max(2, limit // _BLOCK)
        blocks = [(round(index * (size - _BLOCK) / (count - 1)), _BLOCK) for index in range(count)]
    for start, length in blocks:
        file.seek(start)
        if start:
            file.readline(_LONGEST_LINE)  # Skips the line that the block begins in.
        while file.tell() < start + length:
            line = file.readline(_LONGEST_LINE)
            if not line:
                break
            if line.strip():
                yield line, line.endswith(b"\n")


def _read_series(path: Path, notes: list[str]) -> tuple[dict[str, Series], int | None, float | None]:
    columns: dict[str, tuple[array, array]] = {}
    left_out: set[str] = set()
    last_step, seconds, earlier, stepless = None, None, 0.0, 0
    for record in lines_of(path, notes):
        step = record.get("step")
        if isinstance(step, bool) or not isinstance(step, int | float) or not abs(step) < 2**53:
            stepless += 1
            continue
        last_step = int(step)
        for name, value in _numbers(record):
            if name == "step":
                continue
            if name == "time":
                if math.isfinite(value):
                    # The time starts at zero again in a resumed run.
                    earlier += seconds if seconds is not None and value < seconds else 0.0
                    seconds = value
                continue
            if name not in columns:
                if len(columns) >= _MOST_SERIES:
                    left_out.add(name)
                    continue
                columns[name] = (array("d"), array("d"))
            columns[name][0].append(step)
            columns[name][1].append(value)
    if stepless:
        notes.append(f"{stepless} {'line' if stepless == 1 else 'lines'} of {path.name} without a step left out")
    if left_out:
        notes.append(f"{path.name} has more than {_MOST_SERIES} metrics; {len(left_out)} were left out")
    series = {name: make_series(np.array(x), np.array(y)) for name, (x, y) in columns.items()}
    return series, last_step, None if seconds is None else earlier + seconds


def _number(value: Any) -> float | None:
    """A value of a JSON file if it is a finite number, otherwise None."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def _numbers(record: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, str) and value.lower() in ("nan", "inf", "-inf", "infinity", "-infinity"):
            yield prefix + name, float(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + name, float(value) if abs(value) < 1e300 else math.copysign(math.inf, value)


def _read_metrics(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    content = _json(path, notes)
    if isinstance(content, dict):
        listed = content.get("metrics")
        content = listed if isinstance(listed, list) else [{"metric": name, "value": value} for name, value in content.items()]
    if not isinstance(content, list):
        return []
    return [record for record in content if isinstance(record, dict) and "metric" in record]


def _read_findings(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    findings = list(lines_of(path, notes, limit=_SMALL_FILE * 4))
    if len(findings) > _MOST_FINDINGS:
        notes.append(f"{path.name} has {len(findings)} findings; the first {_MOST_FINDINGS} are shown")
    return sorted(findings[:_MOST_FINDINGS], key=since)


def since(finding: dict[str, Any]) -> int:
    """The step since which a finding holds. 0 if the record does not have it."""
    step = finding.get("since_step")
    return int(step) if isinstance(step, int | float) and math.isfinite(step) else 0


def sample_grids(directory: Path) -> list[tuple[int, Path]]:
    """The sample grids `step_*.png` of a directory as pairs (step, path) in the order of steps. Empty if it cannot be listed."""
    try:
        entries = list(directory.iterdir())
    except OSError:
        return []
    matches = [(re.fullmatch(r"step_(\d+)\.png", entry.name), entry) for entry in entries]
    return sorted((int(match[1]), entry) for match, entry in matches if match)


def _read_pictures(directory: Path, notes: list[str]) -> list[Picture]:
    try:
        entries = sorted((entry for entry in directory.iterdir() if entry.suffix == ".png"), key=_rank)
    except OSError:
        return []
    pictures = []
    for entry in entries:
        sidecar = _json(entry.with_suffix(".json"), notes)
        texts = sidecar if isinstance(sidecar, dict) else {}
        name = entry.stem.replace("_", " ").capitalize()
        caption, alt = (texts[key] if isinstance(texts.get(key), str) and texts[key] else None for key in ("caption", "alt"))
        pictures.append(Picture(entry, caption or name, alt or caption or f"{name}: an image of this run"))
    return pictures


def _read_explorer(path: Path, notes: list[str]) -> Explorer | None:
    layout = _json(path, notes)
    if not isinstance(layout, dict):
        return None
    sizes = [layout.get(key) for key in ("side", "height", "width")]
    names = [layout.get(key) or [""] for key in ("classes", "truncations")]
    texts = [layout.get(key) for key in ("caption", "alt")]
    counted = all(isinstance(size, int) and 0 < size <= 4096 for size in sizes)
    listed = all(isinstance(group, list) and all(isinstance(name, str) for name in group) for group in names)
    if not counted or not listed or not all(isinstance(text, str) and text for text in texts):
        notes.append(f"{path.name} does not describe the tiles of an explorer and was left out")
        return None
    return Explorer(path.with_suffix(".webp"), *sizes, *names, *texts)  # type: ignore[misc]


# The images that a run writes itself come first, in this order. Others follow by name.
_ORDER = ("discriminator_surface", "translations", "interpolations", "nearest_neighbours", "directions", "attention")


def _rank(path: Path) -> tuple[int, str]:
    return (_ORDER.index(path.stem) if path.stem in _ORDER else len(_ORDER), path.name)
