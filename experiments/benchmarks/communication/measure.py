"""Bytes that a train step moves between devices, read from the compiled program, and the time of that traffic on a ring.

    python -m experiments.benchmarks.communication.measure             dcgan_mnist and sngan on 2, 4 and 8 simulated devices
    python -m experiments.benchmarks.communication.measure --out docs/data/communication.jsonl    adds the rows to the file
    python -m experiments.benchmarks.communication.measure --table docs/data/communication.jsonl  the tables of the rows, without compiling
    python -m experiments.benchmarks.communication.measure sagan --devices 8 --link 8 100e9 3e-6 --link 256 12.5e9 1e-5

The first table counts the bytes that each device puts into collective operations in one step, not the bytes that cross its links. The
second table applies `experiments.benchmarks.communication.hlo.CommunicationModel` to them. `--link DEVICES BYTES_PER_SECOND SECONDS`
states the assumed ring. Nothing is trained. The programs are compiled for the CPU, whose partitioner is that of the other backends.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from docs._generate.tables import table
from experiments import rows as row_files
from experiments.benchmarks.communication.hlo import CommunicationModel, Traffic, traffic
from gan_jax.cli.errors import errors_as_lines, fail
from gan_jax.cli.parsing import argument_parser
from gan_jax.recipes import recipes

WAYS = {"jit": {}, "jit, sharded": {"shard_parameters": True}, "shard_map": {}, "pmap": {}}
# Quick to compile. The collectives are decided before these optimisations.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
COLUMNS = ("all-reduce", "all-gather", "reduce-scatter", "others")
MIB = 2**20
# Devices, bytes per second between neighbours, seconds per message.
LINKS = [(8, 100e9, 3e-6), (256, 12.5e9, 10e-6)]


class Row(NamedTuple):
    """One compiled step.

    Attributes:
        recipe, way, devices: Recipe, placement, and number of devices.
        operations: Its collectives, as `experiments.benchmarks.communication.hlo.Traffic`.
        flops: Operations of one device.
        held: Bytes of parameters and state on one device.
        parameters: Bytes of all parameters.
        jax: Version of JAX that compiled it.
    """

    recipe: str
    way: str
    devices: int
    operations: list[Any]
    flops: float
    held: int
    parameters: int
    jax: str


def compile_step(recipe: str, config: Any, way: str, devices: int) -> Row:
    """Compiles the step of a recipe with its batch split over simulated devices."""
    import jax
    import jax.numpy as jnp

    from gan_jax.distributed import make_placement, state_shardings
    from gan_jax.trainer.build.gan import build

    channels = config.data.channels or (3 if config.data.source == "stacked_mnist" else 1)
    shape = (config.data.image_size, config.data.image_size, channels)
    placement = make_placement(way.split(",")[0], devices=devices, **WAYS[way])
    built = build(config, shape, 10, placement)
    state = jax.eval_shape(built.gan.init, jax.random.key(0))
    shardings = state_shardings(placement, state)
    size = config.batch_size * built.rule.batches_per_step
    batch = {"image": jax.ShapeDtypeStruct((size, *shape), jnp.uint8), "label": jax.ShapeDtypeStruct((size,), jnp.int32)}
    placed = [
        jax.tree.map(lambda leaf, at: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=at), tree, places)
        for tree, places in ((state, shardings), (batch, jax.tree.map(lambda _: placement.batch, batch)))
    ]
    step = jax.jit(built.gan.train_step, out_shardings=(*shardings, placement.replicated), donate_argnums=(0, 1))
    key = jax.eval_shape(lambda: jax.random.key(0))
    program = step.lower(*placed[0], placed[1], key).compile(compiler_options=QUICK)
    held = sum(
        leaf.dtype.itemsize * leaf.size // (1 if at.is_fully_replicated else devices)
        for leaf, at in zip(jax.tree.leaves(state), jax.tree.leaves(shardings), strict=True)
    )
    parameters = sum(leaf.dtype.itemsize * leaf.size for leaf in jax.tree.leaves(state[0]))
    return Row(recipe, way, devices, traffic(program.as_text()), program.cost_analysis()["flops"], held, parameters, jax.__version__)


def read_rows(path: Path) -> list[Row]:
    """The rows of a file. The last row of each recipe, placement and number of devices counts."""
    from gan_jax.trainer.config import ConfigError

    try:
        found = [Row(**row) for row in row_files.read_rows(path)]
        found = [row._replace(operations=[Traffic(*operation) for operation in row.operations]) for row in found]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"--table {path}: its rows were not written by this program ({error})") from error
    if not found:
        raise ConfigError(f"--table {path}: has no rows")
    return list({(row.recipe, row.way, row.devices): row for row in found}.values())


def counted(operations: Sequence[Any], column: str) -> str:
    """The number of operations of a column, and their MiB."""
    chosen = [op for op in operations if op.operation == column or (column == "others" and op.operation not in COLUMNS)]
    return f"{len(chosen)}: {sum(op.operand_bytes for op in chosen) / MIB:.2f}" if chosen else "0"


def scaled(operations: Sequence[Any], devices: int, to: int) -> list[Any]:
    """The operations on another number of devices with the same batch on each. Gathered arrays have smaller pieces then."""
    factor = devices / to
    return [op._replace(operand_bytes=int(op.operand_bytes * (factor if op.operation == "all-gather" else 1))) for op in operations]


def moved_table(rows: Sequence[Row]) -> str:
    """The table of what is moved."""
    heads = ["recipe", "placement", "devices", "parameters, MiB", "state on a device, MiB", "GFLOP a device", *COLUMNS]
    sizes = ((row, [f"{row.parameters / MIB:.2f}", f"{row.held / MIB:.2f}", f"{row.flops / 1e9:.2f}"]) for row in rows)
    return table(heads, ([row.recipe, row.way, row.devices, *size, *(counted(row.operations, c) for c in COLUMNS)] for row, size in sizes))


def time_table(rows: Sequence[Row], links: Sequence[tuple[int, float, float]]) -> str:
    """The time of the rows of the most devices on each ring."""
    heads = ["recipe", "placement", *(f"{n} devices, {w / 1e9:g} GB/s, {s * 1e6:g} us" for n, w, s in links)]
    largest = max(row.devices for row in rows)
    lines = []
    for row in (row for row in rows if row.devices == largest):
        times = [CommunicationModel(w, s).seconds(scaled(row.operations, largest, n), n) * 1e3 for n, w, s in links]
        lines.append([row.recipe, row.way, *(f"{time:.2f} ms" for time in times)])
    return table(heads, lines)


def main() -> None:
    """Reads the flags, compiles, and prints the tables."""
    parser = argument_parser(__doc__)
    parser.add_argument("recipes", nargs="*", default=["dcgan_mnist", "sngan"], metavar="RECIPE")
    parser.add_argument("--devices", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--placements", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--link", nargs=3, type=float, action="append", metavar=("DEVICES", "BYTES_PER_SECOND", "SECONDS"))
    parser.add_argument("--out", type=Path, help="file of JSON lines to which the rows are added, e.g. docs/data/communication.jsonl")
    parser.add_argument("--table", type=Path, help="print the tables of the rows in a file without compiling")
    options = parser.parse_args()
    if options.table and options.out:
        fail("--table: cannot be combined with --out")
    known = recipes()
    unknown = [name for name in options.recipes if name not in known]
    if unknown:
        fail(f"{unknown[0]}: no such recipe; the recipes are {', '.join(known)}")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    links = [(int(n), w, s) for n, w, s in options.link] if options.link else LINKS
    with errors_as_lines():
        if options.table is not None:
            rows = read_rows(row_files.existing("--table", options.table))
        else:
            from gan_jax.distributed import simulate_devices

            simulate_devices(max(options.devices))
            cases = [(name, known[name][1], way, n) for name in options.recipes for way in options.placements for n in options.devices]
            rows = [compile_step(*case) for case in cases]
        if options.out is not None:
            row_files.append_rows(options.out, (row._asdict() for row in rows))
        print(moved_table(rows), time_table(rows, links), sep="\n\n")


if __name__ == "__main__":
    main()
