"""The processes of one run: how they start, take common decisions, and detect that one has ended.

JAX's runtime has a coordination service in process 0 and a heartbeat of each process. This module adds a start before any device is
used, decisions that are the same in all processes, and one error with a one-line message for a lost process.
"""

import contextlib
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NoReturn

import jax
import numpy as np

LONGEST = 4096  # Maximum number of bytes of a text that is broadcast.
LOCAL_ERRORS = ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT")  # Statuses of errors that no other process causes.


class PortInUse(RuntimeError):
    """Process 0 cannot listen at the address of the coordinator. The message is one line."""


class PeerLost(RuntimeError):
    """Another process of this run has ended, or cannot be reached. The run cannot continue. The message is one line."""


def simulate_devices(count: int | None) -> None:
    """Makes JAX show the CPU as `count` devices. Call it before JAX first uses a device. It has no effect on other accelerators.

    Nothing is changed if count is None or 1, or if XLA_FLAGS already sets the number.
    """
    if count and count > 1 and "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", count)


def start(
    coordinator: str, *, num_processes: int | None = None, process_id: int | None = None, heartbeat_seconds: int = 30, patience: int = 300
) -> None:
    """Connects this process to the other processes of its run. Call it before JAX first uses a device.

    Afterwards an uncaught exception ends this process immediately with its traceback and status 1, see `abort_process`. The other
    processes detect that.

    Args:
        coordinator: HOST:PORT of process 0. "auto" reads this and the next two arguments from SLURM, Kubernetes, Cloud TPU or Open MPI.
            If it is empty, the function does nothing.
        num_processes: Number of processes of the run.
        process_id: Index of this process, from 0.
        heartbeat_seconds: A process that sends no heartbeat for so many seconds counts as lost, and the others end.
        patience: Seconds to wait for the other processes at the start.

    Raises:
        PeerLost: If the other processes do not connect in time, or if no cluster is found.
        PortInUse: If another program listens at the port.
    """
    if not coordinator:
        return
    if process_id == 0 and coordinator != "auto":
        _check_port(coordinator)
    # This setting is for CPU devices. The other backends have their own collectives.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    where = {} if coordinator == "auto" else {"coordinator_address": coordinator, "num_processes": num_processes, "process_id": process_id}
    try:
        # At the end the others wait for process 0, which still evaluates and writes. The heartbeat detects a process that died.
        day = 86_400
        jax.distributed.initialize(
            **where, heartbeat_timeout_seconds=heartbeat_seconds, initialization_timeout=patience, shutdown_timeout_seconds=day
        )
    except (RuntimeError, ValueError) as error:
        raise PeerLost(f"coordinator {coordinator}: the processes cannot connect: {_first_line(error)}") from error
    sys.excepthook = partial(_abort_after, sys.excepthook)


def _check_port(coordinator: str) -> None:
    port = coordinator.rpartition(":")[2]
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        return  # The error of JAX names the address.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As gRPC does, which may reuse a port that was closed just now.
        try:
            probe.bind(("", int(port)))
        except OSError as error:
            raise PortInUse(f"coordinator {coordinator}: port {port} cannot be used: {error.strerror}; take another one") from error


def process_count() -> int:
    """Number of processes of this run."""
    return jax.process_count()


def is_main_process() -> bool:
    """Whether this is process 0, the only one that writes files and prints."""
    return jax.process_index() == 0


def broadcast_text(text: str) -> str:
    """Returns the text of process 0 in every process. Every process must call it.

    Raises:
        ValueError: If the text has more than `LONGEST` bytes.
    """
    if jax.process_count() == 1:
        return text
    from jax.experimental import multihost_utils

    encoded = text.encode()
    if len(encoded) > LONGEST:
        raise ValueError(f"text must have at most {LONGEST} bytes; got {len(encoded)}")
    buffer = np.zeros(LONGEST + 4, np.uint8)
    if is_main_process():
        buffer[:4] = np.frombuffer(np.uint32(len(encoded)).tobytes(), np.uint8)
        buffer[4 : 4 + len(encoded)] = np.frombuffer(encoded, np.uint8)
    with raising_peer_lost():
        shared = np.asarray(multihost_utils.broadcast_one_to_all(buffer), np.uint8)
    return shared[4 : 4 + int(np.frombuffer(shared[:4].tobytes(), np.uint32)[0])].tobytes().decode()


def decide_on_process_zero(decide: Callable[[], str], failure: type[Exception]) -> str:
    """Returns in every process what `decide` returns in process 0. Every process must call it.

    If `decide` raises, every process raises. None waits for a result that never comes.

    Args:
        decide: Called in process 0 only.
        failure: Type of the exception in the other processes. Its message is that of the exception in process 0.

    Raises:
        Exception: In process 0 the exception of `decide`, in the others `failure`.
    """
    if jax.process_count() == 1:
        return decide()
    error: Exception | None = None
    outcome = ""
    if is_main_process():
        try:
            outcome = "+" + decide()
        except Exception as problem:
            error, outcome = problem, f"-{_first_line(problem)}"[:LONGEST]
    outcome = broadcast_text(outcome)
    if error is not None:
        raise error
    if outcome.startswith("-"):
        raise failure(outcome[1:])
    return outcome[1:]


def any_across_processes(flag: bool) -> bool:
    """Whether the flag is set in any process. Every process must call it."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    with raising_peer_lost():
        return bool(np.asarray(multihost_utils.process_allgather(np.array([flag]))).any())


@contextlib.contextmanager
def raising_peer_lost() -> Iterator[None]:
    """A context in which a collective that fails because another process ended raises `PeerLost`. Other errors pass unchanged."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        # If a collective fails while its result is read, JAX raises a ValueError that begins with a status, e.g. "UNKNOWN: Gloo ...".
        lost = isinstance(error, jax.errors.JaxRuntimeError) or re.match(r"[A-Z_]+: ", str(error))
        if jax.process_count() == 1 or not lost or str(error).startswith(LOCAL_ERRORS):
            raise
        raise PeerLost(f"process {jax.process_index()}: another process of this run is gone ({_first_line(error)})") from error


def abort_process(status: int) -> NoReturn:
    """Ends this process immediately, without JAX's shutdown barrier, which the other processes may never reach."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _abort_after(show: Callable[..., None], *error: Any) -> None:
    show(*error)
    abort_process(1)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
