"""Makes a safetensors of the Inception weights that pytorch-fid and torch-fidelity download; PyTorch is not needed.

    python -m experiments.tools.convert_inception pt_inception-2015-12-05-6726825d.pth inception_v3.safetensors

The file is read without executing what its pickle says, checked to be of that architecture, and written under PyTorch's names. The
original is read as well as the copy by every command that takes weights of `inception_v3`.
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from gan_jax.cli import common
from gan_jax.metrics import inception, load_torch_weights


def convert(source: Path, target: Path) -> int:
    """Converts a weight file; returns the number of weights written.

    Args:
        source: PyTorch file.
        target: safetensors file to write.

    Raises:
        FileNotFoundError: there is no source.
        ValueError: the source cannot be read safely or is of another architecture.
    """
    weights = load_torch_weights(source)
    inception.from_state_dict(weights)
    save_file({name: np.ascontiguousarray(weights[name], np.float32) for name in inception.file_shapes()}, target)
    return sum(weights[name].size for name in inception.file_shapes())


def main() -> None:
    parser = common.argument_parser(__doc__)
    parser.add_argument("source", type=Path, help="weight file of PyTorch")
    parser.add_argument("target", type=Path, help="safetensors file to write")
    flags = parser.parse_args()
    try:
        print(f"{flags.target}: {convert(flags.source, flags.target):,} weights")
    except (OSError, ValueError) as error:
        common.fail(str(error), 1)


if __name__ == "__main__":
    main()
