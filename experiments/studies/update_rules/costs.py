"""Cost of every update rule and its options on DCGAN: operations of the compiled step, and its time relative to the plain step.

    python -m experiments.studies.update_rules.costs --compile-only      fills the compilation cache, prints the operations
    python -m experiments.studies.update_rules.costs                     measures, prints the table of docs/update_rules.md

The model is a DCGAN of width 16, 32x32x1, batch 64, float32. Operations are those that XLA counts in the compiled program. It counts the
body of a loop once, so the table leaves them out for `4 micro-batches` and `loss balanced`. A plain step and a step of the row are timed
in turn, `--repeats` times. The ratio is the median of the ratios of these pairs, so a slow moment of the machine affects both sides. The
milliseconds are in the file of results only. Those of different rows were measured at different times and are not comparable.
"""

import dataclasses
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docs._generate.tables import table
from experiments.benchmarks.timing import seconds_of
from experiments.rows import command_of, origin
from experiments.studies import mixtures
from experiments.studies.update_rules.variants import ROWS
from gan_jax.cli.compilation_cache import use_compilation_cache
from gan_jax.cli.errors import errors_as_lines
from gan_jax.cli.parsing import parse_flags

OUT = Path(__file__).parents[3] / "docs" / "data" / "strategy_costs.json"
LOOPS = ("4 micro-batches", "loss balanced at 1.0")


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to measure."""

    width: int = 16
    """Width of the DCGAN."""
    batch_size: int = 64
    """Batch size of one discriminator update."""
    repeats: int = 15
    """Number of timed pairs of steps per row."""
    compile_only: bool = False
    """Only compile."""
    out: Path = OUT
    """The file of results."""


def step_of(name: str, flags: Flags) -> tuple[Callable[[], Any], float | None]:
    """A function that runs one compiled step of a row, and the operations of that step."""
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


def measure(flags: Flags) -> list[dict[str, Any]]:
    """One row per update rule or option, with its origin."""
    came_from = origin(command_of("experiments.studies.update_rules.costs"))
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
            | came_from
        )
    return rows


def cost_table(rows: list[dict[str, Any]]) -> str:
    """The table of docs/update_rules.md."""
    lines = []
    for row in rows:
        flops = ["-", "-"] if row["gigaflop"] is None else [f"{row['gigaflop']:.2f}", f"{row['flop_ratio']:.2f}"]
        lines.append([row["name"], *flops, f"{row['time_ratio']:.2f}"])
    return table(["configuration", "Gflop per step", "relative to the plain step", "time relative to the plain step"], lines)


def savings(rows: list[dict[str, Any]]) -> str:
    """What shared fakes and simultaneous updates save."""
    shared, simultaneous = (next(row for row in rows if row["name"] == name) for name in ("shared fakes", "simultaneous"))
    saved = [f"{1 - row['flop_ratio']:.0%}" for row in (shared, simultaneous)]
    times = [f"{row['time_ratio']:.2f}" for row in (shared, simultaneous)]
    return (
        f"Sharing the fakes saves {saved[0]} of the operations of a step, and simultaneous updates save {saved[1]}. "
        f"In time, shared fakes take {times[0]} and simultaneous updates {times[1]} of the plain step."
    )


def main() -> None:
    """Reads the flags, measures, writes the rows, and prints their table."""

    flags = parse_flags(Flags, __doc__)
    with errors_as_lines():
        use_compilation_cache()
        rows = measure(flags)
        if rows:
            flags.out.parent.mkdir(parents=True, exist_ok=True)
            flags.out.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
            print(cost_table(rows))


if __name__ == "__main__":
    main()
