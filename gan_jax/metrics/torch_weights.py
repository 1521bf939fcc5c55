"""Reads PyTorch weight files without executing their content: both the zip format and the format before version 1.6."""

import io
import math
import os
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from gan_jax._internal.checks import one_line, printable
from gan_jax._internal.files import open_regular
from gan_jax.metrics.pickle_data import MOST_BYTES, Name, describe, interpret

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
_MOST_DIMENSIONS = 32
_HEADER_BYTES = 2**12  # Maximum number of bytes of the magic number and of the other pickles before the content.


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
        A dict from names to arrays, in the layout and type of the file. The arrays are read-only. Those of tensors that share a storage
        share memory, so all arrays together take no more memory than the file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not such a file, is damaged, calls functions that do not rebuild tensors, or describes more values
            than its size can hold. The message is one line.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            content, storages = (_read_zip if zipfile.is_zipfile(file) else _read_legacy)(file, size)
        return {name: _rebuild(tensor, storages) for name, tensor in content.items()}
    except FileNotFoundError:
        raise FileNotFoundError(f"no weight file at {path}") from None
    except Exception as error:  # A damaged file can make the interpreter, zipfile and zlib raise almost any exception.
        raise ValueError(printable(f"{path} is not a PyTorch weight file that can be read safely: ") + one_line(error)) from error


def _state_dict(content: Any) -> dict[str, _Tensor]:
    """The tensors of a file by their names."""
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    tensors = {str(name): value for name, value in content.items() if isinstance(value, _Tensor)} if isinstance(content, dict) else {}
    if not tensors:
        raise ValueError("it does not hold a dict of tensors")
    return tensors


def _read_zip(file: BinaryIO, size: int) -> tuple[dict[str, _Tensor], dict[str, np.ndarray]]:
    with zipfile.ZipFile(file) as archive:
        members = set(archive.namelist())
        names = [name for name in members if name.endswith("data.pkl")]
        if len(names) != 1:
            raise ValueError("the zip must hold exactly one data.pkl")
        root, left = names[0].removesuffix("data.pkl"), size

        def read(name: str, most: int) -> bytes:
            # PyTorch does not compress members, so all of them together are no larger than the file.
            nonlocal left
            claimed = archive.getinfo(name).file_size
            if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"its member {name[:80]!r} is compressed")
            if claimed > min(left, most):
                raise ValueError(f"its member {name[:80]!r} claims more bytes than the file holds")
            left -= claimed
            return archive.read(name)

        if root + "byteorder" in members and read(root + "byteorder", 16) != b"little":
            raise ValueError("it was written on a big-endian machine")
        content, declared = _interpret(io.BytesIO(read(names[0], MOST_BYTES)))
        tensors = _state_dict(content)
        used = {tensor.storage.key for tensor in tensors.values()}
        storages = {key: np.frombuffer(read(f"{root}data/{key}", size), declared[key].dtype) for key in used}
    return tensors, storages


def _read_legacy(file: BinaryIO, size: int) -> tuple[dict[str, _Tensor], dict[str, np.ndarray]]:
    file.seek(0)
    if _interpret(file, _HEADER_BYTES)[0] != _LEGACY_MAGIC:
        raise ValueError("its magic number is not PyTorch's")
    _interpret(file, _HEADER_BYTES)  # the protocol version
    system, _ = _interpret(file, _HEADER_BYTES)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("it was written on a big-endian machine")
    content, declared = _interpret(file)
    tensors = _state_dict(content)
    keys, _ = _interpret(file)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or len(set(keys)) < len(keys):
        raise ValueError("the list of its storages is damaged")
    storages = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        if key not in declared:
            raise ValueError("it holds storages that no tensor uses")
        claimed = count * declared[key].dtype.itemsize
        if not 0 <= claimed <= size - file.tell():
            raise ValueError("a storage is larger than the file")
        storages[key] = np.frombuffer(file.read(claimed), declared[key].dtype)
    return tensors, storages


def _interpret(file: BinaryIO, most_bytes: int = MOST_BYTES) -> tuple[Any, dict[str, _Storage]]:
    """Reads one pickle that may contain tensors. Returns the content and the storages that it refers to, by their keys."""
    declared: dict[str, _Storage] = {}

    def persistent(identifier: Any) -> _Storage:
        storage = _storage(identifier)
        if declared.setdefault(storage.key, storage) != storage:
            raise ValueError("it gives one storage two types")
        return storage

    return interpret(file, _call, persistent=persistent, most_bytes=most_bytes), declared


def _call(function: Any, arguments: tuple) -> Any:
    """Handles the function calls that a weight file is allowed to make."""
    name = describe(function)
    if name == "collections OrderedDict":
        return _ordered_dict(*arguments)
    if name in ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor"):
        return _tensor(*arguments[:4])
    if name == "torch._utils _rebuild_parameter" and isinstance(arguments[0], _Tensor):
        return arguments[0]
    raise ValueError(f"it calls {name}, which does not rebuild a tensor and is not allowed")


def _ordered_dict(pairs: Any = ()) -> dict[str, Any]:
    """Python 2 writes an OrderedDict as a list of pairs. Python 3 fills it afterwards."""
    if not isinstance(pairs, list | tuple) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
    ):
        raise ValueError("it has an OrderedDict of something else than names and values")
    return dict(pairs)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> _Tensor:
    if not isinstance(storage, _Storage) or not all(type(part) is tuple and len(part) <= _MOST_DIMENSIONS for part in (shape, strides)):
        raise ValueError("a tensor is not described by a storage, an offset, a shape and strides")
    if len(shape) != len(strides) or not all(type(number) is int and 0 <= number < 2**48 for number in (offset, *shape, *strides)):
        raise ValueError("a tensor has an impossible shape")
    return _Tensor(storage, offset, shape, strides)


def _storage(identifier: Any) -> _Storage:
    if type(identifier) is not tuple or len(identifier) < 3:
        raise ValueError(f"it refers to {describe(identifier)}, which is not a storage and is not allowed")
    kind, storage_type, key = identifier[:3]
    if kind != "storage" or not isinstance(storage_type, Name) or storage_type.text not in _STORAGES:
        raise ValueError(f"it refers to {describe(kind)} {describe(storage_type)}, which is not a storage of numbers and is not allowed")
    if not isinstance(key, str) or len(key) > 200:
        raise ValueError("the key of a storage is not a short text")
    if len(identifier) > 5 and identifier[5] is not None:
        raise ValueError("it holds views of storages, a format older than PyTorch 0.4")
    return _Storage(key, _STORAGES[storage_type.text])


def _rebuild(tensor: _Tensor, storages: dict[str, np.ndarray]) -> np.ndarray:
    """The array of a tensor. It is a view of its storage."""
    if tensor.storage.key not in storages:
        raise ValueError("it lacks the storage of a tensor")
    storage, (_, offset, shape, strides) = storages[tensor.storage.key], tensor
    if math.prod(max(length, 1) for length in shape) >= 2**48:
        raise ValueError("a tensor has an impossible shape")
    if 0 in shape:
        return np.empty(shape, storage.dtype)
    if offset + sum((size - 1) * stride for size, stride in zip(shape, strides)) >= len(storage):
        raise ValueError("a tensor reaches past its storage")
    if math.prod(shape) > len(storage):
        raise ValueError("a tensor claims more values than its storage holds")
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)
