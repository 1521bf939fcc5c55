"""Converts the Inception weights that pytorch-fid and torch-fidelity download into a safetensors file, without PyTorch.

    python -m experiments.tools.convert_inception pt_inception-2015-12-05-6726825d.pth inception_v3.safetensors

The program reads the pickle without executing it, checks the architecture, and keeps PyTorch's names. Every command that takes weights
of `inception_v3` reads the original and the converted file.
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from gan_jax.cli.errors import fail
from gan_jax.cli.parsing import argument_parser
from gan_jax.metrics import inception, load_torch_weights


def convert(source: Path, target: Path) -> int:
    """Converts a weight file and returns the number of weights.

    Args:
        source: Weight file of PyTorch.
        target: Safetensors file to write.

    Raises:
        FileNotFoundError: The source does not exist.
        ValueError: The source cannot be read safely or has another architecture.
    """
    weights = load_torch_weights(source)
    inception.from_state_dict(weights)
    save_file({name: np.ascontiguousarray(weights[name], np.float32) for name in inception.file_shapes()}, target)
    return sum(weights[name].size for name in inception.file_shapes())


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("source", type=Path, help="weight file of PyTorch")
    parser.add_argument("target", type=Path, help="safetensors file to write")
    flags = parser.parse_args()
    try:
        print(f"{flags.target}: {convert(flags.source, flags.target):,} weights")
    except (OSError, ValueError) as error:
        fail(str(error), 1)


if __name__ == "__main__":
    main()
