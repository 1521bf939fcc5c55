"""Reads PyTorch weight files without executing their content: both the zip format and the format before version 1.6."""

import io
import math
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from gan_jax.metrics.pickle_data import Name, interpret

_STORAGES = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch DoubleStorage": np.dtype("<f8"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch BFloat16Storage": np.dtype(jnp.bfloat16),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
    "torch ShortStorage": np.dtype("<i2"),
    "torch CharStorage": np.dtype("i1"),
    "torch ByteStorage": np.dtype("u1"),
    "torch BoolStorage": np.dtype("?"),
}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def load_torch_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a state dict that `torch.save` wrote, without PyTorch and without executing code in the file.

    Args:
        path: Path of a `.pth` or `.pt` file, in either of PyTorch's formats. It holds a dict of tensors at the top level or under the key
            "state_dict".

    Returns:
        A dict from names to arrays, in the layout and type of the file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not such a file, is damaged, or calls functions that do not rebuild tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weight file at {path}")
    try:
        content, storages = _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path)
        if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
            content = content["state_dict"]
        if not isinstance(content, dict) or not any(isinstance(value, _Tensor) for value in content.values()):
            raise ValueError("it does not hold a dict of tensors")
        return {str(name): _rebuild(value, storages) for name, value in content.items() if isinstance(value, _Tensor)}
    except Exception as error:  # A damaged file can make the interpreter, zipfile and zlib raise almost any exception.
        raise ValueError(f"{path} is not a PyTorch weight file that can be read safely: {error}") from error


def _read_zip(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if len(names) != 1:
            raise ValueError("the zip must hold exactly one data.pkl")
        root = names[0].removesuffix("data.pkl")
        if root + "byteorder" in archive.namelist() and _member(archive, root + "byteorder", path) != b"little":
            raise ValueError("it was written on a big-endian machine")
        content = _interpret(io.BytesIO(_member(archive, names[0], path)))
        used = {tensor.storage.key: tensor.storage for tensor in _tensors(content)}
        storages = {key: np.frombuffer(_member(archive, f"{root}data/{key}", path), storage.dtype) for key, storage in used.items()}
    return content, storages


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """Reads a member of the archive. PyTorch does not compress members, so no member is larger than the file."""
    if archive.getinfo(name).file_size > path.stat().st_size:
        raise ValueError(f"its member {name} claims more bytes than the file holds")
    return archive.read(name)


def _read_legacy(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    with path.open("rb") as file:
        if _interpret(file) != _LEGACY_MAGIC:
            raise ValueError("its magic number is not PyTorch's")
        _interpret(file)  # the protocol version
        if not _interpret(file)["little_endian"]:
            raise ValueError("it was written on a big-endian machine")
        content = _interpret(file)
        used = {tensor.storage.key: tensor.storage for tensor in _tensors(content)}
        storages = {}
        for key in _interpret(file):
            (count,) = struct.unpack("<q", file.read(8))
            if key not in used:
                raise ValueError("it holds storages that no tensor uses")
            size = count * used[key].dtype.itemsize
            if not 0 <= size <= path.stat().st_size:
                raise ValueError("a storage is larger than the file")
            storages[key] = np.frombuffer(file.read(size), used[key].dtype)
            if len(storages[key]) != count:
                raise ValueError("it is truncated")
    return content, storages


def _call(function: Any, arguments: tuple) -> Any:
    """Handles the function calls that a weight file is allowed to make."""
    name = function.text if isinstance(function, Name) else repr(function)
    if name == "collections OrderedDict":
        return dict(*arguments)
    if name in ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor"):
        storage, offset, shape, strides = arguments[:4]
        return _Tensor(storage, offset, tuple(shape), tuple(strides))
    if name == "torch._utils _rebuild_parameter":
        return arguments[0]
    raise ValueError(f"it calls {name}, which does not rebuild a tensor and is not allowed")


def _storage(identifier: Any) -> _Storage:
    kind, storage_type, key = identifier[:3]
    if kind != "storage" or not isinstance(storage_type, Name) or storage_type.text not in _STORAGES:
        raise ValueError(f"it refers to {identifier[:2]}, which is not a storage of numbers and is not allowed")
    if len(identifier) > 5 and identifier[5] is not None:
        raise ValueError("it holds views of storages, a format older than PyTorch 0.4")
    return _Storage(key, _STORAGES[storage_type.text])


def _interpret(file: BinaryIO) -> Any:
    """Reads one pickle that may contain tensors."""
    return interpret(file, _call, persistent=_storage)


def _tensors(content: Any):
    if isinstance(content, _Tensor):
        yield content
    elif isinstance(content, dict):
        for value in content.values():
            yield from _tensors(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _tensors(value)


def _rebuild(tensor: _Tensor, storages: dict[str, np.ndarray]) -> np.ndarray:
    storage, shape, strides, offset = storages[tensor.storage.key], tensor.shape, tensor.strides, tensor.offset
    if len(shape) != len(strides) or min((*shape, *strides, offset)) < 0:
        raise ValueError("a tensor has an impossible shape")
    if 0 in shape:
        return np.empty(shape, storage.dtype)
    if offset + sum((size - 1) * stride for size, stride in zip(shape, strides)) >= len(storage):
        raise ValueError("a tensor reaches past its storage")
    if math.prod(shape) > len(storage):
        raise ValueError("a tensor claims more values than its storage holds")
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False).copy()
