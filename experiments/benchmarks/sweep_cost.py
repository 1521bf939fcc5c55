"""What a run costs in a program with many runs: milliseconds per step and run, against the number of runs.

    python -m experiments.benchmarks.sweep_cost --out docs/data/sweep_costs.jsonl
    python -m experiments.benchmarks.sweep_cost --runs 1 4 16

Measured are the steps that `gan-jax sweep` compiles: a mixture of Gaussians with perceptrons of 2 x 128 and 128 points, and a DCGAN of
16x16 digits with width 8 and 32 images. "map" is the form on a CPU, one run after the other on each core, and "vmap" the form on an
accelerator, all runs in every operation. The programs of a workload are timed in turn, see `experiments.benchmarks.timing.interleave`.
`milliseconds` is the fastest sample of each, and `median` shows how busy the machine was.
"""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from docs._generate.tables import table
from experiments.benchmarks.timing import Candidate, interleave, seconds_of
from experiments.rows import append_rows, command_of, origin
from gan_jax.cli.parsing import argument_parser
from gan_jax.distributed.sweep import init_many, split_runs, train_many
from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import Config, DataConfig, ModelConfig, OptimizerConfig
from gan_jax.trainer.environment import cpus_allowed

CONFIGS = {
    "mixture": Config(
        batch_size=128,
        data=DataConfig(source="ring"),
        model=ModelConfig(name="points", latent_dim=2, options={"generator_hidden": "128,128", "discriminator_hidden": "128,128"}),
        optimizer=OptimizerConfig(ema_decay=0.0),
    ),
    "dcgan": Config(batch_size=32, data=DataConfig(image_size=16), model=ModelConfig(width=8)),
}


def compile_runs(config: Config, form: Any, runs: int, *, scan: int) -> tuple[Candidate, dict[str, Any]]:
    """Compiles `scan` steps of a number of runs. Returns the program to time, and the facts of its row."""
    source = load_data(config)
    built = build(config, source.shape, source.num_classes)
    devices = jax.local_devices()[: min(runs, len(jax.local_devices()))]
    keys = jax.vmap(jax.random.key)(jnp.arange(runs, dtype=jnp.uint32))
    box = [split_runs(partial(init_many, built.gan, form=form), devices=devices)(keys)]
    train = split_runs(partial(train_many, built.gan, form=form), devices=devices, shared=(2,), donate=(0, 1))
    data = {"image": jnp.asarray(source.images)}
    indices = np.random.default_rng(0).integers(0, len(source), (runs, scan, config.batch_size), np.int32)

    def call() -> None:
        *box[0], _ = jax.block_until_ready(train(*box[0], data, indices, keys))

    box[0] = list(box[0])
    first = seconds_of(call)
    return Candidate(call, scan * runs), {"first_seconds": round(first, 2), "devices": len(devices)}


def cost_table(rows: list[dict[str, Any]]) -> str:
    """Milliseconds per step and run: a line for each workload and form, a column for each number of runs."""
    counts = sorted({row["runs"] for row in rows})
    lines = []
    for name, form in dict.fromkeys((row["name"], row["form"]) for row in rows):
        known = {row["runs"]: row for row in rows if (row["name"], row["form"]) == (name, form)}
        cells = [f"{known[count]['milliseconds']:.3f}" if count in known else "" for count in counts]
        lines.append([name, form, *cells, f"{known[max(known)]['first_seconds']:.1f}"])
    return table(["workload", "form", *(f"{count} run{'s' * (count > 1)}" for count in counts), "first call s"], lines)


def main(arguments: list[str] | None = None) -> None:
    """Measures and prints the table."""
    parser = argument_parser(__doc__)
    parser.add_argument("--workload", choices=CONFIGS, help="measure only this one")
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32], help="numbers of runs")
    parser.add_argument("--seconds", type=float, default=30.0, help="seconds of the interleaved samples of a workload")
    parser.add_argument("--out", type=Path, help="file of JSON lines to which the rows are added")
    options = parser.parse_args(arguments)
    if jax.config.jax_platforms in (None, "cpu"):
        jax.config.update("jax_num_cpu_devices", cpus_allowed())  # Before JAX chooses its backend.
    rows = []
    for name, config in CONFIGS.items() if options.workload is None else [(options.workload, CONFIGS[options.workload])]:
        candidates, facts = {}, {}
        for form in ("map", "vmap"):
            for runs in options.runs:
                came_from = origin(command_of("experiments.benchmarks.sweep_cost"), form=form, runs=runs)
                scan = max(1, (64 if config.data.source == "ring" else 16) // runs)
                candidates[form, runs], found = compile_runs(config, form, runs, scan=scan)
                facts[form, runs] = {"name": name} | came_from | found | {"runs": runs}
                print(name, form, runs, found, flush=True)
        timings = interleave(candidates, seconds=options.seconds, sample_seconds=0.1)
        new = [
            facts[key] | {name: float(f"{1e3 * value:.4g}") for name, value in (("milliseconds", timing.least), ("median", timing.median))}
            for key, timing in timings.items()
        ]
        if options.out is not None:
            append_rows(options.out, new)
        rows += new
        jax.clear_caches()
    print(cost_table(rows))


if __name__ == "__main__":
    main()
