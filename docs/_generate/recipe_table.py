"""The figures of docs/recipes.md: rows from the directories of finished runs, and tables from rows.

    python -m docs._generate.recipe_table runs/cgan runs/cgan-2 --out docs/data/recipes.jsonl    adds one row per run
    make docs-data                                                                               writes the tables of the page

A row has the recipe, the seed, the flags that differ from the recipe, the time, and the figures of `metrics.json` for samples and for
held-out real images. Runs that differ only in the seed share one line of the table: mean ± sample standard deviation.
"""

import ast
import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tyro

import gan_jax.recipes
from docs._generate.tables import mean_and_deviation, table
from experiments.rows import append_rows
from experiments.studies import mixtures
from experiments.studies.ablations.tricks import as_flags
from gan_jax.cli.errors import errors_as_lines
from gan_jax.cli.parsing import parse_flags
from gan_jax.recipes import recipes
from gan_jax.trainer.config import CHANGEABLE_ON_RESUME, ConfigError, load_config
from gan_jax.trainer.run_directory import read_json, read_record
from gan_jax.trainer.setup import with_steps

Row = dict[str, Any]

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
    """What to read and where to write."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Directories of finished runs."""
    out: Path | None = None
    """File of JSON lines to which the rows are added. Without it they are only printed."""


def row_of(run: Path) -> Row:
    """The row of a finished run.

    Raises:
        ConfigError: There is no run in this directory, or it has not finished.
    """
    if not (run / "config.yaml").is_file():
        raise ConfigError(f"{run}: no run in this directory (it has no config.yaml)")
    record, config = read_record(run), load_config(run / "config.yaml")
    if record.get("status") != "finished":
        raise ConfigError(f"{run}: its status is {record.get('status')}; only finished runs have rows")
    base = recipes()[config.recipe][1]
    length = with_steps(base, record["data"]["examples"])
    changed = mixtures.changes(config, dataclasses.replace(base, recipe=config.recipe, steps=length, epochs=config.epochs))
    # Fields that do not change the weights are left out, e.g. the interval of checkpoints and the metrics.
    ignored = tuple(name for name in CHANGEABLE_ON_RESUME if name != "steps")
    changed = {path: value for path, value in changed.items() if not f"{path}.".startswith(tuple(f"{name}." for name in ignored))}
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
        **{name: record.get(name) for name in ("devices", "commit", "code")},
        "versions": {name: record["versions"][name] for name in ("python", "jax")},
    }


def grouped(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of each configuration, in the order of their first rows. The last row of each seed counts."""
    found: dict[tuple[str, str], dict[int, Row]] = {}
    for row in rows:
        found.setdefault((row["recipe"], json.dumps(row["changes"], sort_keys=True)), {})[row["seed"]] = row
    return [[by_seed[seed] for seed in sorted(by_seed)] for by_seed in found.values()]


def label(row: Row, chosen: Sequence[Sequence[Row]]) -> str:
    """The recipe, and the flags that tell this configuration from the others of the recipe. The steps have a column of their own."""
    others = [rows[0]["changes"] for rows in chosen if rows[0]["recipe"] == row["recipe"]]
    own = {path: value for path, value in row["changes"].items() if path != "steps" and any(path not in each for each in others)}
    return f"`{row['recipe']}`" + (f" `{as_flags(own)}`" if own else "")


def recipe_table(
    chosen: Sequence[Sequence[Row]],
    columns: dict[str, tuple[str, float, int]],
    *,
    beside: bool = False,
    others: Sequence[Sequence[Row]] = (),
) -> str:
    """One line per configuration. Real images have a line of their own, or stand `beside` each figure if the data differ.

    `others` are the configurations of other tables, from which the flags in a label distinguish a line, too.
    """
    heads = ["recipe", "seeds", "steps", "processor", "its time, s", *(heading for heading, _, _ in columns.values())]
    lines: list[list[str]] = []
    real = {name: value for rows in chosen for row in rows for name, value in row["real"].items()}
    if real and not beside:
        cells = [f"{factor * real[name]:.{digits}f}" if name in real else "" for name, (_, factor, digits) in columns.items()]
        lines.append(["real images, held out", "", "", "", "", *cells])
    for rows in chosen:
        cells = [label(rows[0], [*chosen, *others]), ", ".join(str(row["seed"]) for row in rows), f"{rows[0]['steps']:,}"]
        # The time is the mean over the runs on the processor of the first seed.
        times = [row["processor_seconds"] for row in rows if row["cpu"] == rows[0]["cpu"]]
        cells += [rows[0]["cpu"], mean_and_deviation(times, 0).partition(" ")[0]]
        for name, (_, factor, digits) in columns.items():
            values = [factor * row["metrics"][name] for row in rows if name in row["metrics"]]
            of_real = f" (real: {factor * rows[0]['real'][name]:.{digits}f})" if beside and name in rows[0]["real"] else ""
            cells.append(mean_and_deviation(values, digits) + of_real)
        lines.append(cells)
    return table(heads, lines)


def default_recipe(rows: Sequence[Row]) -> str:
    """What the default recipe reaches at its own length, in words, for the README."""
    (group,) = [group for group in grouped(rows) if group[0]["recipe"] == "dcgan_mnist" and not group[0]["changes"]]
    reached = mean_and_deviation([row["metrics"]["classifier_fd"] for row in group], 1)
    seeds = f"{len(group)} seeds" if len(group) > 1 else "one seed"
    return f"{reached} over {seeds}, where held-out real digits have {group[0]['real']['classifier_fd']:.1f}"


def search_table(rows: Sequence[Row]) -> str:
    """The runs by which the default recipe was chosen, with the flags that were added to its former settings. The best comes last."""
    lines = []
    for row in sorted(rows, key=lambda row: -row["metrics"]["classifier_fd"]):
        measured = row["metrics"]
        cells = [f"`{row['flags']}`" if row["flags"] else "none", row["seed"], f"{row['processor_seconds']:.0f}"]
        cells += [f"{factor * measured[name]:.{digits}f}" for name, (_, factor, digits) in DIGITS.items()]
        lines.append(cells)
    return table(["added flags", "seed", "its time, s", *(heading for heading, _, _ in DIGITS.values())], lines)


def parts(rows: Sequence[Row], search: Sequence[Row] = ()) -> dict[str, Callable[[], str]]:
    """The generated parts of docs/recipes.md: name -> function that returns the text.

    Args:
        rows: Rows of docs/data/recipes.jsonl.
        search: Rows of docs/data/default_search.jsonl.
    """
    groups = grouped(rows)
    digits = [group for group in groups if "classifier_fd" in group[0]["metrics"]]
    pixels = [group for group in groups if "classifier_fd" not in group[0]["metrics"]]
    return {
        "own length": lambda: recipe_table([group for group in digits if not group[0]["changes"]], DIGITS, others=digits),
        "shorter": lambda: recipe_table([group for group in digits if group[0]["changes"]], DIGITS, others=digits),
        "pixels": lambda: recipe_table(pixels, PIXELS, beside=True),
        "papers": paper_table,
        "default search": lambda: search_table(search),
    }


def fields_of(docstring: str) -> dict[str, str]:
    """The named lines at the end of a recipe's docstring (Takes, Reaches, Paper, Differs), each with its continuation lines."""
    found = re.split(r"^(Takes|Reaches|Paper|Differs):", docstring, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in zip(found[1::2], found[2::2], strict=True)}


def paper_table() -> str:
    """The figures of the papers and the differences of each recipe, from the docstrings of the recipes.

    Raises:
        ConfigError: A recipe has no such docstring.
    """
    lines = []
    for path in sorted(Path(gan_jax.recipes.__file__).parent.glob("[a-z]*.py")):
        fields = fields_of(ast.get_docstring(ast.parse(path.read_text())) or "")
        if not {"Paper", "Differs"} <= fields.keys():
            raise ConfigError(f"{path}: its docstring needs the lines Paper: and Differs:")
        lines.append([f"`{path.stem}`", fields["Paper"], fields["Differs"]])
    return table(["recipe", "the paper's figure", "the recipe differs by"], lines)


def main() -> None:
    """Reads the flags and makes the rows."""
    flags = parse_flags(Flags, __doc__)
    with errors_as_lines():
        rows = [row_of(run) for run in flags.runs]
        for row in rows:
            command = f"gan-jax train {row['recipe']} --seed {row['seed']} {as_flags(row['changes'])}"
            print(command.strip(), json.dumps(row["metrics"]), sep="\n")
        if flags.out is not None:
            append_rows(flags.out, rows)


if __name__ == "__main__":
    main()
