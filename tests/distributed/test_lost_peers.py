"""Errors of a run of several processes: which of them mean that another process is gone, and how this process ends."""

import re
import sys

import jax
import pytest

from gan_jax.distributed import PeerLost, multihost, raising_peer_lost


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (jax.errors.JaxRuntimeError("UNKNOWN: Gloo AllReduce failed: Connection reset by peer"), PeerLost),
        (ValueError("UNKNOWN: Gloo AllGather failed: Connection closed by peer"), PeerLost),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes."), jax.errors.JaxRuntimeError),
        (jax.errors.JaxRuntimeError("INVALID_ARGUMENT: Executable expected 3 arguments"), jax.errors.JaxRuntimeError),
        (ValueError("RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes."), ValueError),
        (ValueError("the batch must hold a multiple of 4 examples"), ValueError),
    ],
)
def test_only_what_another_process_caused_is_a_lost_peer(monkeypatch, error, raised):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with (
        pytest.raises(raised, match="another process of this run is gone" if raised is PeerLost else re.escape(str(error))),
        raising_peer_lost(),
    ):
        raise error
    monkeypatch.setattr(jax, "process_count", lambda: 1)
    with pytest.raises(type(error), match=re.escape(str(error))), raising_peer_lost():
        raise error


def test_an_error_of_one_process_ends_it_without_waiting_for_the_others(monkeypatch):
    """JAX would wait for the others in its shutdown barrier, and they for this one."""
    happened = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **options: None)
    monkeypatch.setattr(jax.config, "update", lambda name, value: None)
    monkeypatch.setattr(multihost, "abort_process", lambda status: happened.append(status))
    monkeypatch.setattr(sys, "excepthook", lambda *error: happened.append(error))
    multihost.start("")
    multihost.start("localhost:1", num_processes=2, process_id=0)
    error = (MemoryError, MemoryError("no memory"), None)
    sys.excepthook(*error)
    assert happened == [error, 1]
