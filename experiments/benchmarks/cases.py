"""The table of benchmark cases: which programs each one compares, and how long it measures them.

A case builds its candidates one by one, so a candidate that cannot run on this machine becomes a note and not the end of the case.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from experiments.benchmarks import surroundings, variants
from experiments.benchmarks.timing import Candidate
from experiments.benchmarks.workloads import PRESETS as WORKLOAD_PRESETS
from experiments.benchmarks.workloads import WORKLOADS, Workload

Builders = dict[str, Callable[[], Candidate]]


class Case(NamedTuple):
    """One row of the benchmark.

    Attributes:
        about: Description for the list of cases and the tables.
        builders: Returns name -> function that compiles a candidate. It receives the steps per call of gan_jax, or None for the
            default of the case.
        seconds: Default of `--seconds`.
        least_rounds, sample_seconds: As in `timing.interleave`.
        every_core: Whether each CPU core must be a device of its own.
        peak: Whether the row records the speed of matrix products.
    """

    about: str
    builders: Callable[[int | None], Builders]
    seconds: float = 20.0
    least_rounds: int = 5
    sample_seconds: float = 0.3
    every_core: bool = False
    peak: bool = False


def _of_workload(workload: Workload) -> Case:
    def builders(scan: int | None) -> Builders:
        return {column: partial(variants.column_candidate, workload, column, scan) for column in workload.columns}

    return Case(workload.about, builders, every_core=True, peak=True)


def _of_variants(name: str) -> Case:
    return Case(f"variants of the step of {name}", lambda scan: variants.step_variants(WORKLOADS[name], scan), 60.0, every_core=True)


def _fixed(about: str, builders: Callable[[], Builders], **options: Any) -> Case:
    return Case(about, lambda scan: builders(), **options)


CASES: dict[str, Case] = {
    **{name: _of_workload(workload) for name, workload in WORKLOADS.items()},
    "variants_dcgan32": _of_variants("dcgan32"),
    "variants_mixture": _of_variants("mixture"),
    **{
        f"monitor_{width}": _fixed(
            f"step of a DCGAN of width {width} with and without the monitor, and the monitor's look at the samples",
            partial(surroundings.monitor, width),
            seconds=60.0,
            sample_seconds=1.0,
        )
        for width in (32, 64)
    },
    **{
        f"loop_{width}": _fixed(
            f"step of a DCGAN of width {width} alone and inside a run", partial(surroundings.loop, width), seconds=0.0, least_rounds=3
        )
        for width in (32, 64)
    },
    "first_step": _fixed("time to the first step of dcgan_mnist as a program", surroundings.first_step, seconds=0.0, least_rounds=3),
    "distances": _fixed(
        "Fréchet distance and manifold metrics of 10,000 x 2,048, ours and prdc's",
        surroundings.distances,
        seconds=0.0,
        least_rounds=3,
        sample_seconds=0.0,
    ),
    "features": _fixed(
        "feature extractors and their bare networks", surroundings.features, seconds=0.0, least_rounds=3, sample_seconds=0.0
    ),
}
PRESETS = {name: tuple(workloads) for name, workloads in WORKLOAD_PRESETS.items()}
