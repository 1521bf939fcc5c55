"""Part 1: losses, penalties, convolutions and train steps of the accelerator against the CPU, and reproducibility."""

import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.accelerator.scale import Scale
from experiments.benchmarks.accelerator.session import Session
from gan_jax.losses import ADVERSARIAL
from gan_jax.models import MODELS
from gan_jax.nn import Conv, ConvTranspose
from gan_jax.penalties import PENALTIES
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.build.precision import in_precision
from gan_jax.trainer.config import Config, ModelConfig, OptimizerConfig, check
from gan_jax.trainer.environment import cpus_allowed

# The largest relative error that is expected. TF32 has 10 bits of mantissa and bfloat16 7.
TOLERANCES = {"float32": 1e-5, "tf32": 3e-3, "bfloat16": 3e-2}
STEP_TOLERANCE = 5e-3  # A step of a model has hundreds of operations in float32, and divides by roots.
DETERMINISTIC = {"xla_gpu_deterministic_ops": True}


def cpu() -> jax.Device:
    """The first CPU device."""
    return jax.local_devices(backend="cpu")[0]


def accelerator() -> jax.Device:
    """The first device of JAX's default backend."""
    return jax.devices()[0]


def relative_error(found: Any, expected: Any) -> float:
    """Largest over the leaves of |found - expected| / |expected|, in Frobenius norms. Not finite if any value is not."""
    worst = 0.0
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        error = np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30)
        if not np.isfinite(error):
            return float("inf")
        worst = max(worst, float(error)) if np.linalg.norm(b) > 1e-12 else max(worst, float(np.abs(a).max(initial=0.0)))
    return worst


def reference64(function: Callable[..., Any], *inputs: Any) -> Any:
    """The result of a function in float64 on the CPU."""
    with jax.enable_x64(True), jax.default_device(cpu()):
        wide = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, np.float64)), inputs)
        return jax.tree.map(np.asarray, jax.jit(function)(*wide))


def on_device(function: Callable[..., Any], *inputs: Any, precision: str = "float32") -> Any:
    """The result of a function on the accelerator."""
    with jax.default_device(accelerator()):
        placed = jax.device_put(inputs, accelerator())
        return jax.tree.map(np.asarray, jax.jit(in_precision(function, precision))(*placed))


def check_losses() -> dict[str, Any]:
    """Values and gradients of every adversarial loss against float64."""
    draws = np.random.default_rng(0)
    real, fake = (draws.normal(0, 2, 256).astype(np.float32) for _ in range(2))

    def both(real: Any, fake: Any) -> Any:
        results = {}
        for name, loss in ADVERSARIAL.items():
            for player, function in (("discriminator", loss.discriminator), ("generator", loss.generator)):

                def total(real: Any, fake: Any, function: Any = function, player: str = player, loss: Any = loss) -> Any:
                    inputs = (real, fake) if player == "discriminator" else (fake, real) if loss.needs_real else (fake,)
                    return function(*inputs).mean()

                results[f"{name} {player}"] = jax.value_and_grad(total, (0, 1))(real, fake)
        return results

    expected, found = reference64(both, real, fake), on_device(both, real, fake)
    errors = {name: relative_error(found[name], expected[name]) for name in expected}
    worst = max(errors, key=lambda name: errors[name])
    return {"checked": len(errors), "error": errors[worst], "worst": worst, "passed": errors[worst] < TOLERANCES["float32"]}


def check_penalties() -> dict[str, Any]:
    """Values, and gradients with respect to weights, of every penalty. R1 and R2 draw nothing and are compared with float64."""
    draws = np.random.default_rng(1)
    shape = (8, 8, 8, 3)
    real, fake = (draws.uniform(-1, 1, shape).astype(np.float32) for _ in range(2))
    weights = {"a": draws.normal(0, 0.1, (192, 32)).astype(np.float32), "b": draws.normal(0, 0.3, (32,)).astype(np.float32)}
    rng = jax.random.key(3)

    def values(names: tuple[str, ...], weights: Any, real: Any, fake: Any) -> dict[str, Any]:
        def value(weights: Any, name: str) -> Any:
            def critic(images: Any) -> Any:
                return jnp.tanh(images.reshape(images.shape[0], -1) @ weights["a"]) @ weights["b"]

            return PENALTIES[name](critic, real, fake, rng).mean()

        return {name: jax.value_and_grad(functools.partial(value, name=name))(weights) for name in names}

    drawing = tuple(name for name in PENALTIES if name not in ("r1", "r2"))
    expected = reference64(functools.partial(values, ("r1", "r2")), weights, real, fake)
    with jax.default_device(cpu()):
        expected |= jax.jit(functools.partial(values, drawing))(*jax.device_put((weights, real, fake), cpu()))
    found = on_device(functools.partial(values, tuple(PENALTIES)), weights, real, fake)
    errors = {name: relative_error(found[name], expected[name]) for name in PENALTIES}
    worst = max(errors, key=lambda name: errors[name])
    return {"checked": len(errors), "error": errors[worst], "worst": worst, "passed": errors[worst] < 10 * TOLERANCES["float32"]}


def check_convolutions(precision: str) -> dict[str, Any]:
    """Results and both gradients of convolutions and transposed convolutions against float64."""
    draws = np.random.default_rng(2)
    errors = {}
    for layer, strides, kernel in ((Conv, 1, 3), (Conv, 2, 4), (ConvTranspose, 2, 4)):
        inputs = draws.normal(0, 1, (8, 16, 16, 24)).astype(np.float32)
        params = {"kernel": draws.normal(0, 0.1, (kernel, kernel, 24, 40)).astype(np.float32)}

        def apply(params: Any, inputs: Any, dtype: Any, layer: Any = layer, strides: int = strides, kernel: int = kernel) -> Any:
            options = {"strides": (strides, strides), "use_bias": False, "dtype": dtype, "form": "lax"}

            def total(params: Any, inputs: Any) -> Any:
                outputs = layer(40, (kernel, kernel), **options).apply({"params": params}, inputs)
                return jnp.sum(jnp.sin(outputs.astype(inputs.dtype))), outputs

            grads, outputs = jax.grad(total, (0, 1), has_aux=True)(params, inputs)
            return outputs, grads

        expected = reference64(functools.partial(apply, dtype=jnp.float64), params, inputs)
        dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
        found = on_device(functools.partial(apply, dtype=dtype), params, inputs, precision=precision)
        errors[f"{layer.__name__} {kernel}x{kernel} stride {strides}"] = relative_error(found, expected)
    worst = max(errors, key=lambda name: errors[name])
    return {"checked": len(errors), "error": errors[worst], "worst": worst, "passed": errors[worst] < TOLERANCES[precision]}


def small_config(name: str) -> tuple[Config, tuple[int, ...]]:
    """A small configuration of a model, whose optimiser adds the plain gradient, and the shape of its data."""
    known = MODELS[name].options
    size = 32 if name in ("sngan", "sagan", "biggan") else 16
    hidden = {option: "16,16" for option in ("generator_hidden", "discriminator_hidden") if option in known}
    options: dict[str, Any] = hidden | ({"blocks": 1, "group_size": 4} if name == "r3gan" else {})
    model = ModelConfig(name=name, latent_dim=8, width=8 if "width" in known else None, options=options)
    optimizer = OptimizerConfig(generator="sgd", discriminator="sgd", generator_lr=1.0, discriminator_lr=1.0, ema_decay=0.0)
    config = check(Config(batch_size=8, steps=10, model=model, optimizer=optimizer))
    return config, (size, size, 1) if "image_size" in known else (known["dim"],)


def lower_step(name: str) -> Callable[[], Any]:
    """Returns a function that compiles the step of a model for both devices, and returns a function that compares their results."""

    def compiled() -> Callable[[], dict[str, Any]]:
        config, shape = small_config(name)
        built = build(config, shape, 0)
        draws = np.random.default_rng(4)
        images = draws.integers(0, 256, (8, *shape), np.uint8) if len(shape) == 3 else draws.normal(size=(8, *shape)).astype(np.float32)
        batch, rng = {"image": images}, jax.random.key(5)
        programs = []
        # The simultaneous part of a step: a second update of G would see D's rounding.
        for device, options in ((cpu(), {"xla_backend_optimization_level": 0}), (accelerator(), None)):
            with jax.default_device(device):
                state = jax.jit(built.gan.init, compiler_options=options)(jax.device_put(rng, device))
                arguments = jax.device_put((*state, batch, rng), device)
                program = jax.jit(built.gan.train_step, compiler_options=options).lower(*arguments).compile()
                programs.append((program, arguments))

        def compare() -> dict[str, Any]:
            results = [program(*arguments) for program, arguments in programs]
            (expected, _, cpu_metrics), (found, _, metrics) = results
            before = programs[0][1][0]
            moved = [jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), params, before) for params in (expected, found)]
            losses = {key: (float(metrics[key]), float(cpu_metrics[key])) for key in ("discriminator_loss", "generator_loss")}
            error = relative_error(*[np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)]) for tree in reversed(moved)])
            return {"error": error, "losses": losses, "passed": error < STEP_TOLERANCE}

        return compare

    return compiled


def check_reproducible(scale: Scale) -> dict[str, Any]:
    """Whether two runs of 20 steps are equal to the byte, with and without deterministic operations, and what these cost."""
    from experiments.benchmarks.accelerator.steps import make_gan_of

    workload = next(iter(scale.workloads.values()))
    gan, batch = make_gan_of(workload, "tf32")
    rng = jax.random.key(0)
    found: dict[str, Any] = {}
    for label, options in (("default", None), ("deterministic", DETERMINISTIC if jax.default_backend() == "gpu" else None)):
        step = jax.jit(gan.train_step, compiler_options=options)
        init = jax.jit(gan.init)
        results, seconds = [], []
        for _ in range(2):
            params, state = init(rng)
            params, state, metrics = step(params, state, batch, rng)
            begin = time.perf_counter()
            for _ in range(20):
                params, state, metrics = step(params, state, batch, rng)
            jax.block_until_ready(metrics)
            seconds.append((time.perf_counter() - begin) / 20)
            results.append(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(params)))
        found[label] = {"equal": results[0] == results[1], "milliseconds": 1e3 * min(seconds)}
    return found | {"passed": found["deterministic"]["equal"]}


def run(session: Session, scale: Scale) -> None:
    """Runs the part."""
    rest = scale.compile_seconds
    pool = ThreadPoolExecutor(min(4, cpus_allowed()))
    models = [name for name in scale.models if name in MODELS and f"correctness/step of {name}" not in session.rows]
    session.item("correctness/losses", check_losses, needs=rest)
    session.item("correctness/convolutions float32", lambda: check_convolutions("float32"), needs=rest)
    # Compiling uses the cores of the CPU, so several models are compiled at once.
    compiling = {name: pool.submit(lower_step(name)) for name in models} if session.remaining() > rest else {}
    session.item("correctness/penalties", check_penalties, needs=rest)
    for name, program in compiling.items():
        session.item(f"correctness/step of {name}", lambda program=program: program.result()(), needs=rest, kind="model")
    for precision in scale.precisions[1:]:
        session.item(f"correctness/convolutions {precision}", lambda precision=precision: check_convolutions(precision), needs=rest / 2)
    session.item("correctness/two runs", lambda: check_reproducible(scale), needs=2 * rest)
    pool.shutdown(wait=False, cancel_futures=True)


def absent(scale: Scale) -> list[str]:
    """Models of the list that this version does not have."""
    return [name for name in scale.models if name not in MODELS]
