"""The processes of one run: how they find each other, agree, and notice that one is gone.

JAX's own runtime does the work: a coordination service in process 0, and a heartbeat from each process. What is added: a start
before any device is touched, decisions that all processes make alike, and a lost peer as one error with one line.
"""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NoReturn

import jax
import numpy as np

LONGEST = 4096  # bytes of a text that the processes agree on
OWN = ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT")  # statuses of errors that no other process causes: no memory, a program that cannot be


class PeerLost(RuntimeError):
    """Another process of this run is gone, and with it the run; one line that says what to do."""


def simulate_devices(count: int | None) -> None:
    """Lets a CPU appear as so many devices; before JAX first touches a device. Other accelerators do not mind.

    Does nothing for 1, or where XLA_FLAGS already says how many.
    """
    if count and count > 1 and "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", count)


def start(
    coordinator: str, *, num_processes: int | None = None, process_id: int | None = None, heartbeat_seconds: int = 30, patience: int = 300
) -> None:
    """Joins this process to the others of its run; before JAX first touches a device.

    From then on an error that nothing catches ends this process at once, with its traceback and status 1 (`leave`): the others notice.

    Args:
        coordinator: HOST:PORT of process 0; "auto" takes all three from SLURM, Kubernetes, Cloud TPU or Open MPI; "" stays alone.
        num_processes: of the run.
        process_id: of this process, from 0.
        heartbeat_seconds: a process that is not heard of for so long counts as dead, and the others end.
        patience: seconds to wait for the others at the start.

    Raises:
        PeerLost: the others do not come, or no cluster is found.
    """
    if not coordinator:
        return
    # Where the devices are CPUs; the other backends bring their own collectives.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    own = {} if coordinator == "auto" else {"coordinator_address": coordinator, "num_processes": num_processes, "process_id": process_id}
    try:
        # At the end the others wait for process 0, which still measures and writes; a dead one is noticed by its heartbeat.
        day = 86_400
        jax.distributed.initialize(
            **own, heartbeat_timeout_seconds=heartbeat_seconds, initialization_timeout=patience, shutdown_timeout_seconds=day
        )
    except (RuntimeError, ValueError) as error:
        raise PeerLost(f"--distributed.coordinator {coordinator}: the processes do not find each other: {_first_line(error)}") from error
    sys.excepthook = partial(_end, sys.excepthook)


def process_count() -> int:
    """The number of processes of this run."""
    return jax.process_count()


def is_main_process() -> bool:
    """Whether this process is the one that writes: to the run's directory and to the terminal."""
    return jax.process_index() == 0


def broadcast_text(text: str) -> str:
    """Process 0's text, in every process; every process must call it."""
    if jax.process_count() == 1:
        return text
    from jax.experimental import multihost_utils

    encoded = text.encode()
    if len(encoded) > LONGEST:
        raise ValueError(f"the processes can agree on a text of at most {LONGEST} bytes; got {len(encoded)}")
    buffer = np.zeros(LONGEST + 4, np.uint8)
    if is_main_process():
        buffer[:4] = np.frombuffer(np.uint32(len(encoded)).tobytes(), np.uint8)
        buffer[4 : 4 + len(encoded)] = np.frombuffer(encoded, np.uint8)
    with raising_peer_lost():
        shared = np.asarray(multihost_utils.broadcast_one_to_all(buffer), np.uint8)
    return shared[4 : 4 + int(np.frombuffer(shared[:4].tobytes(), np.uint32)[0])].tobytes().decode()


def decide_on_process_zero(decide: Callable[[], str], failure: type[Exception]) -> str:
    """What process 0 decides, in every process; where it fails, every process fails alike instead of waiting for it.

    Args:
        decide: called in process 0 only.
        failure: raised in the other processes, with the message of process 0's error.

    Raises:
        Whatever `decide` raises, in process 0.
    """
    if jax.process_count() == 1:
        return decide()
    error: Exception | None = None
    said = ""
    if is_main_process():
        try:
            said = "+" + decide()
        except Exception as problem:
            error, said = problem, f"-{_first_line(problem)}"[:LONGEST]
    said = broadcast_text(said)
    if error is not None:
        raise error
    if said.startswith("-"):
        raise failure(said[1:])
    return said[1:]


def any_across_processes(flag: bool) -> bool:
    """Whether the flag is set in any process; every process must call it."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    with raising_peer_lost():
        return bool(np.asarray(multihost_utils.process_allgather(np.array([flag]))).any())


@contextlib.contextmanager
def raising_peer_lost() -> Iterator[None]:
    """Inside, an operation between processes that fails because one of them is gone is a `PeerLost`; one's own errors stay as they are."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        # What a collective reports when its result is read is a ValueError that begins with a status, as "UNKNOWN: Gloo ...".
        lost = isinstance(error, jax.errors.JaxRuntimeError) or re.match(r"[A-Z_]+: ", str(error))
        if jax.process_count() == 1 or not lost or str(error).startswith(OWN):
            raise
        raise PeerLost(
            f"process {jax.process_index()}: another process of this run is gone ({_first_line(error)}); "
            "start all of them again with --resume auto"
        ) from error


def abort_process(status: int) -> NoReturn:
    """Ends this process at once, without the farewell that JAX's processes bid each other: the others may never come to it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _end(show: Callable[..., None], *error: Any) -> None:
    show(*error)
    abort_process(1)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
