"""Trains many seeds and settings of a recipe: as one program what differs in traced numbers, as processes what differs in structure.

    gan-jax sweep ring --seed 0:16                                                    16 seeds
    gan-jax sweep dcgan_mnist --seed 0:4 --optimizer.generator-lr 1e-4,3e-4,1e-3      4 seeds of each of 3 rates
    gan-jax sweep ring --lr 1e-4:1e-2 --penalty.r1 1e-3:1 --random 64                 64 random settings
    gan-jax sweep ring --loss.name hinge,relativistic --seed 0:8                      two programs of 8 runs
    gan-jax sweep --resume runs/sweep-ring                                            continues a sweep

Any flag of `gan-jax train` with a number or a choice takes several values: `a,b,c`, the range `0:16` of whole numbers (16 is not one of
them), or the interval `LOW:HIGH` for --random, which is sampled in the logarithm if LOW is above 0, or `LOW:HIGH:linear`.
Without --random every combination is trained. Every setting is trained with every seed.

Own flags: --out DIR, --resume DIR, --random N, --random-seed N, --at-once N (most runs in one program, 64), --keep N (weights of the best
runs of each program are kept, 1).

Seeds, learning rates, --optimizer.b1, --optimizer.b2, --optimizer.ema-decay and weights of losses and penalties above 0 are traced.
The runs are ranked by the metric of --evaluation.best. The table is printed, and the page is DIR/sweep.html.
The exit status is 0, or 2 after an error, or 1 if a program failed. The others are then trained, and --resume tries it again.
"""

import os
import shlex
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

from gan_jax.cli.errors import errors_as_lines, fail

OWN = {"--random": 0, "--random-seed": 0, "--at-once": 64, "--keep": 1, "--program": -1}


class SweepCommand(NamedTuple):
    """The command line.

    Attributes:
        numbers: Values of the flags in `OWN`.
        resume: Directory of the sweep to continue, or "".
        axes: Flag without dashes -> (paths, word), for the flags with several values.
        words: The other words, as those of `gan-jax train`.
    """

    numbers: dict[str, int]
    resume: str
    axes: dict[str, tuple[tuple[str, ...], str]]
    words: list[str]


def read_words(arguments: list[str]) -> SweepCommand:
    """Splits the words into own flags, flags with several values, and the others."""
    from gan_jax.trainer.config import flag, schema_fields
    from gan_jax.trainer.sweep.plan import is_swept

    fields = schema_fields()
    paths = {flag(path): (path,) for path in fields}
    paths |= {alias: (path,) for path, field in fields.items() for alias in field.aliases}
    paths["--lr"] = ("optimizer.generator_lr", "optimizer.discriminator_lr")
    numbers, axes, words, resume = dict(OWN), dict[str, tuple[tuple[str, ...], str]](), list[str](), ""
    queue = deque(arguments)
    while queue:
        word = queue.popleft()
        name, equals, inline = word.partition("=") if word.startswith("--") else (word, "", "")
        name = name.replace("_", "-") if word.startswith("--") else name
        if name in OWN or name == "--resume":
            value = inline if equals else (queue.popleft() if queue else "")
            if name == "--resume":
                resume = value or fail("--resume: needs the directory of a sweep")
            elif not value.isdigit():
                fail(f"{name} {value}: must be a whole number")
            else:
                numbers[name] = int(value)
        elif name in paths and (inline if equals else queue and not queue[0].startswith("--")):
            value = inline if equals else queue[0]
            if is_swept(paths[name][0], value):
                if not equals:
                    queue.popleft()
                axes[name.removeprefix("--")] = (paths[name], value)
            else:
                words.append(word)
        else:
            words.append(word)
    return SweepCommand(numbers, resume, axes, words)


def plan(command: SweepCommand, text: str) -> Any:
    """Plans a sweep and makes its directory."""
    from gan_jax.cli.train_command import read_command, read_config
    from gan_jax.trainer.config import ConfigError
    from gan_jax.trainer.run_directory import claim, free_directory
    from gan_jax.trainer.sweep.directory import Sweep, save_sweep
    from gan_jax.trainer.sweep.plan import group_runs, make_axis, plan_runs

    train = read_command(command.words)
    base, notices = read_config(train)
    axes = [make_axis(name, paths, word) for name, (paths, word) in command.axes.items()]
    if not axes:
        raise ConfigError("no flag has several values; give one, such as --seed 0:8, or use gan-jax train")
    numbers = command.numbers
    for name in ("--at-once", "--keep"):
        if numbers[name] < (name == "--at-once"):
            raise ConfigError(f"{name} {numbers[name]}: must be at least 1")
    runs, more = plan_runs(base, axes, train.typed, random=numbers["--random"], random_seed=numbers["--random-seed"])
    for notice in [*notices, *(line for line in more if line not in notices)]:
        print(f"notice: {notice}", file=sys.stderr)
    directory = base.out or free_directory(f"sweep-{base.recipe}")
    claim(directory).close()
    (directory / "samples").rmdir()
    sweep = Sweep(directory, base, axes, runs, group_runs(base, runs, numbers["--at-once"]), numbers["--keep"], text)
    save_sweep(sweep)
    return sweep


def train_one_program(directory: str, program: int) -> None:
    """Trains one program in this process."""
    from gan_jax.cli.compilation_cache import use_compilation_cache
    from gan_jax.distributed import simulate_devices
    from gan_jax.trainer.environment import cpus_allowed
    from gan_jax.trainer.run_directory import lock
    from gan_jax.trainer.sweep.directory import load_sweep
    from gan_jax.trainer.sweep.program import train_program

    sweep = load_sweep(Path(directory))
    simulate_devices(min(cpus_allowed(), len(sweep.programs[program])))
    use_compilation_cache()
    place = sweep.program_directory(program)
    place.mkdir(parents=True, exist_ok=True)
    with lock(place):
        train_program(sweep, program, print_line=lambda line: print(f"  {line}", file=sys.stderr, flush=True))


def print_ranking(sweep: Any) -> None:
    """Prints the table of the settings."""
    from rich.console import Console
    from rich.table import Table

    from gan_jax.trainer.evaluate import best_mode
    from gan_jax.trainer.sweep.outcome import rank, read_outcomes
    from gan_jax.trainer.sweep.page import ranking_heads, ranking_rows

    outcomes = read_outcomes(sweep)
    axes = [axis for axis in sweep.axes if axis.paths != ("seed",)]
    metric = next((outcome.metric for outcome in outcomes if outcome.metric), "")
    table = Table(title=f"{sweep.base.recipe}, {len(outcomes)} runs")
    for head in ranking_heads(axes, metric):
        table.add_column(head, justify="right")
    highest = best_mode(sweep.base.evaluation.best) == "max"
    for row in ranking_rows(axes, rank(sweep, outcomes), highest=highest):
        table.add_row(*row)
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)


def main(arguments: list[str] | None = None) -> int:
    """Plans or continues a sweep, trains its programs, and shows the result."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    os.environ.setdefault("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
    with errors_as_lines():
        from gan_jax.trainer.sweep.directory import load_sweep
        from gan_jax.trainer.sweep.page import write_page

        command = read_words(arguments)
        if command.numbers["--program"] >= 0:
            train_one_program(command.resume, command.numbers["--program"])
            return 0
        if command.resume and (command.words or command.axes):
            fail(f"--resume {command.resume}: takes no other flags, because a sweep cannot be changed")
        text = shlex.join(["gan-jax", "sweep", *arguments])
        sweep = load_sweep(Path(command.resume)) if command.resume else plan(command, text)
        print(f"{len(sweep.runs)} runs in {len(sweep.programs)} programs, in {sweep.directory}", file=sys.stderr)
        failed = []
        for program in sweep.unfinished():
            numbers = sweep.programs[program]
            print(f"program {program + 1} of {len(sweep.programs)}: {len(numbers)} runs", file=sys.stderr, flush=True)
            words = [sys.executable, "-m", "gan_jax", "sweep", "--resume", str(sweep.directory), "--program", str(program)]
            if subprocess.run(words, check=False).returncode:
                failed.append(program)
            write_page(sweep)
        print_ranking(sweep)
        print(f"page: {write_page(sweep)}", file=sys.stderr)
        if failed:
            print(f"{len(failed)} programs failed; try them again with: gan-jax sweep --resume {sweep.directory}", file=sys.stderr)
    return 1 if failed else 0
