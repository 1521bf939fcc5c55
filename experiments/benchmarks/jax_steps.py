"""The benchmark's games as gan_jax plays them: compiled programs with what compiling told about them."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax import make_gan
from gan_jax.models import build_model
from gan_jax.optimizers import ttur
from gan_jax.penalties import PENALTIES
from gan_jax.pieces import Penalty
from gan_jax.spectral import spectral_norm
from gan_jax.strategies import STRATEGIES
from gan_jax.typing import GAN, Players


class Program(NamedTuple):
    """A compiled program ready to be timed.

    Attributes:
        call: runs it and waits.
        steps: steps (times seeds, where there are several) that one call makes.
        flops: floating-point operations of one step, as the compiler counts them, or None where it does not.
        peak_bytes: arguments, results and temporary memory of the program.
        compile_seconds: tracing and compiling.
        first_step_seconds: from nothing to the end of the first call: initialisation and compilation included.
    """

    call: Callable[[], None]
    steps: int
    flops: float | None
    peak_bytes: int | None
    compile_seconds: float
    first_step_seconds: float


def make_game(
    model: str,
    *,
    image_shape: tuple[int, ...],
    latent_dim: int = 128,
    loss: str = "non_saturating",
    penalty: tuple[str, float] | None = None,
    spectral: bool = False,
    strategy: str = "alternating",
    fakes: str = "fresh",
    **options: Any,
) -> GAN:
    """A game with Adam and a moving average of the generator."""
    if len(image_shape) == 3:
        options |= {"image_size": image_shape[0], "channels": image_shape[2]}
    players = build_model(model, latent_dim=latent_dim, **options)
    return make_gan(
        *players,
        image_shape=image_shape,
        latent_dim=latent_dim,
        loss=loss,
        strategy=STRATEGIES[strategy](**({"fakes": fakes} if strategy == "alternating" else {})),
        optimizer=ttur(2e-4, 2e-4, ema_decay=0.999),
        penalties=(Penalty(penalty[0], PENALTIES[penalty[0]], penalty[1]),) if penalty else (),
        transforms=Players((), (spectral_norm(),)) if spectral else Players((), ()),
    )


def _batch(image_shape: tuple[int, ...], size: int) -> dict[str, jax.Array]:
    rng = jax.random.key(1)
    if len(image_shape) == 3:
        return {"image": jax.random.randint(rng, (size, *image_shape), 0, 256).astype(jnp.uint8)}
    return {"image": jax.random.normal(rng, (size, *image_shape))}


def _analysis(compiled: Any, steps: int, scan: int) -> tuple[float | None, int | None]:
    """FLOPs a step and peak bytes; the compiler counts the body of a scan once."""
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    flops = cost.get("flops") if cost else None
    parts = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    peak = sum(getattr(memory, part, 0) for part in parts) - getattr(memory, "alias_size_in_bytes", 0) if memory else None
    return (flops * scan / steps if flops and flops > 0 else None), peak


def training(gan: GAN, *, image_shape: tuple[int, ...], batch: int = 64, scan: int = 8, seeds: int = 0) -> Program:
    """`scan` training steps in one program with donated parameters; with `seeds`, of so many games at once under `vmap`."""
    rng = jax.random.key(0)
    data = jax.block_until_ready(_batch(image_shape, batch))
    start = time.perf_counter()

    def init(rng):
        return jax.vmap(gan.init)(jax.random.split(rng, seeds)) if seeds else gan.init(rng)

    def one(params, opt_state, rng):
        return gan.train_step(params, opt_state, data, rng)

    def steps(params, opt_state, rngs):
        def body(carry, _):
            *carry, metrics = (jax.vmap(one) if seeds else one)(*carry, rngs)
            return tuple(carry), metrics

        return lax.scan(body, (params, opt_state), None, scan)

    rngs = jax.random.split(rng, seeds) if seeds else rng
    state = jax.block_until_ready(jax.jit(init)(rng))
    compiling = time.perf_counter()
    compiled = jax.jit(steps, donate_argnums=(0, 1)).lower(*state, rngs).compile()
    compile_seconds = time.perf_counter() - compiling
    box = [state]

    def call() -> None:
        box[0], _ = jax.block_until_ready(compiled(*box[0], rngs))

    call()
    total = scan * max(seeds, 1)
    flops, peak = _analysis(compiled, total, scan)
    return Program(call, total, flops, peak, compile_seconds, time.perf_counter() - start)


def sampling(gan: GAN, *, count: int = 10_000, chunk: int = 500) -> Program:
    """`count` images in chunks; one call is one "step"."""
    rng = jax.random.key(0)
    start = time.perf_counter()
    params, opt_state = jax.block_until_ready(jax.jit(gan.init)(rng))
    compiling = time.perf_counter()
    compiled = jax.jit(lambda p, s, r: gan.sample(p, s, r, chunk)).lower(params, opt_state, rng).compile()
    compile_seconds = time.perf_counter() - compiling
    keys = list(jax.random.split(rng, count // chunk))

    def call() -> None:
        for key in keys:
            compiled(params, opt_state, key).block_until_ready()

    call()
    flops, peak = _analysis(compiled, 1, count // chunk)
    return Program(call, 1, flops, peak, compile_seconds, time.perf_counter() - start)
