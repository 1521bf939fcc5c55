"""Which tricks help? Each switched on alone, against the same baseline without it, from the same seeds; and ten of them together.

    python -m experiments.studies.ablations.ablate --list                                   the comparisons, and what is not compared, and why
    python -m experiments.studies.ablations.ablate --group mixture                          every trick on the ring and the grid of Gaussians
    python -m experiments.studies.ablations.ablate --group images --only gp-2 loss-6        these on the embedded digits
    python -m experiments.studies.ablations.ablate --group interactions                     128 combinations of ten tricks on both mixtures
    python -m experiments.studies.ablations.ablate --group costs                            time of a step with and without each trick, in turn
    python -m experiments.studies.ablations.ablate --write                                  docs/evidence.md, its picture, the cells of docs/tricks.md

Can be stopped at any moment: what is finished is in the file of results (docs/data/ablations.jsonl), one line for each run, and is
not played again. Two comparisons that share a control share its runs.

Baselines: Adam, the non-saturating loss, alternating steps; on the mixtures perceptrons, 3,000 steps of 128 points; on the embedded digits
a DCGAN of width 16, 600 steps of 64 images. Outcomes: modes, share of high quality, reverse KL, and `recovered` (their combination,
`ablations.baselines.recovered`) of 2,500 points; `classifier_fd` and classes of 1,000 images.
"""

import dataclasses
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

sys.path.insert(0, str(Path(__file__).parent))

import tyro

from experiments.studies import mixtures
from experiments.studies.ablations import baselines, factors, page, results
from experiments.studies.ablations.tricks import GROUPS, NOT_COMPARED_HERE, NOT_SWITCHED, Changes, as_flags, tricks
from gan_jax.cli import common

DOCS = Path(__file__).parents[3] / "docs"


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to play, and what to write."""

    group: Literal["all", "mixture", "images", "interactions", "costs"] = "all"
    """Which comparisons; `all` plays them in this order."""
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ID ...")] = ()
    """Only rows of docs/tricks.md with these ids."""
    data: tuple[Literal["ring", "grid", "mnist5k"], ...] = ("ring", "grid", "mnist5k")
    """Only on these data."""
    seeds: int | None = None
    """Seeds of each run, from 0 on; by default 8 on mixtures (4 for interactions), 3 on images."""
    minutes: float | None = None
    """Begin nothing new after so many minutes."""
    devices: int = 1
    """CPU devices that share the runs of a mixture, where their number can be divided so; 2 are quicker on an idle machine of 2 cores."""
    out: Path = DOCS / "data" / "ablations.jsonl"
    """The file of results."""
    list: bool = False
    """Only print what would be compared."""
    write: bool = False
    """Only write the page, the picture and the index from the file of results."""


@dataclasses.dataclass(frozen=True)
class Unit:
    """One game on one source of data, from several seeds."""

    data: str
    changes: Changes
    seeds: int


def single_units(flags: Flags, group: str) -> Iterator[Unit]:
    """The baseline and the two sides of every comparison of a group."""
    seeds = flags.seeds or baselines.SEEDS[group]
    for data in GROUPS[group]:
        yield Unit(data, {}, seeds)
        for row in tricks(group, flags.only):
            yield Unit(data, row.off, seeds)
            yield Unit(data, row.on, seeds)


def interaction_units(flags: Flags) -> Iterator[Unit]:
    """Every combination of the design, row by row so that the two mixtures keep pace."""
    for levels in factors.design():
        for data in GROUPS["mixture"]:
            yield Unit(data, factors.changes_of(levels), flags.seeds or 4)


def units(flags: Flags) -> list[Unit]:
    """What the flags ask for, each game once."""
    parts = []
    for group in GROUPS:
        parts += [single_units(flags, group)] * (flags.group in ("all", group))
    parts += [interaction_units(flags)] * (flags.group in ("all", "interactions"))
    found: dict[tuple, Unit] = {}
    for unit in itertools.chain(*parts):
        if unit.data in flags.data:
            found.setdefault((*results.key(unit.data, unit.changes), unit.seeds), unit)
    return list(found.values())


def play_units(flags: Flags, stop_at: float) -> None:
    """Plays what the file of results does not have yet, and adds it there."""
    import jax

    wanted = units(flags)
    for number, unit in enumerate(wanted, 1):
        base = baselines.baseline(unit.data)
        name = baselines.digest(base)
        done = {row["seed"] for row in results.runs(flags.out).get(results.key(unit.data, unit.changes), []) if row["baseline"] == name}
        missing = [seed for seed in range(unit.seeds) if seed not in done]
        if not missing:
            continue
        if time.monotonic() > stop_at:
            print(f"stopped before {number} of {len(wanted)}", file=sys.stderr)
            return
        print(f"{number}/{len(wanted)} {unit.data}: {as_flags(unit.changes) or 'the baseline'}", file=sys.stderr, flush=True)
        about = {"kind": "run", "data": unit.data, "changes": unit.changes, "baseline": name, "steps": base.steps}
        for row in baselines.play(baselines.changed(base, unit.changes), missing, devices=flags.devices):
            mixtures.append_rows(flags.out, [about | row | {"jax": jax.__version__}])
        jax.clear_caches()


def time_games(flags: Flags, stop_at: float) -> None:
    """Times every game that has not been timed, in turn with the baseline: points on the ring (the grid's step is the same), and images."""
    import jax

    from experiments.studies.ablations import costs

    for group, data in results.TIMED.items():
        base = baselines.digest(baselines.baseline(data))
        for unit in {results.key(data, unit.changes): unit for unit in single_units(flags, group)}.values():
            if data not in flags.data or not unit.changes or results.key(data, unit.changes) in results.costs(flags.out):
                continue
            if time.monotonic() > stop_at:
                return
            print(f"time on {data}: {as_flags(unit.changes)}", file=sys.stderr, flush=True)
            about = {"kind": "cost", "data": data, "changes": unit.changes, "baseline": base}
            mixtures.append_rows(flags.out, [about | costs.measure(data, unit.changes) | {"jax": jax.__version__}])
            jax.clear_caches()


def listing(flags: Flags) -> str:
    """The comparisons as text, and what is left out."""
    lines = []
    for row in tricks(flags.group if flags.group in GROUPS else "all", flags.only):
        against = f"   against {as_flags(row.off) or 'the baseline'}" if row.off else ""
        lines.append(f"{row.id:9} {'+'.join(row.where):15} {row.name}: {as_flags(row.on) or 'the baseline'}{against}")
    lines += ["", "not compared:"]
    lines += [f"{id:9} {reason}" for id, reason in (NOT_SWITCHED | NOT_COMPARED_HERE).items() if not flags.only or id in flags.only]
    return "\n".join(lines)


def main() -> None:
    """Reads the flags; plays, times, or writes."""
    flags = common.parse(lambda: tyro.cli(Flags, description=__doc__))
    with common.errors_as_lines():
        from gan_jax.distributed import simulate_devices
        from gan_jax.trainer.config import ConfigError

        simulate_devices(flags.devices)
        known: dict[str, Any] = {row.id: row for row in tricks()} | NOT_SWITCHED
        for id in flags.only:
            if id not in known:
                raise ConfigError(f"--only {id}: no such row in docs/tricks.md")
        if (flags.seeds is not None and flags.seeds < 1) or flags.devices < 1:
            raise ConfigError(f"--seeds {flags.seeds}, --devices {flags.devices}: must be at least 1")
        if flags.list:
            print(listing(flags))
            return
        if flags.write:
            page.write(flags.out, DOCS)
            return
        common.compilation_cache(None)
        stop_at = time.monotonic() + 60 * flags.minutes if flags.minutes is not None else float("inf")
        if flags.group != "costs":
            play_units(flags, stop_at)
        if flags.group in ("all", "costs"):
            time_games(flags, stop_at)


if __name__ == "__main__":
    main()
