"""Every way of playing on the ring and the grid of Gaussians, in the short protocol: the table of docs/update_rules.md.

    python -m experiments.studies.update_rules.mixtures                 plays what is missing in docs/data/strategies.jsonl, prints the table
    python -m experiments.studies.update_rules.mixtures --table         the table of what is there

Four seeds, the same for every row; rows that the file has are not played again, so it can be stopped and continued.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any, Literal

from experiments.studies import mixtures
from experiments.studies.update_rules.variants import ROWS
from gan_jax.cli import common

OUT = Path(__file__).parents[3] / "docs" / "data" / "strategies.jsonl"


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to play."""

    seeds: int = 4
    """Seeds of each row, from 0 on."""
    devices: int = 2
    """CPU devices that share the runs."""
    out: Path = OUT
    """The file of results."""
    data: Literal["ring", "grid", "both"] = "both"
    """The mixture."""
    only: str = ""
    """Play only rows whose name contains this."""
    table: bool = False
    """Only print the table."""


def done(flags: Flags) -> set[tuple[str, str]]:
    """What the file of results has."""
    return {(row["data"], row["name"]) for row in mixtures.read_rows(flags.out)}


def play_missing(flags: Flags) -> None:
    """Plays every row on both data sets, but for those that the file has."""
    for data in mixtures.DATA if flags.data == "both" else (flags.data,):
        for name, changed in ROWS.items():
            if (data, name) in done(flags) or flags.only not in name:
                continue
            base = mixtures.protocol_config("short", data)
            config = mixtures.check(mixtures.replaced(base, changed))
            print(f"{data}: {name}", file=sys.stderr, flush=True)
            results = mixtures.play_seeds(config, range(flags.seeds), devices=flags.devices)
            if (data, name) in done(flags):  # by another process, meanwhile
                continue
            mixtures.append_rows(flags.out, mixtures.rows_of(config, base, "short", name, results))


def table(rows: list[dict[str, Any]]) -> str:
    """The table of docs/update_rules.md, in the order of `ROWS`."""
    order = list(ROWS)
    known = [row for row in rows if row["name"] in order]
    return mixtures.table(sorted(known, key=lambda row: (mixtures.DATA.index(row["data"]), order.index(row["name"]))), times=False)


def main() -> None:
    """Reads the flags, plays, prints the table."""
    import tyro

    flags = common.parse(lambda: tyro.cli(Flags, description=__doc__))
    with common.errors_as_lines():
        from gan_jax.distributed import simulate_devices

        simulate_devices(flags.devices)
        if not flags.table:
            common.compilation_cache(None)
            play_missing(flags)
        print(table(mixtures.read_rows(flags.out)))


if __name__ == "__main__":
    main()
