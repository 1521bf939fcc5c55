"""A checkpoint that several processes write: its parts, timeouts, and the files of a failed save.

All of them in this process: arrays that every process has whole belong to process 0, so the parts of the others are empty but awaited.
"""

import time
import types

import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.checkpoint import Checkpointer, CheckpointWarning, files

TREE = {"x": jnp.arange(4.0)}


def keepers(directory, count=2, **options):
    return [Checkpointer(directory, process_index=index, process_count=count, token="run", **options) for index in range(count)]


def names(directory):
    return sorted(entry.name for entry in directory.iterdir())


@pytest.fixture
def full_disk(monkeypatch):
    """Simulates a full disk for the processes in a set, which can change. The write of a file starts before the error."""
    refused, write = set(), files.save_arrays

    def save(path, arrays):
        if int(path.name[6:11]) in refused:
            path.write_bytes(b"half a file")
            raise OSError(28, "No space left on device")
        write(path, arrays)

    monkeypatch.setattr(files, "save_arrays", save)
    return refused


def refused_save(manager, step, words):
    manager.save(step, TREE)
    with pytest.warns(CheckpointWarning, match=words):
        assert manager.wait() is False


def test_two_processes_write_parts_and_process_zero_commits(tmp_path):
    first, second = keepers(tmp_path)
    first.save(1, TREE)
    assert first.steps() == []
    second.save(1, TREE)
    assert first.wait()
    assert second.wait()
    np.testing.assert_array_equal(Checkpointer(tmp_path).restore({"x": jnp.zeros(4)})[0]["x"], np.arange(4))
    assert names(tmp_path / "step_00000001") == ["manifest.json", "shard_00000-of-00002.safetensors", "shard_00001-of-00002.safetensors"]


def test_a_dead_peer_costs_one_save_and_not_the_run(tmp_path):
    first, _ = keepers(tmp_path, peer_timeout=0.1)
    refused_save(first, 1, "process 1 did not write its part")
    assert names(tmp_path) == []


def test_a_full_disk_of_process_zero_leaves_nothing_of_the_others(tmp_path, full_disk):
    first, second = keepers(tmp_path)
    full_disk.add(0)
    for step in (1, 2, 3):
        second.save(step, TREE)
        assert second.wait()
        refused_save(first, step, "No space left on device")
        assert names(tmp_path) == []


def test_what_a_late_process_writes_into_a_failed_save_is_cleared_by_the_next(tmp_path, full_disk):
    first, second = keepers(tmp_path)
    full_disk.add(0)
    for step in (1, 2, 3):
        refused_save(first, step, "No space left on device")
        second.save(step, TREE)
        assert second.wait()
        assert names(tmp_path) == [f".step_{step:08d}.run-{step}.partial"]
    other = tmp_path / ".step_00000009.another-1.partial"  # of another run, deleted when this run starts again
    other.mkdir()
    full_disk.clear()
    second.save(4, TREE)
    assert second.wait()  # a process can be ahead, and its files of this save are kept
    first.save(4, TREE)
    assert first.wait()
    assert names(tmp_path) == [other.name, "step_00000004"]


def test_a_peer_that_fails_says_so_and_nobody_waits(tmp_path, full_disk):
    first, second, third = keepers(tmp_path, 3, peer_timeout=300)
    full_disk.add(2)
    begin = time.monotonic()
    first.save(1, TREE)  # process 1 has written no part either
    refused_save(third, 1, "No space left on device")
    with pytest.warns(CheckpointWarning, match=r"process 2 could not write its part: OSError: .*No space left on device"):
        assert first.wait() is False
    assert time.monotonic() - begin < 30
    assert names(tmp_path) == []
    full_disk.clear()
    for step in (1, 2):
        second.save(step, TREE)
    for each in (third, first):
        each.save(2, TREE)
    assert all(each.wait() for each in (first, second, third))
    assert names(tmp_path) == ["step_00000002"]


def test_a_full_disk_has_room_for_the_word_of_failure(tmp_path, full_disk):
    second = keepers(tmp_path)[1]
    full_disk.add(1)
    refused_save(second, 1, "No space left on device")
    assert names(tmp_path / ".step_00000001.run-1.partial") == ["part_00001.json"]  # an incomplete shard would take its space


def test_a_bug_in_a_peer_is_raised_there_and_told_to_process_zero(tmp_path, monkeypatch):
    first, second = keepers(tmp_path, peer_timeout=300)
    write = files.write_shard

    def broken(directory, taken, *, process_index=0, process_count=1):
        if process_index:
            raise ZeroDivisionError("a bug")
        return write(directory, taken, process_index=process_index, process_count=process_count)

    monkeypatch.setattr(files, "write_shard", broken)
    second.save(1, TREE)
    with pytest.raises(ZeroDivisionError):
        second.wait()
    refused_save(first, 1, "process 1 could not write its part: ZeroDivisionError: a bug")


def test_all_peers_have_one_time_together(tmp_path, monkeypatch):
    # Each part arrives within five minutes of the previous one, but the last part eight minutes after the save began.
    first, second, third = keepers(tmp_path, 3, asynchronous=False)
    now, coming = [0.0], {250.0: second, 480.0: third}

    def sleep(seconds):
        now[0] += 10
        if now[0] in coming:
            coming[now[0]].save(1, TREE)

    monkeypatch.setattr(files, "time", types.SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    with pytest.warns(CheckpointWarning, match="process 2 did not write its part in time"):
        first.save(1, TREE)
    assert 300 < now[0] < 330
