"""Raw figures of the small timing scripts, kept in one file with the command that made them."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import jax

from gan_jax.cli import common
from gan_jax.trainer.environment import cpu_model, cpus_allowed


def add_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --out."""
    parser.add_argument("--out", type=Path, help="a file of JSON lines to which the figures are added, e.g. docs/data/timings.jsonl")


def command() -> str:
    """The command that runs, without --out."""
    words = sys.argv[1:]
    for place, word in enumerate(words):
        if word.partition("=")[0] == "--out":
            del words[place : place + (1 if "=" in word else 2)]
            break
    return shlex.join(["python", f"experiments/{Path(sys.argv[0]).name}", *words])


def keep(figures: dict[str, Any], out: Path | None) -> None:
    """Adds a line to the file: the command without --out, the figures rounded to five digits, the machine; where --out was given."""
    if out is None:
        return
    rounded = {name: float(f"{value:.5g}") if isinstance(value, float) else value for name, value in figures.items()}
    machine = {"cpu": cpu_model(), "cpus": cpus_allowed()}
    common.append_rows(out, [{"command": command(), "figures": rounded, **machine, "jax": jax.__version__}])
