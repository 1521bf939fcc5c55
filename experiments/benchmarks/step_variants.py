"""What was tried on the step: variants of one workload of the benchmark, turn by turn in one process.

    python -m experiments.benchmarks.step_variants dcgan32 [--seconds 60] [--only "one device" ...]
    python -m experiments.benchmarks.step_variants mixture

Milliseconds a step (medians of the samples that a probe of the machine's speed allows) and the ratio to the first variant, as Markdown.
"""

import contextlib
import functools
from collections.abc import Callable
from unittest import mock

import flax.linen
import jax
import optax

from experiments.benchmarks import kept
from experiments.benchmarks.jax_steps import Program, every_core, make_spec, training
from experiments.benchmarks.monitor_cost import unwatched
from experiments.benchmarks.timing import Candidate, interleave
from experiments.benchmarks.workloads import WORKLOADS
from gan_jax.cli import common
from gan_jax.distributed import make_placement
from gan_jax.trainer.environment import cpus_allowed


def flattened() -> contextlib.AbstractContextManager[object]:
    """While it is entered, Adam works on all of a player's parameters as one vector."""
    adam = optax.adam
    return mock.patch("optax.adam", lambda *arguments, **keywords: optax.flatten(adam(*arguments, **keywords)))


def flax_batch_norm(*, fast: bool) -> contextlib.AbstractContextManager[object]:
    """While it is entered, batch norm is Flax's, with its fast variance or its exact one."""
    return mock.patch("gan_jax.nn.norms.BatchNorm", functools.partial(flax.linen.BatchNorm, use_fast_variance=fast))


def threads_inside() -> contextlib.AbstractContextManager[object]:
    """While it is entered, each of several CPU devices cuts its operations up for all cores."""
    return mock.patch("gan_jax.distributed.sharding.one_thread_each", return_value=None)


def variants(name: str) -> dict[str, Callable[[], Program]]:
    """Variant -> a function that compiles it."""
    workload = WORKLOADS[name]

    def one(context: contextlib.AbstractContextManager[object] | None = None, scan: int | None = None, **spec: object) -> Program:
        with context or contextlib.nullcontext():
            return training(make_spec(**workload.spec | spec), **workload.run | ({"scan": scan} if scan else {}))

    def many(kind: str, context: contextlib.AbstractContextManager[object] | None = None) -> Program:
        placement = every_core() if kind == "shard_map" else make_placement(kind)
        with context or contextlib.nullcontext():
            return training(make_spec(**workload.spec, placement=placement), **workload.run, placement=placement)

    found: dict[str, Callable[[], Program]] = {
        "one device": one,
        "one device, one step a call": lambda: one(scan=1),
        "one device, the monitor left out": lambda: one(unwatched()),
        "one device, the optimiser flattened": lambda: one(flattened()),
    }
    if workload.spec["model"] == "dcgan":
        found["one device, no batch norm in D"] = lambda: one(discriminator_norm="none")
        found["a device a core, shard_map, Flax's batch norm, fast variance"] = lambda: many("shard_map", flax_batch_norm(fast=True))
        found["a device a core, shard_map, Flax's batch norm, exact variance"] = lambda: many("shard_map", flax_batch_norm(fast=False))
    return found | {
        "a device a core, shard_map, one thread each": lambda: many("shard_map"),
        "a device a core, shard_map, threads inside operations": lambda: many("shard_map", threads_inside()),
        "a device a core, jit": lambda: many("jit"),
    }


def main() -> None:
    """Compiles, times and prints."""
    parser = common.argument_parser(__doc__)
    parser.add_argument("workload", choices=[name for name, row in WORKLOADS.items() if row.kind == "training" and "seeds" not in row.run])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", nargs="+", metavar="VARIANT", help="some of the variants, by name")
    kept.add_flag(parser)
    chosen = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", cpus_allowed())
    programs = {name: make() for name, make in variants(chosen.workload).items() if not chosen.only or name in chosen.only}
    if not programs:
        common.fail(f"--only {' '.join(chosen.only)}: there are {', '.join(variants(chosen.workload))}")
    times = interleave({name: Candidate(program.call, program.steps) for name, program in programs.items()}, seconds=chosen.seconds)
    first = next(iter(times.values())).median
    print(f"| {chosen.workload} | ms | of the first |\n|---|---|---|")
    for name, timing in times.items():
        print(f"| {name} | {1e3 * timing.median:.3g} | {timing.median / first:.2f} |")
    kept.keep({name: 1e3 * timing.median for name, timing in times.items()}, chosen.out)


if __name__ == "__main__":
    main()
