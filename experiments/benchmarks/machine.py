"""The machine and the command of a measurement, as they are written into its row."""

import shlex
import sys
from typing import Any

import jax

from experiments.benchmarks import torch_process
from gan_jax.trainer.environment import cpu_model, cpus_allowed

try:
    import torch
except ImportError:
    torch = None


def machine() -> dict[str, Any]:
    """The processor or accelerator, the number of CPU cores, and the versions of JAX and PyTorch."""
    device = cpu_model() if jax.default_backend() == "cpu" else jax.devices()[0].device_kind
    return {"device": device, "cores": cpus_allowed(), "jax": jax.__version__, "torch": torch_version()}


def torch_version() -> str | None:
    """The version of PyTorch in this Python or in that of `torch_process`."""
    if torch is not None:
        return torch.__version__
    return torch_process.version() if torch_process.other_python() else None


def in_words(machine: dict[str, Any]) -> str:
    """A machine and its versions as part of a sentence."""
    versions = f"JAX {machine['jax']}" + (f" and PyTorch {machine['torch']}" if machine["torch"] else "")
    return f"{machine['device']}, {machine['cores']} cores, with {versions}"


def command(module: str) -> str:
    """The command line of a module of `experiments`, without --out, which does not change the measurement."""
    words = sys.argv[1:]
    for place, word in enumerate(words):
        if word.partition("=")[0] == "--out":
            del words[place : place + (1 if "=" in word else 2)]
            break
    return shlex.join(["python", "-m", module, *words])


def torch_can_run() -> bool:
    """Whether PyTorch is installed and supports the backend of JAX."""
    if torch is None:
        return torch_process.other_python() is not None and jax.default_backend() == "cpu"
    return jax.default_backend() == "cpu" or torch.cuda.is_available()
