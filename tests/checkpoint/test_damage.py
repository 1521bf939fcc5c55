"""Damage to checkpoints: flipped bytes, truncated files, full disks, and processes killed during a save."""

import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.checkpoint import Checkpointer, CheckpointNotFound, CheckpointWarning, files

ROOT = Path(__file__).resolve().parents[2]


def tree_at(step):
    params = {"kernel": jnp.arange(40.0).reshape(8, 5) + step, "bias": jnp.full(5, step, jnp.bfloat16)}
    return params, optax.adam(1e-3).init(params), step


def saved(directory, steps=(1, 2)):
    with Checkpointer(directory, config={"lr": 0.1}) as manager:
        for step in steps:
            manager.save(step, tree_at(step), {"seed": 0})
    return directory


def assert_falls_back(directory, damaged_file):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        restored, metadata = Checkpointer(directory, config={"lr": 0.1}).restore(tree_at(0))
    messages = [str(warning.message) for warning in caught if warning.category is CheckpointWarning]
    assert len(messages) == 1
    assert "step 2 is damaged" in messages[0]
    assert damaged_file in messages[0]
    assert metadata["step"] == restored[2] == 1
    np.testing.assert_array_equal(restored[0]["kernel"], tree_at(1)[0]["kernel"])


def places(directory):
    """Every byte of the newest step: (file, offset)."""
    return [(path, offset) for path in sorted((directory / "step_00000002").iterdir()) for offset in range(path.stat().st_size)]


def damage_is_noticed(directory, chosen, generator):
    for path, offset in chosen:
        whole = path.read_bytes()
        if generator.random() < 0.7:
            flipped = whole[offset] ^ (1 << generator.randrange(8))
            path.write_bytes(whole[:offset] + bytes([flipped]) + whole[offset + 1 :])
        else:
            path.write_bytes(whole[:offset])
        assert_falls_back(directory, path.name)
        path.write_bytes(whole)
    assert Checkpointer(directory, config={"lr": 0.1}).restore(tree_at(0))[1]["step"] == 2


def test_200_damaged_places_are_noticed_and_the_step_before_is_used(tmp_path):
    generator = random.Random(0)
    directory = saved(tmp_path)
    damage_is_noticed(directory, generator.sample(places(directory), 200), generator)


@pytest.mark.long
def test_damage_at_every_single_byte_is_noticed(tmp_path):
    directory = saved(tmp_path)
    damage_is_noticed(directory, places(directory), random.Random(1))


def test_bytes_added_to_a_file_are_noticed(tmp_path):
    directory = saved(tmp_path)
    for path in (directory / "step_00000002").iterdir():
        whole = path.read_bytes()
        path.write_bytes(whole + b"\n")
        assert_falls_back(directory, path.name)
        path.write_bytes(whole)


def test_a_header_that_claims_a_huge_size_is_not_believed(tmp_path):
    directory = saved(tmp_path)
    path = directory / "step_00000002" / "shard_00000-of-00001.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + path.read_bytes()[8:])
    assert_falls_back(directory, path.name)


def test_a_header_that_gives_the_same_bytes_another_type_is_noticed(tmp_path):
    # The bytes and shape of every leaf are correct. Only the hash of the header shows the damage.
    directory = saved(tmp_path)
    path = directory / "step_00000002" / "shard_00000-of-00001.safetensors"
    assert path.read_bytes().count(b'"F32"') > 0
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"I32"'))
    assert_falls_back(directory, path.name)


@pytest.mark.parametrize("missing", ["manifest.json", "shard_00000-of-00001.safetensors"])
def test_a_half_deleted_step_is_named_and_passed_over(tmp_path, missing):
    directory = saved(tmp_path)
    (directory / "step_00000002" / missing).unlink()
    assert_falls_back(directory, missing)
    with pytest.warns(CheckpointWarning, match="step 2 is damaged"):
        assert Checkpointer(directory).latest() == 1


def test_swapped_leaves_and_swapped_steps_are_noticed(tmp_path):
    # All hashes in the other file are correct, but the file belongs to another step.
    directory = saved(tmp_path)
    for name in ("manifest.json", "shard_00000-of-00001.safetensors"):
        backup = tmp_path / "backup"
        shutil.copy(directory / "step_00000002" / name, backup)
        shutil.copy(directory / "step_00000001" / name, directory / "step_00000002" / name)
        assert_falls_back(directory, "step_00000002")
        shutil.copy(backup, directory / "step_00000002" / name)
    shutil.rmtree(directory / "step_00000002")
    shutil.copytree(directory / "step_00000001", directory / "step_00000002")
    assert_falls_back(directory, "holds step 1")


def test_when_everything_is_damaged_it_says_so(tmp_path):
    directory = saved(tmp_path)
    for path in directory.glob("step_*/manifest.json"):
        path.write_bytes(b"")
    with pytest.warns(CheckpointWarning) as caught, pytest.raises(CheckpointNotFound, match="no checkpoint that can be restored"):
        Checkpointer(directory).restore(tree_at(0))
    assert len(caught) == 2


def test_a_newer_format_is_named(tmp_path, monkeypatch):
    saved(tmp_path, steps=(1,))
    monkeypatch.setattr(files, "FORMAT_VERSION", 2)
    saved(tmp_path, steps=(2,))
    monkeypatch.undo()
    assert_falls_back(tmp_path, "format version 2; this version reads 1")


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_full_disk_is_survived(tmp_path, asynchronous):
    # With RLIMIT_FSIZE the kernel rejects the writes of the library.
    manager = Checkpointer(tmp_path, asynchronous=asynchronous)
    manager.save(1, tree_at(1))
    manager.wait()
    big = {"x": jnp.zeros(100_000)}

    def save_and_wait():
        manager.save(2, big)
        manager.wait()

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.warns(CheckpointWarning, match=r"not saved .*the next save tries again"):
            save_and_wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [entry.name for entry in tmp_path.iterdir()] == ["step_00000001"]
    manager.save(3, big)
    assert manager.wait()
    assert manager.steps() == [1, 3]


def test_a_directory_that_cannot_be_written_is_survived(tmp_path):
    (tmp_path / "checkpoints").write_text("a file where the directory should be")
    manager = Checkpointer(tmp_path / "checkpoints")
    manager.save(1, tree_at(1))
    with pytest.warns(CheckpointWarning, match="not saved"):
        manager.save(2, tree_at(2))  # reports the previous save
    with pytest.warns(CheckpointWarning, match="not saved"):
        manager.close()
    (tmp_path / "checkpoints").unlink()
    manager.save(3, tree_at(3))
    assert manager.wait()


def test_a_failure_while_replacing_leaves_the_old_step(tmp_path, monkeypatch):
    saved(tmp_path, steps=(1,))
    manager = Checkpointer(tmp_path, asynchronous=False)

    def full(path, manifest):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_manifest", full)
    with pytest.warns(CheckpointWarning, match="No space left"):
        manager.save(1, tree_at(5))
    monkeypatch.undo()
    assert manager.restore(tree_at(0))[0][2] == 1


def test_a_failed_rename_puts_the_old_step_back(tmp_path, monkeypatch):
    saved(tmp_path, steps=(1,))
    manager = Checkpointer(tmp_path, asynchronous=False)
    rename = Path.rename

    def refuse(self, target):
        if self.name.endswith(".partial"):
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.warns(CheckpointWarning, match="Permission denied"):
        manager.save(1, tree_at(5))
    monkeypatch.undo()
    assert manager.restore(tree_at(0))[0][2] == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["step_00000001"]


def test_a_bug_in_the_thread_is_raised_and_not_lost(tmp_path, monkeypatch):
    def broken(path, arrays):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(files, "write_shard", broken)
    manager = Checkpointer(tmp_path)
    manager.save(1, tree_at(1))
    with pytest.raises(ZeroDivisionError):
        manager.wait()


VICTIM = """
import sys
import numpy as np
from gan_jax.checkpoint import Checkpointer
keeper = Checkpointer(sys.argv[1], keep=2, config={"lr": 0.1}, asynchronous=sys.argv[2] == "asynchronous")
template = {"x": np.zeros(20000, np.float32), "step": 0}
first = keeper.restore(template)[0]["step"] if keeper.steps() else 0
for step in range(first + 1, 100000):
    keeper.save(step, {"x": np.full(20000, step, np.float32), "step": step}, {"seed": 0})
    print(step, flush=True)
"""


def survive_kills(directory, count, generator):
    for index in range(count):
        mode = "asynchronous" if index % 2 else "synchronous"
        process = subprocess.Popen(
            [sys.executable, "-c", VICTIM, str(directory), mode],
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "PATH": "/usr/bin:/bin"},
        )
        acknowledged = int(process.stdout.readline())
        time.sleep(generator.uniform(0, 0.1))  # after some saves, during a write, a rename or a deletion
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split("\n")[:-1]
        process.wait()
        acknowledged = int(rest[-1]) if rest else acknowledged
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            template = {"x": np.zeros(20000, np.float32), "step": 0}
            restored, metadata = Checkpointer(directory, config={"lr": 0.1}).restore(template)
        # When an asynchronous save returns, only the previous save is on the disk.
        assert metadata["step"] >= acknowledged - (mode == "asynchronous")
        assert metadata["step"] == restored["step"]
        np.testing.assert_array_equal(restored["x"], np.full(20000, restored["step"], np.float32))
        assert all(entry.name.startswith("step_") for entry in directory.iterdir())


def test_killed_while_saving(tmp_path):
    survive_kills(tmp_path, 4, random.Random(0))


@pytest.mark.long
def test_killed_while_saving_100_times(tmp_path):
    survive_kills(tmp_path, 100, random.Random(1))
