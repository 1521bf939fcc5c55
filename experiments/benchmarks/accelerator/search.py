"""Part 4: a random search for each method on mixtures of Gaussians, with hundreds of runs in one program.

This is the tuning phase of a comparison of tuned methods (Lucic et al., "Are GANs Created Equal?", 2018): every method has the same
number of random settings. Drawn are both learning rates (D's as a multiple of G's), the two moments, and the strength of a penalty over
three decades round the published one. Each run has its own setting and its own seed. The networks are those of the protocol `short` of
`experiments.studies.mixtures`, with ReLU. The rates are constant, and batches are drawn with replacement.
"""

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.accelerator.scale import Scale
from experiments.benchmarks.accelerator.session import Session
from experiments.studies.mixtures import SHORT, replaced
from gan_jax.data import Source, load_source
from gan_jax.distributed.sweep import init_many, sample_many, train_many
from gan_jax.metrics import energy_distance, mode_coverage
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import Config, DataConfig, check
from gan_jax.trainer.environment import cpus_allowed
from gan_jax.trainer.sweep.outcome import best_of

SAMPLES, ENERGY_POINTS, CHUNK = 2500, 1000, 250
DATA = ("ring", "grid")
# Method -> (changed fields, the field of its strength, and the interval of the strength). In the order of worth.
METHODS: dict[str, tuple[dict[str, Any], str, tuple[float, float]]] = {
    "non-saturating": ({}, "", (0, 0)),
    "R1": ({"penalty.r1": 1.0}, "penalty.r1", (1e-4, 1e-1)),
    "two packed": ({"augment.pack": 2, "batch_size": 256}, "", (0, 0)),
    "R3GAN": ({"loss.name": "relativistic", "penalty.r1": 1.0, "penalty.r2": 1.0}, "penalty.r1 penalty.r2", (1e-4, 1e-1)),
    "WGAN-GP": ({"loss.name": "wasserstein", "penalty.wgan_gp": 1.0}, "penalty.wgan_gp", (1e-2, 10)),
    "spectral norm": ({"loss.name": "hinge", "transform.spectral_norm": "discriminator"}, "", (0, 0)),
    "relativistic": ({"loss.name": "relativistic"}, "", (0, 0)),
    "hinge": ({"loss.name": "hinge"}, "", (0, 0)),
    "least squares": ({"loss.name": "least_squares"}, "", (0, 0)),
    "R1 and R2": ({"penalty.r1": 1.0, "penalty.r2": 1.0}, "penalty.r1 penalty.r2", (1e-4, 1e-1)),
    "DRAGAN": ({"penalty.dragan": 1.0}, "penalty.dragan", (1e-2, 10)),
    "LeCam": ({"penalty.lecam": 1.0}, "penalty.lecam", (1e-3, 1)),
    "minimax": ({"loss.name": "minimax"}, "", (0, 0)),
    "four packed": ({"augment.pack": 4, "batch_size": 512}, "", (0, 0)),
    "EMA 0.999": ({"optimizer.ema_decay": 0.999}, "", (0, 0)),
}


def method_config(method: str, data: str) -> Config:
    """The configuration of a method."""
    base = dataclasses.replace(SHORT, recipe="search", data=DataConfig(source=data))
    relu = {"model.options": base.model.options | {"activation": "relu"}}
    return check(replaced(base, relu | METHODS[method][0]))


def draw_settings(method: str, runs: int) -> dict[str, np.ndarray]:
    """Random values of the traced fields, float32 [runs]. They are the same for every method, apart from the strength."""
    draws = np.random.default_rng(1000)

    def logarithmic(low: float, high: float) -> np.ndarray:
        return np.exp(draws.uniform(np.log(low), np.log(high), runs)).astype(np.float32)

    rate, ratio = logarithmic(1e-4, 1e-2), logarithmic(1 / 16, 16)
    settings = {"optimizer.generator_lr": rate, "optimizer.discriminator_lr": rate * ratio}
    settings["optimizer.b1"] = draws.uniform(0, 0.9, runs).astype(np.float32)
    settings["optimizer.b2"] = draws.choice(np.float32([0.9, 0.99, 0.999]), runs)
    _, fields, interval = METHODS[method]
    if fields:
        strength = logarithmic(*interval)
        settings |= dict.fromkeys(fields.split(), strength)
    return settings


class Search:
    """The runs of one method, compiled once for all data sets, because the data are an argument.

    Args:
        method: Key of `METHODS`.
        runs: Number of runs.
        chunk: Steps in one program.
    """

    def __init__(self, method: str, runs: int, chunk: int):
        self.runs, self.chunk = runs, chunk
        config = method_config(method, DATA[0])
        self.settings = {path: jnp.asarray(values) for path, values in draw_settings(method, runs).items()}
        self.keys = jax.vmap(jax.random.key)(jnp.arange(1000, 1000 + runs, dtype=jnp.uint32))
        source = load_points(DATA[0])
        self.size = config.batch_size * build(config, source.shape).rule.batches_per_step

        def gan(settings: dict[str, Any]) -> Any:
            return build(config, source.shape, traced=settings).gan

        begin = time.perf_counter()
        start = (self.keys, self.settings)
        init = jax.jit(partial(init_many, gan))
        state = jax.eval_shape(init, *start)
        data = {"image": jax.ShapeDtypeStruct(source.images.shape, jnp.float32)}
        indices = jax.ShapeDtypeStruct((runs, chunk, self.size), jnp.int32)
        train = jax.jit(partial(train_many, gan), donate_argnums=(0, 1))
        sample = jax.jit(partial(sample_many, gan, count=SAMPLES))
        self.init = init.lower(*start).compile()
        self.train = train.lower(*state, data, indices, *start).compile()
        self.sample = sample.lower(*state, *start).compile()
        self.compile_seconds = time.perf_counter() - begin

    def run(self, data: str, steps: int) -> tuple[np.ndarray, float]:
        """Trains on a data set. Returns the samples [runs, samples, 2] and the seconds of a step."""
        source = load_points(data)
        points = {"image": jnp.asarray(source.images)}
        draws = np.random.default_rng(2000)
        params, state = self.init(self.keys, self.settings)
        begin = time.perf_counter()
        for _ in range(0, steps, self.chunk):
            indices = jnp.asarray(draws.integers(0, len(source), (self.runs, self.chunk, self.size), np.int32))
            params, state, _ = self.train(params, state, points, indices, self.keys, self.settings)
        jax.block_until_ready(params)
        seconds = (time.perf_counter() - begin) / steps
        return np.asarray(self.sample(params, state, self.keys, self.settings)), seconds


def load_points(data: str) -> Source:
    """The points of a mixture, which are float32 [100000, 2] for both."""
    return load_source(data, split="train", data_dir=None, channels=None)


def outcome(points: np.ndarray, source: Source) -> dict[str, Any]:
    """Modes, coverage, quality, reverse KL and energy distance of the samples of one run, as `experiments.studies.mixtures` defines them.

    The energy distance is estimated from fewer points, so it is noisier and equally unbiased.
    """
    if not np.isfinite(points).all():
        return {"modes": 0, "coverage": 0.0, "high_quality": 0.0, "reverse_kl": None, "energy": None}
    found = mode_coverage(points, source.centers, source.std)
    share = found.counts / max(found.counts.sum(), 1)
    return {
        "modes": found.modes,
        "coverage": round(float(1 - np.abs(share - 1 / len(share)).sum() / 2), 4) if found.counts.any() else 0.0,
        "high_quality": round(found.high_quality, 4),
        "reverse_kl": round(found.reverse_kl, 4),
        "energy": round(energy_distance(source.held_out.images[:ENERGY_POINTS], points[:ENERGY_POINTS]), 5),
    }


def summarise(samples: np.ndarray, data: str) -> dict[str, Any]:
    """Outcomes of all runs, the share of failed ones, and the best of k settings by energy distance."""
    source = load_points(data)
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda points: outcome(points, source), samples))
    failed = [row["energy"] is None or row["modes"] <= 1 or row["high_quality"] < 0.05 for row in rows]
    known = [row["energy"] for row in rows if row["energy"] is not None]
    worst = max(known, default=0.0)  # A run without samples counts as the worst of the others.
    curve = best_of([worst if row["energy"] is None else row["energy"] for row in rows])
    # The modes that are covered in proportion, with samples that are good.
    product = best_of([row["coverage"] * row["high_quality"] for row in rows], highest=True)
    places = [k for k in (1, 4, 16, 64, 256) if k <= len(rows)]
    return {
        "runs": len(rows),
        "failed": float(np.mean(failed)),
        "all_modes": float(np.mean([row["modes"] == len(source.centers) for row in rows])),
        "best_of_k_energy": {k: curve[k - 1] for k in places},
        "best_of_k_coverage_times_quality": {k: product[k - 1] for k in places},
        "columns": list(rows[0]),
        "rows": [list(row.values()) for row in rows],
    }


def choose_steps(seconds: float, scale: Scale, step: float, chunk: int) -> int:
    """The number of steps with which many methods fit into a number of seconds.

    Args:
        seconds: Seconds for all methods.
        scale: The smallest and largest number of steps.
        step: Seconds of a step of all runs.
        chunk: Steps in one program, of which the result is a multiple.
    """
    low, high = scale.search_steps
    steps = next((steps for methods in (8, 4, 2) if (steps := int(seconds / methods / len(DATA) / max(step, 1e-9))) >= low), low)
    return min(high, steps) // chunk * chunk


def run(session: Session, scale: Scale) -> None:
    """Runs the part. The number of steps is chosen once, from a timed chunk of the first method."""
    chunk = min(CHUNK, scale.search_steps[0] // 2)

    def timed() -> dict[str, Any]:
        search = Search("non-saturating", scale.search_runs, chunk)
        search.run(DATA[0], chunk)
        _, step = search.run(DATA[0], chunk)
        # The other methods are compiled while the first ones are trained, so one more compilation is waited for.
        steps = choose_steps(session.remaining() - 1.5 * search.compile_seconds, scale, step, chunk)
        facts = {"compile_seconds": round(search.compile_seconds, 1), "milliseconds_per_step": 1e3 * step}
        return {"runs": scale.search_runs, "steps": steps} | facts

    size = session.item("search/size", timed, needs=2 * scale.compile_seconds)
    if size is None:
        return
    wanted = [method for method in METHODS if f"search/{method}" not in session.rows][: 2 if scale.peak_size <= 1024 else None]
    needs = 3 + len(DATA) * size["steps"] * size["milliseconds_per_step"] / 1e3
    pool = ThreadPoolExecutor(min(6, cpus_allowed()))
    compiling = {method: pool.submit(Search, method, scale.search_runs, chunk) for method in wanted}
    for number, (method, program) in enumerate(compiling.items()):

        def both(program: Any = program) -> dict[str, Any]:
            search = program.result()
            return {"steps": size["steps"]} | {data: summarise(search.run(data, size["steps"])[0], data) for data in DATA}

        session.item(f"search/{method}", both, needs=needs + (0 if number else size["compile_seconds"]))
    pool.shutdown(wait=False, cancel_futures=True)
