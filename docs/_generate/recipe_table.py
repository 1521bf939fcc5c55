"""The figures of docs/recipes.md: rows from the directories of finished runs, and tables from rows.

    python -m docs._generate.recipe_table runs/cgan runs/cgan-2 --out docs/data/recipes.jsonl    adds a row for each run
    python -m docs._generate.recipe_table --table docs/data/recipes.jsonl                        the tables, as Markdown
    python -m docs._generate.recipe_table --table docs/data/recipes.jsonl --write                puts them into docs/recipes.md

A row says what was played (recipe, seed, the flags in which it differs from the recipe), what it took, and what `metrics.json` says of
samples and of held-out real images. Runs that differ in nothing but the seed make one line: mean ± sample standard deviation.
"""

import ast
import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

from experiments.studies import mixtures
from experiments.studies.ablations.tricks import as_flags
from gan_jax.cli import common
from gan_jax.recipes import recipes

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
BEGINS, ENDS = "<!-- written by docs/_generate/recipe_table.py: {} -->", "<!-- until here -->"

# Metric -> (heading, factor, digits).
DIGITS = {
    "classifier_fd": ("`classifier_fd`", 1, 1),
    "precision": ("precision", 1, 2),
    "recall": ("recall", 1, 2),
    "confident_share": ("confident, %", 100, 0),
    "rarest_class_share": ("rarest class, %", 100, 1),
}
PIXELS = {"sliced_wasserstein": ("sliced Wasserstein", 1, 1), "ms_ssim": ("MS-SSIM", 1, 3)}


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to read, and what to write."""

    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Directories of finished runs."""
    out: Path | None = None
    """The file of JSON lines to which the rows are added; without it they are only printed."""
    table: Path | None = None
    """The file of rows to make tables of."""
    write: bool = False
    """Put the tables into docs/recipes.md, between their marks."""


def row_of(run: Path) -> dict[str, Any]:
    """The row of a finished run."""
    from gan_jax.trainer.config import CHANGEABLE_ON_RESUME, ConfigError, load_config
    from gan_jax.trainer.run_directory import read_json, read_record
    from gan_jax.trainer.setup import with_steps

    if not (run / "config.yaml").is_file():
        raise ConfigError(f"{run}: no run there (it has no config.yaml)")
    record, config = read_record(run), load_config(run / "config.yaml")
    if record.get("status") != "finished":
        raise ConfigError(f"{run}: its status is {record.get('status')}; rows are made of finished runs")
    base = recipes()[config.recipe][1]
    length = with_steps(base, record["data"]["examples"])
    changed = mixtures.changes(config, dataclasses.replace(base, recipe=config.recipe, steps=length, epochs=config.epochs))
    # What does not decide the weights is left out: how often is saved, what is measured.
    aside = tuple(name for name in CHANGEABLE_ON_RESUME if name != "steps")
    changed = {path: value for path, value in changed.items() if not f"{path}.".startswith(tuple(f"{name}." for name in aside))}
    changed = {path: str(value) if isinstance(value, Path) else value for path, value in changed.items()}
    changed |= {"steps": record["step"]} if config.epochs and record["step"] != length else {}
    if record["step"] == length:
        changed.pop("steps", None)
    measured = read_json(run / "metrics.json")
    return {
        "recipe": config.recipe,
        "seed": config.seed,
        "changes": changed,
        "steps": record["step"],
        "seconds": record["seconds"],
        "processor_seconds": record.get("processor_seconds"),
        "metrics": {each["metric"]: round(each["value"], 5) for each in measured},
        "real": {each["metric"]: round(each["real"], 5) for each in measured if each["real"] is not None},
        "cpu": record["cpu"],
        "cpus_allowed": record["cpus_allowed"],
        "versions": {name: record["versions"][name] for name in ("python", "jax")},
    }


def games(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The rows by what was played, each seed once (its last row), in the order of their first rows."""
    found: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["recipe"], json.dumps(row["changes"], sort_keys=True)), {})[row["seed"]] = row
    return [[of[seed] for seed in sorted(of)] for of in found.values()]


def label(row: dict[str, Any], chosen: Sequence[Sequence[dict[str, Any]]]) -> str:
    """The recipe, and the flags in which this game of it differs from the others in the table; the steps have a column."""
    others = [rows[0]["changes"] for rows in chosen if rows[0]["recipe"] == row["recipe"]]
    own = {path: value for path, value in row["changes"].items() if path != "steps" and any(path not in each for each in others)}
    return f"`{row['recipe']}`" + (f" `{as_flags(own)}`" if own else "")


def table(chosen: Sequence[Sequence[dict[str, Any]]], columns: dict[str, tuple[str, float, int]], *, beside: bool = False) -> str:
    """One line for each game; the same figure of real images in a line of its own, or beside each, where games have different data."""
    heads = ["recipe", "seeds", "steps", "processor", "its time, s", *(heading for heading, _, _ in columns.values())]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    real = {name: value for rows in chosen for row in rows for name, value in row["real"].items()}
    if real and not beside:
        cells = [f"{factor * real[name]:.{digits}f}" if name in real else "" for name, (_, factor, digits) in columns.items()]
        lines.append(f"| real images, held out | | | | | {' | '.join(cells)} |")
    for rows in chosen:
        cells = [label(rows[0], chosen), ", ".join(str(row["seed"]) for row in rows), f"{rows[0]['steps']:,}"]
        # Times of another processor than the first seed's say nothing of it.
        times = [row["processor_seconds"] for row in rows if row["cpu"] == rows[0]["cpu"]]
        cells += [rows[0]["cpu"], mixtures.mean_and_deviation(times, 0).partition(" ")[0]]
        for name, (_, factor, digits) in columns.items():
            values = [factor * row["metrics"][name] for row in rows if name in row["metrics"]]
            of_real = f" (real: {factor * rows[0]['real'][name]:.{digits}f})" if beside and name in rows[0]["real"] else ""
            cells.append(mixtures.mean_and_deviation(values, digits) + of_real)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def tables(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Name -> table: digits at the recipes' own length, digits otherwise, what is measured in pixels, and what the papers say."""
    of_digits = [spec for spec in games(rows) if "classifier_fd" in spec[0]["metrics"]]
    return {
        "own length": table([spec for spec in of_digits if not spec[0]["changes"]], DIGITS),
        "shorter": table([spec for spec in of_digits if spec[0]["changes"]], DIGITS),
        "pixels": table([spec for spec in games(rows) if "classifier_fd" not in spec[0]["metrics"]], PIXELS, beside=True),
        "papers": paper_table(),
    }


def fields_of(docstring: str) -> dict[str, str]:
    """The named lines at the end of a recipe's docstring (Takes, Reaches, Paper, Differs), each with what continues it."""
    found = re.split(r"^(Takes|Reaches|Paper|Differs):", docstring, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in zip(found[1::2], found[2::2], strict=True)}


def paper_table() -> str:
    """What the papers report, and how each recipe differs, from the docstrings of the recipes."""
    from gan_jax.trainer.config import ConfigError

    lines = ["| recipe | the paper's figure | the recipe differs by |", "|---|---|---|"]
    for path in sorted(common.RECIPES.glob("[a-z]*.py")):
        fields = fields_of(ast.get_docstring(ast.parse(path.read_text())) or "")
        if not {"Paper", "Differs"} <= fields.keys():
            raise ConfigError(f"{path}: its docstring wants the lines Paper: and Differs:")
        lines.append(f"| `{path.stem}` | {fields['Paper']} | {fields['Differs']} |")
    return "\n".join(lines)


def filled(text: str, found: dict[str, str]) -> str:
    """The page with each table between its marks."""
    from gan_jax.trainer.config import ConfigError

    for name, lines in found.items():
        before, mark, rest = text.partition(BEGINS.format(name))
        _, end, after = rest.partition(ENDS)
        if not mark or not end:
            raise ConfigError(f"{PAGE}: has no place for the table of {name}: {BEGINS.format(name)} ... {ENDS}")
        text = f"{before}{mark}\n{lines}\n{end}{after}"
    return text


def main() -> None:
    """Reads the flags; makes rows, or tables."""
    flags = common.parse(lambda: tyro.cli(Flags, description=__doc__))
    with common.errors_as_lines():
        from gan_jax.trainer.config import ConfigError

        if bool(flags.runs) == (flags.table is not None):
            raise ConfigError("name directories of runs, or a file with --table; see --help")
        if flags.write and flags.table is None:
            raise ConfigError("--write: needs the file of rows, --table docs/data/recipes.jsonl")
        rows = [row_of(run) for run in flags.runs]
        for row in rows:
            command = f"python experiments/train.py {row['recipe']} --seed {row['seed']} {as_flags(row['changes'])}"
            print(command.strip(), json.dumps(row["metrics"]), sep="\n")
        if flags.out is not None:
            mixtures.append_rows(flags.out, rows)
        if flags.table is not None:
            found = tables(mixtures.read_rows(common.existing("--table", flags.table)))
            print("\n\n".join(f"{name}\n\n{lines}" for name, lines in found.items()))
            if flags.write:
                PAGE.write_text(filled(PAGE.read_text(), found))


if __name__ == "__main__":
    main()
