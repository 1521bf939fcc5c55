"""The directory of a run: claimed without overwriting another's, and the files that grow in it."""

import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import jax

import gan_jax

METRICS, TIMING, FINDINGS = "metrics.jsonl", "timing.jsonl", "findings.jsonl"
LOCK = ".lock"


class RunError(ValueError):
    """A run that cannot start or go on: one line that names the flag or the file and says what to do."""


def free_directory(recipe: str, parent: Path = Path("runs")) -> Path:
    """The first of runs/RECIPE, runs/RECIPE-2, runs/RECIPE-3 ... that does not exist."""
    number, path = 1, parent / recipe
    while path.exists():
        number += 1
        path = parent / f"{recipe}-{number}"
    return path


def claim(path: Path) -> IO[str]:
    """Makes a new directory for a run, and holds it; raises RunError if there is one already, or if it cannot be made or written.

    One that a run made and was killed before it wrote anything into it is as good as none.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not is_bare(path):
            path.mkdir()
        lock = hold(path)
        if not is_bare(path):  # another process had begun a run here, and is gone again
            lock.close()
            raise FileExistsError
        (path / "samples").mkdir(exist_ok=True)
    except FileExistsError:
        raise RunError(f"--out {path}: exists already; choose another directory, or continue that run with --resume {path}") from None
    except OSError as error:
        raise RunError(f"--out {path}: cannot be written: {error.strerror}; choose another directory") from error
    return lock


def is_bare(path: Path) -> bool:
    """Whether a directory is there and holds nothing of a run yet."""
    return path.is_dir() and {entry.name for entry in path.rglob("*")} <= {"samples", ".config.yaml.partial", LOCK}


def hold(path: Path) -> IO[str]:
    """Keeps other processes out of a run's directory until the file that it returns is closed, or this process ends, however it does.

    Raises:
        RunError: another process trains there.
    """
    file = (path / LOCK).open("w")
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise RunError(f"--resume {path}: another process is training there") from None
    except (ImportError, OSError):
        pass  # a system or a disk without locks
    return file


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
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "cpus_allowed": cpus_allowed(),
        "device": devices[0].device_kind,
        "devices": len(devices),
        "backend": jax.default_backend(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "jax_options": jax_options(),
        "commit": commit(),
    }


# JAX's own options that change what a program computes, or in which order.
DECIDING = (
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_disable_most_optimizations",
    "jax_enable_x64",
    "jax_numpy_dtype_promotion",
    "jax_optimization_level",
    "jax_threefry_partitionable",
)


def jax_options() -> dict[str, Any]:
    """The options of JAX that decide the bytes of a run."""
    return {name: jax.config.values[name] for name in DECIDING if name in jax.config.values}


def cpus_allowed() -> int:
    """How many CPU cores this process may use; all of the machine's where the system does not say (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """The model of the processor, e.g. "AMD EPYC (family 25, model 17, stepping 1)".

    Other models may have other vector units, and so other last bits; the numbers tell apart what the system calls by one name.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    pairs = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    found = dict(reversed(pairs))  # of each name the first
    name = found.get("model name") or found.get("hardware") or platform.machine()
    keys = ("cpu family", "model", "stepping") if "cpu family" in found else ()  # elsewhere "model" is the board's
    numbers = [f"{key.removeprefix('cpu ')} {found[key]}" for key in keys if key in found]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def commit() -> str:
    """The git commit of this code, with "+" where files differ from it; "" where it does not lie in a repository of its own."""
    root = Path(gan_jax.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return ""
    try:
        options: dict[str, Any] = {"cwd": root, "capture_output": True, "text": True, "timeout": 10, "check": True}
        head = subprocess.run(["git", "rev-parse", "HEAD"], **options).stdout.strip()
        changed = subprocess.run(["git", "--no-optional-locks", "status", "--porcelain", "--untracked-files=no"], **options).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
    return head + ("+" if changed else "")


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
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: not JSON: {error}") from error


def read_record(directory: Path) -> dict[str, Any]:
    """Reads run.json of a run; raises RunError naming the file unless it holds an object."""
    path = directory / "run.json"
    record = read_json(path)
    if not isinstance(record, dict):
        raise RunError(f"{path}: holds {type(record).__name__}, where the record of a run was expected")
    return record


def recorded_data(directory: Path) -> dict[str, Any]:
    """What run.json says of the data that the run began with; raises RunError naming the file where it says nothing."""
    data = read_record(directory).get("data")
    if not isinstance(data, dict) or not isinstance(data.get("examples"), int):
        raise RunError(f"{directory / 'run.json'}: holds no record of the data that the run began with")
    return data


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
                    step = json.loads(line)["step"]
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue
                if isinstance(step, int) and step <= after_step:
                    kept.append(line)
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
