"""The fields of a configuration by dotted path, such as `data.image_size`, and what the schema says about each of them."""

import dataclasses
import functools
import typing
from typing import Annotated, Any, Literal, NamedTuple

from gan_jax.trainer.config.ranges import Range
from gan_jax.trainer.config.schema import Config


class Field(NamedTuple):
    """What the schema says about a field.

    Attributes:
        group: Dataclass that has the field.
        kind: Type of the field, without annotations.
        range: Allowed numbers, or None.
        choices: Allowed words, or ().
        aliases: Short flags, such as `--b1`.
    """

    group: type
    kind: Any
    range: Range | None
    choices: tuple[str, ...]
    aliases: tuple[str, ...]


@functools.cache
def schema_fields(group: type = Config, prefix: str = "") -> dict[str, Field]:
    """Returns all fields of a group and of the groups inside it, by dotted path."""
    found: dict[str, Field] = {}
    for name, hint in typing.get_type_hints(group, include_extras=True).items():
        kind, *notes = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
        if dataclasses.is_dataclass(kind):
            found |= schema_fields(typing.cast(type, kind), f"{prefix}{name}.")
            continue
        choices = [word for part in (kind, *typing.get_args(kind)) if typing.get_origin(part) is Literal for word in typing.get_args(part)]
        limit = next((note for note in notes if isinstance(note, Range)), None)
        aliases = next((note.aliases for note in notes if getattr(note, "aliases", None)), ())
        found[f"{prefix}{name}"] = Field(group, kind, limit, tuple(choices), tuple(aliases))
    return found


def flag(path: str) -> str:
    """Returns the flag of a field: `data.image_size` has `--data.image-size`."""
    return "--" + path.replace("_", "-")


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Returns the values of all fields by dotted path."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value, path = getattr(config, field.name), f"{prefix}{field.name}"
        found |= flatten(value, f"{path}.") if dataclasses.is_dataclass(value) else {path: value}
    return found


def replace_field(config: Any, path: str, value: Any) -> Any:
    """Returns the configuration with another value of the field at a dotted path."""
    group, _, rest = path.partition(".")
    return dataclasses.replace(config, **{group: replace_field(getattr(config, group), rest, value) if rest else value})
