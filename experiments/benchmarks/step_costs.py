"""Time and memory of a train step of the recipes, at their own sizes.

    python -m experiments.benchmarks.step_costs --out docs/data/step_costs.jsonl        the recipes that the file lacks
    python -m experiments.benchmarks.step_costs cyclegan unet_gan                       two recipes
    python -m experiments.benchmarks.step_costs --table docs/data/step_costs.jsonl

The step is the one that `gan-jax train RECIPE` compiles, with the diagnostics of the monitor, on images of random bytes. Its time is
processor time of one core: the process is pinned to it, and the median of several stretches is taken, each a whole cycle of the lazy
penalties. So it hardly depends on what else the machine does. The memory is what the compiler reserves for arguments, results and
temporary values.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from docs._generate.tables import table
from experiments.rows import append_rows, command_of, origin, read_rows
from gan_jax.cli.errors import fail
from gan_jax.cli.parsing import argument_parser

# The recipes of docs/models.md that run on the CPU in minutes, after the default recipe, which is the scale.
SHOWN = ["dcgan_mnist", "cgan", "acgan", "reacgan", "unet_gan", "stylegan2", "cyclegan"]
GREY = {"mnist5k", "mnist", "fashion_mnist", "digit_edges"}  # Data sets of one channel.
STRETCHES = 3


def measure(name: str) -> dict[str, Any]:
    """Compiles the step of a recipe, and measures it."""
    import jax

    from experiments.benchmarks.jax_steps import analysis
    from gan_jax.models import MODELS
    from gan_jax.recipes import recipes
    from gan_jax.trainer.build.gan import build
    from gan_jax.trainer.config import check

    config = check(recipes()[name][1])
    domains = MODELS[config.model.name].context == "domains"
    side, channels = config.data.image_size or 32, 1 if config.data.source in GREY else 3
    shape = (side, side, channels)
    built = build(config, shape, 10, input_shape=shape if domains else None)
    count = config.batch_size * built.rule.batches_per_step
    image = jax.random.bits(jax.random.key(0), (count, *shape), "uint8")
    batch = {"image": image, "label": jax.numpy.arange(count) % 10} | ({"input": image[::-1]} if domains else {})
    rng = jax.random.key(1)
    state = jax.jit(built.gan.init)(rng)
    begin = time.perf_counter()
    step = jax.jit(built.gan.train_step, donate_argnums=(0, 1)).lower(*state, batch, rng).compile()
    compile_seconds = time.perf_counter() - begin
    _, memory = analysis(step, 1)
    penalty = config.penalty
    cycle = math.lcm(penalty.interval, penalty.path_length_interval if penalty.path_length else 1)
    stretches = []
    for _ in range(1 + STRETCHES):
        begin = time.process_time()
        for _ in range(cycle):
            *state, _ = jax.block_until_ready(step(*state, batch, rng))
        stretches.append((time.process_time() - begin) / cycle)
    return {
        "recipe": name,
        "image_shape": shape,
        "batch": config.batch_size,
        "processor_ms": round(1e3 * statistics.median(stretches[1:]), 2),
        "megabytes": memory and round(memory / 2**20, 3),
        "compile_seconds": round(compile_seconds, 1),
    }


def page_table(rows: list[dict[str, Any]]) -> str:
    """The table of docs/models.md."""
    lines = []
    for row in rows:
        height, width, channels = row["image_shape"]
        images = f"{row['batch']} of {height}x{width}x{channels}"
        lines.append([f"`{row['recipe']}`", images, f"{row['processor_ms']:,.0f}", f"{row['megabytes']:,.0f}"])
    return table(["recipe", "images a step", "processor ms a step, one core", "MiB"], lines)


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("recipes", nargs="*", help="recipes, instead of those of docs/models.md that the file lacks")
    parser.add_argument("--out", type=Path, help="file of JSON lines to which the rows are added")
    parser.add_argument("--table", type=Path, help="only print the table of this file")
    options = parser.parse_args()
    if options.table:
        print(page_table(read_rows(options.table)))
        return
    from gan_jax.recipes import recipes

    for name in options.recipes:
        if name not in recipes():
            fail(f"{name}: there is no such recipe; `gan-jax recipes` lists them")
    run(options)


def run(options: argparse.Namespace) -> None:
    """Measures the recipes, and prints and appends their rows."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    done = {row["recipe"] for row in read_rows(options.out)} if options.out and options.out.exists() else set()
    for name in options.recipes or [name for name in SHOWN if name not in done]:
        print(name, file=sys.stderr, flush=True)
        row = measure(name) | origin(command_of("experiments.benchmarks.step_costs"))
        print(json.dumps(row), flush=True)
        if options.out:
            append_rows(options.out, [row])


if __name__ == "__main__":
    main()
