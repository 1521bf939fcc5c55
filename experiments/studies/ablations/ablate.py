"""Which tricks help? Each one is switched on alone and compared with the same baseline without it, from the same seeds.

    python -m experiments.studies.ablations.ablate --list                   the comparisons, and the reasons of what is not compared
    python -m experiments.studies.ablations.ablate --group mixture          every trick on the ring and the grid of Gaussians
    python -m experiments.studies.ablations.ablate --group images --only gp-2 loss-6        two of them on the embedded digits
    python -m experiments.studies.ablations.ablate --group interactions     128 combinations of ten tricks on both mixtures
    python -m experiments.studies.ablations.ablate --group costs            time of a step with and without each trick
    make docs-data                                                          docs/evidence.md and the cells of docs/tricks.md

The program can be stopped at any time. Finished runs are in the file of results (docs/data/ablations.jsonl), one line each, and are not
trained again. Two comparisons with the same control share its runs.

The baselines use Adam, the non-saturating loss and alternating updates. On the mixtures they are perceptrons with 3,000 steps of 128
points. On the embedded digits they are a DCGAN of width 16 with 600 steps of 64 images. The outcomes on mixtures are modes, share of
high quality, reverse KL, and `recovered` (their combination, `ablations.baselines.recovered`) of 2,500 points. On images they are
`classifier_fd` and classes of 1,000 images.
"""

import dataclasses
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from experiments.rows import append_rows, command_of, origin
from experiments.studies.ablations import baselines, factors, results
from experiments.studies.ablations.tricks import GROUPS, NOT_COMPARED_HERE, NOT_SWITCHED, Changes, as_flags, tricks
from gan_jax.cli.compilation_cache import use_compilation_cache
from gan_jax.cli.errors import errors_as_lines
from gan_jax.cli.parsing import parse_flags

OUT = Path(__file__).parents[3] / "docs" / "data" / "ablations.jsonl"


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to measure."""

    group: Literal["all", "mixture", "images", "interactions", "costs"] = "all"
    """Which comparisons. `all` measures them in this order."""
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ID ...")] = ()
    """Measure only rows of docs/tricks.md with these ids."""
    data: tuple[Literal["ring", "grid", "mnist5k"], ...] = ("ring", "grid", "mnist5k")
    """Measure only on these data."""
    seeds: int | None = None
    """Number of seeds of each run, from 0 on. The default is 8 on mixtures (4 for interactions) and 3 on images."""
    minutes: float | None = None
    """Start no further run after this many minutes."""
    devices: int = 1
    """CPU devices that share the runs of a mixture, if the number of runs is a multiple. 2 are faster on an idle machine of 2 cores."""
    out: Path = OUT
    """The file of results."""
    list: bool = False
    """Only print the comparisons."""


@dataclasses.dataclass(frozen=True)
class Unit:
    """One configuration on one source of data, from several seeds."""

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
    """Every combination of the design, alternating between the two mixtures."""
    for levels in factors.design():
        for data in GROUPS["mixture"]:
            yield Unit(data, factors.changes_of(levels), flags.seeds or 4)


def units(flags: Flags) -> list[Unit]:
    """The units that the flags ask for, each configuration once."""
    parts = []
    for group in GROUPS:
        parts += [single_units(flags, group)] * (flags.group in ("all", group))
    parts += [interaction_units(flags)] * (flags.group in ("all", "interactions"))
    found: dict[tuple, Unit] = {}
    for unit in itertools.chain(*parts):
        if unit.data in flags.data:
            found.setdefault((*results.key(unit.data, unit.changes), unit.seeds), unit)
    return list(found.values())


def train_units(flags: Flags, stop_at: float) -> None:
    """Trains the units that the file of results lacks, and appends their rows."""
    import jax

    wanted = units(flags)
    command = command_of("experiments.studies.ablations.ablate", without=("--out", "--minutes"))
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
        points = baselines.group_of(unit.data) == "mixture"
        came_from = origin(command, devices=flags.devices, form="vmap" if points else "scan", runs=len(missing) if points else 1)
        for row in baselines.train(baselines.changed(base, unit.changes), missing, devices=flags.devices):
            append_rows(flags.out, [about | row | came_from])
        jax.clear_caches()


def time_units(flags: Flags, stop_at: float) -> None:
    """Times every unit that the file lacks, in turn with the baseline. Mixtures are timed on the ring. The grid has the same step."""
    import jax

    from experiments.studies.ablations import costs

    command = command_of("experiments.studies.ablations.ablate", without=("--out", "--minutes"))
    for group, data in results.TIMED.items():
        base = baselines.digest(baselines.baseline(data))
        for unit in {results.key(data, unit.changes): unit for unit in single_units(flags, group)}.values():
            if data not in flags.data or not unit.changes or results.key(data, unit.changes) in results.costs(flags.out):
                continue
            if time.monotonic() > stop_at:
                return
            print(f"time on {data}: {as_flags(unit.changes)}", file=sys.stderr, flush=True)
            about = {"kind": "cost", "data": data, "changes": unit.changes, "baseline": base}
            append_rows(flags.out, [about | costs.measure(data, unit.changes) | origin(command)])
            jax.clear_caches()


def listing(flags: Flags) -> str:
    """The comparisons as text, and the reasons of what is not compared."""
    lines = []
    for row in tricks(flags.group if flags.group in GROUPS else "all", flags.only):
        against = f"   against {as_flags(row.off) or 'the baseline'}" if row.off else ""
        lines.append(f"{row.id:9} {'+'.join(row.where):15} {row.name}: {as_flags(row.on) or 'the baseline'}{against}")
    lines += ["", "not compared:"]
    lines += [f"{id:9} {reason}" for id, reason in (NOT_SWITCHED | NOT_COMPARED_HERE).items() if not flags.only or id in flags.only]
    return "\n".join(lines)


def main() -> None:
    """Reads the flags, then trains or times."""
    flags = parse_flags(Flags, __doc__)
    with errors_as_lines():
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
        use_compilation_cache()
        stop_at = time.monotonic() + 60 * flags.minutes if flags.minutes is not None else float("inf")
        if flags.group != "costs":
            train_units(flags, stop_at)
        if flags.group in ("all", "costs"):
            time_units(flags, stop_at)


if __name__ == "__main__":
    main()
