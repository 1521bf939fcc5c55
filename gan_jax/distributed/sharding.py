"""Where parameters, state and batches lie: a mesh of devices along one axis, `data`, and shardings over it."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gan_jax.typing import PyTree

AXIS = "data"
PLACEMENTS = ("jit", "shard_map", "pmap")
# A leaf below this number of elements is not worth gathering again: it stays whole on every device.
SHARD_ABOVE = 2**14


class Placement(NamedTuple):
    """How a step is spread over devices.

    Attributes:
        mesh: the devices, of all processes, along the one axis `data`.
        kind: "jit" (shardings; the compiler finds the collectives), "shard_map" or "pmap" (explicit collectives).
        share_statistics: whether what couples the examples of a batch means the batch of all devices, or of each.
        shard_parameters: whether large parameters and their moments are spread over the devices (FSDP), or whole on each.
    """

    mesh: Mesh
    kind: str = "jit"
    share_statistics: bool = True
    shard_parameters: bool = False

    @property
    def devices(self) -> int:
        """Their number."""
        return self.mesh.size

    @property
    def replicated(self) -> NamedSharding:
        """The whole on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def compiler_options(self) -> dict[str, Any] | None:
        """For `jax.jit` of programs over these devices; see `one_thread_each`."""
        return one_thread_each(list(self.mesh.devices.flat))

    @property
    def batch(self) -> NamedSharding:
        """Rows over the devices."""
        return NamedSharding(self.mesh, PartitionSpec(AXIS))

    @property
    def batches(self) -> NamedSharding:
        """[steps, batch, ...], the second axis over the devices."""
        return NamedSharding(self.mesh, PartitionSpec(None, AXIS))


def one_thread_each(devices: Sequence[jax.Device]) -> dict[str, Any] | None:
    """Compiler options for several CPU devices in one process: one thread each, or each would cut its operations up for all cores."""
    several = len(devices) > 1 and devices[0].platform == "cpu"
    return {"xla_cpu_multi_thread_eigen": False} if several else None


def make_placement(
    placement: str = "jit", *, devices: int | None = None, statistics: str = "global", shard_parameters: bool = False
) -> Placement:
    """Makes a placement over the devices of all processes.

    Args:
        placement: one of `PLACEMENTS`.
        devices: how many of each process; by default all of them.
        statistics: "global": batch statistics, minibatch layers, relativistic averages, feature matching mean the batch of all
            devices; "local": that of each device. `jit` has a global view and knows only the first.
        shard_parameters: spread large parameters and moments over the devices; only with `jit`.

    Raises:
        ValueError: an unknown name, more devices than there are, or a pair that cannot be.
    """
    if placement not in PLACEMENTS:
        raise ValueError(f"--parallel.placement {placement}: must be one of {', '.join(PLACEMENTS)}")
    if statistics not in ("global", "local"):
        raise ValueError(f"--parallel.statistics {statistics}: must be global or local")
    if statistics == "local" and placement == "jit":
        raise ValueError("--parallel.statistics local: jit sees the batch as one; take --parallel.placement shard_map or pmap")
    if shard_parameters and placement != "jit":
        raise ValueError(f"--parallel.shard-parameters: {placement} keeps them whole on every device; take --parallel.placement jit")
    if placement == "pmap" and jax.process_count() > 1:
        raise ValueError("--parallel.placement pmap: one process only; take --parallel.placement jit or shard_map")
    return Placement(_mesh(devices), placement, statistics == "global", shard_parameters)


def _mesh(devices: int | None) -> Mesh:
    """Equally many devices of each process, in the order of the processes, so that each holds a block of every batch."""
    here_are = jax.local_device_count()
    if devices is not None and not 1 <= devices <= here_are:
        few = "; --parallel.devices counts those of one process" if jax.process_count() > 1 else ""
        raise ValueError(f"--parallel.devices {devices}: there are {here_are} {jax.default_backend()} devices{few}")
    chosen = []
    for process in range(jax.process_count()):
        own = [device for device in jax.devices() if device.process_index == process]
        chosen += own[: len(own) if devices is None else devices]
    return Mesh(np.array(chosen), (AXIS,), axis_types=(AxisType.Auto,))


def state_shardings(placement: Placement, tree: PyTree, *, threshold: int = SHARD_ABOVE) -> PyTree:
    """Where each leaf of parameters and state lies: whole everywhere, or (FSDP) cut along its largest axis that divides evenly.

    Args:
        placement: with `shard_parameters` or without.
        tree: of arrays or of their shapes (`jax.eval_shape(gan.init, rng)`).
        threshold: leaves with fewer elements stay whole.

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
    """The tree on this process's first device alone, whole; every process must call it.

    What is whole on every device is not copied; what is spread is gathered first. Programs that are not trained by (samples, metrics)
    then are the same whatever the devices, and need no other process.
    """
    if placement is None:
        return tree
    whole = jax.tree.map(lambda leaf: leaf.sharding.is_fully_replicated, tree)
    if not all(jax.tree.leaves(whole)):
        tree = jax.jit(lambda leaves: leaves, out_shardings=placement.replicated)(tree)
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)
