"""The directory of a run: creating and locking it, and its JSON files."""

import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from gan_jax._internal.files import read_text, write_text

METRICS, TIMING, FINDINGS = "metrics.jsonl", "timing.jsonl", "findings.jsonl"
LOCK = ".lock"


class RunError(ValueError):
    """A run cannot start or continue. The message is one line that names the flag or the file and says what to do."""


class DirectoryLost(RunError):
    """The directory of a run was renamed, removed or replaced while the run trained.

    Attributes:
        moved_to: Where the directory is now, if that is known.
    """

    def __init__(self, path: Path, moved_to: Path | None) -> None:
        self.moved_to = moved_to
        where = f"moved to {moved_to}" if moved_to else "renamed, removed or replaced"
        advice = f"continue with: gan-jax train --resume {moved_to}" if moved_to else "training cannot continue without it"
        super().__init__(f"{path}: this directory was {where} while the run trained; {advice}")


class DirectoryLock:
    """The lock on the directory of a run, also as a context manager. It ends with the process at the latest.

    Args:
        path: The directory.
        file: The open and locked file.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file

    def check(self) -> None:
        """Call it before each write, so that nothing is written into a directory that has taken the place of this one.

        Raises:
            DirectoryLost: The path of the directory no longer leads to the locked file.
        """
        if not self._is_at(self._path):
            raise DirectoryLost(self._path, self._moved_to())

    def _is_at(self, path: Path) -> bool:
        try:
            found = (path / LOCK).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        held = os.fstat(self._file.fileno())
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)

    def _moved_to(self) -> Path | None:
        try:
            path = Path(os.readlink(f"/proc/self/fd/{self._file.fileno()}")).parent  # Linux only.
        except OSError:
            return None
        return path if self._is_at(path) else None

    def close(self) -> None:
        """Releases the lock."""
        self._file.close()

    def __enter__(self) -> "DirectoryLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def free_directory(recipe: str, parent: Path = Path("runs")) -> Path:
    """The first of runs/RECIPE, runs/RECIPE-2, runs/RECIPE-3 ... that does not exist."""
    name = recipe or "run"
    number, path = 1, parent / name
    while path.exists():
        number += 1
        path = parent / f"{name}-{number}"
    return path


def claim(path: Path) -> DirectoryLock:
    """Makes the directory of a new run and locks it.

    A directory that a killed run made, but in which it saved nothing, is used again.

    Args:
        path: The directory. Its parents are made.

    Returns:
        The lock, see `lock`.

    Raises:
        RunError: The directory exists already, another process has locked it, or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not is_unused(path):
            path.mkdir()
        held = lock(path)
        if not is_unused(path):  # Another process made a run here between the check and the lock, and has ended.
            held.close()
            raise FileExistsError
        (path / "samples").mkdir(exist_ok=True)
    except FileExistsError:
        raise RunError(f"--out {path}: exists already; choose another directory, or continue that run with --resume {path}") from None
    except OSError as error:
        raise RunError(f"--out {path}: cannot be written: {error.strerror}; choose another directory") from error
    return held


def is_unused(path: Path) -> bool:
    """Whether a directory exists and holds no file of a run yet."""
    return path.is_dir() and all(entry.name in ("samples", LOCK) or entry.match(".config.yaml.*.partial") for entry in path.rglob("*"))


def lock(path: Path) -> DirectoryLock:
    """Locks the directory of a run. The lock is released when it is closed or when this process ends.

    The lock file is neither changed nor followed if it is a link, because a run can come from someone else.

    Raises:
        RunError: Another process trains in this directory, or its lock file is not a regular file.
        OSError: The lock file cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    if (path / LOCK).is_symlink():
        raise RunError(f"{path / LOCK}: is a symbolic link; delete it")
    file = os.fdopen(os.open(path / LOCK, flags, 0o666), "rb+", buffering=0)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise RunError(f"{path / LOCK}: is not a regular file; delete it")
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise RunError(f"--resume {path}: another process is training there") from None
    except (ImportError, OSError):
        pass  # The operating system or the file system has no locks.
    return DirectoryLock(path, file)


def write_json(path: Path, value: Any) -> None:
    """Replaces a JSON file atomically. Numbers that are not finite become null."""
    write_text(path, json.dumps(_finite(value), indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        RunError: The file cannot be read or is no JSON. The message names the file.
    """
    try:
        return json.loads(read_text(path))
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: not JSON: {error}") from error


def read_record(directory: Path) -> dict[str, Any]:
    """Reads run.json of a run.

    Raises:
        RunError: The file cannot be read or holds no JSON object. The message names the file.
    """
    path = directory / "run.json"
    record = read_json(path)
    if not isinstance(record, dict):
        raise RunError(f"{path}: expected a JSON object; got {type(record).__name__}")
    return record


def recorded_data(directory: Path) -> dict[str, Any]:
    """The description of the data set in run.json, written when the run started.

    Raises:
        RunError: run.json has no such description. The message names the file.
    """
    data = read_record(directory).get("data")
    if not isinstance(data, dict) or not isinstance(data.get("examples"), int):
        raise RunError(f"{directory / 'run.json'}: has no description of the data set")
    return data


def recorded_rollbacks(directory: Path) -> list[dict[str, Any]]:
    """The rollbacks in run.json, oldest first. A run without run.json has none.

    Raises:
        RunError: The rollbacks in run.json cannot be read. The message names the file.
    """
    path = directory / "run.json"
    rows = read_record(directory).get("rollbacks", []) if path.exists() else []
    if not isinstance(rows, list) or not all(isinstance(row, dict) and isinstance(row.get("to_step"), int) for row in rows):
        raise RunError(f"{path}: its rollbacks cannot be read")
    return rows


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
