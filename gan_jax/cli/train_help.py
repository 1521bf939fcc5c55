"""The short help of `gan-jax train RECIPE --help`: the flags that people use most, with the defaults of the recipe."""

import ast
import inspect
import itertools
import shutil
import textwrap
import typing
from pathlib import Path
from typing import Any

from gan_jax.trainer.config import Config, flag, flatten, schema_fields

COMMON = (
    *("seed", "steps", "epochs", "batch_size", "out", "data.source", "data.directory", "data.image_size"),
    *("model.name", "model.width", "model.latent_dim", "loss.name", "optimizer.generator_lr", "optimizer.b1"),
    *("penalty.r1", "update.name", "update.discriminator_steps", "augment.diff_augment", "evaluation.every", "monitor.on_failure"),
)
METAVARS = {int: "INT", float: "FLOAT", str: "NAME", Path: "PATH"}


def field_help(path: str) -> str:
    """Returns the help text of a field: the string below it in the schema."""
    group: Any = ast.parse(inspect.getsource(schema_fields()[path].group)).body[0]
    name = path.rpartition(".")[2]
    return next(
        " ".join(text.value.value.split())
        for field, text in itertools.pairwise(group.body)
        if isinstance(field, ast.AnnAssign) and getattr(field.target, "id", "") == name
    )


def metavar(kind: Any) -> str:
    """Returns the placeholder of a value."""
    return next((METAVARS[part] for part in (kind, *typing.get_args(kind)) if part in METAVARS), "NAME")


def short_help(config: Config, usage: str, name: str) -> str:
    """Returns the text of `--help`.

    Args:
        config: Defaults of the flags.
        usage: First lines of the help.
        name: The words after `gan-jax train`.
    """
    width = min(shutil.get_terminal_size((120, 40)).columns, 120)
    values, lines = flatten(config), [usage, ""]
    for path in COMMON:
        field = schema_fields()[path]
        names, text = [*field.aliases[:1], flag(path)], field_help(path)
        if path == "optimizer.generator_lr":
            names, text = ["--lr"], "Learning rate of G and D."
        short = min(names, key=len)
        choices = f" One of {', '.join(field.choices)}." if field.choices else ""
        lines += textwrap.wrap(
            f"{f'  {short} {metavar(field.kind)}':38}{text}{choices} (default: {'none' if values[path] in (None, '') else values[path]})",
            width,
            subsequent_indent=" " * 38,
        )
    return "\n".join([*lines, "", f"gan-jax train {name} --help-all shows every flag."])
