"""gan_jax: the library and the laboratory for training GANs in JAX.

Submodules and functions are loaded on first use, so `import gan_jax` is quick and touches no device.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_SUBMODULES = (
    *("augment", "checkpoint", "cli", "conditioning", "data", "distributed", "dynamics", "export", "gan", "latents", "losses"),
    *("metrics", "models", "monitor", "nn", "optimizers", "penalties", "recipes", "replay", "trainer", "transforms", "typing"),
)
_HOME = {
    "GAN": "gan_jax.typing",
    "make_gan": "gan_jax.gan.make",
    "load_generator": "gan_jax.export",
    "train": "gan_jax.trainer.loop",
    "Config": "gan_jax.trainer.config",
    "load_run": "gan_jax.trainer.loaded_run",
}

__all__ = ["__version__", *_HOME, *_SUBMODULES]

if TYPE_CHECKING:
    from gan_jax import augment as augment
    from gan_jax import checkpoint as checkpoint
    from gan_jax import cli as cli
    from gan_jax import conditioning as conditioning
    from gan_jax import data as data
    from gan_jax import distributed as distributed
    from gan_jax import dynamics as dynamics
    from gan_jax import export as export
    from gan_jax import gan as gan
    from gan_jax import latents as latents
    from gan_jax import losses as losses
    from gan_jax import metrics as metrics
    from gan_jax import models as models
    from gan_jax import monitor as monitor
    from gan_jax import nn as nn
    from gan_jax import optimizers as optimizers
    from gan_jax import penalties as penalties
    from gan_jax import recipes as recipes
    from gan_jax import replay as replay
    from gan_jax import trainer as trainer
    from gan_jax import transforms as transforms
    from gan_jax import typing as typing
    from gan_jax.export import load_generator as load_generator
    from gan_jax.gan.make import make_gan as make_gan
    from gan_jax.trainer.config import Config as Config
    from gan_jax.trainer.loaded_run import load_run as load_run
    from gan_jax.trainer.loop import train as train
    from gan_jax.typing import GAN as GAN


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"gan_jax.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'gan_jax' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("gan_jax"):
            raise
        raise ImportError(f'gan_jax.{name} needs the package {error.name}: pip install "gan-jax[train]"', name=error.name) from error


def __dir__() -> list[str]:
    return sorted(__all__)
