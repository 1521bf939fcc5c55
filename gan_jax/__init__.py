"""gan_jax: the library and the laboratory for training GANs in JAX.

Submodules load on first use, so `import gan_jax` is quick and touches no device.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_SUBMODULES = (
    "augment",
    "checkpoint",
    "cli",
    "conditioning",
    "data",
    "distributed",
    "dynamics",
    "export",
    "gan",
    "latents",
    "losses",
    "metrics",
    "models",
    "monitor",
    "nn",
    "optimizers",
    "penalties",
    "recipes",
    "replay",
    "trainer",
    "transforms",
    "typing",
)
_FUNCTIONS = {"make_gan": "gan_jax.gan.make", "load_generator": "gan_jax.export"}

__all__ = ["__version__", *_FUNCTIONS, *_SUBMODULES]

if TYPE_CHECKING:
    from gan_jax.export import load_generator as load_generator
    from gan_jax.gan.make import make_gan as make_gan


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"gan_jax.{name}")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module 'gan_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
