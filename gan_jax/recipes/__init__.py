"""Recipes: complete configurations, one file each. A file opens with its command, time, result and deviations from the paper."""

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gan_jax.trainer.config import Config


def recipes() -> dict[str, tuple[str, "Config"]]:
    """Returns all recipes: name -> (first line of the docstring, configuration)."""
    modules = {info.name: importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)}
    return {name: ((module.__doc__ or "").strip().splitlines()[0], module.CONFIG) for name, module in sorted(modules.items())}


def looks_at_data(name: str) -> bool:
    """Whether a recipe has settings that are chosen from a look at the data and the device, see `gan_jax.trainer.choices`."""
    known = {info.name for info in pkgutil.iter_modules(__path__)}
    return name in known and getattr(importlib.import_module(f"{__name__}.{name}"), "LOOKS_AT_DATA", False)
