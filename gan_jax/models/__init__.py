"""Models: pairs of Linen modules built from named options, and their adaptation to `Network`.

`MODELS[name](**options)` builds `Players(generator, discriminator)` of Linen modules; `as_networks` makes pure
functions of them. A row imports its module when it is first used.
"""

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gan_jax.typing import Players

_LAZY = {"as_network": "gan_jax.models.network", "as_networks": "gan_jax.models.network"}

__all__ = ["MODELS", "ModelPair", "as_network", "as_networks", "build_model"]


@dataclass(frozen=True)
class ModelPair:
    """A row of `MODELS`: what builds a generator and a discriminator that belong together.

    Attributes:
        name: of the row.
        module: where the builder is, e.g. "gan_jax.models.dcgan".
        function: the builder's name there; its keyword arguments are the options that the row understands.
        context: what both players are conditioned on: None (nothing), "image" (an image of the same size: edges, ...),
            "masked" (the image with a hole, and the hole's mask as a further channel), "small" (a smaller image),
            "real" (the real images themselves: an encoder).
        fixed: options of the builder that this row sets and does not offer.
    """

    name: str
    module: str
    function: str
    context: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def options(self) -> dict[str, Any]:
        """The options that the row understands, with their defaults."""
        builder = getattr(importlib.import_module(self.module), self.function)
        parameters = inspect.signature(builder).parameters
        return {name: parameter.default for name, parameter in parameters.items() if name not in self.fixed}

    def __call__(self, **options: Any) -> Players:
        """Builds the two Linen modules.

        Args:
            **options: by name; see `options`. All are plain numbers, strings and lists, so that they may live in a
                configuration file or beside exported weights.

        Returns:
            Players(generator, discriminator).

        Raises:
            ValueError: an option that the row does not know, or a value it cannot take.
        """
        known = self.options
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(f"model {self.name!r} has no option {', '.join(unknown)}; it has {', '.join(known)}")
        return getattr(importlib.import_module(self.module), self.function)(**self.fixed, **options)


def _rows(*rows: tuple[Any, ...]) -> dict[str, ModelPair]:
    return {row[0]: ModelPair(row[0], f"gan_jax.models.{row[1]}", *row[2:]) for row in rows}


MODELS: dict[str, ModelPair] = _rows(
    ("mlp", "mlp", "mlp"),
    ("points", "mlp", "points"),
    ("dcgan", "dcgan", "dcgan"),
    ("sngan", "resnet", "sngan"),
    ("sagan", "sagan", "sagan"),
    ("biggan", "biggan", "biggan"),
    ("r3gan", "r3gan", "r3gan"),
    ("progressive", "progressive", "progressive"),
    ("multiscale", "multiscale", "multiscale"),
    ("pix2pix", "unet", "pix2pix", "image"),
    ("inpaint", "refine", "inpaint", "masked"),
    ("stacked", "stacked", "stacked", "small"),
    ("vaegan", "vae", "vaegan", "real"),
    ("klgan", "vae", "vaegan", "real", MappingProxyType({"gamma": 1.0, "reconstructions_are_fakes": False})),
)


def build_model(name: str, **options: Any) -> Players:
    """Builds the networks of a model by its name.

    Args:
        name: a key of `MODELS`.
        **options: see `MODELS[name].options`.

    Returns:
        Players(generator, discriminator) of `Network`s.

    Raises:
        ValueError: no such model, or an option or a value that it does not take.
    """
    if name not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}; got {name!r}")
    return importlib.import_module("gan_jax.models.network").as_networks(MODELS[name](**options))


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'gan_jax.models' has no attribute {name!r}")
