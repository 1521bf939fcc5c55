"""Special cases of the loop: a failed last save, failed evaluations, lengths in epochs, different processes, and locks."""

import dataclasses
import json
import os
import shutil
import signal
import sys

import numpy as np
import pytest
from rich.console import Console

from gan_jax.checkpoint import Checkpointer, CheckpointWarning, files
from gan_jax.cli import launch
from gan_jax.data import DataError
from gan_jax.trainer import loop, run_directory, saving, setup
from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.config import (
    ConfigError,
    EvaluationConfig,
    OptimizerConfig,
    ParallelConfig,
    check,
    load_config,
    save_config,
)
from gan_jax.trainer.loaded_run import load_run
from gan_jax.trainer.loop import train
from gan_jax.trainer.progress import TolerantStream
from gan_jax.trainer.resume import init_or_restore
from gan_jax.trainer.run_directory import RunError
from support.small_runs import SHORT, trained


@pytest.fixture
def run(tmp_path):
    def run(config, **keywords):
        _, printed = trained(dataclasses.replace(config, out=tmp_path / "run"), **keywords)
        return json.loads((tmp_path / "run" / "run.json").read_text()), printed

    return run


def metrics_of(tmp_path):
    return [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]


def fill_disk(monkeypatch, times, step=4):
    """Lets the first `times` saves of a step fail as on a full disk."""
    write, left = files.write_step, [times]

    def full(*arguments, **keywords):
        if keywords["step"] == step and left[0]:
            left[0] -= 1
            raise OSError(28, "No space left on device")
        return write(*arguments, **keywords)

    monkeypatch.setattr(files, "write_step", full)


@pytest.fixture
def without_pauses(monkeypatch):
    monkeypatch.setattr(saving, "RETRY_SECONDS", (0.0, 0.0, 0.0))


def test_a_failed_last_save_is_repeated(run, tmp_path, monkeypatch, without_pauses):
    fill_disk(monkeypatch, 4)  # The save in the loop and three of the four afterwards.
    with pytest.warns(CheckpointWarning, match="No space left"):
        record, printed = run(SHORT)
    assert (record["status"], record["saved"]) == ("finished", True)
    assert printed.count("the weights of step 4 could not be saved; trying again in 0 seconds") == 3
    assert Checkpointer(tmp_path / "run" / "checkpoints", owner=False).steps() == [2, 4]


def test_a_run_whose_last_save_fails_is_not_called_finished(run, tmp_path, monkeypatch, without_pauses):
    fill_disk(monkeypatch, 5)
    with pytest.warns(CheckpointWarning, match="No space left"):
        record, printed = run(SHORT)
    assert (record["status"], record["saved"]) == ("finished, not saved", False)
    assert "the weights of step 4 could not be saved; the newest checkpoint is of step 2; free some space" in printed
    assert "its last weights could not be saved" in (tmp_path / "run" / "report.html").read_text()
    monkeypatch.undo()
    record, _ = run(SHORT, resume=tmp_path / "run")
    assert (record["status"], record["saved"]) == ("finished", True)


def test_the_command_ends_with_status_5_if_the_last_weights_are_lost(script, monkeypatch, without_pauses):
    fill_disk(monkeypatch, 5, step=2)
    flags = ("ring", "--out", "run", "--steps", "2", "--sample-every", "0", "--evaluation.samples", "0", "--batch-size", "8")
    small = ("--model.options.generator-hidden", "8", "--model.options.discriminator-hidden", "8", "--compilation-cache", "none")
    status, _, error = script("train", *flags, *small)
    assert status == 5, error
    assert 5 in launch.FINAL


def at_step(monkeypatch, step, act):
    """Calls `act` once in a run, when its metrics of a step are written."""
    flush = loop.flush

    def flush_and_act(run, writers, pending, bar):
        if pending is not None and pending[0] == step:
            run.manager.wait()  # The moment is then the same in every run of the test.
            act()
        flush(run, writers, pending, bar)

    monkeypatch.setattr(loop, "flush", flush_and_act)


def files_of(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("what", ["renamed", "removed", "replaced"])
def test_a_directory_that_is_lost_while_training_ends_the_run(run, tmp_path, monkeypatch, what):
    place, moved, other = tmp_path / "run", tmp_path / "moved", tmp_path / "other"
    run(dataclasses.replace(SHORT, steps=2))
    place.rename(other)
    before = {}

    def lose():
        shutil.rmtree(place) if what == "removed" else place.rename(moved)
        if what == "replaced":
            shutil.copytree(other, place)
            before.update(files_of(place))

    at_step(monkeypatch, 3, lose)
    words = "renamed, removed or replaced" if what == "removed" else f"moved to {moved} while the run trained; continue with: .* {moved}"
    with pytest.raises(run_directory.DirectoryLost, match=words):
        run(SHORT)
    assert place.exists() == (what == "replaced")
    assert files_of(place) == before
    if what != "removed":
        record = json.loads((moved / "run.json").read_text())
        assert (record["status"], record["step"]) == ("failed", 4)
        assert "DirectoryLost" in record["error"]
        monkeypatch.undo()
        assert train(SHORT, resume=moved, console=Console(quiet=True)).step == 4


def test_the_writer_thread_notices_a_replaced_directory(tmp_path):
    """The check and the write of a checkpoint are in one thread, so that no later moment is missed."""
    lost = run_directory.DirectoryLost(tmp_path / "run", None)

    def check():
        raise lost

    manager = Checkpointer(tmp_path / "checkpoints", before_write=check)
    manager.save(1, {"x": np.zeros(2)})
    with pytest.raises(run_directory.DirectoryLost):
        manager.wait()
    assert not (tmp_path / "checkpoints").exists()


def test_the_writer_thread_of_a_run_checks_its_own_directory(tmp_path):
    place = tmp_path / "run"
    with setup.setup_run(dataclasses.replace(SHORT, out=place), None, "", Console(quiet=True)) as run:
        state, step, _ = init_or_restore(run)
        place.rename(tmp_path / "moved")
        place.mkdir()
        run.manager.save(step, state)
        with pytest.raises(run_directory.DirectoryLost):
            run.manager.wait()
    assert list(place.iterdir()) == []


def test_a_hangup_saves_like_a_termination(run, tmp_path, monkeypatch):
    at_step(monkeypatch, 1, lambda: os.kill(os.getpid(), signal.SIGHUP))
    record, printed = run(SHORT)
    assert (record["status"], record["saved"]) == ("interrupted", True)
    assert record["step"] < 4
    assert "interrupted; saved at step" in printed


def test_nohup_stays_in_effect(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with loop.stop_on_interrupt() as stop_requested:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop_requested()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop_requested()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_broken_pipe_does_not_end_the_training(script, tmp_path, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as broken:
        monkeypatch.setattr(sys, "stderr", broken)
        flags = ("ring", "--out", "run", "--steps", "2", "--evaluation.samples", "0", "--batch-size", "8", "--log-every", "1")
        small = ("--model.options.generator-hidden", "8", "--model.options.discriminator-hidden", "8", "--compilation-cache", "none")
        assert script("train", *flags, *small)[0] == 0
        broken.flush()  # As the interpreter does at its exit.
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


def test_a_stream_that_breaks_at_once_does_not_end_the_training_either():
    class Broken:
        def write(self, text):
            raise BrokenPipeError

        def flush(self):
            raise ValueError("I/O operation on closed file")

    stream = TolerantStream(Broken())
    assert stream.write("a line") == 6
    stream.flush()


@pytest.mark.parametrize("recipe", ["../../x", "/tmp/x", "a/b", "..", "*", "a\nb"])
def test_a_recipe_is_a_name(script, tmp_path, recipe):
    with pytest.raises(ConfigError, match="must be a name"):
        check(dataclasses.replace(SHORT, recipe=recipe))
    save_config(dataclasses.replace(SHORT, recipe=recipe), tmp_path / "saved.yaml")
    status, _, error = script("train", "--config", "saved.yaml")
    assert (status, error.count("\n")) == (2, 1)
    assert "must be a name" in error
    assert [path.name for path in tmp_path.iterdir()] == ["saved.yaml"]


def test_a_failed_evaluation_does_not_end_the_training(run, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ConfigError("--evaluation.k 3: more than there are samples")

    monkeypatch.setattr("gan_jax.trainer.loop.evaluate", fail)
    record, printed = run(dataclasses.replace(SHORT, evaluation=EvaluationConfig(samples=16, every=2)))
    assert (record["status"], record["step"]) == ("finished", 4)
    assert "step 2: not measured: --evaluation.k 3: more than there are samples" in printed
    assert not [row for row in metrics_of(tmp_path) if any(name.startswith("evaluation/") for name in row)]


@pytest.mark.parametrize(("best", "kept"), [("modes", 3), ("reverse_kl", 2), ("auto", 2)])
def test_the_best_checkpoint_is_kept(run, tmp_path, monkeypatch, best, kept):
    """The best number of modes is the highest, the best divergence the lowest."""
    values = iter([(3, 0.9), (2, 0.1), (8, 0.2), (1, 0.8), (2, 0.5), (2, 0.5)])

    def measured(*_, **__):
        return [{"metric": name, "value": value} for name, value in zip(("modes", "reverse_kl"), next(values))]

    monkeypatch.setattr("gan_jax.trainer.loop.evaluate", measured)
    config = dataclasses.replace(SHORT, steps=6, checkpoint_every=0, keep_checkpoints=1)
    run(dataclasses.replace(config, evaluation=EvaluationConfig(samples=2, every=1, best=best)))
    assert load_run(tmp_path / "run", best=True).step == kept


def test_a_metric_that_is_not_measured_cannot_select_the_best(run, monkeypatch):
    with pytest.raises(ConfigError, match=r"--evaluation.best fd: must be one of auto, "):
        run(dataclasses.replace(SHORT, evaluation=EvaluationConfig(samples=0, best="fd")))
    monkeypatch.setattr("gan_jax.trainer.loop.evaluate", lambda *_, **__: [{"metric": "modes", "value": 3}])
    _, printed = run(dataclasses.replace(SHORT, evaluation=EvaluationConfig(samples=2, every=2, best="fid")))
    assert "--evaluation.best fid: is not measured here; measured: modes" in printed


def test_schedules_span_a_run_given_in_epochs(run, tmp_path):
    examples = len(load_data(SHORT))
    config = dataclasses.replace(SHORT, batch_size=examples // 8, epochs=1, steps=1000, optimizer=OptimizerConfig(schedule="linear"))
    record, _ = run(config)
    rates = [row["learning_rate/generator"] for row in metrics_of(tmp_path)]
    # The learning rate of step n of 8 is 1 - (n - 1) / 8 of the first one.
    np.testing.assert_allclose(rates, config.optimizer.generator_lr * (1 - np.arange(8) / 8), rtol=1e-5)
    kept = load_config(tmp_path / "run" / "config.yaml")
    assert (record["step"], kept.steps, kept.epochs) == (8, 8, 0)


def test_local_statistics_on_other_devices_have_another_fingerprint():
    def of(devices, statistics):
        return setup.config_fingerprint(dataclasses.replace(SHORT, parallel=ParallelConfig(devices=devices, statistics=statistics)))

    assert of(2, "global") == of(4, "global")
    assert of(2, "local") == of(2, "local") != of(4, "local")


@pytest.mark.parametrize(("same", "words"), [(False, "process 0: its data or flags"), (True, "the data or flags of another process")])
def test_processes_with_different_data_fail(monkeypatch, same, words):
    source = load_data(SHORT)
    monkeypatch.setattr(setup, "process_count", lambda: 2)
    monkeypatch.setattr(setup, "broadcast_text", lambda text: text if same else "of process 0")
    monkeypatch.setattr(setup, "any_across_processes", lambda flag: True)
    with pytest.raises(DataError, match=words):
        setup.check_alike(SHORT, source)
    monkeypatch.setattr(setup, "any_across_processes", lambda flag: flag)
    if same:
        setup.check_alike(SHORT, source)


def test_only_one_process_trains_in_a_directory(tmp_path):
    """A lock belongs to an open file, so one process can hold it and fail to take it again."""
    place = tmp_path / "run"
    first = run_directory.claim(place)
    with pytest.raises(RunError, match=r"run: another process is training there"):
        run_directory.claim(place)  # The directory is still empty.
    with pytest.raises(RunError, match=r"--resume .*run: another process is training there"):
        run_directory.lock(place)
    (place / "config.yaml").write_text("seed: 0")
    first.close()
    with pytest.raises(RunError, match=r"--out .*run: exists already"):
        run_directory.claim(place)
    run_directory.lock(place).close()


def test_a_run_releases_its_lock(run, tmp_path, monkeypatch):
    def fail(*_, **__):
        with pytest.raises(RunError):
            run_directory.lock(tmp_path / "run")
        raise OSError("broken")

    monkeypatch.setattr("gan_jax.trainer.loop.loop", fail)
    with pytest.raises(OSError, match="broken"):
        run(SHORT)
    monkeypatch.undo()
    record, _ = run(SHORT, resume=tmp_path / "run", may_restart=True)
    assert record["status"] == "finished"
    run_directory.lock(tmp_path / "run").close()


def test_a_lock_is_neither_followed_nor_truncated(tmp_path):
    (tmp_path / "precious").write_text("text")
    for name in ("link", "fifo"):
        (tmp_path / name).mkdir()
    (tmp_path / "link" / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(RunError, match=r".lock: is a symbolic link"):
        run_directory.lock(tmp_path / "link")
    os.mkfifo(tmp_path / "fifo" / ".lock")
    with pytest.raises(RunError, match=r".lock: is not a regular file"):
        run_directory.lock(tmp_path / "fifo")
    assert (tmp_path / "precious").read_text() == "text"
