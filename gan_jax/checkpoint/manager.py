"""A directory of checkpoints through the life of a run: saving beside the training, keeping few, coming back to the newest good one."""

import contextlib
import math
import re
import secrets
import shutil
import threading
import warnings
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from gan_jax.checkpoint import files
from gan_jax.checkpoint.errors import CheckpointNotFound, CheckpointWarning, ConfigurationMismatch, DamagedCheckpoint, TemplateMismatch
from gan_jax.checkpoint.fingerprint import canonical_json, config_differences, config_hash
from gan_jax.checkpoint.serialization import Snapshot, restore_onto, snapshot
from gan_jax.typing import PyTree

_STEP = re.compile(r"step_(\d{8,})")
_LEFTOVER = re.compile(r"\.step_\d{8,}\..*(partial|deleted|replaced)")
_SHARED_PARTIAL = re.compile(r"\.step_\d{8,}\.(?P<token>.+)-(?P<number>\d+)\.partial")  # of a save by several processes


class Job(NamedTuple):
    """One save on its way to the disk."""

    step: int
    number: int
    taken: Snapshot
    metadata: dict[str, Any]


class Checkpointer:
    """Saves and restores the steps of one run.

    `save` copies the tree to the host before it returns, so the caller may donate the buffers at once; the writing happens in a thread.
    What the disk refuses is a `CheckpointWarning`, raised through `warnings` in the caller's thread at the next `save`, `wait` or `close`:
    training goes on and the next `save` tries again. Anything else that goes wrong in the thread is raised there.

    With several processes, all of them make one of these on one shared directory and call `save` with the same steps: each writes the
    pieces of the arrays that it owns, process 0 waits for them and commits. Any number of processes and devices can restore it.

    Args:
        directory: made at the first save.
        config: the configuration of the run, JSON; a checkpoint of another configuration is not restored.
        keep: how many of the newest steps to keep, at least 1; steps later than the one just saved are deleted.
        best_metric: a key of `metadata["metrics"]`; the step with the best value is kept as well.
        best_mode: "min" or "max".
        asynchronous: False writes before `save` returns.
        process_index: of this process; by default JAX's.
        process_count: of the run; by default JAX's.
        token: what the processes of one run share and no other run has; by default drawn by process 0 and broadcast.
        peer_timeout: seconds that process 0 waits for the parts of all the others.
        owner: False only looks: what a save that is under way, or that died, left in the directory is not cleared away.

    Raises:
        ValueError: `keep`, `best_mode` or the pair of process numbers is out of range.
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
        self._peer_timeout = peer_timeout
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._saves = 0
        if self._index == 0 and owner:
            self._sweep()

    def save(self, step: int, tree: PyTree, metadata: Mapping[str, Any] | None = None) -> None:
        """Checkpoints a tree; returns once it is copied to the host, or, when the last save is still being written, after that.

        Args:
            step: not negative; a step that is there already is replaced.
            tree: any pytree of arrays, typed PRNG keys and Python scalars.
            metadata: JSON: seed, data position, `{"metrics": {name: value}}` ...

        Raises:
            TypeError: a leaf cannot be checkpointed, or the metadata is no JSON.
            ValueError: the step is negative, or two leaves have one path.
        """
        if step < 0:
            raise ValueError(f"step must not be negative; got {step}")
        described: dict[str, Any] = dict(metadata or {})
        if self._config is not None:
            described |= {"config": self._config, "config_hash": config_hash(self._config)}
        canonical_json(described)
        self.wait()
        taken = snapshot(tree, process_index=self._index)
        self._saves += 1
        job = Job(step, self._saves, taken, described)
        if self._asynchronous:
            # Not a daemon: an interpreter that ends waits for the write to finish.
            self._thread = threading.Thread(target=self._write, args=(job,), name="checkpoint-writer")
            self._thread.start()
        else:
            self._write(job)
            self.wait()

    def wait(self) -> bool:
        """Waits for the save under way.

        Returns:
            True if it is on the disk (or there was none); False, after a `CheckpointWarning`, if the disk refused it.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        failure, self._failure = self._failure, None
        if failure is None:
            return True
        if isinstance(failure, OSError):
            message = f"checkpoint not saved ({failure}); training goes on, and the next save tries again"
            warnings.warn(CheckpointWarning(message), stacklevel=3)
            return False
        raise failure

    def close(self) -> bool:
        """Waits for the save under way; the same as `wait`."""
        return self.wait()

    def __enter__(self) -> "Checkpointer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def path(self, step: int) -> Path:
        """The directory of a step, whether it exists or not."""
        return self.directory / f"step_{step:08d}"

    def steps(self) -> list[int]:
        """The steps on the disk in ascending order, damaged ones among them; waits for nothing and verifies nothing."""
        try:
            names = [entry.name for entry in self.directory.iterdir() if entry.is_dir()]
        except FileNotFoundError:
            return []
        return sorted(int(match[1]) for name in names if (match := _STEP.fullmatch(name)))

    def latest(self) -> int | None:
        """The newest step whose manifest is intact and whose files are there in full size, or None.

        Damaged steps passed over are named in a `CheckpointWarning`. The arrays are only verified by `restore`.
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
        """Restores the newest step that verifies to the last byte, or the step asked for.

        Args:
            template: a tree of the same structure, e.g. `gan.init(rng)` or its `jax.eval_shape`; jax arrays come back with its shardings.
            step: restore this one and no other.
            any_configuration: restore although the configuration differs (a rollback with a changed setting).

        Returns:
            The tree, and the metadata with `step`, `versions` and `format_version`.

        Raises:
            CheckpointNotFound: no step is left that verifies; damaged ones were named in a `CheckpointWarning` each.
            DamagedCheckpoint: the step asked for is damaged.
            ConfigurationMismatch: it was written under another configuration; the message lists the keys that differ.
            TemplateMismatch: the tree has other leaves, shapes or dtypes; the message lists them.
        """
        contents = self._read(step)
        if not any_configuration:
            self._check_configuration(contents.metadata)
        try:
            return restore_onto(template, contents.leaves), contents.metadata
        except TemplateMismatch as error:
            raise TemplateMismatch(f"{self.path(contents.metadata['step'])}: {error}") from None

    def discard_after(self, step: int) -> None:
        """Deletes every step later than `step`: after a rollback they belong to another run.

        Raises:
            OSError: one cannot be deleted.
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
        raise ConfigurationMismatch(
            f"{self.path(metadata['step'])} was written under another configuration:\n  " + "\n  ".join(differences)
        )

    def _write(self, job: Job) -> None:
        try:
            if self._count == 1:
                files.write_step(self.path(job.step), job.taken, job.metadata, step=job.step, versions=_versions())
            else:
                self._write_part(job)
            if self._index == 0:
                self._prune(job.step)
        except BaseException as failure:
            self._failure = failure

    def _write_part(self, job: Job) -> None:
        partial = files.partial_directory(self.path(job.step), f"{self._token}-{job.number}")
        if self._index != 0:
            self._hand_over(job, partial)
            return
        self._clear_before(job.number)
        try:
            partial.mkdir(parents=True, exist_ok=True)
            part = files.write_shard(partial, job.taken, process_count=self._count)
            others = files.await_parts(partial, range(1, self._count), self._peer_timeout)
            files.commit(partial, self.path(job.step), [part, *others], job.metadata, step=job.step, versions=_versions())
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def _hand_over(self, job: Job, partial: Path) -> None:
        """Writes this process's shard and its part of the manifest for process 0; or why it cannot, so that nobody waits for it."""
        try:
            partial.mkdir(parents=True, exist_ok=True)
            part = files.write_shard(partial, job.taken, process_index=self._index, process_count=self._count)
            files.write_part(partial, part, self._index)
        except BaseException as failure:
            with contextlib.suppress(OSError):
                files.shard_path(partial, self._index, self._count).unlink(missing_ok=True)  # on a full disk it is in the way of the note
                files.write_part(partial, {"failed": f"{type(failure).__name__}: {failure}"}, self._index)
            raise

    def _clear_before(self, number: int) -> None:
        """Deletes what is left of this run's earlier saves: a process that was late may have written into one after it had failed."""
        if not self.directory.is_dir():
            return
        for entry in self.directory.iterdir():
            match = _SHARED_PARTIAL.fullmatch(entry.name)
            # The others may already be writing later ones.
            if match and match["token"] == self._token and int(match["number"]) < number:
                shutil.rmtree(entry, ignore_errors=True)

    def _prune(self, saved: int) -> None:
        # Steps later than the one saved are from before a resume that could not use them: they must not crowd out what can be used.
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
        """The step with the best value of `best_metric` among those kept; None where no step has one."""
        self.wait()
        return self._best(self.steps())

    def _delete(self, step: int) -> None:
        # Renamed first: a process that dies half way through the deletion leaves nothing that looks like a step.
        doomed = self.directory / f".{self.path(step).name}.deleted"
        shutil.rmtree(doomed, ignore_errors=True)
        self.path(step).rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def _sweep(self) -> None:
        try:
            leftovers = [entry for entry in self.directory.iterdir() if _LEFTOVER.fullmatch(entry.name)]
        except OSError:
            return
        for entry in leftovers:
            name = entry.name.split(".")[1]
            if entry.name.endswith(".replaced") and not (self.directory / name).exists():
                entry.rename(self.directory / name)  # the process died between the two renames of a replacement
            elif self._token not in entry.name:
                shutil.rmtree(entry, ignore_errors=True)


def _warn_damaged(step: int, error: DamagedCheckpoint) -> None:
    warnings.warn(CheckpointWarning(f"checkpoint of step {step} is damaged and not used: {error}"), stacklevel=4)


def _shared_token(process_count: int) -> str:
    drawn = secrets.randbits(31)
    if process_count > 1:
        from jax.experimental import multihost_utils

        drawn = int(multihost_utils.broadcast_one_to_all(np.int32(drawn)))
    return f"{drawn:08x}"


def _versions() -> dict[str, str]:
    found = {}
    for name in ("jax", "jaxlib", "flax", "optax", "numpy", "gan-jax"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
