"""Games under equal conditions: each entry is one set of flags, trained from the same seeds.

    python -m experiments.studies.race ladder --list                       the entries and their commands
    python -m experiments.studies.race ladder                              measures the cost of a step, then trains what the file lacks
    python -m experiments.studies.race ladder --part 1/2                   the first half of the units, for one of two processes
    python -m experiments.studies.race ladder --table                      the table of the finished runs
    python -m experiments.studies.race pictures --directory DIR            a race on a folder of images

Races:

    ladder     digits, equal time: from the GAN of 2014 upwards, one change a rung. Each rung has the changes of all rungs below it
    without    digits, equal time: the top of the ladder without labels, and the same without one of its changes
    starved    stacked digits, equal steps: D has a quarter of G's width, as in Metz et al. (2017). Which games keep 1,000 modes?
    pictures   a folder of coloured images, equal time: the upper rungs of the ladder, so that a default is not one of digits alone

Equal time: the cost of a step of an entry is measured in turn with the reference entry, and its number of steps is chosen so that its
training takes as long as the steps of the reference. Compilation, samples and evaluation are left out of it. The number of steps is in
the row, so a run can be made again by its command, to the byte, on the same kind of processor.

The runs are ordinary runs of `gan-jax train` with width 16. On digits the outcomes are those of `digit_outcomes` on 5,000 samples, on
stacked digits the modes and the reverse KL of `stacked_mnist` on 26,000, on a folder the sliced Wasserstein distance to the held-out
images. The seeds of the report (2000 and up) were never used to choose a setting. The program can be stopped at any time.
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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from docs._generate.tables import table
from experiments.rows import append_rows, check_comparable, command_of, origin, read_rows
from experiments.studies.ablations.statistics import holm, paired_test, t_interval
from gan_jax.cli.errors import errors_as_lines, fail
from gan_jax.cli.parsing import argument_parser

DATA = Path(__file__).parents[2] / "docs" / "data"
FIRST_SEED = 2000
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


# Every field that a later rung changes is set in the first one, so that the ladder does not depend on the recipe's own settings.
_OLD = "--loss.name minimax --loss.real-target None --model.norm none --model.discriminator-norm none --augment.instance-noise 0"
_ADAM = "--optimizer.generator adam --optimizer.discriminator adam --optimizer.generator-lr 1e-3 --optimizer.discriminator-lr 1e-3"
CHANGES = [
    Entry("the GAN of 2014: minimax, no norm, Adam with b1 0.9, rates 1e-3", f"{_OLD} {_ADAM} --optimizer.b1 0.9 --optimizer.ema-decay 0"),
    Entry("non-saturating loss", "--loss.name non_saturating"),
    Entry("batch norm in both", "--model.norm batch --model.discriminator-norm batch"),
    Entry("b1 0.5 (DCGAN, 2016)", "--optimizer.b1 0.5"),
    Entry("moving average of G", "--optimizer.ema-decay 0.999"),
    Entry("labels of the reals 0.9", "--loss.real-target 0.9 0.9"),
    Entry("rates 3e-3 (G) and 1e-3 (D)", "--optimizer.generator-lr 3e-3 --optimizer.discriminator-lr 1e-3"),
    Entry("optimistic Adam", "--optimizer.generator optimistic_adam --optimizer.discriminator optimistic_adam"),
    Entry("instance noise", "--augment.instance-noise 0.2"),
    Entry("labels (class embedding in both)", "--model.conditional"),
]


def _flags(changes: Sequence[Entry]) -> str:
    """Flags of several changes. Later ones override earlier ones."""
    return " ".join(change.flags for change in changes)


def _ladder() -> list[Entry]:
    return [Entry(change.name, _flags(CHANGES[: number + 1])) for number, change in enumerate(CHANGES)]


def _without() -> list[Entry]:
    """The top of the ladder without labels, and without one change each. The first change is where the ladder stands."""
    top = CHANGES[:-1]
    rest = [Entry(f"without: {out.name}", _flags([change for change in top if change is not out])) for out in top[1:]]
    return [Entry("all", _flags(top)), *rest]


def _starved() -> list[Entry]:
    """Games on stacked digits whose D has a quarter of G's width."""
    plain = f"--model.options discriminator_width {WIDTH // 4} --penalty.r1 0 --penalty.r2 0"
    return [
        Entry("non-saturating, batch norm in D", f"{plain} --loss.name non_saturating --model.discriminator-norm batch"),
        Entry("... packs of 2", f"{plain} --loss.name non_saturating --model.discriminator-norm batch --augment.pack 2"),
        Entry("non-saturating", f"{plain} --loss.name non_saturating"),
        Entry("non-saturating, R1 and R2", f"{plain} --loss.name non_saturating --penalty.r1 1 --penalty.r2 1"),
        Entry("paired relativistic", plain),
        Entry("paired relativistic, R1 and R2", f"{plain} --penalty.r1 1 --penalty.r2 1"),
    ]


def digit_figures(run: Any, seed: int) -> dict[str, Any]:
    """The outcomes of a run on digits."""
    from experiments.studies.digit_outcomes import SAMPLES, outcomes
    from gan_jax.trainer.sample_images import sample_images

    return outcomes(sample_images(run.built, run.params, run.opt_state, SAMPLES, seed=seed)[0])


def stacked_figures(run: Any, seed: int) -> dict[str, Any]:
    """The outcomes of a run on stacked digits."""
    from experiments.studies.stacked_mnist import SAMPLES, coverage_row
    from gan_jax.trainer.sample_images import sample_images

    return coverage_row(sample_images(run.built, run.params, run.opt_state, SAMPLES, seed=seed)[0])


def folder_figures(run: Any, seed: int) -> dict[str, Any]:
    """The sliced Wasserstein distance to the held-out images, and that of as many training images."""
    from gan_jax import metrics
    from gan_jax.trainer.sample_images import sample_images

    held_out = np.asarray(run.source.held_out.images[:])
    fakes, _ = sample_images(run.built, run.params, run.opt_state, len(held_out), seed=seed)
    train = np.asarray(run.source.images[: len(held_out)])
    found = {name: metrics.sliced_wasserstein(held_out, images, seed=0) for name, images in (("sliced", fakes), ("real", train))}
    return {"samples": len(held_out), **{name: round(value.value, 3) for name, value in found.items()}}


class Race(NamedTuple):
    """Entries that are trained under equal conditions.

    Attributes:
        recipe: The recipe that the flags change.
        entries: The entries, in the order of the table.
        steps: Number of train steps of the reference entry, or of all entries.
        figures: Function of a finished run and its seed -> outcomes.
        columns: Outcomes in the table -> decimals. The first one decides.
        common: Flags of every entry.
        equal_time: Whether the entries get equal time instead of equal steps.
        against: "before": each entry is compared with the one before it. "first": with the first one.
    """

    recipe: str
    entries: list[Entry]
    steps: int
    figures: Callable[[Any, int], dict[str, Any]]
    columns: dict[str, int]
    common: str = COMMON
    equal_time: bool = True
    against: Literal["before", "first"] = "before"


DIGITS = {"fd": 1, "kernel_distance": 2, "recall": 2, "coverage": 2, "near_copies": 2, "rarest_class": 3, "confident": 2}
STACKED = f"{COMMON} --scan-steps 10"
RACES = {
    "ladder": Race("dcgan_mnist", _ladder(), 1500, digit_figures, DIGITS),
    "without": Race("dcgan_mnist", _without(), 1500, digit_figures, DIGITS, against="first"),
    "starved": Race("stacked_mnist", _starved(), 5000, stacked_figures, {"reverse_kl": 3, "modes": 0}, STACKED, False, "first"),
    "pictures": Race("dcgan_mnist", _ladder()[5:9], 1500, folder_figures, {"sliced": 2, "real": 2}),
}


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


def _flags_of(race: Race, entry: Entry, seed: int, steps: int, directory: str | None) -> list[str]:
    data = f"--data.directory {shlex.quote(directory)} --data.image-size 32" if directory else ""
    return ["--seed", str(seed), "--steps", str(steps), *words(f"{race.common} {data} {entry.flags}")]


def config_of(race: Race, entry: Entry, seed: int, steps: int, directory: str | None = None) -> Any:
    """The checked configuration of a run of an entry."""
    from gan_jax.cli.train_command import parse_config, read_command
    from gan_jax.recipes import recipes
    from gan_jax.trainer.config import check

    base = recipes()[race.recipe][1]
    return check(parse_config(base, read_command([race.recipe, *_flags_of(race, entry, seed, steps, directory)]), __doc__))


def command(race: Race, entry: Entry, seed: int, steps: int, directory: str | None = None) -> list[str]:
    """The command line of a run of an entry."""
    return ["gan-jax", "train", race.recipe, *_flags_of(race, entry, seed, steps, directory)]


def cost_row(race: Race, entry: Entry, reference: Entry, *, seconds: float, directory: str | None) -> dict[str, Any]:
    """Milliseconds of a step of an entry and of the reference, as medians of samples taken in turn, and the steps of equal time."""
    from experiments.benchmarks.timing import interleave

    candidates = {"own": _candidate(race, entry, directory), "reference": _candidate(race, reference, directory)}
    times = {name: 1e3 * timing.median for name, timing in interleave(candidates, seconds=seconds, sample_seconds=0.3).items()}
    steps = 10 * round(race.steps * times["reference"] / times["own"] / 10)
    return {"kind": "cost", "name": entry.name, "flags": entry.flags, **{k: round(v, 3) for k, v in times.items()}, "steps": steps}


def _candidate(race: Race, entry: Entry, directory: str | None) -> Any:
    import jax

    from experiments.benchmarks.timing import Candidate
    from gan_jax.data import Feed
    from gan_jax.trainer.build.data import load_data
    from gan_jax.trainer.build.gan import build
    from gan_jax.trainer.loop import chunk_step

    config = config_of(race, entry, 0, race.steps, directory)
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


def train(race: Race, entry: Entry, seed: int, steps: int, *, core: int | None, directory: str | None) -> dict[str, Any]:
    """Trains one run in a process of its own and measures its samples. A run that fails has no outcomes.

    Args:
        race: The race.
        entry: The entry.
        seed: Random seed.
        steps: Number of train steps.
        core: The CPU core of the process. None does not pin it.
        directory: The folder of images, if the race needs one. The row does not name it.
    """
    from gan_jax.trainer.config import ConfigError
    from gan_jax.trainer.loaded_run import load_run

    line = command(race, entry, seed, steps, directory)
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
        about |= {
            "seconds": round(time.monotonic() - start, 1),
            "processor_seconds": round(spent, 1),
            "command": shlex.join(command(race, entry, seed, steps, "DIR" if directory else None)),
        }
        if done.returncode:
            return about | {"error": (done.stderr or done.stdout).strip().splitlines()[-1][:200]}
        try:
            run = load_run(out)
            if run.step != steps:  # A signal to the program makes it end early, with status 0.
                return about | {"error": f"ended at step {run.step}"}
            return about | race.figures(run, seed)
        except ConfigError as error:
            return about | {"error": str(error)[:200]}


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["name"], row["flags"]


def missing(entries: Sequence[Entry], rows: Sequence[dict[str, Any]], seeds: Sequence[int]) -> Iterator[tuple[int, Entry]]:
    """The runs that the rows lack, seed by seed, so that an interrupted study has the same seeds of all entries."""
    done = {(*_key(row), row["seed"]) for row in rows if row["kind"] == "run"}
    return ((seed, entry) for seed in seeds for entry in entries if (entry.name, entry.flags, seed) not in done)


def run_race(options: argparse.Namespace) -> None:
    """Measures the costs that the file lacks, then trains the runs that it lacks."""
    race, path = RACES[options.race], options.out or DATA / f"{options.race}.jsonl"
    module = command_of("experiments.studies.race", without=("--out", "--core", "--minutes", "--part", "--directory"))
    stop_at = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    steps = {} if race.equal_time else dict.fromkeys(race.entries, race.steps)
    steps |= {Entry(row["name"], row["flags"]): row["steps"] for row in read_rows(path) if row["kind"] == "cost"}
    for entry in race.entries:
        if entry not in steps and options.part[0] == 1:
            reference = race.entries[options.reference]
            row = cost_row(race, entry, reference, seconds=options.seconds, directory=options.directory) | origin(module)
            append_rows(path, [row])
            print(json.dumps(row), flush=True)
            steps[entry] = row["steps"]
    part, of = options.part
    units = list(missing(race.entries, read_rows(path), range(FIRST_SEED, FIRST_SEED + options.seeds)))[part - 1 :: of]
    for number, (seed, entry) in enumerate(units, 1):
        if time.monotonic() > stop_at:
            print(f"stopped before {number} of {len(units)}", file=sys.stderr)
            return
        if entry not in steps:
            fail(f"{entry.name}: its cost is not measured yet; run part 1 first")
        print(f"{number}/{len(units)} {entry.name}, seed {seed}", file=sys.stderr, flush=True)
        came_from = origin(module)
        row = came_from | train(race, entry, seed, steps[entry], core=options.core, directory=options.directory)
        append_rows(path, [row])


def _mean(rows: Sequence[dict[str, Any]], figure: str) -> float:
    return float(np.mean([row[figure] for row in rows])) if rows else float("nan")


class Line(NamedTuple):
    """The finished runs of an entry, compared with another entry of the same seeds.

    Attributes:
        entry: The entry.
        runs: Its rows.
        ratio: Geometric mean of the ratios of the deciding outcomes, with the ends of Student's 95% interval. None below three seeds.
        p: The p-value of Student's paired test on the logarithms, adjusted by Holm over all lines. None without a ratio.
    """

    entry: Entry
    runs: list[dict[str, Any]]
    ratio: tuple[float, float, float] | None
    p: float | None


def compare(race: Race, rows: Sequence[dict[str, Any]]) -> list[Line]:
    """Compares each entry with the one before it or with the first one.

    Args:
        race: The race.
        rows: Rows of its file.

    Raises:
        ValueError: Rows that are compared come from different code or machines.
    """
    entries, decides = race.entries, next(iter(race.columns))
    runs = {entry: {row["seed"]: row for row in rows if row["kind"] == "run" and _key(row) == tuple(entry)} for entry in entries}
    pairs: list[list[float] | None] = []
    for number, entry in enumerate(entries):
        own, base = runs[entry], runs[entries[max(number - 1, 0) if race.against == "before" else 0]]
        both = [seed for seed in own if seed in base and decides in own[seed] and decides in base[seed]]
        if number == 0 or len(both) < 3:
            pairs.append(None)
            continue
        check_comparable([of[seed] for seed in both for of in (own, base)], entry.name)
        pairs.append([float(np.log(own[seed][decides] / base[seed][decides])) for seed in both])
    adjusted = iter(holm([paired_test(pair).student for pair in pairs if pair is not None]))
    lines = []
    for entry, pair in zip(entries, pairs, strict=True):
        ratio = None if pair is None else tuple(float(value) for value in np.exp(t_interval(pair)))
        lines.append(Line(entry, list(runs[entry].values()), ratio, None if pair is None else next(adjusted)))
    return lines


def result_table(race: Race, rows: Sequence[dict[str, Any]]) -> str:
    """One line per entry: means, failures, and the ratio of the deciding outcome to that of another entry, see `compare`."""
    decides = next(iter(race.columns))
    against = "the line before" if race.against == "before" else "the first line"
    heads = ["", "seeds", "failed", "steps", "processor, s", *(name.replace("_", " ") for name in race.columns)]
    heads += [f"{decides.replace('_', ' ')}, ratio to {against}", "p (Holm)"]
    lines = []
    for entry, own, ratio, p in compare(race, rows):
        good = [row for row in own if decides in row]
        cells = [entry.name, len(own), len(own) - len(good), own[0]["steps"] if own else "", f"{_mean(own, 'processor_seconds'):.0f}"]
        cells += [f"{_mean(good, name):.{digits}f}" if good else "-" for name, digits in race.columns.items()]
        lines.append([*cells, *(("", "") if ratio is None else ("{:.2f} ({:.2f} to {:.2f})".format(*ratio), f"{p:.3f}"))])
    return table(heads, lines)


def verdicts(race: Race, rows: Sequence[dict[str, Any]], *, certain: bool, level: float = 0.05) -> str:
    """The entries whose adjusted p-value is below a level, or those whose is not, as words with their ratios, the smallest ratio first."""
    lines = [line for line in compare(race, rows) if line.p is not None and (line.p < level) == certain]
    return ", ".join(f"{line.entry.name} {line.ratio[0]:.2f}" for line in sorted(lines, key=lambda line: line.ratio or ()) if line.ratio)


def mean_of(race: Race, rows: Sequence[dict[str, Any]], entry: int, outcome: str) -> str:
    """The mean of an outcome over the finished runs of an entry, which is named by its position, as a number without decimals."""
    return f"{_mean([row for row in compare(race, rows)[entry].runs if outcome in row], outcome):,.0f}"


def _part(text: str) -> tuple[int, int]:
    part, _, of = text.partition("/")
    if not (part.isdecimal() and of.isdecimal() and 1 <= int(part) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text}: must be I/N, e.g. 1/2")
    return int(part), int(of)


def main() -> None:
    """Reads the flags, then trains or prints."""
    parser = argument_parser(__doc__)
    parser.add_argument("race", choices=RACES)
    parser.add_argument("--seeds", type=int, default=10, help=f"number of seeds, from {FIRST_SEED} on")
    parser.add_argument("--seconds", type=float, default=20.0, help="seconds of the interleaved timing of an entry")
    parser.add_argument("--reference", type=int, default=0, help="position of the entry that sets the time")
    parser.add_argument("--part", type=_part, default=(1, 1), metavar="I/N", help="the I-th of N parts of the runs")
    parser.add_argument("--core", type=int, help="CPU core of the runs")
    parser.add_argument("--minutes", type=float, help="start no further run after this many minutes")
    parser.add_argument("--directory", help="the folder of images of the race `pictures`")
    parser.add_argument("--out", type=Path, help="file of JSON lines (default: docs/data/RACE.jsonl)")
    parser.add_argument("--list", action="store_true", help="print the entries")
    parser.add_argument("--table", action="store_true", help="print the table of the finished runs")
    options = parser.parse_args()
    with errors_as_lines():
        race = RACES[options.race]
        if (options.race == "pictures") != (options.directory is not None) and not (options.list or options.table):
            fail("--directory is the folder of images of the race `pictures`, and of no other")
        if options.list:
            lines = (shlex.join(command(race, entry, FIRST_SEED, race.steps, options.directory)) for entry in race.entries)
            print("\n".join(f"{entry.name}\n    {line}" for entry, line in zip(race.entries, lines, strict=True)))
        elif options.table:
            print(result_table(race, read_rows(options.out or DATA / f"{options.race}.jsonl")))
        else:
            run_race(options)


if __name__ == "__main__":
    main()
