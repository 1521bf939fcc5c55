"""One step on many devices and many hosts: placed by `jit` with shardings, by `shard_map`, or by `pmap`, with equal results.

    placement = make_placement(devices=8)                                   # or placement="shard_map", statistics="local" ...
    gan = build_gan(spec, distribute(rule, placement))                            # the step as before: global view, pure, not jitted
    params, opt_state = jax.jit(gan.init, out_shardings=...)(rng)           # see `state_shardings`
    step = jax.jit(gan.train_step, donate_argnums=(0, 1))
    params, opt_state, metrics = step(params, opt_state, jax.device_put(batch, placement.batch), rng)

`placement` says where things lie, `per_device` what a device does of a game, `hosts` starts and ends the processes of several hosts,
`communication` reads from a compiled program what it moves between devices.
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
