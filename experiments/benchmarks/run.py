"""Measures the speed of gan_jax: train steps beside PyTorch's, variants of a step, the loop around it, the monitor, and the metrics.

    python -m experiments.benchmarks.run                                        the cases of the preset cpu
    python -m experiments.benchmarks.run dcgan32 r1_32 --seconds 15             two cases
    python -m experiments.benchmarks.run --preset scaling                       cost against batch, resolution, width and seeds
    python -m experiments.benchmarks.run dcgan32 --out docs/data/timings.jsonl  adds the rows of the documentation
    python -m experiments.benchmarks.run --list                                 the names of all cases

The candidates of a case are timed in turn, each sample between two probes of the machine's speed. Samples next to a slow probe are
rejected. The result is the median of the others, in milliseconds per train step (per step and seed for several seeds, per call for
everything that is no train step). "gan_jax cores" makes each CPU core a device that receives its share of every batch or of the seeds.
Each row in the file has the command, the machine and the versions. The documentation shows the last row of each case.

PyTorch and prdc are optional (`pip install torch prdc`). Without them their columns stay empty. GAN_JAX_TORCH_PYTHON names another
Python that has PyTorch, e.g. if there is none for the Python of this JAX.
"""

import argparse
import gc
import sys
from pathlib import Path
from typing import Any

import jax

from experiments.benchmarks.cases import CASES, PRESETS, Case
from experiments.benchmarks.machine import command, in_words, machine
from experiments.benchmarks.timing import Candidate, Timing, interleave, matmul_peak
from experiments.benchmarks.variants import NotHere
from experiments.rows import append_rows
from gan_jax.cli.errors import fail
from gan_jax.cli.parsing import argument_parser
from gan_jax.trainer.environment import cpus_allowed

MODULE = "experiments.benchmarks.run"


def measure(name: str, case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Compiles and times the candidates of a case. Returns its row."""
    candidates: dict[str, Candidate] = {}
    notes = []
    builders = case.builders(options.scan)
    unknown = [only for only in options.only or () if only not in builders]
    if unknown:
        fail(f"--only {unknown[0]!r}: {name} has {', '.join(builders)}")
    for column, build in builders.items():
        if options.only and column not in options.only:
            continue
        try:
            candidates[column] = build()
            if not candidates[column].own_clock:
                candidates[column].call()
        except NotHere as absent:
            notes.append(f"{column}: {absent}")
        except Exception as error:  # a note in the row, so one candidate does not end the measurement
            candidates.pop(column, None)
            notes.append(f"{column}: {type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}")
    seconds = case.seconds if options.seconds is None else options.seconds
    timings = {}
    if candidates:
        timings = interleave(candidates, seconds=seconds, least_rounds=case.least_rounds, sample_seconds=case.sample_seconds)
    facts = {column: candidate.facts for column, candidate in candidates.items() if candidate.facts}
    return row_of(name, timings, facts, notes, options.peaks if case.peak else None)


def row_of(
    name: str, timings: dict[str, Timing], facts: dict[str, dict[str, float | None]], notes: list[str], peaks: dict[str, float] | None
) -> dict[str, Any]:
    """One row as plain numbers of five digits."""
    row = {
        "case": name,
        "milliseconds": {column: 1e3 * timing.median for column, timing in timings.items()},
        "range": {column: [1e3 * timing.least, 1e3 * timing.greatest] for column, timing in timings.items()},
        "samples": {column: [timing.kept, timing.rejected] for column, timing in timings.items()},
        "facts": facts,
        "notes": notes,
    }
    return _rounded(row | ({"peaks": peaks} if peaks else {})) | {"machine": machine(), "command": command(MODULE)}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def as_text(row: dict[str, Any]) -> str:
    """A row for the terminal: milliseconds, the ratio to the first candidate, and the numbers of samples."""
    lines = [f"{row['case']}: {CASES[row['case']].about}"]
    first = next(iter(row["milliseconds"].values()), None)
    for column, milliseconds in row["milliseconds"].items():
        kept, rejected = row["samples"][column]
        lines.append(f"  {column:60} {milliseconds:10.4g} ms  {milliseconds / first:6.2f}  {kept} of {kept + rejected} samples")
    return "\n".join([*lines, *(f"  {note}" for note in row["notes"])])


def main(arguments: list[str] | None = None) -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="cases to measure instead of a preset")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and exit")
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--only", nargs="+", metavar="CANDIDATE", help="measure only these candidates of the case")
    parser.add_argument("--seconds", type=float, help="seconds of the interleaved samples of a case (default: the case's own)")
    parser.add_argument("--scan", type=int, help="train steps per call of gan_jax (default: the case's own)")
    parser.add_argument("--out", type=Path, default=Path("runs/timings.jsonl"), help="file of JSON lines to which the rows are added")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"{name:22} {case.about}" for name, case in CASES.items()))
        return
    names = options.cases or PRESETS[options.preset]
    unknown = [name for name in names if name not in CASES]
    if unknown:
        fail(f"{unknown[0]}: no such case; see --list")
    if any(CASES[name].every_core for name in names) and jax.config.jax_platforms in (None, "cpu"):
        jax.config.update("jax_num_cpu_devices", cpus_allowed())  # before JAX chooses its backend
    print(in_words(machine()), file=sys.stderr)
    if any(CASES[name].peak for name in names):
        size = 2048 if jax.default_backend() == "cpu" else 8192
        options.peaks = {dtype: matmul_peak(dtype, size) for dtype in ("float32", "bfloat16")}
    for name in names:
        row = measure(name, CASES[name], options)
        jax.clear_caches()
        gc.collect()
        print(as_text(row), flush=True)
        append_rows(options.out, [row])


if __name__ == "__main__":
    main()
