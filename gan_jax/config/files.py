"""A configuration as plain data and as YAML, there and back without loss."""

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from gan_jax.config.checks import ConfigError, check, flag
from gan_jax.config.groups import Config


def to_dict(config: Any) -> dict[str, Any]:
    """Plain data: nested dicts of numbers, strings, lists, None."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, tuple):
            return list(value)
        return dict(value) if isinstance(value, dict) else value

    return plain(config)


Some = TypeVar("Some")


def from_dict(kind: type[Some], values: Any, prefix: str = "") -> Some:
    """The inverse of `to_dict`; raises ConfigError on unknown fields and on values of the wrong type."""
    if not isinstance(values, dict):
        raise ConfigError(f"{prefix or 'the configuration'} must be a mapping; got {values!r}")
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(map(str, values)) - set(hints))
    if unknown:
        raise ConfigError(f"the configuration has no field {prefix}{unknown[0]}")
    return kind(**{name: _typed(hints[name], value, f"{prefix}{name}") for name, value in values.items()})


def _typed(hint: Any, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value, f"{path}.")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _typed(next(a for a in arguments if a is not type(None)), value, path)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{flag(path)} {value!r}: must be one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple and isinstance(value, list | tuple) and len(value) == len(arguments):
        return tuple(_typed(a, v, path) for a, v in zip(arguments, value))
    if origin is dict and isinstance(value, dict):
        return dict(value)
    if hint is Path and isinstance(value, str | Path):
        return Path(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (int, bool, str) and type(value) is hint:
        return value
    raise ConfigError(f"{flag(path)} {value!r}: must be {getattr(hint, '__name__', hint)}")


def save_config(config: Config, path: Path) -> None:
    """Writes the configuration as YAML."""
    path.write_text(yaml.safe_dump(to_dict(config), sort_keys=False))


def load_config(path: Path) -> Config:
    """Reads a configuration written by `save_config`; raises ConfigError naming the file."""
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from error
    try:
        return check(from_dict(Config, values))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
