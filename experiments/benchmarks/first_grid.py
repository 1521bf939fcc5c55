"""What a newcomer waits for: the seconds until each line and each grid of samples of the default recipe, with cold caches.

    python -m experiments.benchmarks.first_grid --out docs/data/first_grid.jsonl

The program is that of `make train`, after the packages are installed. It starts with an empty cache of compiled programs and of feature
statistics, and without a terminal, so that every line counts. It is stopped at the second grid, the first one of trained weights.
`longest_silence` is the longest time without a line from the start to that grid.
"""

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from docs._generate.tables import table
from experiments.rows import append_rows, command_of, origin
from gan_jax.cli.errors import fail
from gan_jax.cli.parsing import argument_parser
from gan_jax.trainer.environment import cpus_allowed

ROOT = Path(__file__).parents[2]
RECIPE = "dcgan_mnist"


def watch(flags: list[str], folder: Path, *, limit: float = 280.0) -> dict[str, Any]:
    """Trains as a program until the second grid of samples.

    Args:
        flags: Further flags of `gan-jax train`.
        folder: An empty folder for the run and the caches.
        limit: Seconds after which the program is stopped in any case.

    Returns:
        The facts of a row: `lines`, pairs of the seconds and the text; `grids`, pairs of the seconds and the step; `longest_silence`.

    Raises:
        RuntimeError: The program ended by itself before the second grid.
    """
    run, environment = folder / "run", {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONUNBUFFERED": "1"}
    environment = {name: value for name, value in environment.items() if not name.startswith(("JAX_", "XLA_"))}
    command = [sys.executable, "-m", "gan_jax", "train", RECIPE, "--out", str(run), *flags]
    lines: list[tuple[float, str]] = []
    grids: dict[int, float] = {}
    start = time.perf_counter()
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=ROOT)

    def read() -> None:
        assert program.stdout is not None
        for line in program.stdout:
            lines.append((time.perf_counter() - start, line.rstrip().replace(str(run), f"runs/{RECIPE}")))

    reader = threading.Thread(target=read)
    reader.start()
    while program.poll() is None and len(grids) < 2 and time.perf_counter() - start < limit:
        for path in (run / "samples").glob("step_*.png"):
            grids.setdefault(int(path.stem.removeprefix("step_")), time.perf_counter() - start)
        time.sleep(0.02)
    ended = program.poll()
    program.send_signal(signal.SIGINT)
    try:
        program.wait(60)
    except subprocess.TimeoutExpired:
        program.kill()
    reader.join()
    if ended is not None and len(grids) < 2:
        raise RuntimeError(f"{' '.join(command)} exited with status {ended}: {lines[-1][1] if lines else ''}")
    end = max(grids.values(), default=limit)
    before = [0.0, *(seconds for seconds, _ in lines if seconds < end), end]
    silence = max(later - earlier for earlier, later in itertools.pairwise(before))
    return {
        "lines": [[round(seconds, 2), text] for seconds, text in lines if seconds <= end],
        "grids": [[round(seconds, 2), step] for step, seconds in sorted(grids.items())],
        "longest_silence": round(silence, 2),
    }


def summary(row: dict[str, Any]) -> str:
    """A sentence for the documentation: the seconds to both grids, and the longest time without a line."""
    (first, _), (second, step) = row["grids"]
    silence, machine = row["longest_silence"], f"{row['processor']}, {row['cores']} cores, JAX {row['jax']}"
    return f"{first:.0f} s to the grid of step 0, {second:.0f} s to that of step {step}, at most {silence:.1f} s without a line ({machine})"


def page_text(rows: list[dict[str, Any]]) -> str:
    """What the documentation says about the rows of a file: the summary of the last one."""
    return summary(rows[-1]) if rows else "not measured"


def main(arguments: list[str] | None = None) -> None:
    """Measures and prints the lines with their times."""
    parser = argument_parser(__doc__)
    parser.add_argument("--out", type=Path, help="file of JSON lines to which the row is added")
    parser.add_argument("--flags", nargs="*", default=[], metavar="WORD", help="words for `gan-jax train`, without their dashes: steps=4")
    options = parser.parse_args(arguments)
    came_from = origin(command_of("experiments.benchmarks.first_grid"))
    with tempfile.TemporaryDirectory() as folder:
        try:
            facts = watch([f"--{word}" for word in options.flags], Path(folder))
        except RuntimeError as error:
            fail(str(error))
    row = {"name": RECIPE} | came_from | {"cores": cpus_allowed()} | facts
    if options.out is not None:
        append_rows(options.out, [row])
    print(table(["second", "line"], row["lines"] + [[seconds, f"grid of step {step}"] for seconds, step in row["grids"]]))
    if len(row["grids"]) == 2:
        print(summary(row))


if __name__ == "__main__":
    main()
