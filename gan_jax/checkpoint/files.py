"""The format of a checkpoint on disk. An incomplete checkpoint is never mistaken for a complete one.

    step_00000400/
        manifest.json                            one line of JSON, one line with its sha256
        shard_00000-of-00001.safetensors         the arrays that process 0 saves

A step is written into a hidden directory beside the others, synced, and renamed. The hash of the manifest is checked before its JSON is
parsed, and the hash of a safetensors header before the header is parsed. Damaged content therefore never reaches a parser.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from gan_jax._internal.files import check_regular, open_regular
from gan_jax.checkpoint.errors import DamagedCheckpoint
from gan_jax.checkpoint.fingerprint import canonical_json
from gan_jax.checkpoint.serialization import Leaf, Piece, Snapshot, check_pieces

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_SHARD = re.compile(r"shard_\d{5}-of-\d{5}\.safetensors")
_MANIFEST_LIMIT = 256 * 2**20
# dtypes that every version of safetensors since 0.4 reads as numpy arrays. Others are stored as bytes, with their dtype in the manifest.
_NATIVE = {"float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"}


class Contents(NamedTuple):
    """A verified checkpoint.

    Attributes:
        leaves: Maps paths to complete leaves.
        metadata: The metadata that was saved, and `step`, `versions` and `format_version`.
    """

    leaves: dict[str, Leaf]
    metadata: dict[str, Any]


def write_shard(directory: Path, snapshot: Snapshot, *, process_index: int = 0, process_count: int = 1) -> dict[str, Any]:
    """Writes this process's pieces into one safetensors file and syncs it.

    Args:
        directory: Directory of the file. It must exist.
        snapshot: The tree on the host.
        process_index: Index of this process.
        process_count: Number of processes that write.

    Returns:
        This process's part of the manifest: `files` (name, size, hash of the header) and `leaves` (record and pieces).

    Raises:
        OSError: If the file cannot be written.
    """
    name = shard_path(directory, process_index, process_count).name
    arrays: dict[str, np.ndarray] = {}
    leaves: dict[str, Any] = {}
    for path, leaf in snapshot.leaves.items():
        pieces = []
        for piece in leaf.pieces:
            key = path if piece.data.shape == tuple(leaf.record["shape"]) else f"{path}@{','.join(map(str, piece.start))}"
            arrays[key] = piece.data if piece.data.dtype.name in _NATIVE else piece.data.reshape(-1).view(np.uint8)
            digest = sha256(arrays[key])
            pieces.append({"file": name, "name": key, "start": piece.start, "shape": piece.data.shape, "sha256": digest})
        leaves[path] = leaf.record | {"pieces": pieces}
    save_arrays(directory / name, arrays)
    sync(directory / name)
    return {"files": {name: {"size": (directory / name).stat().st_size, "header": _header_sha256(directory / name)}}, "leaves": leaves}


def shard_path(directory: Path, process_index: int, process_count: int) -> Path:
    """Path of the file with the arrays of a process."""
    return directory / f"shard_{process_index:05d}-of-{process_count:05d}.safetensors"


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes one safetensors file.

    Raises:
        OSError: If it cannot be written.
    """
    try:
        save_file(arrays, path)
    except OSError:
        raise
    except Exception as error:  # The library raises its own SafetensorError if the disk is full.
        raise OSError(f"{path}: {error}") from error
    # The library creates files that only their owner can read. Give them the permissions of the directory, without execution.
    path.chmod(path.parent.stat().st_mode & 0o666)


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Writes one line of canonical JSON and one line with its sha256, and syncs the file.

    Raises:
        OSError: If it cannot be written.
        TypeError: If the manifest contains a value that is not of a JSON type.
    """
    line = canonical_json(manifest).encode()
    with path.open("wb") as file:
        file.write(line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_manifest(directory: Path | str) -> dict[str, Any]:
    """Reads and verifies the manifest of one step, and checks that its files exist in full size. No array is read.

    Args:
        directory: Directory of the step.

    Returns:
        The manifest.

    Raises:
        DamagedCheckpoint: If a file is missing, truncated, altered, or of another format version. The message names it.
    """
    directory = Path(directory)
    manifest = _read_hashed_json(directory / MANIFEST)
    try:
        return _checked(manifest, directory)
    except DamagedCheckpoint:
        raise
    except Exception as error:  # The hash is correct, but other code wrote the manifest.
        raise DamagedCheckpoint(f"{directory / MANIFEST}: not a manifest of this format ({error!r})") from error


def _checked(manifest: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Returns the manifest if its files exist in full size and its leaves are described correctly."""
    if manifest.get("format_version") != FORMAT_VERSION:
        raise DamagedCheckpoint(
            f"{directory / MANIFEST}: format version {manifest.get('format_version')}; this version reads {FORMAT_VERSION}"
        )
    for name, facts in manifest["files"].items():
        if not _SHARD.fullmatch(name):
            raise DamagedCheckpoint(f"{directory / MANIFEST}: {name!r} is not the name of a shard")
        try:
            size = (directory / name).stat().st_size
        except OSError as error:
            raise DamagedCheckpoint(f"{directory / name}: {error.strerror}") from error
        if not isinstance(facts["header"], str):
            raise ValueError(f"{name} has no hash of its header")
        if size != facts["size"]:
            raise DamagedCheckpoint(f"{directory / name}: {size} bytes; {facts['size']} were written")
    for record in manifest["leaves"].values():
        described = record["kind"], record.get("shape", []), record.get("dtype", "uint8"), record.get("key_dtype", "")
        if [type(fact) for fact in described] != [str, list, str, str] or not all(
            piece["file"] in manifest["files"] for piece in record["pieces"]
        ):
            raise ValueError("the record of a leaf is invalid")
    if not isinstance(manifest["step"], int) or not isinstance(manifest["metadata"], dict):
        raise ValueError("step or metadata is missing")
    return manifest | {"versions": dict(manifest["versions"])}


def _read_hashed_json(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path) as file:
            content = file.read(_MANIFEST_LIMIT + 1)
    except OSError as error:
        raise DamagedCheckpoint(f"{path}: {error.strerror}") from error
    line, _, _ = content.partition(b"\n")
    if content != line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n":
        raise DamagedCheckpoint(f"{path}: the content differs from what was written (sha256)")
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DamagedCheckpoint(f"{path}: not JSON ({error})") from error


def read_step(directory: Path | str) -> Contents:
    """Reads one step and verifies every byte of it.

    Args:
        directory: Directory of the step.

    Returns:
        The leaves on the host and the metadata.

    Raises:
        DamagedCheckpoint: If a file is missing, truncated or altered. The message names the file, and the leaf if it is one.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    for name, facts in manifest["files"].items():
        try:
            header = _header_sha256(directory / name)
        except OSError as error:
            raise DamagedCheckpoint(f"{directory / name}: {error}") from error
        if header != facts["header"]:
            raise DamagedCheckpoint(f"{directory / name}: the header differs from what was written (sha256)")
    pieces: dict[tuple[str, str], np.ndarray] = {}
    for name in manifest["files"]:
        try:
            check_regular(directory / name)
            with safe_open(directory / name, framework="numpy") as file:
                for path, record in manifest["leaves"].items():
                    for piece in record["pieces"]:
                        if piece["file"] == name:
                            pieces[name, piece["name"]] = _verified(directory / name, path, file.get_tensor(piece["name"]), piece, record)
        except DamagedCheckpoint:
            raise
        except Exception as error:  # The library has its own types of errors, all about this file.
            raise DamagedCheckpoint(f"{directory / name}: {error}") from error
    leaves = {}
    for path, record in manifest["leaves"].items():
        try:
            parts = [Piece(tuple(piece["start"]), pieces[piece["file"], piece["name"]]) for piece in record["pieces"]]
            leaves[path] = Leaf({key: value for key, value in record.items() if key != "pieces"}, parts)
            check_pieces(leaves[path])
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedCheckpoint(f"{directory / MANIFEST}: the record of leaf {path} is invalid ({error!r})") from error
    return Contents(leaves, _metadata(manifest))


def _verified(file: Path, path: str, stored: np.ndarray, piece: dict[str, Any], record: dict[str, Any]) -> np.ndarray:
    # The copy is hashed, because a memory map could change between the check and the use.
    stored = np.array(stored, order="C", copy=True)
    if sha256(stored) != piece["sha256"]:
        raise DamagedCheckpoint(f"{file}: leaf {path} differs from what was written (sha256)")
    dtype = np.dtype(record["dtype"])
    return stored if record["dtype"] in _NATIVE else stored.view(dtype).reshape(piece["shape"])


def _metadata(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest["metadata"] | {key: manifest[key] for key in ("step", "versions", "format_version")}


def write_step(
    directory: Path | str, snapshot: Snapshot, metadata: dict[str, Any], *, step: int, versions: dict[str, str] | None = None
) -> None:
    """Writes one step from one process, atomically.

    Args:
        directory: Directory of the step. An existing step is replaced when the new one is complete.
        snapshot: The tree on the host.
        metadata: Dict of JSON values.
        step: Number of the step.
        versions: Versions of the libraries.

    Raises:
        OSError: If it cannot be written. An existing step is then unchanged.
        TypeError: If the metadata contain a value that is not of a JSON type.
    """
    directory = Path(directory)
    partial = partial_directory(directory)
    try:
        partial.mkdir(parents=True)
        part = write_shard(partial, snapshot)
        commit(partial, directory, [part], metadata, step=step, versions=versions or {})
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def partial_directory(directory: Path, token: str = "") -> Path:
    """The hidden directory in which a step is written before it is renamed. Its name has `token`, or else the process id."""
    return directory.with_name(f".{directory.name}.{token or os.getpid()}.partial")


def replaced_directory(directory: Path) -> Path:
    """The hidden directory to which an existing step is renamed while it is replaced."""
    return directory.with_name(f".{directory.name}.replaced")


def commit(
    partial: Path, directory: Path, parts: list[dict[str, Any]], metadata: dict[str, Any], *, step: int, versions: dict[str, str]
) -> None:
    """Merges the parts of all processes into one manifest and renames the directory into place.

    Args:
        partial: Directory with the shards.
        directory: Final directory of the step.
        parts: Results of `write_shard` in each process.
        metadata: Dict of JSON values.
        step: Number of the step.
        versions: Versions of the libraries.

    Raises:
        OSError: If the manifest cannot be written, or the directory cannot be renamed.
    """
    leaves: dict[str, Any] = {}
    for part in parts:
        for path, record in part["leaves"].items():
            known = leaves.setdefault(path, record | {"pieces": []})
            known["pieces"] = [*known["pieces"], *record["pieces"]]
    files = {name: facts for part in parts for name, facts in part["files"].items()}
    manifest = {"format_version": FORMAT_VERSION, "step": step, "versions": versions, "metadata": metadata}
    write_manifest(partial / MANIFEST, manifest | {"files": files, "leaves": leaves})
    sync(partial)
    replaced = replaced_directory(directory)
    if directory.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        directory.rename(replaced)
    try:
        partial.rename(directory)
    except OSError:
        if replaced.exists():
            replaced.rename(directory)
        raise
    sync(directory.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def write_part(partial: Path, part: dict[str, Any], process_index: int) -> None:
    """Sends a process's part of the manifest to process 0, as a file in the shared directory.

    Args:
        partial: Directory in which the step is written.
        part: Result of `write_shard`, or `{"failed": reason}` if it failed.
        process_index: Index of the sending process.

    Raises:
        OSError: If it cannot be written.
    """
    waiting = partial / f"part_{process_index:05d}.json.partial"
    write_manifest(waiting, part)
    waiting.rename(waiting.with_suffix(""))


def await_parts(partial: Path, processes: Iterable[int], timeout: float) -> list[dict[str, Any]]:
    """Waits for the parts of other processes.

    Args:
        partial: Directory in which the step is written.
        processes: Indices of the other processes.
        timeout: Seconds to wait for all of them together.

    Returns:
        The results of `write_shard` in these processes, in the given order.

    Raises:
        OSError: If a part does not arrive in time, or if a process reports that it could not write.
        DamagedCheckpoint: If a part differs from what was written.
    """
    parts: dict[int, dict[str, Any]] = {index: {} for index in processes}
    awaited, deadline = list(parts), time.monotonic() + timeout
    while awaited:
        # All parts are polled together, so a failure is reported while other processes still write.
        for index in [index for index in awaited if (partial / f"part_{index:05d}.json").exists()]:
            path = partial / f"part_{index:05d}.json"
            parts[index] = _read_hashed_json(path)
            if "failed" in parts[index]:
                raise OSError(f"{partial}: process {index} could not write its part: {parts[index]['failed']}")
            path.unlink()
            awaited.remove(index)
        if awaited and time.monotonic() > deadline:
            raise TimeoutError(f"{partial}: process {awaited[0]} did not write its part in time")
        if awaited:
            time.sleep(0.02)
    return list(parts.values())


def sync(path: Path) -> None:
    """Waits until a file, or the entries of a directory, are on the disk.

    Raises:
        OSError: If the file system reports an error.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(array: np.ndarray) -> str:
    """The sha256 of the bytes of a contiguous array."""
    return hashlib.sha256(array.reshape(-1).view(np.uint8)).hexdigest()


def _header_sha256(path: Path) -> str:
    # A safetensors file begins with the length of its header, 8 bytes little endian, and the header.
    with open_regular(path) as file:
        length = file.read(8)
        size = int.from_bytes(length, "little")
        if size > path.stat().st_size:
            return "header longer than the file"
        return hashlib.sha256(length + file.read(size)).hexdigest()
