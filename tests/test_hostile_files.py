"""Hostile files, made by grammar: every reader returns or raises its own kind of error in one line, within 10 s and 512 MiB a file.

`HOSTILE_FILES=5000 pytest -m long -n 0 -s tests/test_hostile_files.py` sets the number of files of the long test.
tests/endurance.py runs it in parts.
"""

import contextlib
import os
import resource
import signal
import time
import warnings
from pathlib import Path

import hypothesis
import jax.numpy as jnp
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import gan_jax
from gan_jax.data import DataError
from gan_jax.data.decode import decode
from gan_jax.data.idx import read_idx
from gan_jax.data.npz import read_npz
from gan_jax.metrics import inception, load_torch_weights
from gan_jax.trainer.config import ConfigError, load_config
from support.hostile import GRAMMARS, Choices, files

MANY = int(os.environ.get("HOSTILE_FILES", "100000"))
SECONDS, MEMORY = 10, 512 * 2**20
# Kind -> (files of the short test, share of the long test, readers, their errors).
READERS = {
    "torch.legacy": (100, 0.2, (load_torch_weights,), ValueError),
    "torch.zip": (60, 0.15, (load_torch_weights,), ValueError),
    "npz": (80, 0.15, (lambda path: read_npz(path, ("images", "labels")),), DataError),
    "idx": (80, 0.15, (lambda path: read_idx(path, 3), lambda path: read_idx(path, 1)), DataError),
    "safetensors": (60, 0.15, (inception.load, gan_jax.load_generator), ValueError),
    "png": (70, 0.1, (lambda path: decode(path, size=16, channels=3),), DataError),
    "yaml": (50, 0.1, (load_config,), ConfigError),
}


class TooSlow(BaseException):
    """A reader did not end in time. It is not an Exception, so no reader can catch it."""


@contextlib.contextmanager
def limits():
    """Ends the process's patience after ten seconds, and its address space 512 MiB above what it takes now."""

    def stop(*_):
        raise TooSlow

    old_limit = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    handler = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, old_limit[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, old_limit)
        signal.signal(signal.SIGALRM, handler)


@pytest.fixture(scope="module", autouse=True)
def started_jax():
    start_jax()


def start_jax():
    """The threads of the backend take address space once, which is not that of a file."""
    jnp.zeros(1).block_until_ready()


def read_all(kind, count, directory, *, seed=None):
    """Reads `count` files of a kind. Returns how many were read, how many were refused, and the longest time.

    Without a seed the files are always the same.
    """
    _, _, readers, errors = READERS[kind]
    path = directory / f"file.{'safetensors' if kind == 'safetensors' else kind.split('.')[0]}"
    counts = {"files": 0, "read": 0, "refused": 0, "slowest": 0.0}

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=seed is None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(files(kind))
    def check(content):
        path.write_bytes(content)
        counts["files"] += 1
        for read in readers:
            started = time.monotonic()
            try:
                with limits(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read(path)
                counts["read"] += 1
            except errors as error:
                counts["refused"] += 1
                message = str(error)
                assert str(path) in message, message
                assert message.isprintable(), repr(message)
                assert len(message) < 1000, message
            counts["slowest"] = max(counts["slowest"], time.monotonic() - started)

    (check if seed is None else hypothesis.seed(seed)(check))()
    print(f"{kind}: {counts}")
    return counts


@pytest.mark.parametrize("kind", list(GRAMMARS))
def test_hostile_files_are_read_or_refused_in_one_line(kind, tmp_path):
    counts = read_all(kind, READERS[kind][0], tmp_path)
    assert counts["files"] >= READERS[kind][0]
    assert counts["refused"] > 0.1 * counts["files"]


@pytest.mark.parametrize("kind", ["torch.legacy", "torch.zip", "npz", "idx", "png"])
def test_a_file_without_any_lie_is_read(kind, tmp_path):
    """A grammar whose files are all refused would test only the first check of a reader."""
    (tmp_path / "file").write_bytes(GRAMMARS[kind](Choices(b"")))
    READERS[kind][2][0](tmp_path / "file")


@pytest.mark.long
@pytest.mark.parametrize("kind", list(GRAMMARS))
def test_many_hostile_files_are_read_or_refused_in_one_line(kind, tmp_path):
    read_all(kind, int(MANY * READERS[kind][1]), tmp_path)


def test_the_short_test_has_500_files_and_the_long_one_all():
    assert sum(row[0] for row in READERS.values()) == 500
    assert sum(row[1] for row in READERS.values()) == pytest.approx(1)
