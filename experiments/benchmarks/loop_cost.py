"""What the loop around the step costs, and how long a run takes until its first step.

    python -m experiments.benchmarks.loop_cost [--rounds 5] [--steps 200] [--width 64] [--batch-size 64] [--scan-steps 1]
    python -m experiments.benchmarks.loop_cost --first-step

Without --first-step: milliseconds a step of a whole run (batches, records, the monitor, the progress bar; no samples, no checkpoints)
beside those of the same compiled step called again and again on one batch, taking turns in one process; medians, and their ratio.

With it: the default recipe is started as a program of its own, from an empty folder of compiled programs and then from the filled one;
seconds from the start of the process to the first line of metrics.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
from rich.console import Console

from experiments.benchmarks import kept
from gan_jax.cli import common
from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import Config, ModelConfig
from gan_jax.trainer.loop import chunk_step, train


def bare(config: Config) -> Callable[[], float]:
    """Times `config.steps` calls of the compiled step on one batch; seconds a step."""
    source = load_data(config)
    built = build(config, source.shape, source.num_classes)
    step = jax.jit(chunk_step(built, config.scan_steps), donate_argnums=(0, 1))
    batches = {"image": jax.numpy.asarray(source.images[: config.batch_size])[None].repeat(config.scan_steps, axis=0)}
    rng = jax.random.key(1)
    state = list(jax.jit(built.gan.init)(jax.random.key(0)))
    state[:] = jax.block_until_ready(step(*state, batches, rng))[:2]

    def measure() -> float:
        start = time.perf_counter()
        for _ in range(config.steps // config.scan_steps):
            *state[:], _ = step(*state, batches, rng)
        jax.block_until_ready(state)
        return (time.perf_counter() - start) / config.steps

    return measure


def looped(config: Config, directory: Path) -> float:
    """Trains once, and returns the seconds a step between the first and the last line of the log."""
    with open(os.devnull, "w") as nowhere:
        train(dataclasses.replace(config, out=directory), console=Console(file=nowhere))
    rows = [json.loads(line) for line in (directory / "timing.jsonl").read_text().splitlines()]
    return (rows[-1]["time"] - rows[0]["time"]) / (rows[-1]["step"] - rows[0]["step"])


def loop_cost(chosen: argparse.Namespace) -> dict[str, float]:
    """Medians of both over the rounds."""
    config = Config(
        steps=chosen.steps,
        batch_size=chosen.batch_size,
        scan_steps=chosen.scan_steps,
        log_every=10,
        sample_every=0,
        checkpoint_every=0,
        model=ModelConfig(width=chosen.width),
    )
    config = dataclasses.replace(config, evaluation=dataclasses.replace(config.evaluation, samples=0))
    measure = bare(config)
    alone, whole = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(chosen.batches_per_step):
            alone.append(measure())
            whole.append(looped(config, Path(folder) / str(number)))
            alone.append(measure())
    result = {"bare step": 1e3 * statistics.median(alone), "step of a run": 1e3 * statistics.median(whole)}
    return result | {"ratio": result["step of a run"] / result["bare step"]}


def first_step(cache: Path, out: Path) -> float:
    """Starts a run, waits for its first line of metrics, and stops it; seconds."""
    flags = ["dcgan_mnist", "--log-every", "1", "--steps", "3", "--sample-every", "0", "--evaluation.samples", "0"]
    command = [sys.executable, str(Path(__file__).with_name("train.py")), *flags, "--compilation-cache", str(cache), "--out", str(out)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = out / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.005)
    seconds = time.perf_counter() - start
    if process.wait():
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    return seconds


def first_steps(rounds: int) -> dict[str, float]:
    """Medians over the rounds, from an empty folder of compiled programs and from the filled one."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        cold, cached = [], []
        for number in range(rounds):
            cache = place / f"cache{number}"
            cold.append(first_step(cache, place / f"cold{number}"))
            cached.append(first_step(cache, place / f"cached{number}"))
    return {"seconds to the first step, cold": statistics.median(cold), "cached": statistics.median(cached)}


def main() -> None:
    """Measures, and prints JSON."""
    parser = common.argument_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--scan-steps", type=int, default=1)
    parser.add_argument("--first-step", action="store_true")
    kept.add_flag(parser)
    chosen = parser.parse_args()
    figures = first_steps(chosen.batches_per_step) if chosen.first_step else loop_cost(chosen)
    print(json.dumps(figures, indent=1))
    kept.keep(figures, chosen.out)


if __name__ == "__main__":
    main()
