"""PyTorch's candidates in a second Python, for a JAX whose own Python has no PyTorch.

    GAN_JAX_TORCH_PYTHON=/path/to/python python -m experiments.benchmarks.run dcgan32

That Python needs only PyTorch. It waits while the other candidates are timed, and makes one call for each line that it receives.
"""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

VARIABLE = "GAN_JAX_TORCH_PYTHON"
ROOT = Path(__file__).parents[2]


def other_python() -> str | None:
    """The Python of PyTorch, or None."""
    return os.environ.get(VARIABLE)


@functools.cache
def version() -> str:
    """The version of PyTorch in the other Python."""
    command = [str(other_python()), "-c", "import torch; print(torch.__version__)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def remote_call(function: str, **options: Any) -> Callable[[], None]:
    """Returns a function that makes one call of `torch_steps.FUNCTION(**options)` in the other Python.

    Raises:
        RuntimeError: The other Python fails. Its error is on the standard error.
    """
    process = subprocess.Popen(
        [str(other_python()), "-c", "from experiments.benchmarks.torch_process import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # Threads that wait do not take a core from the next candidate.
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)},
    )

    def exchange(line: str) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line + "\n")
        process.stdin.flush()
        if process.stdout.readline() != "done\n":
            raise RuntimeError(f"{other_python()}: {function} failed in PyTorch")

    exchange(json.dumps([function, options]))
    return lambda: exchange("call")


def serve() -> None:
    """Makes the calls that the other process asks for, until it ends."""
    from experiments.benchmarks import torch_steps

    function, options = json.loads(sys.stdin.readline())
    if "image_shape" in options:
        options["image_shape"] = tuple(options["image_shape"])
    call = getattr(torch_steps, function)(**options)
    print("done", flush=True)
    for _ in sys.stdin:
        call()
        print("done", flush=True)
