"""Schema of devices and processes: typed groups of fields, as in `gan_jax.trainer.config.schema`."""

import dataclasses
from typing import Annotated, Literal

from gan_jax.trainer.config.ranges import Range


@dataclasses.dataclass(frozen=True)
class ParallelConfig:
    """How one train step uses many devices."""

    placement: Literal["jit", "shard_map", "pmap"] = "jit"
    """jit lets the compiler insert the collectives. shard_map and pmap write them out. The results are equal up to what a network
    draws itself."""
    devices: Annotated[int | None, Range(1, 10**5)] = None
    """Devices of each process. By default all accelerators, or 1 CPU device. More than 1 CPU device are simulated."""
    statistics: Literal["global", "local"] = "global"
    """Whether batch norm, minibatch layers, relativistic averages and feature matching see the batch of all devices or of each."""
    shard_parameters: bool = False
    """Spread large parameters and their moments over the devices (FSDP), for models that do not fit on one device."""


@dataclasses.dataclass(frozen=True)
class DistributedConfig:
    """One run by several processes, on one or many hosts. These flags are not stored: repeat them when you resume a run."""

    coordinator: str = ""
    """HOST:PORT of process 0. auto asks the cluster (SLURM, Kubernetes, Cloud TPU, Open MPI). Empty means one process."""
    num_processes: Annotated[int | None, Range(1, 10**5)] = None
    """Number of processes."""
    process_id: Annotated[int | None, Range(0, 10**5)] = None
    """Index of this process, from 0."""
    heartbeat_seconds: Annotated[int, Range(1, 10**6)] = 30
    """A process that is silent for this long counts as lost, and the other processes exit."""
