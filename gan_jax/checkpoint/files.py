"""The format of one checkpoint on disk, written so that half of it is never mistaken for all of it.

    step_00000400/
        manifest.json                            one line of JSON, one line with its sha256
        shard_00000-of-00001.safetensors         the arrays owned by process 0

A step is written into a hidden sibling directory, synced, and renamed: it is there whole, or not at all. The manifest's own hash is
checked before its JSON is parsed, and the hash of a safetensors header before that header is, so nothing damaged reaches a parser.
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

from gan_jax.checkpoint.errors import DamagedCheckpoint
from gan_jax.checkpoint.fingerprint import canonical_json
from gan_jax.checkpoint.serialization import Leaf, Piece, Snapshot, check_whole

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_SHARD = re.compile(r"shard_\d{5}-of-\d{5}\.safetensors")
_MANIFEST_LIMIT = 256 * 2**20
# The dtypes that every safetensors since 0.4 reads back as numpy; the rest travel as bytes under the dtype in the manifest.
_NATIVE = {"float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"}


class Contents(NamedTuple):
    """A verified checkpoint.

    Attributes:
        leaves: path -> whole leaf.
        metadata: what the saver handed in, and what the format adds: `step`, `versions`, `format_version`.
    """

    leaves: dict[str, Leaf]
    metadata: dict[str, Any]


def write_shard(directory: Path, taken: Snapshot, *, process_index: int = 0, process_count: int = 1) -> dict[str, Any]:
    """Writes this process's pieces into one safetensors file and syncs it.

    Args:
        directory: exists already.
        taken: the snapshot.
        process_index: which process this is.
        process_count: how many write.

    Returns:
        This process's part of the manifest: `files` (name, size, hash of the header) and `leaves` (record and pieces).

    Raises:
        OSError: the file cannot be written.
    """
    name = shard_path(directory, process_index, process_count).name
    arrays: dict[str, np.ndarray] = {}
    leaves: dict[str, Any] = {}
    for path, leaf in taken.leaves.items():
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
    """The file of a process's arrays."""
    return directory / f"shard_{process_index:05d}-of-{process_count:05d}.safetensors"


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes one safetensors file; every way in which the disk can refuse is an OSError.

    Raises:
        OSError: it cannot be written.
    """
    try:
        save_file(arrays, path)
    except OSError:
        raise
    except Exception as error:  # the library reports a full disk as its own SafetensorError
        raise OSError(f"{path}: {error}") from error
    # The library makes files that only their owner can read; give them the directory's permissions, less the right to execute.
    path.chmod(path.parent.stat().st_mode & 0o666)


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Writes one line of canonical JSON and one line with its sha256, and syncs.

    Raises:
        OSError: it cannot be written.
        TypeError: the manifest holds something that is no JSON type.
    """
    line = canonical_json(manifest).encode()
    with path.open("wb") as file:
        file.write(line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_manifest(directory: Path | str) -> dict[str, Any]:
    """Reads and verifies the manifest of one step, and that its files are there and whole in size; no array is read.

    Args:
        directory: the directory of one step.

    Returns:
        The manifest.

    Raises:
        DamagedCheckpoint: a file is missing, truncated or altered, or of a newer format; the message names it.
    """
    directory = Path(directory)
    manifest = _read_hashed_json(directory / MANIFEST)
    try:
        return _checked(manifest, directory)
    except DamagedCheckpoint:
        raise
    except Exception as error:  # it is what was written, to the byte; but not by this code
        raise DamagedCheckpoint(f"{directory / MANIFEST}: not a manifest of this format ({error!r})") from error


def _checked(manifest: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The manifest, if the files that it names are there in full size and its leaves are made of their pieces."""
    if manifest.get("format_version") != FORMAT_VERSION:
        raise DamagedCheckpoint(
            f"{directory / MANIFEST}: format version {manifest.get('format_version')}; this version reads {FORMAT_VERSION}"
        )
    for name, facts in manifest["files"].items():
        if not _SHARD.fullmatch(name):
            raise DamagedCheckpoint(f"{directory / MANIFEST}: {name!r} is no name of a shard")
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
            raise ValueError("a leaf is not described as leaves are")
    if not isinstance(manifest["step"], int) or not isinstance(manifest["metadata"], dict):
        raise ValueError("it has no step or no metadata")
    return manifest | {"versions": dict(manifest["versions"])}


def _read_hashed_json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_MANIFEST_LIMIT + 1)
    except OSError as error:
        raise DamagedCheckpoint(f"{path}: {error.strerror}") from error
    line, _, _ = content.partition(b"\n")
    if content != line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n":
        raise DamagedCheckpoint(f"{path}: its content is not the content that was written (sha256 differs)")
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DamagedCheckpoint(f"{path}: not JSON ({error})") from error


def read_step(directory: Path | str) -> Contents:
    """Reads one step and verifies every byte of it.

    Args:
        directory: the directory of one step.

    Returns:
        The leaves on the host and the metadata.

    Raises:
        DamagedCheckpoint: any file is missing, truncated or altered; the message names the file, and the leaf where it is one.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    for name, facts in manifest["files"].items():
        try:
            header = _header_sha256(directory / name)
        except OSError as error:
            raise DamagedCheckpoint(f"{directory / name}: {error}") from error
        if header != facts["header"]:
            raise DamagedCheckpoint(f"{directory / name}: its header is not the header that was written (sha256 differs)")
    pieces: dict[tuple[str, str], np.ndarray] = {}
    for name in manifest["files"]:
        try:
            with safe_open(directory / name, framework="numpy") as file:
                for path, record in manifest["leaves"].items():
                    for piece in record["pieces"]:
                        if piece["file"] == name:
                            pieces[name, piece["name"]] = _verified(directory / name, path, file.get_tensor(piece["name"]), piece, record)
        except DamagedCheckpoint:
            raise
        except Exception as error:  # the library has errors of its own, all of them about this file
            raise DamagedCheckpoint(f"{directory / name}: {error}") from error
    leaves = {}
    for path, record in manifest["leaves"].items():
        try:
            parts = [Piece(tuple(piece["start"]), pieces[piece["file"], piece["name"]]) for piece in record["pieces"]]
            leaves[path] = Leaf({key: value for key, value in record.items() if key != "pieces"}, parts)
            check_whole(leaves[path])
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedCheckpoint(f"{directory / MANIFEST}: leaf {path} is not described as leaves are ({error!r})") from error
    return Contents(leaves, _metadata(manifest))


def _verified(file: Path, path: str, stored: np.ndarray, piece: dict[str, Any], record: dict[str, Any]) -> np.ndarray:
    # The copy is what is hashed: a memory map could change between the check and the use.
    stored = np.array(stored, order="C", copy=True)
    if sha256(stored) != piece["sha256"]:
        raise DamagedCheckpoint(f"{file}: leaf {path} is not the leaf that was written (sha256 differs)")
    dtype = np.dtype(record["dtype"])
    return stored if record["dtype"] in _NATIVE else stored.view(dtype).reshape(piece["shape"])


def _metadata(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest["metadata"] | {key: manifest[key] for key in ("step", "versions", "format_version")}


def write_step(
    directory: Path | str,
    taken: Snapshot,
    metadata: dict[str, Any],
    *,
    step: int,
    versions: dict[str, str] | None = None,
) -> None:
    """Writes one step, whole or not at all, from one process.

    Args:
        directory: the directory of the step; a step already there is replaced once the new one is complete.
        taken: the snapshot.
        metadata: JSON.
        step: the step.
        versions: of the libraries.

    Raises:
        OSError: it cannot be written; what was there before is still there.
        TypeError: the metadata is no JSON.
    """
    directory = Path(directory)
    partial = partial_directory(directory)
    try:
        partial.mkdir(parents=True)
        part = write_shard(partial, taken)
        commit(partial, directory, [part], metadata, step=step, versions=versions or {})
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def partial_directory(directory: Path, token: str = "") -> Path:
    """Where a step is written before it is renamed to `directory`; hidden, and unique to the process or to `token`."""
    return directory.with_name(f".{directory.name}.{token or os.getpid()}.partial")


def commit(
    partial: Path, directory: Path, parts: list[dict[str, Any]], metadata: dict[str, Any], *, step: int, versions: dict[str, str]
) -> None:
    """Merges the parts of all processes into one manifest and renames the directory into place.

    Args:
        partial: where the shards are.
        directory: where the step shall be.
        parts: what `write_shard` returned in each process.
        metadata: JSON.
        step: the step.
        versions: of the libraries.

    Raises:
        OSError: it cannot be written or renamed.
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
    replaced = directory.with_name(f".{directory.name}.replaced")
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
    """Hands a process's part of the manifest to process 0, through the shared directory.

    Args:
        partial: the directory being written.
        part: what `write_shard` returned; or `{"failed": why}`, where the process has none to give.
        process_index: whose part.

    Raises:
        OSError: it cannot be written.
    """
    waiting = partial / f"part_{process_index:05d}.json.partial"
    write_manifest(waiting, part)
    waiting.rename(waiting.with_suffix(""))


def await_parts(partial: Path, processes: Iterable[int], timeout: float) -> list[dict[str, Any]]:
    """Waits for the parts of other processes, all within one time.

    Args:
        partial: the directory being written.
        processes: whose parts.
        timeout: in seconds, for all of them together.

    Returns:
        What `write_shard` returned in each process, in the order asked for.

    Raises:
        OSError: one did not come in time, or holds `failed`: why its process could not write.
        DamagedCheckpoint: one is not what was written.
    """
    parts: dict[int, dict[str, Any]] = {index: {} for index in processes}
    awaited, deadline = list(parts), time.monotonic() + timeout
    while awaited:
        # All are looked for at once: one that failed is heard of while another is still writing.
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
        OSError: the disk refuses.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(array: np.ndarray) -> str:
    """sha256 of the bytes of a contiguous array."""
    return hashlib.sha256(array.reshape(-1).view(np.uint8)).hexdigest()


def _header_sha256(path: Path) -> str:
    # A safetensors file opens with the length of its header, 8 bytes little endian, and the header.
    with path.open("rb") as file:
        length = file.read(8)
        size = int.from_bytes(length, "little")
        if size > path.stat().st_size:
            return "header longer than the file"
        return hashlib.sha256(length + file.read(size)).hexdigest()
