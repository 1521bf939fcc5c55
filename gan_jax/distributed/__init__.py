"""One step on many devices and many hosts: placed by `jit` with shardings, by `shard_map`, or by `pmap`, with equal results.

    placement = make_placement(devices=8)                                   # or placement="shard_map", statistics="local" ...
    gan = play(game, place(strategy, placement))                            # the step as before: global view, pure, not jitted
    params, opt_state = jax.jit(gan.init, out_shardings=...)(rng)           # see `state_shardings`
    step = jax.jit(gan.train_step, donate_argnums=(0, 1))
    params, opt_state, metrics = step(params, opt_state, jax.device_put(batch, placement.batch), rng)

`placement` says where things lie, `per_device` what a device does of a game, `hosts` starts and ends the processes of several hosts,
`communication` reads from a compiled program what it moves between devices.
"""

from gan_jax.distributed.multihost import (
    PeerLost,
    agree,
    agreed,
    any_across_processes,
    leave,
    process_count,
    raising_peer_lost,
    simulate_devices,
    start,
    writes,
)
from gan_jax.distributed.sharding import PLACEMENTS, Placement, here, make_placement, state_shardings
from gan_jax.distributed.spmd import per_device, place

__all__ = [
    "PLACEMENTS",
    "PeerLost",
    "Placement",
    "agree",
    "agreed",
    "any_across_processes",
    "here",
    "leave",
    "make_placement",
    "per_device",
    "place",
    "process_count",
    "raising_peer_lost",
    "simulate_devices",
    "start",
    "state_shardings",
    "writes",
]
