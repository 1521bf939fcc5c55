"""Games on the embedded digits in equal time: each entry is one set of flags, trained from the same seeds for the same processor time.

    python -m experiments.studies.race ladder --list                       the entries and their commands
    python -m experiments.studies.race ladder                              measures the cost of a step, then trains what the file lacks
    python -m experiments.studies.race ladder --part 1/2                   the first half of the units, for one of two processes
    python -m experiments.studies.race ladder --table                      the table of the finished runs

Sets of entries:

    ladder   from the GAN of 2014 upwards, one change a rung. Each rung has the changes of all rungs below it

Equal time: the cost of a step of an entry is measured in turn with the reference entry, and its number of steps is chosen so that its
training takes as long as `REFERENCE_STEPS` steps of the reference. Compilation, samples and evaluation are left out of it. The number
of steps is in the row, so a run can be made again by its command, to the byte, on the same kind of processor.

The runs are ordinary runs of `gan-jax train dcgan_mnist` with width 16, and the outcomes are those of `digit_outcomes` on 5,000 samples.
The seeds of the report (2000 and up) were never used to choose a setting. The program can be stopped at any time.
"""

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from docs._generate.tables import table
from experiments.rows import append_rows, check_comparable, command_of, origin, read_rows
from experiments.studies.ablations.statistics import holm, paired_test, t_interval
from gan_jax.cli.errors import errors_as_lines, fail
from gan_jax.cli.parsing import argument_parser

DATA = Path(__file__).parents[2] / "docs" / "data"
FIRST_SEED = 2000
REFERENCE_STEPS = 1500
WIDTH = 16
# Flags of every entry. A small width, and no output that costs time.
COMMON = f"--model.width {WIDTH} --evaluation.samples 0 --sample-every 0 --checkpoint-every 0 --no-tensorboard"


class Entry(NamedTuple):
    """One set of flags.

    Attributes:
        name: Name in the table.
        flags: Flags of `gan-jax train dcgan_mnist`, in addition to `COMMON`.
    """

    name: str
    flags: str


def _rungs() -> list[Entry]:
    """The ladder. Later flags override earlier ones, so a rung is the flags of all rungs below and its own."""
    # Every field that a later rung changes is set here, so that the ladder does not depend on the recipe's own settings.
    old = "--loss.name minimax --loss.real-target None --model.norm none --model.discriminator-norm none --augment.instance-noise 0"
    adam = "--optimizer.generator adam --optimizer.discriminator adam --optimizer.generator-lr 1e-3 --optimizer.discriminator-lr 1e-3"
    rungs = [
        ("the GAN of 2014: minimax, no norm, Adam with b1 0.9, rates 1e-3", f"{old} {adam} --optimizer.b1 0.9 --optimizer.ema-decay 0"),
        ("non-saturating loss", "--loss.name non_saturating"),
        ("batch norm in both", "--model.norm batch --model.discriminator-norm batch"),
        ("b1 0.5 (DCGAN, 2016)", "--optimizer.b1 0.5"),
        ("moving average of G", "--optimizer.ema-decay 0.999"),
        ("labels of the reals 0.9", "--loss.real-target 0.9 0.9"),
        ("rates 3e-3 (G) and 1e-3 (D)", "--optimizer.generator-lr 3e-3 --optimizer.discriminator-lr 1e-3"),
        ("optimistic Adam", "--optimizer.generator optimistic_adam --optimizer.discriminator optimistic_adam"),
        ("instance noise", "--augment.instance-noise 0.2"),
        ("labels (class embedding in both)", "--model.conditional"),
    ]
    return [Entry(name, " ".join(flags for _, flags in rungs[: number + 1])) for number, (name, _) in enumerate(rungs)]


SETS: dict[str, list[Entry]] = {"ladder": _rungs()}


def words(flags: str) -> list[str]:
    """The words of flags, in which a later value of a flag replaces an earlier one."""
    found: dict[str, list[str]] = {}
    name = ""
    for word in shlex.split(flags):
        if word.startswith("--"):
            name = word
            found.pop(name, None)
            found[name] = []
        else:
            found[name].append(word)
    return [word for name, values in found.items() for word in (name, *values)]


def config_of(entry: Entry, seed: int, steps: int) -> Any:
    """The checked configuration of a run of an entry."""
    from gan_jax.cli.train_command import parse_config, read_command
    from gan_jax.recipes import recipes
    from gan_jax.trainer.config import check

    base = recipes()["dcgan_mnist"][1]
    flags = [*words(f"{COMMON} {entry.flags}"), "--seed", str(seed), "--steps", str(steps)]
    return check(parse_config(base, read_command(["dcgan_mnist", *flags]), __doc__))


def command(entry: Entry, seed: int, steps: int) -> list[str]:
    """The command line of a run of an entry."""
    return ["gan-jax", "train", "dcgan_mnist", "--seed", str(seed), "--steps", str(steps), *words(f"{COMMON} {entry.flags}")]


def cost_row(entry: Entry, reference: Entry, *, seconds: float) -> dict[str, Any]:
    """Milliseconds of a step of an entry and of the reference, as medians of samples taken in turn, and the steps of equal time."""
    from experiments.benchmarks.timing import interleave

    candidates = {"own": _candidate(entry), "reference": _candidate(reference)}
    times = {name: 1e3 * timing.median for name, timing in interleave(candidates, seconds=seconds, sample_seconds=0.3).items()}
    steps = 10 * round(REFERENCE_STEPS * times["reference"] / times["own"] / 10)
    return {"kind": "cost", "name": entry.name, "flags": entry.flags, **{k: round(v, 3) for k, v in times.items()}, "steps": steps}


def _candidate(entry: Entry) -> Any:
    import jax

    from experiments.benchmarks.timing import Candidate
    from gan_jax.data import Feed
    from gan_jax.trainer.build.data import load_data
    from gan_jax.trainer.build.gan import build
    from gan_jax.trainer.loop import chunk_step

    config = config_of(entry, 0, REFERENCE_STEPS)
    source = load_data(config)
    built = build(config, source.shape, source.num_classes)
    feed = Feed(source, batch_size=config.batch_size * built.rule.batches_per_step, seed=0)
    program = jax.jit(chunk_step(built, 1, feed.gather), donate_argnums=(0, 1))
    rng = jax.random.key(0)
    box = [jax.jit(built.gan.init)(rng)]
    chunk = feed.chunk(0, 1)

    def call() -> None:
        params, opt_state, _ = program(*box[0], chunk, rng)
        box[0] = jax.block_until_ready((params, opt_state))

    return Candidate(call, 1)


def train(entry: Entry, seed: int, steps: int, *, core: int | None) -> dict[str, Any]:
    """Trains one run in a process of its own and measures its samples. A run that fails has no outcomes.

    Args:
        entry: The entry.
        seed: Random seed.
        steps: Number of train steps.
        core: The CPU core of the process. None does not pin it.
    """
    from experiments.studies.digit_outcomes import SAMPLES, outcomes
    from gan_jax.trainer.config import ConfigError
    from gan_jax.trainer.evaluate import sample_images
    from gan_jax.trainer.restore import load_run

    line = command(entry, seed, steps)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "gan_jax", *line[1:], "--out", str(out)],
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = sum(getattr(after, name) - getattr(before, name) for name in ("ru_utime", "ru_stime"))
        about = {"kind": "run", "name": entry.name, "flags": entry.flags, "seed": seed, "steps": steps, "status": done.returncode}
        about |= {"seconds": round(time.monotonic() - start, 1), "processor_seconds": round(spent, 1), "command": shlex.join(line)}
        if done.returncode:
            return about | {"error": (done.stderr or done.stdout).strip().splitlines()[-1][:200]}
        try:
            run = load_run(out)
            images, _ = sample_images(run.built, run.params, run.opt_state, SAMPLES, seed=seed)
        except ConfigError as error:
            return about | {"error": str(error)[:200]}
        return about | outcomes(images)


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["name"], row["flags"]


def missing(entries: Sequence[Entry], rows: Sequence[dict[str, Any]], seeds: Sequence[int]) -> Iterator[tuple[int, Entry]]:
    """The runs that the rows lack, seed by seed, so that an interrupted study has the same seeds of all entries."""
    done = {(*_key(row), row["seed"]) for row in rows if row["kind"] == "run"}
    return ((seed, entry) for seed in seeds for entry in entries if (entry.name, entry.flags, seed) not in done)


def race(options: argparse.Namespace) -> None:
    """Measures the costs that the file lacks, then trains the runs that it lacks."""
    entries, path = SETS[options.set], options.out or DATA / f"{options.set}.jsonl"
    module = command_of("experiments.studies.race", without=("--out", "--core", "--minutes", "--part"))
    stop_at = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    costs = {_key(row): row for row in read_rows(path) if row["kind"] == "cost"}
    for entry in entries:
        if tuple(entry) not in costs and options.part[0] == 1:
            row = cost_row(entry, entries[options.reference], seconds=options.seconds) | origin(module)
            append_rows(path, [row])
            print(json.dumps(row), flush=True)
    part, of = options.part
    units = list(missing(entries, read_rows(path), range(FIRST_SEED, FIRST_SEED + options.seeds)))[part - 1 :: of]
    for number, (seed, entry) in enumerate(units, 1):
        costs = {_key(row): row for row in read_rows(path) if row["kind"] == "cost"}
        if time.monotonic() > stop_at:
            print(f"stopped before {number} of {len(units)}", file=sys.stderr)
            return
        if tuple(entry) not in costs:
            fail(f"{entry.name}: its cost is not measured yet; run part 1 first")
        print(f"{number}/{len(units)} {entry.name}, seed {seed}", file=sys.stderr, flush=True)
        came_from = origin(module)
        row = came_from | train(entry, seed, costs[tuple(entry)]["steps"], core=options.core)
        append_rows(path, [row])


FIGURES = {"fd": 1, "kernel_distance": 2, "recall": 2, "coverage": 2, "near_copies": 2, "rarest_class": 3, "confident": 2}


def _mean(rows: Sequence[dict[str, Any]], figure: str) -> float:
    return float(np.mean([row[figure] for row in rows])) if rows else float("nan")


def result_table(rows: Sequence[dict[str, Any]], entries: Sequence[Entry]) -> str:
    """One line per entry: means, failures, and the paired ratio of distances to the entry before it, with Holm's p-values.

    Args:
        rows: Rows of the file.
        entries: The entries, in order.

    Raises:
        ValueError: Rows that are compared come from different code or machines.
    """
    runs = {tuple(entry): {row["seed"]: row for row in rows if row["kind"] == "run" and _key(row) == tuple(entry)} for entry in entries}
    heads = ["", "seeds", "failed", "steps", "processor, s", *(name.replace("_", " ") for name in FIGURES), "distance, ratio", "p (Holm)"]
    pairs: list[list[float] | None] = []
    for number, entry in enumerate(entries):
        own, base = runs[tuple(entry)], runs[tuple(entries[max(number - 1, 0)])]
        both = [seed for seed in own if seed in base and "fd" in own[seed] and "fd" in base[seed]]
        if number == 0 or len(both) < 3:
            pairs.append(None)
            continue
        check_comparable([of[seed] for seed in both for of in (own, base)], entry.name)
        pairs.append([float(np.log(own[seed]["fd"] / base[seed]["fd"])) for seed in both])
    adjusted = iter(holm([paired_test(pair).student for pair in pairs if pair is not None]))
    lines = []
    for entry, pair in zip(entries, pairs, strict=True):
        own = list(runs[tuple(entry)].values())
        good = [row for row in own if "fd" in row]
        cells = [entry.name, len(own), len(own) - len(good), own[0]["steps"] if own else "", f"{_mean(own, 'processor_seconds'):.0f}"]
        cells += [f"{_mean(good, name):.{digits}f}" if good else "-" for name, digits in FIGURES.items()]
        if pair is None:
            lines.append([*cells, "", ""])
            continue
        mean, low, high = np.exp(t_interval(pair))
        lines.append([*cells, f"{mean:.2f} ({low:.2f} to {high:.2f})", f"{next(adjusted):.3f}"])
    return table(heads, lines)


def _part(text: str) -> tuple[int, int]:
    part, _, of = text.partition("/")
    if not (part.isdecimal() and of.isdecimal() and 1 <= int(part) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text}: must be I/N, e.g. 1/2")
    return int(part), int(of)


def main() -> None:
    """Reads the flags, then trains or prints."""
    parser = argument_parser(__doc__)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--seeds", type=int, default=10, help=f"number of seeds, from {FIRST_SEED} on")
    parser.add_argument("--seconds", type=float, default=20.0, help="seconds of the interleaved timing of an entry")
    parser.add_argument("--reference", type=int, default=0, help="position of the entry that sets the time")
    parser.add_argument("--part", type=_part, default=(1, 1), metavar="I/N", help="the I-th of N parts of the runs")
    parser.add_argument("--core", type=int, help="CPU core of the runs")
    parser.add_argument("--minutes", type=float, help="start no further run after this many minutes")
    parser.add_argument("--out", type=Path, help="file of JSON lines (default: docs/data/SET.jsonl)")
    parser.add_argument("--list", action="store_true", help="print the entries")
    parser.add_argument("--table", action="store_true", help="print the table of the finished runs")
    options = parser.parse_args()
    with errors_as_lines():
        entries = SETS[options.set]
        if options.list:
            print("\n".join(f"{entry.name}\n    {shlex.join(command(entry, FIRST_SEED, REFERENCE_STEPS))}" for entry in entries))
        elif options.table:
            print(result_table(read_rows(options.out or DATA / f"{options.set}.jsonl"), entries))
        else:
            race(options)


if __name__ == "__main__":
    main()
