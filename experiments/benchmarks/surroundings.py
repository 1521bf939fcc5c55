"""Candidates around the train step: the monitor, the training loop, the start of a program, and the metrics."""

import dataclasses
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.timing import Candidate, seconds_of
from experiments.benchmarks.variants import NotHere, without_monitor
from gan_jax import metrics
from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import Config, ModelConfig

ROOT = Path(__file__).parents[2]
FIRST_STEPS = {"cold": False, "cached": True}
Builders = dict[str, Callable[[], Candidate]]


def _bare_step(config: Config) -> Callable[[], None]:
    """Compiles the step of a configuration on one batch. Each call continues from the state of the previous one."""
    from gan_jax.trainer.loop import chunk_step

    source = load_data(config)
    built = build(config, source.shape, source.num_classes)
    batches = {"image": jax.numpy.asarray(source.images[: config.batch_size])[None].repeat(config.scan_steps, axis=0)}
    rng = jax.random.key(1)
    step = jax.jit(chunk_step(built, config.scan_steps), donate_argnums=(0, 1))
    state = list(jax.jit(built.gan.init)(jax.random.key(0)))
    state[:] = jax.block_until_ready(step(*state, batches, rng))[:2]

    def call() -> None:
        state[:] = step(*state, batches, rng)[:2]
        jax.block_until_ready(state)

    return call


def monitor(width: int) -> Builders:
    """The step with and without the monitor's diagnostics, and one look of the monitor at a grid of samples."""
    config = Config(model=ModelConfig(width=width))

    def bare() -> Candidate:
        with without_monitor():
            return Candidate(_bare_step(config))

    def look() -> Candidate:
        from gan_jax.trainer.probes import Probes

        source = load_data(config)
        built = build(config, source.shape, source.num_classes)
        params, opt_state = jax.jit(built.gan.init)(jax.random.key(0))
        probes = Probes(config, built, source, jax.tree.map(jax.numpy.copy, params.generator))
        samples = np.random.default_rng(0).uniform(-1, 1, (64, *source.shape))
        return Candidate(lambda: probes(samples, params, opt_state))

    return {"bare": bare, "watched": lambda: Candidate(_bare_step(config)), "a look at samples": look}


def loop(width: int, *, steps: int = 200) -> Builders:
    """The step called again and again on one batch, and the step inside a whole run without samples and checkpoints."""
    config = Config(steps=steps, log_every=10, sample_every=0, checkpoint_every=0, model=ModelConfig(width=width))
    config = dataclasses.replace(config, evaluation=dataclasses.replace(config.evaluation, samples=0))

    def bare() -> Candidate:
        step = _bare_step(config)
        return Candidate(lambda: [step() for _ in range(config.steps)], config.steps)

    return {"bare step": bare, "step of a run": lambda: Candidate(partial(_seconds_in_a_run, config), own_clock=True)}


def _seconds_in_a_run(config: Config) -> float:
    """Trains once. Returns the seconds per step between the first and the last line of the log."""
    from rich.console import Console

    from gan_jax.trainer.loop import train

    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        directory = Path(folder) / "run"
        train(dataclasses.replace(config, out=directory), console=Console(file=nowhere))
        rows = [json.loads(line) for line in (directory / "timing.jsonl").read_text().splitlines()]
    return (rows[-1]["time"] - rows[0]["time"]) / (rows[-1]["step"] - rows[0]["step"])


def first_step() -> Builders:
    """The default recipe as a program of its own, first with an empty compilation cache and then with the filled one."""
    folder = tempfile.TemporaryDirectory()
    numbers = itertools.count()
    caches = [Path(folder.name) / "unused"]

    def start(cached: bool) -> float:
        number = next(numbers)
        if not cached:
            caches.append(Path(folder.name) / f"cache{number}")
        return _seconds_to_the_first_step(caches[-1], Path(folder.name) / f"run{number}")

    return {name: lambda cached=cached: Candidate(partial(start, cached), own_clock=True) for name, cached in FIRST_STEPS.items()}


def _seconds_to_the_first_step(cache_folder: Path, out: Path) -> float:
    """Starts a run as a program. Returns the seconds until its first line of metrics."""
    flags = ["dcgan_mnist", "--log-every", "1", "--steps", "3", "--sample-every", "0", "--evaluation.samples", "0"]
    command = [sys.executable, "experiments/train.py", *flags, "--compilation-cache", str(cache_folder), "--out", str(out)]
    process = None
    log = out / "metrics.jsonl"

    def wait() -> None:
        nonlocal process
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
        while process.poll() is None and not (log.exists() and log.stat().st_size):
            time.sleep(0.005)

    seconds = seconds_of(wait)
    if process.wait():
        raise RuntimeError(f"{' '.join(command)} exited with status {process.returncode}")
    return seconds


@cache
def _feature_sets(count: int = 10_000, dim: int = 2048) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of non-negative features of falling variance, as networks give them."""
    generator = np.random.default_rng(0)
    mix = (generator.standard_normal((dim, dim)) * np.exp(-np.arange(dim) / 100)[:, None]).astype(np.float32)
    real, fake = (np.maximum(generator.standard_normal((count, dim), np.float32) @ (mix * scale), 0) for scale in (1, 0.95))
    return real, fake


def distances() -> Builders:
    """Fréchet distance, and the manifold metrics of this library and of prdc."""

    def from_moments() -> Candidate:
        moments = [metrics.feature_moments(features) for features in _feature_sets()]
        return Candidate(lambda: metrics.frechet_distance_from_moments(*moments))

    def by_prdc() -> Candidate:
        try:
            import prdc
        except ImportError:
            raise NotHere("prdc is not installed (pip install prdc)") from None
        return Candidate(lambda: prdc.compute_prdc(*_feature_sets(), 5))

    return {
        "Fréchet distance from moments": from_moments,
        "Fréchet distance": lambda: Candidate(lambda: metrics.frechet_distance(*_feature_sets())),
        "manifold metrics": lambda: Candidate(lambda: metrics.manifold_metrics(*_feature_sets(), k=5)),
        "manifold metrics by prdc": by_prdc,
    }


def features() -> Builders:
    """Feature extraction from host images, and the bare network on images that are on the device."""
    from gan_jax.metrics import classifier, inception

    def of_classifier() -> tuple[Any, np.ndarray]:
        images = np.random.default_rng(0).integers(0, 256, (5000, 28, 28, 1), np.uint8)
        return classifier.init(jax.random.key(0)), images

    def of_inception() -> tuple[Any, np.ndarray]:
        generator = np.random.default_rng(0)
        weights = {
            name: np.abs(generator.standard_normal(shape, np.float32)) * np.float32(np.sqrt(2 / np.prod(shape[1:])))
            for name, shape in inception.file_shapes().items()
        }
        return inception.from_state_dict(weights), generator.integers(0, 256, (64, 32, 32, 3), np.uint8)

    def extractor(name: str, make: Callable[[], tuple[Any, np.ndarray]]) -> Candidate:
        params, images = make()
        found = metrics.feature_extractor(name, params)
        return Candidate(lambda: found(images))

    def bare(name: str, make: Callable[[], tuple[Any, np.ndarray]]) -> Candidate:
        params, images = make()
        found = metrics.feature_extractor(name, params)
        apply, size = jax.jit(found.apply), found.batch_size
        batches = [jax.device_put(images[i : i + size]) for i in range(0, len(images), size)]
        on_device = jax.device_put(params)
        return Candidate(lambda: jax.block_until_ready([apply(on_device, batch) for batch in batches]))

    cases = {"digit_classifier": of_classifier, "inception_v3": of_inception}
    forms = {"extractor": extractor, "bare network": bare}
    return {f"{name}, {form}": partial(build, name, make) for name, make in cases.items() for form, build in forms.items()}
