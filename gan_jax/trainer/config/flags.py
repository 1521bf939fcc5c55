"""The words of the command line for what the library names: flags for arguments, and for the settings that the monitor advises."""

from typing import Any

from gan_jax._internal.checks import ArgumentError
from gan_jax.trainer.config.schema import Config
from gan_jax.trainer.config.validate import flag, flatten

# The field of an argument, if its name differs from the argument's.
_FIELDS = {"batch_size": "batch_size", "name": "data.source", "data_dir": "data.directory"}


def name_flag(error: ValueError, group: str, **typed: Any) -> str:
    """The message of a library error with the flag of its argument, e.g. `--data.split valid: mnist5k has train, test, all`.

    Args:
        error: An `ArgumentError`. The message of any other error is returned unchanged.
        group: Group of the configuration that the arguments belong to.
        typed: Values of arguments as the user typed them, if the library received other values.
    """
    if not isinstance(error, ArgumentError) or error.argument is None:
        return str(error)
    value = typed.get(error.argument, error.value)
    name = flag(_FIELDS.get(error.argument, f"{group}.{error.argument}"))
    return f"{name}{'' if value is None else f' {value}'}: {error.problem}"


def settings_as_flags(settings: str) -> str:
    """A line of flags for settings: `data.flip True penalty.r1 1` becomes `--data.flip --penalty.r1 1`."""
    fields, words, flags = flatten(Config()), iter(settings.split()), list[str]()
    for word in words:
        if isinstance(fields.get(word), bool):
            group, _, name = word.rpartition(".")
            flags.append(flag(word if next(words) == "True" else f"{group}.no_{name}".lstrip(".")))
        else:
            flags.append(flag(word) if word in fields else word)
    return " ".join(flags)
