"""Quality of the same DCGAN and the same SNGAN in plain PyTorch and in gan_jax after the same time.

    python -m experiments.studies.compare_torch --recipes dcgan --seconds 120 --seeds 0 1 2
    python -m experiments.studies.compare_torch --recipes sngan --width 16 --seconds 300
    python -m experiments.studies.compare_torch --table runs/compare_torch/compare_torch.json

Both sides have the networks (their parameters are counted), initial distributions, loss, optimiser, moving average and batches of the
recipe `dcgan_mnist` or `sngan` on the embedded digits. They train in turn on the same machine, --slice seconds at a time. Each side has
its own clock, which counts everything but the evaluations: building, compiling (with --cached: reading the compiled program, as in any
second run), and training. At the end of each slice the classifier distance of 1,000 samples of the averaged generator to the training
images is measured in the same way for both.

Differs: the seeds give the two sides different weights. PyTorch runs eagerly, with channels_last and fused Adam. PyTorch's spectral norm
makes one power iteration per forward pass of D in training, and gan_jax makes one per update.

The results are compare_torch.json, compare_torch.md and compare_torch.png in --out. This program needs PyTorch (`pip install torch`).
"""

import argparse
import dataclasses
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from docs._generate.tables import mean_and_deviation, table
from experiments.benchmarks.machine import command, in_words, machine
from experiments.rows import command_of, existing, origin
from experiments.studies.ablations.baselines import measure_images, real_row
from experiments.studies.race_plot import ticks
from gan_jax.cli.compilation_cache import use_compilation_cache
from gan_jax.cli.errors import fail
from gan_jax.cli.parsing import argument_parser
from gan_jax.data import Feed, Source
from gan_jax.distributed import simulate_devices, to_local
from gan_jax.recipes import recipes
from gan_jax.trainer import image_grid
from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import Config, DataConfig, ParallelConfig, check
from gan_jax.trainer.environment import cpus_allowed
from gan_jax.trainer.loop import chunk_step
from gan_jax.trainer.setup import placement_of

SIDES = ("gan_jax", "PyTorch")
SAMPLES = 1000
SHARES = (0.25, 0.5, 1.0)  # shares of the time at which the table reads the curves
COLOURS = {"gan_jax": (0, 90, 160), "PyTorch": (200, 80, 20)}


class JaxTraining:
    """One training with gan_jax, with its own clock. Building and compiling count."""

    def __init__(self, config: Config, source: Source):
        start = time.perf_counter()
        placement = self.placement = placement_of(config)
        self.config, self.built = config, build(config, source.shape, source.num_classes, placement)
        self.rng = jax.random.key(config.seed)
        replicated = placement and placement.replicated
        params, state = jax.jit(self.built.gan.init, out_shardings=replicated)(jax.random.fold_in(self.rng, 0))
        self.parameters = tuple(sum(leaf.size for leaf in jax.tree.leaves(player)) for player in params)
        rows = config.batch_size * self.built.rule.batches_per_step
        self.feed = Feed(source, batch_size=rows, seed=config.seed, sharding=placement and placement.batches)
        chunks = chunk_step(self.built, config.scan_steps, self.feed.gather)
        options = placement and placement.compiler_options
        step = jax.jit(chunks, donate_argnums=(0, 1), out_shardings=replicated, compiler_options=options)
        chunk = self.feed.chunk(0, config.scan_steps)
        compiling = time.perf_counter()
        self.program = step.lower(params, state, chunk, self.rng).compile()
        self.compile_seconds = time.perf_counter() - compiling
        self.params, self.state, self.steps = params, state, 0
        self.draw = jax.jit(lambda params, state, rng: self.built.gan.sample(params, state, rng, SAMPLES))
        self.seconds = time.perf_counter() - start

    def advance(self, until: float) -> None:
        """Trains until the clock of the training shows `until` seconds."""
        start, before = time.perf_counter(), self.seconds
        while self.seconds < until:
            chunk = self.feed.chunk(self.steps, self.config.scan_steps)
            self.params, self.state, metrics = self.program(self.params, self.state, chunk, jax.random.fold_in(self.rng, 1))
            jax.block_until_ready(metrics)
            self.steps += self.config.scan_steps
            self.seconds = before + time.perf_counter() - start

    def sample(self, count: int) -> np.ndarray:
        """Images from the averaged weights, uint8 [count, height, width, channels]. The clock does not count this."""
        state = to_local(self.placement, (self.params, self.state))
        return image_grid.to_uint8(np.asarray(self.draw(*state, jax.random.fold_in(self.rng, 2))))[:count]


def config_of(recipe: str, width: int | None, seed: int, devices: int = 1) -> Config:
    """The configuration of the recipe on the embedded digits and the given number of devices."""
    name = {"dcgan": "dcgan_mnist", "sngan": "sngan"}[recipe]
    config = recipes()[name][1]
    model = dataclasses.replace(config.model, width=width or config.model.width)
    scan = {"dcgan": 8, "sngan": 2}[recipe]
    parallel = ParallelConfig(placement="shard_map", devices=devices) if devices > 1 else ParallelConfig()
    config = dataclasses.replace(config, seed=seed, data=DataConfig(source="mnist5k"), model=model, scan_steps=scan, parallel=parallel)
    return check(config)


def compare(recipe: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Trains both sides in turn and records their distances."""
    from experiments.benchmarks import torch_train

    config = config_of(recipe, options.width, seed, options.devices)
    came_from = origin(command_of("experiments.studies.compare_torch"), devices=options.devices, form="scan")
    source = load_data(config)
    feed = Feed(source, batch_size=config.batch_size * config.update.discriminator_steps, seed=seed)
    indices_at = lambda step: feed.batches.indices_at(step)[0]  # noqa: E731
    if options.cached:
        use_compilation_cache()
        JaxTraining(config, source)
    ours = JaxTraining(config, source)
    theirs = torch_train.from_config(config, np.asarray(source.images[:]), indices_at, threads=cpus_allowed())
    if ours.parameters != theirs.parameters:
        raise AssertionError(f"the networks differ: {ours.parameters} and {theirs.parameters} parameters")
    sides: dict[str, Any] = dict(zip(SIDES, (ours, theirs)))
    curves: dict[str, list[dict[str, Any]]] = {name: [] for name in SIDES}
    marks = np.arange(options.slice, options.seconds + options.slice / 2, options.slice)
    for number, mark in enumerate(marks):
        for name in SIDES[:: 1 if number % 2 == 0 else -1]:  # the first side alternates
            sides[name].advance(float(mark))
            found = measure_images(sides[name].sample(SAMPLES))
            point = {"seconds": round(sides[name].seconds, 2), "steps": sides[name].steps, "classifier_fd": found["classifier_fd"]}
            curves[name].append(point)
            print(f"{recipe} seed {seed} {name}: {point}", file=sys.stderr, flush=True)
    about = {"recipe": recipe, "seed": seed, "width": config.model.width, "batch_size": config.batch_size, "parameters": ours.parameters}
    about |= {
        "cached": options.cached,
        "devices": options.devices,
        "compile_seconds": round(ours.compile_seconds, 2),
        "seconds": options.seconds,
    }
    return about | {"curves": curves} | came_from


def at_share(run: dict[str, Any], side: str, share: float) -> dict[str, Any]:
    """The point at the end of the last slice within a share of the time, or of the first slice if the share is shorter."""
    curve = run["curves"][side]
    # Slices are counted because the seconds at their ends differ between the sides: a slice ends after its last steps.
    return curve[max(math.floor(share * len(curve)) - 1, 0)]


def result_table(report: dict[str, Any], recipe: str | None = None) -> str:
    """Distances at shares of the time and steps per second, for all recipes or one of them, with the machine above the table."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for run in report["runs"]:
        if recipe in (None, run["recipe"]):
            groups.setdefault((run["recipe"], run["width"], run["seconds"]), []).append(run)
    heads = ["recipe", "side", "seeds", "steps", "steps a second", *(f"`classifier_fd` at {share:.0%} of the time" for share in SHARES)]
    lines = []
    for (name, width, seconds), runs in groups.items():
        for side in SIDES:
            last = [run["curves"][side][-1] for run in runs]
            cells = [
                f"{name}, width {width}, {seconds:g} s",
                side,
                str(len(runs)),
                mean_and_deviation([point["steps"] for point in last], 0),
            ]
            cells += [mean_and_deviation([point["steps"] / point["seconds"] for point in last], 1)]
            lines.append(cells + [mean_and_deviation([at_share(run, side, share)["classifier_fd"] for run in runs], 1) for share in SHARES])
    compiling = mean_and_deviation([run["compile_seconds"] for runs in groups.values() for run in runs], 1)
    head = f"Measured on {in_words(report['machine'])}. gan_jax compiles for {compiling} s of its time. "
    return head + f"1,000 held-out digits have a `classifier_fd` of {report['real']:.2f}.\n\n{table(heads, lines)}"


def as_markdown(report: dict[str, Any]) -> str:
    """The command and the table of a report."""
    return f"    {report['command']}\n\n{result_table(report)}\n"


def draw(report: dict[str, Any], path: Path) -> None:
    """Draws the classifier distance against seconds on a logarithmic axis, with one panel per recipe."""
    recipes = list(dict.fromkeys(run["recipe"] for run in report["runs"]))
    width, height, left, top, gap = 420, 300, 60, 34, 40
    image = Image.new("RGB", (left + len(recipes) * (width + gap), top + height + 44), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=12)
    values = [point["classifier_fd"] for run in report["runs"] for curve in run["curves"].values() for point in curve] + [report["real"]]
    low, high = np.log10(min(values)) - 0.05, np.log10(max(values)) + 0.05
    for number, recipe in enumerate(recipes):
        runs = [run for run in report["runs"] if run["recipe"] == recipe]
        x0, longest = (
            left + number * (width + gap),
            max(point["seconds"] for run in runs for curve in run["curves"].values() for point in curve),
        )

        def place(seconds: float, distance: float, x0: int = x0, longest: float = longest) -> tuple[float, float]:
            return x0 + width * seconds / longest, top + height * (1 - (np.log10(distance) - low) / (high - low))

        pen.rectangle((x0, top, x0 + width, top + height), outline=(90, 90, 90))
        pen.text((x0 + width / 2, 8), f"{recipe}: classifier distance against seconds", fill="black", font=font, anchor="ma")
        for tick in ticks(10**low, 10**high):
            y = place(0, tick)[1]
            pen.line((x0, y, x0 + width, y), fill=(225, 225, 225))
            pen.text((x0 - 4, y), f"{tick:g}", fill="black", font=font, anchor="rm")
        scale = 10 ** math.floor(math.log10(longest))
        step = next(scale * share for share in (0.1, 0.2, 0.5, 1.0, 2.0) if longest <= 6 * scale * share)
        for tick in np.arange(0, longest + step / 1000, step):
            pen.text((place(tick, report["real"])[0], top + height + 4), f"{tick:g}", fill="black", font=font, anchor="ma")
        pen.line((place(0, report["real"]), place(longest, report["real"])), fill=(120, 120, 120))
        for column, side in enumerate(SIDES):
            for run in runs:
                pen.line([place(point["seconds"], point["classifier_fd"]) for point in run["curves"][side]], fill=COLOURS[side], width=2)
            pen.text((x0 + 8 + 90 * column, top + height + 22), side, fill=COLOURS[side], font=font)
        pen.text((x0 + 8 + 90 * len(SIDES), top + height + 22), "real, held out", fill=(120, 120, 120), font=font)
    image_grid.save_png(path, np.asarray(image))


def write(report: dict[str, Any], directory: Path) -> None:
    """Writes the JSON file, the table and the picture."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "compare_torch.json").write_text(json.dumps(report, indent=1) + "\n")
    (directory / "compare_torch.md").write_text(as_markdown(report))
    draw(report, directory / "compare_torch.png")


def main(arguments: list[str] | None = None) -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--recipes", nargs="+", choices=("dcgan", "sngan"), default=["dcgan", "sngan"], help="what to train")
    parser.add_argument("--seconds", type=float, default=120.0, help="seconds of training for each side")
    parser.add_argument("--slice", type=float, default=5.0, help="seconds between two evaluations")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds, trained one after the other")
    parser.add_argument("--width", type=int, help="width of the networks (default: the recipe's, 32 and 64)")
    parser.add_argument(
        "--devices", type=int, default=cpus_allowed(), help="devices of gan_jax that share a batch (default: one per CPU core)"
    )
    parser.add_argument(
        "--cached", action="store_true", help="read the program of gan_jax from the compilation cache, as in any second run"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/compare_torch"), help="folder of the JSON, Markdown and PNG files")
    parser.add_argument("--table", type=Path, help="only print the table of a JSON file and draw its picture beside it")
    options = parser.parse_args(arguments)
    if options.table is not None:
        report = json.loads(existing("--table", options.table).read_text())
        draw(report, options.table.with_suffix(".png"))
        print(as_markdown(report))
        return
    if not 0 < options.slice <= options.seconds:
        fail(f"--slice {options.slice:g}: must be above 0 and at most --seconds {options.seconds:g}")
    try:
        import torch  # noqa: F401
    except ImportError:
        fail("PyTorch is needed for the comparison: pip install torch")
    simulate_devices(options.devices)
    real = real_row("mnist5k")["classifier_fd"]
    report: dict[str, Any] = {"machine": machine(), "command": command("experiments.studies.compare_torch"), "real": real, "runs": []}
    for recipe in options.recipes:
        for seed in options.seeds:
            report["runs"].append(compare(recipe, seed, options))
            write(report, options.out)
            jax.clear_caches()
    print(as_markdown(report))


if __name__ == "__main__":
    main()
