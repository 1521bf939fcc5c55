"""Placement of parameters, state and batches: a mesh of devices along one axis, `data`, and shardings over it."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gan_jax._internal.checks import ArgumentError
from gan_jax.typing import PyTree

AXIS = "data"
PLACEMENTS = ("jit", "shard_map", "pmap")
SHARD_ABOVE = 2**14  # Leaves with fewer elements stay replicated, because gathering them would cost more than it saves.


class Placement(NamedTuple):
    """How a train step is distributed over devices.

    Attributes:
        mesh: The devices of all processes, along the one axis `data`.
        kind: "jit" uses shardings, and the compiler inserts the collectives. "shard_map" and "pmap" use explicit collectives.
        share_statistics: Whether layers and losses that couple the examples of a batch use the batch of all devices or of each device.
        shard_parameters: Whether large parameters and their moments are sharded over the devices (FSDP) or replicated.
    """

    mesh: Mesh
    kind: str = "jit"
    share_statistics: bool = True
    shard_parameters: bool = False

    @property
    def devices(self) -> int:
        """Number of devices of all processes."""
        return self.mesh.size

    @property
    def replicated(self) -> NamedSharding:
        """Sharding of arrays that are complete on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def compiler_options(self) -> dict[str, Any] | None:
        """Options for `jax.jit` of programs over these devices, see `one_thread_each`."""
        return one_thread_each(list(self.mesh.devices.flat))

    @property
    def batch(self) -> NamedSharding:
        """Sharding of arrays [batch, ...] along their first axis."""
        return NamedSharding(self.mesh, PartitionSpec(AXIS))

    @property
    def batches(self) -> NamedSharding:
        """Sharding of arrays [steps, batch, ...] along their second axis."""
        return NamedSharding(self.mesh, PartitionSpec(None, AXIS))


def one_thread_each(devices: Sequence[jax.Device]) -> dict[str, Any] | None:
    """Compiler options that give each of several CPU devices one thread. By default each device would use the threads of all cores."""
    several = len(devices) > 1 and devices[0].platform == "cpu"
    return {"xla_cpu_multi_thread_eigen": False} if several else None


def make_placement(
    placement: str = "jit", *, devices: int | None = None, statistics: str = "global", shard_parameters: bool = False
) -> Placement:
    """Makes a placement over the devices of all processes.

    Args:
        placement: One of `PLACEMENTS`.
        devices: Number of devices of each process. The default is all of them.
        statistics: "global" computes batch statistics, minibatch layers, relativistic averages and feature matching over the batch of all
            devices. "local" computes them over the batch of each device, which requires "shard_map" or "pmap".
        shard_parameters: Whether to shard large parameters and moments over the devices, which requires "jit".

    Raises:
        ArgumentError: If a name is unknown, if there are fewer devices, or if two arguments are incompatible.
    """
    if placement not in PLACEMENTS:
        raise ArgumentError(f"must be one of {', '.join(PLACEMENTS)}", argument="placement", value=placement)
    if statistics not in ("global", "local"):
        raise ArgumentError("must be global or local", argument="statistics", value=statistics)
    if statistics == "local" and placement == "jit":
        raise ArgumentError("jit sees the batch of all devices; use the placement shard_map or pmap", argument="statistics", value="local")
    if shard_parameters and placement != "jit":
        raise ArgumentError(f"{placement} replicates the parameters; use the placement jit", argument="shard_parameters")
    if placement == "pmap" and jax.process_count() > 1:
        raise ArgumentError("supports one process only; use jit or shard_map", argument="placement", value="pmap")
    return Placement(_mesh(devices), placement, statistics == "global", shard_parameters)


def _mesh(devices: int | None) -> Mesh:
    """A mesh of equally many devices of each process, in the order of the processes. Each process then holds one block of a batch."""
    available = jax.local_device_count()
    if devices is not None and not 1 <= devices <= available:
        hint = "; the number is that of one process" if jax.process_count() > 1 else ""
        raise ArgumentError(f"there are {available} {jax.default_backend()} devices{hint}", argument="devices", value=devices)
    chosen = []
    for process in range(jax.process_count()):
        of_process = [device for device in jax.devices() if device.process_index == process]
        chosen += of_process[: len(of_process) if devices is None else devices]
    return Mesh(np.array(chosen), (AXIS,), axis_types=(AxisType.Auto,))


def state_shardings(placement: Placement, tree: PyTree, *, threshold: int = SHARD_ABOVE) -> PyTree:
    """The sharding of each leaf of parameters and state.

    A leaf is replicated, unless the placement shards parameters. Then a large leaf is sharded along its largest axis that the number of
    devices divides.

    Args:
        placement: The placement.
        tree: Tree of arrays or of their shapes, e.g. `jax.eval_shape(gan.init, rng)`.
        threshold: Leaves with fewer elements stay replicated.

    Returns:
        A tree of shardings.
    """

    def of(leaf: Any) -> NamedSharding:
        shape = tuple(leaf.shape)
        divisible = [axis for axis, size in enumerate(shape) if size % placement.devices == 0]
        keys = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        if not placement.shard_parameters or keys or math.prod(shape) < threshold or not divisible:
            return placement.replicated
        axis = max(divisible, key=lambda axis: shape[axis])
        return NamedSharding(placement.mesh, PartitionSpec(*(None,) * axis, AXIS))

    return jax.tree.map(of, tree)


def to_local(placement: Placement | None, tree: PyTree) -> PyTree:
    """The complete tree on this process's first device. Every process must call it.

    Replicated leaves are not copied, and sharded leaves are gathered first. Programs that only sample or evaluate then need no other
    process, and compute the same for any number of devices.
    """
    if placement is None:
        return tree
    replicated = jax.tree.map(lambda leaf: leaf.sharding.is_fully_replicated, tree)
    if not all(jax.tree.leaves(replicated)):
        tree = jax.jit(lambda leaves: leaves, out_shardings=placement.replicated)(tree)
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)
