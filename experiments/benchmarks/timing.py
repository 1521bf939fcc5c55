"""Interleaved timing that throws away what a machine's slow phases touched."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np


class Candidate(NamedTuple):
    """One thing to time.

    Attributes:
        call: runs it once and waits for its result.
        steps: how many steps one call makes (the length of its scan).
    """

    call: Callable[[], object]
    steps: int = 1


class Timing(NamedTuple):
    """Seconds a step: median, least and greatest of the samples kept, and how many were kept and thrown away."""

    median: float
    least: float
    greatest: float
    kept: int
    rejected: int


def make_probe(size: int = 768) -> Callable[[], float]:
    """A short matrix product on the CPU whose duration tells the machine's present speed; returns seconds.

    JAX's, not NumPy's: the threads of NumPy's BLAS go on spinning for a while and would slow what is timed next.
    """
    cpu = jax.local_devices(backend="cpu")[0]
    a = jax.device_put(np.random.default_rng(0).standard_normal((size, size), np.float32), cpu)
    multiply = jax.jit(lambda a: a @ a)

    def probe() -> float:
        best = float("inf")
        for _ in range(2):
            start = time.perf_counter()
            multiply(a).block_until_ready()
            best = min(best, time.perf_counter() - start)
        return best

    for _ in range(3):
        probe()
    return probe


def interleave(
    candidates: dict[str, Candidate], *, seconds: float = 20.0, least_rounds: int = 5, sample_seconds: float = 0.3, tolerance: float = 1.2
) -> dict[str, Timing]:
    """Times candidates turn by turn, each sample between two probes, and takes medians of the samples that the probes allow.

    A sample is kept if neither of its probes took more than `tolerance` times the best tenth of all probes of this call. Candidates that
    keep fewer than three samples keep the half with the best probes instead, and say so by their `rejected`.

    Args:
        candidates: name -> candidate, compiled and warm or not: each is run twice first.
        seconds: how long to go on, for all of them together.
        least_rounds: rounds to make even if that takes longer.
        sample_seconds: calls are repeated within one sample up to about this.
        tolerance: see above.

    Returns:
        name -> timing, of one step.
    """
    probe = make_probe()
    repeats = {}
    for name, candidate in candidates.items():
        candidate.call()
        start = time.perf_counter()
        candidate.call()
        repeats[name] = max(1, round(sample_seconds / max(time.perf_counter() - start, 1e-6)))
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    begin, rounds = time.perf_counter(), 0
    while rounds < least_rounds or time.perf_counter() - begin < seconds:
        before = probe()
        for name, candidate in candidates.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                candidate.call()
            duration = (time.perf_counter() - start) / (repeats[name] * candidate.steps)
            after = probe()
            samples[name].append((max(before, after), duration))
            before = after
        rounds += 1
    probes = sorted(worst for rows in samples.values() for worst, _ in rows)
    limit = tolerance * probes[len(probes) // 10]
    return {name: _summary(rows, limit) for name, rows in samples.items()}


def _summary(rows: list[tuple[float, float]], limit: float) -> Timing:
    kept = [duration for worst, duration in rows if worst <= limit]
    if len(kept) < 3:
        kept = [duration for _, duration in sorted(rows)[: max(3, len(rows) // 2)]]
    return Timing(statistics.median(kept), min(kept), max(kept), len(kept), len(rows) - len(kept))


def matmul_peak(dtype: str = "float32", size: int = 2048, repeats: int = 30) -> float:
    """FLOP/s of the best of several square matrix products under JAX: the practical ceiling of this machine."""
    import jax.numpy as jnp

    a = jnp.ones((size, size), dtype)
    multiply = jax.jit(lambda a: jax.lax.dot(a, a, preferred_element_type=jnp.float32))
    multiply(a).block_until_ready()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        multiply(a).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
