"""One train step on many devices and many hosts, with `jit` and shardings, with `shard_map`, or with `pmap`. The results are equal.

    placement = make_placement("jit", devices=8)
    gan = build_gan(spec, distribute(rule, placement))  # The step keeps its global view. It is pure and not jitted.
    params, opt_state = jax.jit(gan.init, out_shardings=...)(rng)  # see `state_shardings`
    step = jax.jit(gan.train_step, donate_argnums=(0, 1))
    params, opt_state, metrics = step(params, opt_state, jax.device_put(batch, placement.batch), rng)

`sharding` places arrays on devices. `spmd` makes the part of a train step that one device computes. `multihost` starts and ends the
processes of several hosts. `sweep` trains many GANs at once.
"""

from gan_jax.distributed.multihost import (
    PeerLost,
    abort_process,
    any_across_processes,
    broadcast_text,
    decide_on_process_zero,
    is_main_process,
    process_count,
    raising_peer_lost,
    simulate_devices,
    start,
)
from gan_jax.distributed.sharding import PLACEMENTS, Placement, make_placement, state_shardings, to_local
from gan_jax.distributed.spmd import distribute, per_device

__all__ = [
    "PLACEMENTS",
    "PeerLost",
    "Placement",
    "abort_process",
    "any_across_processes",
    "broadcast_text",
    "decide_on_process_zero",
    "distribute",
    "is_main_process",
    "make_placement",
    "per_device",
    "process_count",
    "raising_peer_lost",
    "simulate_devices",
    "start",
    "state_shardings",
    "to_local",
]
