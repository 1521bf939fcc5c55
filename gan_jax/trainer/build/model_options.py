"""Options of a model: from the configuration and from the data."""

import dataclasses
from typing import Any

from gan_jax.losses import MULTICLASS
from gan_jax.models import MODELS
from gan_jax.trainer.config import Config, ConfigError, flag

# Fields of ModelConfig that are not options of a model.
_NOT_OPTIONS = ("name", "latents", "conditional", "codes", "options", "phase_steps")


def network_classes(config: Config, num_classes: int) -> int:
    """Returns the number of classes that the networks are built for. 0 means none.

    Args:
        config: The configuration.
        num_classes: Number of classes of the data. 0 if it has no labels.
    """
    if config.model.codes:
        return config.model.codes
    return num_classes if config.model.conditional or config.model.auxiliary else 0


def models_with(option: str) -> list[str]:
    """Names of the models that have an option."""
    return [name for name, model in MODELS.items() if option in model.options]


def model_options(config: Config, image_shape: tuple[int, ...], num_classes: int) -> dict[str, Any]:
    """Returns the options that the model is built with.

    Args:
        config: The configuration.
        image_shape: Shape of one example of the data.
        num_classes: Number of classes that the networks are built for, see `network_classes`.

    Raises:
        ConfigError: The model does not have an option, or does not make such data.
    """
    model = config.model
    known = MODELS[model.name].options
    of_data: dict[str, Any] = {"num_classes": num_classes}
    if len(image_shape) == 3:
        square = image_shape[0] == image_shape[1]
        of_data |= {"image_size": image_shape[0] if square else list(image_shape[:2]), "channels": image_shape[2]}
    else:
        of_data |= {"dim": image_shape[0]}
    missing = [name for name in of_data if name not in known and of_data[name]]
    if "num_classes" in missing:
        reason = f"--model.conditional: the model {model.name} has no conditional form"
        raise ConfigError(reason, fields=("model.conditional", "model.auxiliary"))
    if missing:
        raise ConfigError(f"--model.name {model.name}: does not make data of shape {image_shape}")
    chosen = {field.name: getattr(model, field.name) for field in dataclasses.fields(model) if field.name not in _NOT_OPTIONS}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if config.loss.name in MULTICLASS:
        if "fake_class" not in known:
            reason = f"--loss.name {config.loss.name}: the model {model.name} has no logit of the fakes"
            raise ConfigError(reason, fields=("loss.name",), advice=f"use --model.name {', '.join(models_with('fake_class'))}")
        chosen["fake_class"] = True
    if config.precision == "bfloat16":
        if "dtype" not in known:
            raise ConfigError(f"--precision bfloat16: the model {model.name} computes in float32 only", fields=("precision",))
        chosen["dtype"] = "bfloat16"
    for name in chosen | model.options:
        if name not in known:
            path, word = (
                (f"model.{name}", flag(f"model.{name}")) if name in chosen else (f"model.options.{name}", f"--model.options {name}")
            )
            reason = f"{word}: the model {model.name} has no such option"
            raise ConfigError(reason, fields=(path,), advice=f"it has {', '.join(known)}")
    return {name: value for name, value in of_data.items() if name in known} | chosen | model.options
