"""Converts a configuration to plain data and to YAML, and back without loss."""

import dataclasses
import reprlib
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from gan_jax._internal.checks import one_line
from gan_jax._internal.files import open_regular, write_text
from gan_jax.trainer.config.fields import flag
from gan_jax.trainer.config.schema import Config
from gan_jax.trainer.config.validate import ConfigError, check


def to_dict(config: Any) -> dict[str, Any]:
    """Returns the configuration as nested dicts of numbers, strings, lists and None."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, tuple):
            return list(value)
        return dict(value) if isinstance(value, dict) else value

    return plain(config)


Group = TypeVar("Group")
MAX_BYTES = 2**16  # Larger files are not read. A configuration has about 6 kB, and PyYAML reads 100 kB a second.
MAX_DEPTH = 32


class _TooDeep(Exception):
    """A YAML file is nested more than `MAX_DEPTH` levels deep."""


class _Loader(yaml.SafeLoader):
    """Loads plain values. PyYAML recurses for each level, which takes seconds for a small file that is nested deeply."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _TooDeep
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def short_repr(value: Any) -> str:
    """Returns a value as one short line for a message, even if it is large or nested deeply."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python does not print integers of more than 4300 digits.
        return "a number of thousands of digits"


def from_dict(kind: type[Group], values: Any, prefix: str = "") -> Group:
    """Builds a group of fields from plain data. The inverse of `to_dict`.

    Args:
        kind: The dataclass to build.
        values: The plain data.
        prefix: Path of the group for messages, such as "data.".

    Raises:
        ConfigError: A field is unknown, or a value has the wrong type.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{prefix.rstrip('.') or 'the configuration'} must be a mapping; got {short_repr(values)}")
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
        if not isinstance(value, str) or value not in arguments:
            raise ConfigError(f"{flag(path)} {short_repr(value)}: must be one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple and isinstance(value, list | tuple) and len(value) == len(arguments):
        return tuple(_typed(a, v, path) for a, v in zip(arguments, value))
    if origin is tuple and arguments[1:] == (...,) and isinstance(value, list | tuple):
        return tuple(_typed(arguments[0], item, path) for item in value)
    if origin is dict and isinstance(value, dict):
        for name, option in value.items():
            if not isinstance(name, str) or not isinstance(option, int | float | str | bool) or option != option:
                raise ConfigError(
                    f"{flag(path)} {short_repr(name)} {short_repr(option)}: must be a name with a number, a word, true or false"
                )
        return dict(value)
    if hint is Path and isinstance(value, str | Path) and "\0" not in str(value):
        return Path(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        return float(value)
    if hint in (int, bool, str) and type(value) is hint and not (hint is int and abs(value) >= 2**64):
        return value
    raise ConfigError(f"{flag(path)} {short_repr(value)}: must be {_KINDS.get(hint, 'of another type')}")


_KINDS = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a word", Path: "a path"}


def save_config(config: Config, path: Path) -> None:
    """Writes the configuration as YAML. The write is atomic."""
    write_text(path, yaml.safe_dump(to_dict(config), sort_keys=False))


def load_config(path: Path) -> Config:
    """Reads a configuration that `save_config` wrote.

    Raises:
        ConfigError: The file cannot be read or holds no valid configuration. The message names the file.
    """
    try:
        with open_regular(path) as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes, so not a configuration")
        values = yaml.load(content.decode(), Loader=_Loader)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ConfigError:
        raise
    except (_TooDeep, RecursionError):
        raise ConfigError(f"{path}: not a configuration: nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:  # PyYAML raises them for damaged scalars
        raise ConfigError(f"{path}: not a YAML file: {one_line(error, limit=300)}") from error
    try:
        return check(from_dict(Config, values))
    except ConfigError as error:
        raise ConfigError(f"{path}: {one_line(error, limit=500)}") from error
