"""Interleaved timing of several programs on a machine whose speed varies."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np


class Candidate(NamedTuple):
    """One program to time.

    Attributes:
        call: Runs the program once and waits for its result. With `own_clock` it returns the seconds to count.
        steps: Number of train steps of one call, e.g. the length of its scan. Times are reported per step.
        own_clock: Whether `call` measures its own seconds. Such a candidate is not warmed up and is called once per sample.
        facts: What compiling the program told about it, e.g. its number of operations. It goes into the row of the benchmark.
    """

    call: Callable[[], object]
    steps: int = 1
    own_clock: bool = False
    facts: dict[str, float | None] = {}  # noqa: RUF012


class Timing(NamedTuple):
    """Seconds per step: median, least and greatest of the accepted samples, with the numbers of accepted and rejected samples."""

    median: float
    least: float
    greatest: float
    kept: int
    rejected: int


def make_probe(size: int = 768) -> Callable[[], float]:
    """Returns a function that measures the seconds of a short matrix product on the CPU, i.e. the present speed of the machine.

    The product is JAX's. The threads of NumPy's BLAS keep spinning for a while and would slow down the next sample.
    """
    cpu = jax.local_devices(backend="cpu")[0]
    a = jax.device_put(np.random.default_rng(0).standard_normal((size, size), np.float32), cpu)
    multiply = jax.jit(lambda a: a @ a)

    def probe() -> float:
        return min(seconds_of(lambda: multiply(a).block_until_ready()) for _ in range(2))

    for _ in range(3):
        probe()
    return probe


def seconds_of(call: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def interleave(
    candidates: dict[str, Candidate], *, seconds: float = 20.0, least_rounds: int = 5, sample_seconds: float = 0.3, tolerance: float = 1.2
) -> dict[str, Timing]:
    """Times candidates in turn and returns the medians of the samples that were taken while the machine was fast.

    Each sample lies between two probes of the machine's speed. A sample is accepted if neither of its probes took more than `tolerance`
    times the fastest tenth of all probes. If fewer than three samples of a candidate are accepted, the half of its samples with the
    fastest probes is used instead.

    Args:
        candidates: Name -> candidate. Each one is called twice first, so it need not be warm.
        seconds: Total seconds for all candidates together.
        least_rounds: Least number of samples per candidate, even if that takes longer.
        sample_seconds: A call is repeated within one sample up to about this many seconds.
        tolerance: Largest accepted slowdown of a probe.

    Returns:
        Name -> timing of one step.
    """
    probe = make_probe()
    repeats = {}
    for name, candidate in candidates.items():
        repeats[name] = 1
        if not candidate.own_clock:
            candidate.call()
            repeats[name] = max(1, round(sample_seconds / max(seconds_of(candidate.call), 1e-6)))
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    begin, rounds = time.perf_counter(), 0
    while rounds < least_rounds or time.perf_counter() - begin < seconds:
        before = probe()
        for name, candidate in candidates.items():
            duration = _sample(candidate, repeats[name])
            after = probe()
            samples[name].append((max(before, after), duration))
            before = after
        rounds += 1
    probes = sorted(worst for rows in samples.values() for worst, _ in rows)
    limit = tolerance * probes[len(probes) // 10]
    return {name: _summary(rows, limit) for name, rows in samples.items()}


def _sample(candidate: Candidate, repeats: int) -> float:
    """Seconds per step of one sample."""
    if candidate.own_clock:
        own: Any = candidate.call()
        return own / candidate.steps
    return seconds_of(lambda: [candidate.call() for _ in range(repeats)]) / (repeats * candidate.steps)


def _summary(rows: list[tuple[float, float]], limit: float) -> Timing:
    kept = [duration for worst, duration in rows if worst <= limit]
    if len(kept) < 3:
        kept = [duration for _, duration in sorted(rows)[: max(3, len(rows) // 2)]]
    return Timing(statistics.median(kept), min(kept), max(kept), len(kept), len(rows) - len(kept))


def matmul_peak(dtype: str = "float32", size: int = 2048, repeats: int = 30) -> float:
    """Operations per second of the fastest of several square matrix products in JAX. This is the practical peak of the machine."""
    import jax.numpy as jnp

    a = jnp.ones((size, size), dtype)
    multiply = jax.jit(lambda a: jax.lax.dot(a, a, preferred_element_type=jnp.float32))
    multiply(a).block_until_ready()
    return 2 * size**3 / min(seconds_of(lambda: multiply(a).block_until_ready()) for _ in range(repeats))
