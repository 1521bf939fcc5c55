"""What every way of playing costs on DCGAN: floating-point operations of the compiled step, and its time against the plain step.

    python -m experiments.studies.update_rules.costs --compile-only      fills the compilation cache, prints the operations
    python -m experiments.studies.update_rules.costs                     measures, prints the table of docs/update_rules.md

DCGAN of width 16, 32x32x1, batch 64, float32. Operations are those that XLA counts in the compiled program; it counts the body of a loop
once, so that of `4 micro-batches` and `loss balanced` they are not given. Time: each sample is a plain step and a step of the row in
turn, `--repeats` times; the ratio is the median of the ratios, so that a slow moment of the machine falls on both. The milliseconds of
a row are in the file of results only: those of different rows are of different moments, and say nothing of each other.
"""

import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.studies import mixtures
from experiments.studies.update_rules.variants import ROWS
from gan_jax.cli import common

OUT = Path(__file__).parents[3] / "docs" / "data" / "strategy_costs.json"
LOOPS = ("4 micro-batches", "loss balanced at 1.0")


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to measure."""

    width: int = 16
    """Of DCGAN."""
    batch_size: int = 64
    """Images a turn."""
    repeats: int = 15
    """Pairs of steps timed for each row."""
    compile_only: bool = False
    """Compile, time nothing."""
    out: Path = OUT
    """The file of results."""


def step_of(name: str, flags: Flags) -> tuple[Callable[[], Any], float | None]:
    """A function that plays one compiled step of a row, and the operations of that step."""
    import jax
    import jax.numpy as jnp

    from gan_jax.trainer.build.gan import build
    from gan_jax.trainer.config import Config, ModelConfig, OptimizerConfig, check

    plain = Config(
        steps=10_000,
        batch_size=flags.batch_size,
        model=ModelConfig(name="dcgan", width=flags.width, latent_dim=64),
        optimizer=OptimizerConfig(ema_decay=0.0),
    )
    config = check(mixtures.replaced(plain, ROWS[name]))
    built = build(config, (32, 32, 1), 0)
    rng = jax.random.key(0)
    count = config.batch_size * built.rule.batches_per_step
    batch = {"image": jax.random.randint(rng, (count, 32, 32, 1), 0, 256).astype(jnp.uint8)}
    carried = list(jax.jit(built.gan.init)(rng))
    program = jax.jit(built.gan.train_step, donate_argnums=(0, 1)).lower(*carried, batch, rng).compile()
    cost = program.cost_analysis()
    flops = None if name in LOOPS else float(cost["flops"])

    def step() -> None:
        carried[:] = program(*carried, batch, rng)[:2]
        jax.block_until_ready(carried[0])

    return step, flops


def seconds_of(step: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def measure(flags: Flags) -> list[dict[str, Any]]:
    """One row for each way of playing."""
    plain, plain_flops = step_of("alternating", flags)
    plain()
    rows = []
    for name in ROWS:
        step, flops = step_of(name, flags)
        if flags.compile_only:
            print(name, "-" if flops is None else f"{flops / 1e9:.3f} Gflop", flush=True)
            continue
        step()
        pairs = [(seconds_of(plain), seconds_of(step)) for _ in range(flags.repeats)]
        rows.append(
            {
                "name": name,
                "gigaflop": None if flops is None else round(flops / 1e9, 3),
                "flop_ratio": None if flops is None or plain_flops is None else round(flops / plain_flops, 3),
                "milliseconds": round(1000 * statistics.median(own for _, own in pairs), 2),
                "time_ratio": round(statistics.median(own / before for before, own in pairs), 3),
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table."""
    lines = ["| game | Gflop a step | of plain | time, of plain |", "|---|---|---|---|"]
    for row in rows:
        flops = "- | -" if row["gigaflop"] is None else f"{row['gigaflop']:.2f} | {row['flop_ratio']:.2f}"
        lines.append(f"| {row['name']} | {flops} | {row['time_ratio']:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Reads the flags, measures, writes the rows, prints their table."""
    import tyro

    flags = common.parse(lambda: tyro.cli(Flags, description=__doc__))
    with common.errors_as_lines():
        common.compilation_cache(None)
        rows = measure(flags)
        if rows:
            flags.out.parent.mkdir(parents=True, exist_ok=True)
            flags.out.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
            print(table(rows))


if __name__ == "__main__":
    main()
