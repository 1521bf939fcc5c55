"""Measures gan_jax's training steps beside PyTorch's, and beside the speed of this machine's matrix products.

    python -m experiments.benchmarks.benchmark                                    the CPU set
    python -m experiments.benchmarks.benchmark --workloads dcgan32 r1_32          some of it
    python -m experiments.benchmarks.benchmark --preset scaling                   cost against batch, resolution, width, seeds
    python -m experiments.benchmarks.benchmark --preset gpu                       the accelerator set, in one call
    python -m experiments.benchmarks.benchmark --list                             the names

Candidates of a row take turns, each sample between two probes of the machine's speed; samples next to a slow probe are thrown
away, and the medians of the rest are the milliseconds of one step (of one seed, where there are several). "gan_jax cores" makes each
CPU core a device of its own, which takes its share of every batch (`--parallel.placement shard_map` of train.py), or of the seeds.
"ratio" is the best float32 PyTorch over the best float32 gan_jax, "bfloat16 ratio" its autocast over gan_jax in bfloat16; above 1,
gan_jax is faster. "share of peak" is the operations a second that the compiler counts, over those of a square matrix product.

Writes benchmark.json and benchmark.md to --out. A call adds its rows to those of the file that is there, or puts them in the place of
those of the same workloads, so that every row can be measured by a process of its own; a file of another machine or of
other versions is left alone.

PyTorch is optional (`pip install torch`): without it, its columns stay empty.
"""

import argparse
import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from experiments.benchmarks import jax_steps, kept, pipelines
from experiments.benchmarks.timing import Candidate, Timing, interleave, matmul_peak
from experiments.benchmarks.workloads import PRESETS, WORKLOADS, Workload
from gan_jax.cli import common
from gan_jax.nn.fast_conv.forms import SWITCH
from gan_jax.trainer.environment import cpu_model, cpus_allowed
from gan_jax.trainer.run_directory import read_json, write_json

try:
    from experiments.benchmarks import torch_steps
except ImportError:
    torch_steps = None

OURS = ("gan_jax", "gan_jax cores", "gan_jax lax")
COLUMNS = ("gan_jax", "gan_jax cores", "gan_jax bfloat16", "gan_jax lax", "eager", "compile", "autocast")
TORCH_OPTIONS = {"eager": {}, "compile": {"compiled": True}, "autocast": {"autocast": True}}


def jax_program(workload: Workload, column: str, scan: int | None) -> jax_steps.Program:
    """Compiles what one of gan_jax's columns asks for."""
    spec = workload.spec | ({"dtype": "bfloat16"} if column == "gan_jax bfloat16" else {})
    run = workload.run | ({"scan": scan} if scan else {})
    cores = column == "gan_jax cores"
    with stock_convolutions(column == "gan_jax lax"):
        if workload.kind == "sampling":
            return jax_steps.sampling(jax_steps.make_spec(**spec))
        if "seeds" in run:
            return jax_steps.sweep(jax_steps.make_spec(**spec), **run, cores=cores)
        placement = jax_steps.every_core() if cores else None
        return jax_steps.training(jax_steps.make_spec(**spec, placement=placement), **run, placement=placement)


@contextlib.contextmanager
def stock_convolutions(wanted: bool) -> Iterator[None]:
    """While it is entered (and if asked), layers trace XLA's own convolutions and Flax's own batch norm."""
    before = os.environ.get(SWITCH, "auto")
    os.environ[SWITCH] = "lax" if wanted else before
    try:
        yield
    finally:
        os.environ[SWITCH] = before


def torch_call(workload: Workload, column: str) -> Callable[[], Any]:
    """What one of PyTorch's columns asks for."""
    if workload.kind == "pipeline":
        return pipelines.loader_call(**workload.torch)
    if workload.kind == "sampling":
        return torch_steps.sampling(workload.torch["model"], image_shape=workload.torch["image_shape"])
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    return torch_steps.training(**workload.torch, **TORCH_OPTIONS[column], device=device)


def torch_can_run() -> bool:
    """Whether PyTorch is here, on the backend that JAX uses."""
    if torch_steps is None:
        return False
    return jax.default_backend() == "cpu" or torch_steps.torch.cuda.is_available()


def measure(name: str, workload: Workload, options: argparse.Namespace) -> dict[str, Any]:
    """Compiles and times one row."""
    programs: dict[str, jax_steps.Program] = {}
    candidates: dict[str, Candidate] = {}
    notes = []
    for column in workload.columns:
        if options.columns and column not in options.columns:
            continue
        try:
            if column in TORCH_OPTIONS:
                if workload.torch is None or not torch_can_run():
                    continue
                steps = pipelines.BATCHES if workload.kind == "pipeline" else 1
                candidates[column] = Candidate(torch_call(workload, column), steps)
                candidates[column].call()
            elif workload.kind == "pipeline":
                candidates[column] = Candidate(pipelines.feed_call(**workload.run), pipelines.BATCHES)
            else:
                programs[column] = jax_program(workload, column, options.scan)
                candidates[column] = Candidate(programs[column].call, programs[column].steps)
        except Exception as error:
            candidates.pop(column, None)
            notes.append(f"{column}: {type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}")
    timings = interleave(candidates, seconds=options.seconds) if candidates else {}
    return row_of(name, workload, programs, timings, options.peaks, notes)


def row_of(
    name: str,
    workload: Workload,
    programs: dict[str, jax_steps.Program],
    timings: dict[str, Timing],
    peaks: dict[str, float],
    notes: list[str],
) -> dict[str, Any]:
    """One row as plain numbers."""
    row: dict[str, Any] = {"workload": name, "about": workload.about, "notes": notes}
    row["milliseconds"] = {column: 1e3 * timing.median for column, timing in timings.items()}
    row["range"] = {column: [1e3 * timing.least, 1e3 * timing.greatest] for column, timing in timings.items()}
    row["samples"] = {column: [timing.kept, timing.rejected] for column, timing in timings.items()}
    times = row["milliseconds"]
    main = min((column for column in OURS if column in times), key=lambda column: times[column], default=None)
    best = min((times[column] for column in ("eager", "compile") if column in times), default=None)
    row["ratio"] = best / times[main] if main and best else None
    narrow = times.get("gan_jax bfloat16")
    row["bfloat16_ratio"] = times["autocast"] / narrow if narrow and "autocast" in times else None
    for column, program in programs.items():
        rate = program.flops / timings[column].median if program.flops and column in timings else None
        row[column] = {
            "gigaflops_a_step": program.flops and program.flops / 1e9,
            "share_of_peak": rate and rate / peaks["bfloat16" if "bfloat16" in column else "float32"],
            "peak_megabytes": program.peak_bytes and program.peak_bytes / 2**20,
            "compile_seconds": program.compile_seconds,
            "first_step_seconds": program.first_step_seconds,
        }
    return row | {"peaks": peaks, "command": kept.command()}


def as_markdown(report: dict[str, Any]) -> str:
    """The table of a report."""
    heads = ["workload", *(f"{c} ms" for c in COLUMNS), "ratio", "bfloat16 ratio", "share of peak", "peak MB", "compile s", "first step s"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]

    def number(value: float | None, digits: int = 2) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    for row in report["rows"]:
        times = row["milliseconds"]
        detail = row.get(min((column for column in OURS if column in row), key=lambda column: times.get(column, 0), default=""), {})
        cells = [f"{row['workload']}: {row['about']}"]
        cells += [number(times.get(column), 1 if times.get(column, 0) >= 10 else 3) for column in COLUMNS]
        cells += [number(row["ratio"]), number(row["bfloat16_ratio"]), number(detail.get("share_of_peak"))]
        cells += [number(detail.get(key), 1) for key in ("peak_megabytes", "compile_seconds", "first_step_seconds")]
        lines.append(f"| {' | '.join(cells)} |")
    notes = [f"- {row['workload']}: {note}" for row in report["rows"] for note in row["notes"]]
    head = f"{in_words(report['machine'])}; matrix products: "
    head += ", ".join(f"{dtype} {peaks_of(report['rows'], dtype)} GFLOP/s" for dtype in ("float32", "bfloat16"))
    return "\n".join([head, "", *lines, "", *notes]).rstrip() + "\n"


def peaks_of(rows: list[dict[str, Any]], dtype: str) -> str:
    """The speeds of a matrix product beside which the rows were measured, in GFLOP/s: one, or from the least to the greatest."""
    speeds = sorted({f"{row['peaks'][dtype] / 1e9:.0f}" for row in rows}, key=int)
    return speeds[0] if len(speeds) == 1 else f"{speeds[0]} to {speeds[-1]}"


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    device = cpu_model() if jax.default_backend() == "cpu" else jax.devices()[0].device_kind
    torch = torch_steps.torch.__version__ if torch_steps else "absent"
    return {"device": device, "cores": cpus_allowed(), "jax": jax.__version__, "torch": torch}


def in_words(machine: dict[str, Any]) -> str:
    """A machine and the versions on it as part of a line."""
    return f"{machine['device']}, {machine['cores']} cores; JAX {machine['jax']}, PyTorch {machine['torch']}"


def earlier_rows(path: Path, here: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a file that is there already; one of another machine or of other versions ends the program with one line."""
    if not path.exists():
        return []
    with common.errors_as_lines():
        report = read_json(path)
    if report["machine"] != here:
        both = f"({in_words(report['machine'])}; here: {in_words(here)})"
        common.fail(f"--out {path.parent}: {path.name} is of another machine or of other versions {both}; name another folder")
    # Files of earlier versions say once what all their rows have in common.
    shared = {name: report[name] for name in ("peaks", "command") if name in report}
    return [shared | row for row in report["rows"]]


def with_row(rows: list[dict[str, Any]], new: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows and a new one, in the place of that of the same workload if there is one."""
    return list({row["workload"]: row for row in [*rows, new]}.values())


def write(row: dict[str, Any], path: Path, here: dict[str, Any]) -> None:
    """Puts a row into the JSON file, beside those that it has, and writes the table of all of them next to it."""
    report = {"machine": here, "rows": with_row(earlier_rows(path, here), row)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, report)
    path.with_suffix(".md").write_text(as_markdown(report))


def main(arguments: list[str] | None = None) -> None:
    parser = common.argument_parser(__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, metavar="NAME", help="rows to measure instead of a preset")
    parser.add_argument("--columns", nargs="+", choices=COLUMNS, metavar="COLUMN", help="columns to fill (default: each row's own)")
    parser.add_argument("--seconds", type=float, default=20.0, help="time for the interleaved rounds of one row")
    parser.add_argument("--scan", type=int, help="steps a call of gan_jax, instead of each row's own")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"), help="folder of benchmark.json and benchmark.md")
    parser.add_argument("--list", action="store_true", help="print the names of the workloads and stop")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"{name:22} {workload.about}" for name, workload in WORKLOADS.items()))
        return
    if jax.config.jax_platforms in (None, "cpu"):
        jax.config.update("jax_num_cpu_devices", cpus_allowed())  # before anything asks which backend there is
    if not torch_can_run():
        print("PyTorch is not installed for this backend: its columns stay empty (pip install torch)", file=sys.stderr)
    path, here = options.out / "benchmark.json", machine()
    earlier_rows(path, here)  # refuses before anything is measured
    options.peaks = {dtype: matmul_peak(dtype, 2048 if jax.default_backend() == "cpu" else 8192) for dtype in ("float32", "bfloat16")}
    workloads = PRESETS[options.preset] if not options.workloads else {name: WORKLOADS[name] for name in options.workloads}
    for name, workload in workloads.items():
        row = measure(name, workload, options)
        jax.clear_caches()
        gc.collect()
        print(as_markdown({"machine": here, "rows": [row]}), flush=True)
        write(row, path, here)
    print(f"wrote {path.with_suffix('.md')}")


if __name__ == "__main__":
    main()
