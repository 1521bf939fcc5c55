"""The short help of `gan-jax train RECIPE --help`: the flags that people use most, with the defaults of the recipe, on one screen."""

import shutil
import textwrap
import typing
from pathlib import Path
from typing import Any

from gan_jax.trainer.config import Config, flag, flatten, schema_fields

# Path of a field -> what it is, in a few words. --help-all has the sentences of the schema.
COMMON = {
    "seed": "Random seed",
    "steps": "Train steps",
    "epochs": "Passes over the data, instead of --steps",
    "batch_size": "Images of one update of D",
    "out": "Directory of the run, runs/RECIPE if none",
    "data.source": "Data: mnist5k, image_folder, hf:NAME, ring",
    "data.directory": "Folder, zip or .npz of your own images",
    "data.image_size": "Side of the images in pixels",
    "model.name": "Model",
    "model.width": "Base number of channels",
    "model.latent_dim": "Dimension of the latents",
    "loss.name": "Loss",
    "optimizer.generator_lr": "Learning rate of G and D",
    "optimizer.b1": "Adam's decay of the first moment",
    "penalty.r1": "Weight of R1, gamma / 2 of the paper",
    "update.name": "Update rule",
    "update.discriminator_steps": "Updates of D for each one of G",
    "augment.diff_augment": "For few images: color,translation,cutout",
    "evaluation.every": "Measure every N steps, keep the best",
    "monitor.on_failure": "What a certain failure does",
}
METAVARS = {int: "INT", float: "FLOAT", str: "NAME", Path: "PATH"}
COLUMN = 35  # Where the texts begin.


def metavar(kind: Any) -> str:
    """Returns the placeholder of a value."""
    return next((METAVARS[part] for part in (kind, *typing.get_args(kind)) if part in METAVARS), "NAME")


def short_help(config: Config, usage: str, name: str) -> str:
    """Returns the text of `--help`. In a terminal of 80 columns it has at most 39 lines.

    Args:
        config: Defaults of the flags.
        usage: First line of the help.
        name: The words after `gan-jax train`.
    """
    width = min(shutil.get_terminal_size((120, 40)).columns, 120)
    values, lines = flatten(config), textwrap.wrap(usage, width, subsequent_indent="    ")
    for path, text in COMMON.items():
        field = schema_fields()[path]
        names = ["--lr"] if path == "optimizer.generator_lr" else [*field.aliases[:1], flag(path)]
        choices = f": {', '.join(field.choices)}" if field.choices else ""
        head = f"  {min(names, key=len)} {metavar(field.kind)}"
        default = "none" if values[path] in (None, "") else values[path]
        lines += textwrap.wrap(f"{head:{COLUMN}}{text}{choices} ({default})", width, subsequent_indent=" " * COLUMN)
    return "\n".join([*lines, f"gan-jax train {name} --help-all shows every flag."])
