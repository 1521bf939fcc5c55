"""Manages the checkpoints of a run: saves them in the background, deletes old ones, and restores the newest intact one."""

import contextlib
import math
import re
import secrets
import shutil
import threading
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from gan_jax._internal.files import describe_oserror
from gan_jax.checkpoint import files
from gan_jax.checkpoint.errors import CheckpointNotFound, CheckpointWarning, ConfigurationMismatch, DamagedCheckpoint, TemplateMismatch
from gan_jax.checkpoint.fingerprint import canonical_json, config_differences, config_hash
from gan_jax.checkpoint.serialization import Snapshot, restore_onto, snapshot
from gan_jax.typing import PyTree

_STEP = re.compile(r"step_(\d{8,})")
_LEFTOVER = re.compile(r"\.step_\d{8,}\..*(partial|deleted|replaced)")
_REPLACED = re.compile(r"\.step_(\d{8,})\.replaced")
_SHARED_PARTIAL = re.compile(r"\.step_\d{8,}\.(?P<token>.+)-(?P<number>\d+)\.partial")  # Several processes save together.


class Job(NamedTuple):
    """A save that the writer thread performs."""

    step: int
    number: int
    snapshot: Snapshot
    metadata: dict[str, Any]


class Checkpointer:
    """Saves and restores the checkpoints of one run.

    `save` copies the tree to the host before it returns, so the caller can donate the buffers immediately. A thread writes the files. If
    the file system reports an error, the next call of `save`, `wait` or `close` issues a `CheckpointWarning`. Training continues, and the
    next `save` tries again. Other exceptions of the thread are raised in these calls.

    If a run has several processes, each makes a `Checkpointer` for one shared directory and calls `save` with the same steps. Each process
    writes its pieces of the arrays. Process 0 waits for them and commits the step. Any number of processes and devices can restore it.

    Args:
        directory: Directory of the checkpoints. The first save creates it.
        config: Configuration of the run, as JSON values. A checkpoint of another configuration is not restored.
        keep: Number of newest steps to keep, at least 1. Steps later than the one just saved are deleted.
        best_metric: Key of `metadata["metrics"]`. The step with its best value is kept too.
        best_mode: "min" or "max".
        asynchronous: Whether a thread writes. Otherwise `save` returns after the write.
        process_index: Index of this process. The default is JAX's.
        process_count: Number of processes of the run. The default is JAX's.
        token: Text that the processes of this run share, and that no other run has. By default process 0 draws and broadcasts it.
        peer_timeout: Seconds that process 0 waits for the parts of all other processes.
        owner: Whether this run owns the directory. It then calls `clear_leftovers`.
        before_write: Called before each write. An exception that it raises ends the save, and `wait` raises it.

    Raises:
        ValueError: If `keep`, `best_mode` or `process_index` is out of range.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        config: Mapping[str, Any] | None = None,
        keep: int = 3,
        best_metric: str | None = None,
        best_mode: str = "min",
        asynchronous: bool = True,
        process_index: int | None = None,
        process_count: int | None = None,
        token: str | None = None,
        peer_timeout: float = 300.0,
        owner: bool = True,
        before_write: Callable[[], None] | None = None,
    ):
        if keep < 1:
            raise ValueError(f"keep must be at least 1; got {keep}")
        if best_mode not in ("min", "max"):
            raise ValueError(f"best_mode must be 'min' or 'max'; got {best_mode!r}")
        self.directory = Path(directory)
        self._config = None if config is None else dict(config)
        self._keep, self._best_metric, self._best_mode = keep, best_metric, best_mode
        self._asynchronous = asynchronous
        self._index = jax.process_index() if process_index is None else process_index
        self._count = jax.process_count() if process_count is None else process_count
        if not 0 <= self._index < self._count:
            raise ValueError(f"process_index must be in [0, {self._count}); got {self._index}")
        self._token = token or _shared_token(self._count)
        self._peer_timeout, self._before_write = peer_timeout, before_write
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._saves = 0
        if owner:
            self.clear_leftovers()

    def save(self, step: int, tree: PyTree, metadata: Mapping[str, Any] | None = None) -> None:
        """Saves a tree. Returns when the previous save is written and the tree is copied to the host.

        Args:
            step: Number of the step. An existing checkpoint of this step is replaced.
            tree: Any pytree of arrays, typed PRNG keys and Python scalars.
            metadata: Dict of JSON values, e.g. seed, data position, and `{"metrics": {name: value}}`.

        Raises:
            TypeError: If a leaf cannot be saved, or if the metadata contain a value that is not of a JSON type.
            ValueError: If the step is negative, or if two leaves have the same path.
        """
        if step < 0:
            raise ValueError(f"step must not be negative; got {step}")
        described: dict[str, Any] = dict(metadata or {})
        if self._config is not None:
            described |= {"config": self._config, "config_hash": config_hash(self._config)}
        canonical_json(described)
        self.wait()
        self._saves += 1
        job = Job(step, self._saves, snapshot(tree, process_index=self._index), described)
        if self._asynchronous:
            # The thread is not a daemon, so the interpreter waits for the write before it exits.
            self._thread = threading.Thread(target=self._write, args=(job,), name="checkpoint-writer")
            self._thread.start()
        else:
            self._write(job)
            self.wait()

    def wait(self) -> bool:
        """Waits until the current save is written.

        Returns:
            True if it is on the disk, or if there is none. False after a `CheckpointWarning` about an error of the file system.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        failure, self._failure = self._failure, None
        if failure is None:
            return True
        if isinstance(failure, OSError):
            message = f"checkpoint not saved ({describe_oserror(failure)}); training continues, and the next save tries again"
            warnings.warn(CheckpointWarning(message), stacklevel=3)
            return False
        raise failure

    def close(self) -> bool:
        """The same as `wait`."""
        return self.wait()

    def __enter__(self) -> "Checkpointer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def path(self, step: int) -> Path:
        """The directory of a step, which need not exist. If a process died while it replaced the step, it is that of the old version."""
        place = self._place(step)
        replaced = files.replaced_directory(place)
        return replaced if replaced.is_dir() and not place.exists() else place

    def _place(self, step: int) -> Path:
        return self.directory / f"step_{step:08d}"

    def steps(self) -> list[int]:
        """The steps on the disk in ascending order. Damaged steps are included, and a current save is not waited for."""
        try:
            names = [entry.name for entry in self.directory.iterdir() if entry.is_dir()]
        except FileNotFoundError:
            return []
        return sorted({int(match[1]) for name in names if (match := _STEP.fullmatch(name) or _REPLACED.fullmatch(name))})

    def latest(self) -> int | None:
        """The newest step with an intact manifest and files of full size, or None.

        A `CheckpointWarning` names each damaged step that is skipped. Only `restore` verifies the arrays.
        """
        self.wait()
        for step in reversed(self.steps()):
            try:
                files.read_manifest(self.path(step))
            except DamagedCheckpoint as error:
                _warn_damaged(step, error)
            else:
                return step
        return None

    def restore(self, template: PyTree, step: int | None = None, *, any_configuration: bool = False) -> tuple[PyTree, dict[str, Any]]:
        """Restores a step, by default the newest intact one.

        Args:
            template: A tree of the same structure, e.g. `gan.init(rng)` or its `jax.eval_shape`. jax arrays get its shardings.
            step: Number of the step. None means the newest step whose files are all verified.
            any_configuration: Whether to restore even if the configuration differs, e.g. in a rollback with a changed setting.

        Returns:
            The tree, and the metadata with `step`, `versions` and `format_version`.

        Raises:
            CheckpointNotFound: If no step is intact. A `CheckpointWarning` names each damaged one.
            DamagedCheckpoint: If the requested step is damaged.
            ConfigurationMismatch: If a run with another configuration wrote it. The message lists the differences.
            TemplateMismatch: If the tree has other leaves, shapes or dtypes. The message lists them.
        """
        contents = self._read(step)
        if not any_configuration:
            self._check_configuration(contents.metadata)
        try:
            return restore_onto(template, contents.leaves), contents.metadata
        except TemplateMismatch as error:
            raise TemplateMismatch(f"{self.path(contents.metadata['step'])}: {error}") from None

    def discard_after(self, step: int) -> None:
        """Deletes every step later than `step`, e.g. in a rollback.

        Raises:
            OSError: If a step cannot be deleted.
        """
        self.wait()
        if self._index == 0:
            for later in self.steps():
                if later > step:
                    self._delete(later)

    def _read(self, step: int | None) -> files.Contents:
        self.wait()
        if step is not None:
            if step not in self.steps():
                raise CheckpointNotFound(f"{self.directory}: no checkpoint of step {step}; there are {self.steps()}")
            return self._verified(step)
        for candidate in reversed(self.steps()):
            try:
                return self._verified(candidate)
            except DamagedCheckpoint as error:
                _warn_damaged(candidate, error)
        raise CheckpointNotFound(f"{self.directory}: no checkpoint that can be restored")

    def _verified(self, step: int) -> files.Contents:
        contents = files.read_step(self.path(step))
        if contents.metadata["step"] != step:
            raise DamagedCheckpoint(f"{self.path(step)}: holds step {contents.metadata['step']}")
        return contents

    def _check_configuration(self, metadata: Mapping[str, Any]) -> None:
        if self._config is None or metadata.get("config_hash") in (None, config_hash(self._config)):
            return
        saved = metadata.get("config")
        differences = config_differences(saved if isinstance(saved, Mapping) else {}, self._config)
        raise ConfigurationMismatch(f"{self.path(metadata['step'])} was written with another configuration:\n  " + "\n  ".join(differences))

    def _write(self, job: Job) -> None:
        try:
            if self._before_write is not None:
                self._before_write()
            if self._count == 1:
                files.write_step(self._place(job.step), job.snapshot, job.metadata, step=job.step, versions=_versions())
            else:
                self._write_part(job)
            if self._index == 0:
                self._prune(job.step)
        except BaseException as failure:
            self._failure = failure

    def _write_part(self, job: Job) -> None:
        partial = files.partial_directory(self._place(job.step), f"{self._token}-{job.number}")
        if self._index != 0:
            self._send_part(job, partial)
            return
        self._clear_earlier_saves(job.number)
        try:
            partial.mkdir(parents=True, exist_ok=True)
            part = files.write_shard(partial, job.snapshot, process_count=self._count)
            others = files.await_parts(partial, range(1, self._count), self._peer_timeout)
            files.commit(partial, self._place(job.step), [part, *others], job.metadata, step=job.step, versions=_versions())
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def _send_part(self, job: Job, partial: Path) -> None:
        """Writes this process's shard, and its part of the manifest for process 0. If that fails, it writes the reason instead."""
        try:
            partial.mkdir(parents=True, exist_ok=True)
            part = files.write_shard(partial, job.snapshot, process_index=self._index, process_count=self._count)
            files.write_part(partial, part, self._index)
        except BaseException as failure:
            with contextlib.suppress(OSError):
                files.shard_path(partial, self._index, self._count).unlink(missing_ok=True)  # Frees space if the disk is full.
                files.write_part(partial, {"failed": f"{type(failure).__name__}: {failure}"}, self._index)
            raise

    def _clear_earlier_saves(self, number: int) -> None:
        """Deletes the files of this run's earlier incomplete saves. A slow process can write after process 0 has given up."""
        if not self.directory.is_dir():
            return
        for entry in self.directory.iterdir():
            match = _SHARED_PARTIAL.fullmatch(entry.name)
            # Other processes can already be writing later saves.
            if match and match["token"] == self._token and int(match["number"]) < number:
                shutil.rmtree(entry, ignore_errors=True)

    def _prune(self, saved: int) -> None:
        # Later steps are those that a resume could not use. They must not count among those that are kept.
        steps = self.steps()
        before = [step for step in steps if step <= saved]
        kept = {*before[-self._keep :], self._best(before)}
        for step in steps:
            if step not in kept:
                self._delete(step)

    def _best(self, steps: list[int]) -> int | None:
        if self._best_metric is None:
            return None
        values: dict[int, float] = {}
        for step in steps:
            try:
                value = files.read_manifest(self.path(step))["metadata"].get("metrics", {}).get(self._best_metric)
            except DamagedCheckpoint:
                continue
            if isinstance(value, int | float) and math.isfinite(value):
                values[step] = value
        if not values:
            return None
        return (min if self._best_mode == "min" else max)(values, key=lambda step: values[step])

    def best(self) -> int | None:
        """The step with the best value of `best_metric`. None if no step has a finite value."""
        self.wait()
        return self._best(self.steps())

    def _delete(self, step: int) -> None:
        # The directory is renamed first. If the process dies during the deletion, the rest does not look like a step.
        doomed = self.directory / f".{self._place(step).name}.deleted"
        shutil.rmtree(doomed, ignore_errors=True)
        self.path(step).rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def clear_leftovers(self) -> None:
        """Deletes incomplete saves and deletions of processes that died, and undoes an incomplete replacement. Process 0 does it."""
        if self._index != 0:
            return
        try:
            leftovers = [entry for entry in self.directory.iterdir() if _LEFTOVER.fullmatch(entry.name)]
        except OSError:
            return
        for entry in leftovers:
            name = entry.name.split(".")[1]
            if entry.name.endswith(".replaced") and not (self.directory / name).exists():
                entry.rename(self.directory / name)  # The process died between the two renames of a replacement.
            elif self._token not in entry.name:
                shutil.rmtree(entry, ignore_errors=True)


def _warn_damaged(step: int, error: DamagedCheckpoint) -> None:
    warnings.warn(CheckpointWarning(f"checkpoint of step {step} is damaged and not used: {error}"), stacklevel=4)


def _shared_token(process_count: int) -> str:
    token = secrets.randbits(31)
    if process_count > 1:
        from jax.experimental import multihost_utils

        token = int(multihost_utils.broadcast_one_to_all(np.int32(token)))
    return f"{token:08x}"


def _versions() -> dict[str, str]:
    versions = {}
    for name in ("jax", "jaxlib", "flax", "optax", "numpy", "gan-jax"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
