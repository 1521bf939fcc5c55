"""Raw figures of the small timing scripts, kept in one file with the command that made them."""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import jax

from gan_jax.run_directory import cpu_model


def add_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --out."""
    parser.add_argument("--out", type=Path, help="a file of JSON lines to which the figures are added, e.g. docs/data/timings.jsonl")


def keep(figures: dict[str, Any], out: Path | None) -> None:
    """Adds a line to the file: the command without --out, the figures rounded to five digits, the machine; where --out was given."""
    if out is None:
        return
    words = sys.argv[1:]
    place = next(index for index, word in enumerate(words) if word.startswith("--out"))
    words = words[:place] + words[place + (1 if "=" in words[place] else 2) :]
    command = shlex.join(["python", f"experiments/{Path(sys.argv[0]).name}", *words])
    rounded = {name: float(f"{value:.5g}") if isinstance(value, float) else value for name, value in figures.items()}
    machine = {"cpu": cpu_model(), "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()}
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a") as file:
        file.write(json.dumps({"command": command, "figures": rounded, **machine, "jax": jax.__version__}) + "\n")
