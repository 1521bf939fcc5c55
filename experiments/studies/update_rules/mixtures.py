"""Every update rule and its options on the ring and the grid of Gaussians, in the short protocol.

    python -m experiments.studies.update_rules.mixtures           trains the rows that docs/data/strategies.jsonl lacks, prints the table
    python -m experiments.studies.update_rules.mixtures --table   prints the table of the rows in the file

Every row has the same four seeds. Rows in the file are not trained again, so the program can be stopped and started again.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any, Literal

from experiments.rows import append_rows, command_of, origin, read_rows
from experiments.studies import mixtures
from experiments.studies.update_rules.variants import ROWS
from gan_jax.cli.compilation_cache import use_compilation_cache
from gan_jax.cli.errors import errors_as_lines
from gan_jax.cli.parsing import parse_flags

OUT = Path(__file__).parents[3] / "docs" / "data" / "strategies.jsonl"


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to train."""

    seeds: int = 4
    """Number of seeds of each row, from 0 on."""
    devices: int = 2
    """CPU devices that share the runs."""
    out: Path = OUT
    """The file of results."""
    data: Literal["ring", "grid", "both"] = "both"
    """The mixture."""
    only: str = ""
    """Train only rows whose name contains this."""
    table: bool = False
    """Only print the table."""


def done(flags: Flags) -> set[tuple[str, str]]:
    """The rows that the file of results has."""
    return {(row["data"], row["name"]) for row in read_rows(flags.out)}


def train_missing(flags: Flags) -> None:
    """Trains every row that the file of results lacks."""
    command = command_of("experiments.studies.update_rules.mixtures")
    came_from = origin(command, devices=flags.devices, form="vmap", runs=flags.seeds)
    for data in mixtures.DATA if flags.data == "both" else (flags.data,):
        for name, changed in ROWS.items():
            if (data, name) in done(flags) or flags.only not in name:
                continue
            base = mixtures.protocol_config("short", data)
            config = mixtures.check(mixtures.replaced(base, changed))
            print(f"{data}: {name}", file=sys.stderr, flush=True)
            results = mixtures.train_seeds(config, range(flags.seeds), devices=flags.devices)
            if (data, name) in done(flags):  # another process trained it meanwhile
                continue
            append_rows(flags.out, mixtures.rows_of(config, base, "short", name, results, came_from))


def table(rows: list[dict[str, Any]]) -> str:
    """The table of docs/update_rules.md, in the order of `ROWS`."""
    order = list(ROWS)
    known = [row for row in rows if row["name"] in order]
    return mixtures.result_table(sorted(known, key=lambda row: (mixtures.DATA.index(row["data"]), order.index(row["name"]))), times=False)


def main() -> None:
    """Reads the flags, trains, and prints the table."""

    flags = parse_flags(Flags, __doc__)
    with errors_as_lines():
        from gan_jax.distributed import simulate_devices

        simulate_devices(flags.devices)
        if not flags.table:
            use_compilation_cache()
            train_missing(flags)
        print(table(read_rows(flags.out)))


if __name__ == "__main__":
    main()
