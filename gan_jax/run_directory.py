"""The directory of a run: claimed without overwriting another's, and the files that grow in it."""

import json
import math
import os
import platform
import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

import gan_jax

METRICS, TIMING, FINDINGS = "metrics.jsonl", "timing.jsonl", "findings.jsonl"


class RunError(ValueError):
    """A run that cannot start or go on: one line that names the flag or the file and says what to do."""


def free_directory(recipe: str, parent: Path = Path("runs")) -> Path:
    """The first of runs/RECIPE, runs/RECIPE-2, runs/RECIPE-3 ... that does not exist."""
    number, path = 1, parent / recipe
    while path.exists():
        number += 1
        path = parent / f"{recipe}-{number}"
    return path


def claim(path: Path) -> None:
    """Makes a new directory for a run; raises RunError if there is one already, or if it cannot be made or written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
        (path / "samples").mkdir()
    except FileExistsError:
        raise RunError(f"--out {path}: exists already; choose another directory, or continue that run with --resume {path}") from None
    except OSError as error:
        raise RunError(f"--out {path}: cannot be written: {error.strerror}; choose another directory") from error


def describe(command: str, config_seed: int) -> dict[str, Any]:
    """What a reader of a run wants to know of its circumstances: command, versions, device."""
    versions = {"gan_jax": gan_jax.__version__, "python": platform.python_version()}
    for package in ("jax", "jaxlib", "flax", "optax", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    devices = jax.devices()
    return {
        "command": command,
        "seed": config_seed,
        "status": "running",
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": versions,
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "device": devices[0].device_kind,
        "devices": len(devices),
        "backend": jax.default_backend(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that the file is there complete or not at all; numbers that are not finite become null."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(_finite(value), indent=2) + "\n")
    partial.replace(path)


def read_json(path: Path) -> Any:
    """Reads JSON; raises RunError naming the file."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise RunError(f"{path}: not JSON: {error}") from error


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


class JsonLines:
    """A file of one JSON object a line. Opened at a step, it forgets what a run that died wrote after it.

    A disk that refuses a line is reported once on standard error; training goes on.
    """

    def __init__(self, path: Path, after_step: int | None = None):
        self._path, self._warned = path, False
        if after_step is not None and path.exists():
            kept = []
            for line in path.read_text(errors="replace").splitlines():
                try:
                    if json.loads(line)["step"] <= after_step:
                        kept.append(line)
                except (ValueError, KeyError, TypeError):
                    continue
            partial = path.with_name(f".{path.name}.partial")
            partial.write_text("".join(line + "\n" for line in kept))
            partial.replace(path)

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends one object; NaN and infinities are written as JSON's common extensions `NaN` and `Infinity`."""
        try:
            with self._path.open("a") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            if not self._warned:
                print(f"{self._path}: {error.strerror}; training goes on without these lines", file=sys.stderr)
            self._warned = True
