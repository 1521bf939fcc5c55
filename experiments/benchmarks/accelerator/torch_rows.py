"""Times PyTorch's train steps, one row after the other. Run by `experiments.benchmarks.accelerator.steps` as a process of its own.

python -m experiments.benchmarks.accelerator.torch_rows --columns '[["dcgan64", "eager tf32"]]' --out rows.jsonl
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.benchmarks.accelerator.scale import FULL, TOY, StepWorkload
from experiments.rows import append_rows
from gan_jax.cli.parsing import argument_parser


def measure(workload: StepWorkload, column: str, seconds: float) -> dict[str, Any]:
    """The row of one workload and column."""
    import torch

    from experiments.benchmarks.accelerator.torch_training import training

    mode, precision = column.split()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    begin = time.perf_counter()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    step = training(workload, mode=mode, precision=precision, device=device)
    synchronize = torch.cuda.synchronize if device == "cuda" else _nothing
    for _ in range(3):
        step()
    synchronize()
    compiled = time.perf_counter() - begin
    samples, start = [], time.perf_counter()
    while len(samples) < 5 or time.perf_counter() - start < seconds:
        samples.append(_milliseconds(step, synchronize, 10 if device == "cuda" else 1))
    memory = round(torch.cuda.max_memory_allocated() / 2**20, 1) if device == "cuda" else None
    return {
        "milliseconds": statistics.median(samples),
        "range": [min(samples), max(samples)],
        "megabytes": memory,
        "compile_seconds": round(compiled, 1),
    }


def _milliseconds(step: Callable[[], Any], synchronize: Callable[[], Any], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        step()
    synchronize()
    return 1e3 * (time.perf_counter() - start) / count


def reset_compiler() -> None:
    """Forgets what PyTorch's compiler has traced, which a failed compilation may have left unusable."""
    import torch

    torch._dynamo.reset()


def _nothing() -> None:
    """A CPU finishes its operations before the call returns."""


def main(arguments: list[str] | None = None) -> None:
    """Measures the rows that the command line names, and appends each one to the file."""
    parser = argument_parser(__doc__)
    parser.add_argument("--columns", required=True, type=json.loads, help="list of pairs: workload and column")
    parser.add_argument("--out", required=True, type=Path, help="file of JSON lines")
    parser.add_argument("--rehearsal", action="store_true", help="toy sizes")
    options = parser.parse_args(arguments)
    scale = TOY if options.rehearsal else FULL
    for name, column in options.columns:
        begin = time.perf_counter()
        row: dict[str, Any] = {"name": f"steps/{name} torch {column}"}
        try:
            row["values"] = measure(scale.workloads[name], column, scale.sample_seconds)
        except Exception as error:  # The other columns are still measured.
            row["error"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            reset_compiler()
        append_rows(options.out, [row | {"seconds": round(time.perf_counter() - begin, 2)}])


if __name__ == "__main__":
    main()
