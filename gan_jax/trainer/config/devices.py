"""What can be set about devices and hosts: typed groups of fields, as in `gan_jax.trainer.config.schema`."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class ParallelConfig:
    """One step on many devices."""

    placement: Literal["jit", "shard_map", "pmap"] = "jit"
    """jit finds the collectives by itself; shard_map and pmap write them out. Equal results, but for what a device draws by itself."""
    devices: int | None = None
    """Devices of each process; by default all accelerators, or 1 CPU device. More than 1 on a CPU are simulated."""
    statistics: Literal["global", "local"] = "global"
    """Batch norm, minibatch layers, relativistic averages, feature matching: over the batch of all devices, or of each."""
    shard_parameters: bool = False
    """Spread large parameters and their moments over the devices (FSDP), for models that do not fit on one."""


@dataclasses.dataclass(frozen=True)
class DistributedConfig:
    """One run by several processes, on one host or many. Not kept with the run: say it again when it is resumed."""

    coordinator: str = ""
    """HOST:PORT of process 0; auto: ask the cluster (SLURM, Kubernetes, Cloud TPU, Open MPI); empty: one process."""
    num_processes: int | None = None
    """Number of processes."""
    process_id: int | None = None
    """Number of this process, from 0."""
    heartbeat_seconds: int = 30
    """A process that is not heard of for so long is dead, and the others end."""
