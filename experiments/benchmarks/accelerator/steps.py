"""Part 2: train steps in each precision, beside PyTorch's."""

import importlib.util
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from docs._generate.model_table import operations
from experiments.benchmarks import jax_steps
from experiments.benchmarks.accelerator.scale import Scale, StepWorkload
from experiments.benchmarks.accelerator.session import Session
from gan_jax.gan.diagnostics import with_diagnostics
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.types import GradientPenalty
from gan_jax.gan.update_rules import UPDATE_RULES
from gan_jax.latents import normal
from gan_jax.losses import ADVERSARIAL
from gan_jax.models import MODELS, build_model
from gan_jax.optimizers import ttur
from gan_jax.penalties import PENALTIES
from gan_jax.trainer.build.precision import PRODUCTS, gan_in_precision
from gan_jax.transforms import spectral_norm
from gan_jax.typing import GAN, Players

ROOT = Path(__file__).parents[3]
LATENTS = 128
# PyTorch's columns in the order of worth. The later ones take minutes to compile.
TORCH_COLUMNS = (
    "eager tf32", "eager bfloat16", "compile bfloat16", "eager float32", "graph tf32", "graph bfloat16", "compile tf32",
    "max-autotune bfloat16", "max-autotune tf32",
)  # fmt: skip


def make_gan_of(workload: StepWorkload, precision: str) -> tuple[GAN, dict[str, jax.Array]]:
    """The GAN of a workload, as the trainer compiles it, and a batch."""
    options = {"image_size": workload.size, "channels": 3} | workload.options
    if precision == "bfloat16":
        options["dtype"] = "bfloat16"
    shape = (workload.size, workload.size, options["channels"])
    spec = GANSpec(
        *build_model(workload.model, latent_dim=LATENTS, **options),
        ADVERSARIAL[workload.loss],
        image_shape=shape,
        latent_dim=LATENTS,
        sample_latents=normal,
        optimizer=ttur(2e-4, 2e-4, ema_decay=0.999),
        penalties=tuple(GradientPenalty(name, PENALTIES[name], weight) for name, weight in workload.penalties.items()),
        transforms=Players((), (spectral_norm(),)) if workload.spectral else Players((), ()),
        example_batch=min(48, workload.batch),
    )
    gan = with_diagnostics(spec, UPDATE_RULES["alternating"]())
    images = jax.random.randint(jax.random.key(1), (workload.batch, *shape), 0, 256).astype(jnp.uint8)
    return gan_in_precision(gan, precision), {"image": images}


def time_program(program: jax_steps.Program, seconds: float) -> dict[str, Any]:
    """Median milliseconds per step of a compiled program, and its facts."""
    begin, samples = time.perf_counter(), []
    while len(samples) < 5 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        program.call()
        samples.append((time.perf_counter() - start) / program.steps)
    peak = None if program.peak_bytes is None else round(program.peak_bytes / 2**20, 1)
    return {
        "milliseconds": 1e3 * statistics.median(samples),
        "range": [1e3 * min(samples), 1e3 * max(samples)],
        "megabytes": peak,
        "compile_seconds": round(program.compile_seconds, 1),
    }


def measure_peaks(scale: Scale) -> dict[str, float]:
    """Operations per second of the fastest of several square matrix products, in each precision."""
    draws = jax.random.normal(jax.random.key(0), (scale.peak_size, scale.peak_size))
    found = {}
    for precision in scale.precisions:
        a = draws.astype(jnp.bfloat16 if precision == "bfloat16" else jnp.float32)
        setting = PRODUCTS[precision] if jax.default_backend() != "cpu" else None

        def multiply(a: jax.Array, setting: Any = setting) -> jax.Array:
            return jnp.matmul(a, a, precision=setting)

        product = jax.jit(multiply)
        product(a).block_until_ready()
        seconds = []
        for _ in range(10):
            start = time.perf_counter()
            product(a).block_until_ready()
            seconds.append(time.perf_counter() - start)
        found[precision] = 2 * scale.peak_size**3 / min(seconds)
    return found


def count_operations(gan: GAN, batch: dict[str, jax.Array]) -> int:
    """Operations of the matrix products and convolutions of one train step."""
    rng = jax.random.key(0)
    state = jax.eval_shape(gan.init, rng)
    return operations(jax.make_jaxpr(gan.train_step)(*state, batch, rng).jaxpr)


def measure_step(scale: Scale, workload: StepWorkload, precision: str, peaks: dict[str, float] | None) -> dict[str, Any]:
    """The row of one workload in one precision."""
    gan, batch = make_gan_of(workload, precision)
    shape = batch["image"].shape[1:]
    program = jax_steps.training(gan, image_shape=shape, batch=workload.batch, scan=scale.scans[-1] // 4 or 1)
    row = time_program(program, scale.sample_seconds)
    work = count_operations(gan, batch)
    row["gigaflop"] = work / 1e9
    if peaks:
        row["share_of_peak"] = work / (row["milliseconds"] / 1e3) / peaks[precision]
    return row


def present(scale: Scale) -> dict[str, StepWorkload]:
    """The workloads whose model exists in this version."""
    return {name: workload for name, workload in scale.workloads.items() if workload.model in MODELS}


def absent(scale: Scale) -> list[str]:
    """The workloads whose model does not exist in this version."""
    return [name for name, workload in scale.workloads.items() if workload.model not in MODELS]


def run(session: Session, scale: Scale) -> None:
    """Runs the part: gan_jax first in the precisions that users take, then PyTorch, then float32."""
    peaks = session.item("steps/peaks", lambda: measure_peaks(scale), needs=scale.compile_seconds / 2)
    order = [precision for precision in ("tf32", "bfloat16", "float32") if precision in scale.precisions]
    for precision in order[:2]:
        measure_precision(session, scale, precision, peaks)
    run_torch(session, scale, TORCH_COLUMNS[:4])
    for precision in order[2:]:
        measure_precision(session, scale, precision, peaks)
    run_torch(session, scale, TORCH_COLUMNS)


def measure_precision(session: Session, scale: Scale, precision: str, peaks: dict[str, float] | None) -> None:
    """gan_jax's step of every workload in one precision."""
    for name, workload in present(scale).items():

        def measure(workload: StepWorkload = workload) -> dict[str, Any]:
            return measure_step(scale, workload, precision, peaks)

        session.item(f"steps/{name} gan_jax {precision}", measure, needs=2 * scale.compile_seconds, kind=f"step {name}")


def run_torch(session: Session, scale: Scale, columns: tuple[str, ...]) -> None:
    """PyTorch's columns, in a process of their own, which can be ended when the time is over."""
    if importlib.util.find_spec("torch") is None:
        session.skipped["steps/PyTorch"] = "PyTorch is not installed"
        return
    rows = session.path.with_name("torch.jsonl")
    wanted = [
        [name, column]
        for column in columns
        for name, workload in present(scale).items()
        if workload.torch and f"steps/{name} torch {column}" not in session.rows and _on_this_device(column, scale)
    ]
    budget = session.remaining() - 2
    if not wanted or budget < scale.compile_seconds:
        return
    toy = [] if scale.peak_size > 1024 else ["--rehearsal"]
    words = [sys.executable, "-m", "experiments.benchmarks.accelerator.torch_rows", "--out", str(rows.resolve()), *toy]
    rows.unlink(missing_ok=True)
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    child = subprocess.Popen([*words, "--columns", json.dumps(wanted)], **pipes)
    session.children.add(child)
    try:
        _, errors = child.communicate(timeout=budget)
    except subprocess.TimeoutExpired:
        child.kill()
        _, errors = child.communicate()
        session.skipped["steps/PyTorch"] = f"ended after {budget:.0f} s; the rows so far are kept"
    session.children.discard(child)
    take_torch_rows(session, rows)
    if child.returncode > 0:
        session.skipped["steps/PyTorch"] = f"ended with status {child.returncode}: {' '.join(errors.split())[-200:]}"
    session.write()


def take_torch_rows(session: Session, rows: Path) -> None:
    """Moves the rows of PyTorch's process into the session."""
    for line in rows.read_text().splitlines() if rows.exists() else []:
        row = json.loads(line)
        session.rows[row.pop("name")] = row
    rows.unlink(missing_ok=True)


def _on_this_device(column: str, scale: Scale) -> bool:
    mode, precision = column.split()
    if jax.default_backend() == "cpu" and (mode != "eager" or precision == "tf32"):
        return False
    return precision in scale.precisions
