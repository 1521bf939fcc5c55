"""Models: pairs of Linen modules that are built from named options, and their conversion to `Network`.

`MODELS[name](**options)` builds `Players(generator, discriminator)` of Linen modules. `as_networks` converts these to
pure functions, and `build_model` does both. The file of a model is imported when the model is first used.

Every generator is called as `generator(latents, labels=None, context=None, *, train=True)`, and every discriminator as
`discriminator(images, labels=None, context=None, *, train=True)`. These arguments are the same for all models:

- `latents`: float [batch, latent_dim].
- `images`: float [batch, height, width, channels] in [-1, 1], or float [batch, dim] for points.
- `labels`: int32 [batch] class labels. Required if the network is conditioned on classes.
- `context`: The array that both networks are conditioned on. `ModelPair.context` names its kind.
- `train`: True in training: batch norm uses the statistics of the batch and updates the running statistics, and dropout
  in the discriminator is active. False in evaluation and sampling.

A generator returns images in float32 or a `GeneratorOutput`. A discriminator returns a `DiscriminatorOutput`.
"""

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Unpack

from gan_jax.models.options import ModelOptions
from gan_jax.typing import Players

_LAZY = {"as_network": "gan_jax.models.network", "as_networks": "gan_jax.models.network"}

__all__ = ["MODELS", "ModelPair", "as_network", "as_networks", "build_model"]


@dataclass(frozen=True)
class ModelPair:
    """A row of `MODELS`: builds a generator and a discriminator that belong together.

    Attributes:
        name: Name of the model.
        module: Module of the builder, such as "gan_jax.models.dcgan".
        function: Name of the builder in that module. Its keyword arguments are the options of the model.
        context: Kind of the context of both networks. None: no context. "image": an image of the same size, such as an
            edge map. "masked": the image with a hole, and the mask of the hole as an extra channel. "small": a smaller
            image. "real": the real images, for an encoder. "domains": an image of each of two domains, joined along the
            channels. The real and the generated images are such pairs, too.
        fixed: Options of the builder that this row sets. The user cannot change them.
    """

    name: str
    module: str
    function: str
    context: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def options(self) -> dict[str, Any]:
        """The options of the model, with their defaults."""
        builder = getattr(importlib.import_module(self.module), self.function)
        parameters = inspect.signature(builder).parameters
        return {name: parameter.default for name, parameter in parameters.items() if name not in self.fixed}

    def __call__(self, **options: Any) -> Players:
        """Builds the two Linen modules.

        Args:
            **options: Options by name, see `options`. All are plain numbers, strings and lists, so they can be stored
                in a configuration file or beside exported weights.

        Returns:
            Players(generator, discriminator) of Linen modules.

        Raises:
            ValueError: If the model has no such option, or if a value is not allowed.
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
    ("unet_gan", "unet_gan", "unet_gan"),
    ("r3gan", "r3gan", "r3gan"),
    ("progressive", "progressive", "progressive"),
    ("stylegan2", "stylegan2", "stylegan2"),
    ("multiscale", "multiscale", "multiscale"),
    ("pix2pix", "unet", "pix2pix", "image"),
    ("cyclegan", "cyclegan", "cyclegan", "domains"),
    ("inpaint", "refine", "inpaint", "masked"),
    ("stacked", "stacked", "stacked", "small"),
    ("vaegan", "vae", "vaegan", "real"),
    ("klgan", "vae", "vaegan", "real", MappingProxyType({"gamma": 1.0, "reconstructions_are_fakes": False})),
)


def build_model(name: str, **options: Unpack[ModelOptions]) -> Players:
    """Builds the networks of a model by its name.

    Args:
        name: A key of `MODELS`.
        **options: Options of the model, see `MODELS[name].options`.

    Returns:
        Players(generator, discriminator) of `Network`s.

    Raises:
        ValueError: If there is no such model or option, or if a value is not allowed.
    """
    if name not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}; got {name!r}")
    return importlib.import_module("gan_jax.models.network").as_networks(MODELS[name](**options))


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'gan_jax.models' has no attribute {name!r}")
