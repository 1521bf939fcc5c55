"""The directory of a run: claimed without overwriting another's, and the files that grow in it."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from gan_jax._files import write_text

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
    return path.is_dir() and all(entry.name in ("samples", LOCK) or entry.match(".config.yaml.*.partial") for entry in path.rglob("*"))


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


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that the file is there complete or not at all; numbers that are not finite become null."""
    write_text(path, json.dumps(_finite(value), indent=2) + "\n")


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
