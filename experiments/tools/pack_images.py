"""Packs the four IDX files of MNIST or Fashion-MNIST into one npz file, for a machine without the data set.

    python -m experiments.tools.pack_images --out fashion_mnist.npz
    python -m experiments.tools.pack_images --directory folder/of/idx/files --out images.npz

The file of Fashion-MNIST has 30.6 MB. By default the files are those of Debian's package dataset-fashion-mnist.
"""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np

from gan_jax._internal.files import atomic_path
from gan_jax.cli.errors import fail
from gan_jax.cli.parsing import argument_parser
from gan_jax.data import DataError
from gan_jax.data.idx import INSTALLED, PREFIXES, read_idx


def read_folder(folder: Path) -> dict[str, np.ndarray]:
    """The arrays train_images, train_labels, test_images and test_labels of a folder with IDX files.

    Raises:
        DataError: A file is missing or damaged.
    """
    arrays = {}
    for part, prefix in PREFIXES.items():
        for kind, rank in (("images", 3), ("labels", 1)):
            name = f"{prefix}-{kind}-idx{rank}-ubyte"
            path = next((path for path in (folder / f"{name}.gz", folder / name) if path.exists()), folder / name)
            arrays[f"{part}_{kind}"] = read_idx(path, rank)
    return arrays


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes an npz file with the strongest deflate compression, which `numpy.savez_compressed` does not have."""
    with atomic_path(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(f"{name}.npy", content.getvalue())


def main(arguments: list[str] | None = None) -> None:
    """Packs the files."""
    parser = argument_parser(__doc__)
    parser.add_argument("--directory", type=Path, default=INSTALLED["fashion_mnist"], help="folder of the four IDX files")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    options = parser.parse_args(arguments)
    try:
        write_npz(options.out, read_folder(options.directory))
    except (DataError, OSError) as error:
        fail(str(error))
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB", file=sys.stderr)


if __name__ == "__main__":
    main()
