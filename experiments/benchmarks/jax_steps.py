"""The train steps of the benchmark in gan_jax: compiled programs, with the facts that the compiler reports."""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from experiments.benchmarks.timing import Candidate
from gan_jax.distributed.sharding import Placement, make_placement
from gan_jax.distributed.spmd import distribute
from gan_jax.distributed.sweep import init_many, split_runs, train_many
from gan_jax.export.generator import Generator, GeneratorConfig
from gan_jax.gan.diagnostics import with_diagnostics
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.types import GradientPenalty
from gan_jax.gan.update_rules import UPDATE_RULES
from gan_jax.latents import normal
from gan_jax.losses import ADVERSARIAL
from gan_jax.models import build_model
from gan_jax.optimizers import ttur
from gan_jax.penalties import PENALTIES
from gan_jax.trainer.sample_images import FORWARD_BATCH
from gan_jax.transforms import spectral_norm
from gan_jax.typing import GAN, Players

CHUNK = 500  # Images of one call in sampling.


class Program(NamedTuple):
    """A compiled program that can be timed.

    Attributes:
        call: Runs the program and waits for its result.
        steps: Number of train steps of one call, times the number of seeds.
        flops: Floating-point operations of one step as the compiler counts them, or None if it does not.
        peak_bytes: Bytes of arguments, results and temporary memory.
        compile_seconds: Seconds of tracing and compiling.
        first_step_seconds: Seconds of initialising, compiling and the first call together.
    """

    call: Callable[[], None]
    steps: int
    flops: float | None
    peak_bytes: int | None
    compile_seconds: float
    first_step_seconds: float

    def candidate(self) -> Candidate:
        """The program with its facts, as `timing.interleave` takes it."""
        facts = {
            "gigaflops_a_step": self.flops and self.flops / 1e9,
            "peak_megabytes": self.peak_bytes and self.peak_bytes / 2**20,
            "compile_seconds": self.compile_seconds,
            "first_step_seconds": self.first_step_seconds,
        }
        return Candidate(self.call, self.steps, facts=facts)


def make(
    model: str,
    *,
    image_shape: tuple[int, ...],
    latent_dim: int = 128,
    loss: str = "non_saturating",
    penalty: tuple[str, float] | None = None,
    spectral: bool = False,
    rule: str = "alternating",
    fakes: str = "fresh",
    placement: Placement | None = None,
    **options: Any,
) -> GAN:
    """A GAN with Adam and a moving average of the generator, and with the monitor's diagnostics, as the trainer compiles it."""
    update_rule = UPDATE_RULES[rule](**({"fakes": fakes} if rule == "alternating" else {}))
    if len(image_shape) == 3:
        options |= {"image_size": image_shape[0], "channels": image_shape[2]}
    spec = GANSpec(
        *build_model(model, latent_dim=latent_dim, **options),
        ADVERSARIAL[loss],
        image_shape=image_shape,
        latent_dim=latent_dim,
        sample_latents=normal,
        optimizer=ttur(2e-4, 2e-4, ema_decay=0.999),
        penalties=(GradientPenalty(penalty[0], PENALTIES[penalty[0]], penalty[1]),) if penalty else (),
        transforms=Players((), (spectral_norm(),)) if spectral else Players((), ()),
    )
    return with_diagnostics(spec, distribute(update_rule, placement) if placement else update_rule)


def _batch(image_shape: tuple[int, ...], size: int) -> dict[str, jax.Array]:
    rng = jax.random.key(1)
    if len(image_shape) == 3:
        return {"image": jax.random.randint(rng, (size, *image_shape), 0, 256).astype(jnp.uint8)}
    return {"image": jax.random.normal(rng, (size, *image_shape))}


def analysis(compiled: Any, times: float) -> tuple[float | None, int | None]:
    """Operations per step and peak bytes of a device.

    The compiler counts the part of one device, and the body of a loop once. `times` is the inverse of the counted share of a step.
    """
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    flops = cost.get("flops") if cost else None
    parts = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    peak = sum(getattr(memory, part, 0) for part in parts) - getattr(memory, "alias_size_in_bytes", 0) if memory else None
    return (flops * times if flops and flops > 0 else None), peak


def training(gan: GAN, *, image_shape: tuple[int, ...], batch: int = 64, scan: int = 8, placement: Placement | None = None) -> Program:
    """Compiles `scan` train steps into one program with donated parameters. A single step has no loop around it."""
    rng = jax.random.key(0)
    data = _batch(image_shape, batch)
    if placement:
        rng, data = jax.device_put((rng, data), (placement.replicated, placement.batch))
    data = jax.block_until_ready(data)
    start = time.perf_counter()

    def steps(params: Players, opt_state: Any, rng: jax.Array, data: dict[str, jax.Array]) -> Any:
        if scan == 1:
            return gan.train_step(params, opt_state, data, rng)

        def body(carry: tuple, _: None) -> tuple:
            *carry, metrics = gan.train_step(*carry, data, rng)
            return tuple(carry), metrics

        (params, opt_state), metrics = lax.scan(body, (params, opt_state), None, scan)
        return params, opt_state, metrics

    state = jax.jit(gan.init, out_shardings=placement.replicated if placement else None)(rng)
    times = placement.devices if placement else 1
    program = jax.jit(steps, donate_argnums=(0, 1), compiler_options=placement.compiler_options if placement else None)
    return _compile(program, jax.block_until_ready(state), (rng, data), steps=scan, times=times, start=start)


def sweep(gan: GAN, *, seeds: int, image_shape: tuple[int, ...], batch: int = 64, scan: int = 8, cores: bool = False) -> Program:
    """Compiles `scan` steps of many seeds: by `vmap` on one device, or with `cores` sequentially on each device of the process."""
    data = jax.block_until_ready(_batch(image_shape, batch))
    start = time.perf_counter()
    keys = jax.random.split(jax.random.key(0), seeds)
    indices = jnp.broadcast_to(jnp.arange(batch), (seeds, scan, batch))
    form, devices = ("map", jax.local_devices()) if cores else ("vmap", None)
    train = split_runs(partial(train_many, gan, form=form), devices=devices, shared=(2,), donate=(0, 1))
    state = jax.block_until_ready(split_runs(partial(init_many, gan, form=form), devices=devices)(keys))

    return _compile(train, state, (data, indices, keys), steps=scan * seeds, times=1 if cores else 1 / seeds, start=start)


def _compile(program: Any, state: Any, further: tuple, *, steps: int, times: float, start: float) -> Program:
    """Compiles a jitted `program(*state, *further) -> (*state, metrics)` and runs it once."""
    compiling = time.perf_counter()
    compiled = program.lower(*state, *further).compile()
    compile_seconds = time.perf_counter() - compiling
    # From the second call on, the arguments are the results of the previous call, with their sharding.
    box = [jax.device_put(state, compiled.input_shardings[0][:2])]
    others = jax.device_put(further, compiled.input_shardings[0][2:])

    def call() -> None:
        *box[0], _ = jax.block_until_ready(compiled(*box[0], *others))

    call()
    flops, peak = analysis(compiled, times)
    return Program(call, steps, flops, peak, compile_seconds, time.perf_counter() - start)


def every_core() -> Placement:
    """A placement that splits every batch over the devices of the process."""
    return make_placement("shard_map")


def sampling(model: str, *, image_shape: tuple[int, ...], latent_dim: int = 128, count: int = 10_000, **options: Any) -> Program:
    """Compiles the sampling of `count` images by an exported generator with folded batch norm. One call counts as one step."""
    rng = jax.random.key(0)
    start = time.perf_counter()
    options |= {"image_size": image_shape[0], "channels": image_shape[2], "latent_dim": latent_dim}
    network = build_model(model, **options).generator
    params, state = jax.jit(network.init)(rng, jnp.zeros((2, latent_dim)))
    generator = Generator(network, params, state, GeneratorConfig(model, options)).folded()
    compiling = time.perf_counter()

    def sample(params: Any, state: Any, rng: jax.Array) -> jax.Array:
        return dataclasses.replace(generator, params=params, state=state).sample(rng, CHUNK, batch_size=FORWARD_BATCH)

    compiled = jax.jit(sample).lower(generator.params, generator.state, rng).compile()
    compile_seconds = time.perf_counter() - compiling
    keys = list(jax.random.split(rng, -(-count // CHUNK)))

    def call() -> None:
        for key in keys:
            compiled(generator.params, generator.state, key).block_until_ready()

    call()
    # The compiler counts the body of the loop over the parts of a chunk once.
    flops, peak = analysis(compiled, len(keys) * -(-CHUNK // FORWARD_BATCH))
    return Program(call, 1, flops, peak, compile_seconds, time.perf_counter() - start)
