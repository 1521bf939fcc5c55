"""Special cases of the loop: a failed last save, failed evaluations, lengths in epochs, different processes, and locks."""

import dataclasses
import io
import json
import os

import numpy as np
import pytest
from rich.console import Console

from gan_jax.checkpoint import Checkpointer, CheckpointWarning, files
from gan_jax.data import DataError
from gan_jax.trainer import run_directory, setup
from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.config import (
    Config,
    ConfigError,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    OptimizerConfig,
    ParallelConfig,
    load_config,
)
from gan_jax.trainer.loop import train
from gan_jax.trainer.restore import load_run
from gan_jax.trainer.run_directory import RunError

SMALL = Config(
    steps=4,
    batch_size=8,
    log_every=1,
    sample_every=0,
    checkpoint_every=2,
    tensorboard=False,
    data=DataConfig(source="ring"),
    model=ModelConfig(name="points", latent_dim=2, options={"generator_hidden": "8", "discriminator_hidden": "8"}),
    evaluation=EvaluationConfig(samples=0),
)


@pytest.fixture
def run(tmp_path):
    def run(config, **keywords):
        printed = io.StringIO()
        train(dataclasses.replace(config, out=tmp_path / "run"), console=Console(file=printed, width=200), **keywords)
        return json.loads((tmp_path / "run" / "run.json").read_text()), printed.getvalue()

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


def test_a_failed_last_save_is_repeated(run, tmp_path, monkeypatch):
    fill_disk(monkeypatch, 1)
    with pytest.warns(CheckpointWarning, match="No space left"):
        record, _ = run(SMALL)
    assert (record["status"], record["saved"]) == ("finished", True)
    assert Checkpointer(tmp_path / "run" / "checkpoints", owner=False).steps() == [2, 4]


def test_a_run_whose_last_save_fails_twice_prints_it(run, monkeypatch):
    fill_disk(monkeypatch, 2)
    with pytest.warns(CheckpointWarning, match="No space left"):
        record, printed = run(SMALL)
    assert (record["status"], record["saved"]) == ("finished", False)
    assert "the weights of step 4 could not be saved; the newest checkpoint is of step 2" in printed


def test_a_failed_evaluation_does_not_end_the_training(run, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ConfigError("--evaluation.k 3: more than there are samples")

    monkeypatch.setattr("gan_jax.trainer.loop.evaluate", fail)
    record, printed = run(dataclasses.replace(SMALL, evaluation=EvaluationConfig(samples=0, every=2)))
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
    config = dataclasses.replace(SMALL, steps=6, checkpoint_every=0, keep_checkpoints=1)
    run(dataclasses.replace(config, evaluation=EvaluationConfig(samples=2, every=1, best=best)))
    assert load_run(tmp_path / "run", best=True).step == kept


def test_a_metric_that_is_not_measured_cannot_select_the_best(run, monkeypatch):
    with pytest.raises(ConfigError, match=r"--evaluation.best fd: must be one of auto, "):
        run(dataclasses.replace(SMALL, evaluation=EvaluationConfig(samples=0, best="fd")))
    monkeypatch.setattr("gan_jax.trainer.loop.evaluate", lambda *_, **__: [{"metric": "modes", "value": 3}])
    _, printed = run(dataclasses.replace(SMALL, evaluation=EvaluationConfig(samples=2, every=2, best="fid")))
    assert "--evaluation.best fid: is not measured here; measured: modes" in printed


def test_schedules_span_a_run_given_in_epochs(run, tmp_path):
    examples = len(load_data(SMALL))
    config = dataclasses.replace(SMALL, batch_size=examples // 8, epochs=1, steps=1000, optimizer=OptimizerConfig(schedule="linear"))
    record, _ = run(config)
    rates = [row["learning_rate/generator"] for row in metrics_of(tmp_path)]
    # The learning rate of step n of 8 is 1 - (n - 1) / 8 of the first one.
    np.testing.assert_allclose(rates, config.optimizer.generator_lr * (1 - np.arange(8) / 8), rtol=1e-5)
    kept = load_config(tmp_path / "run" / "config.yaml")
    assert (record["step"], kept.steps, kept.epochs) == (8, 8, 0)


def test_local_statistics_on_other_devices_have_another_fingerprint():
    def of(devices, statistics):
        return setup.config_fingerprint(dataclasses.replace(SMALL, parallel=ParallelConfig(devices=devices, statistics=statistics)))

    assert of(2, "global") == of(4, "global")
    assert of(2, "local") == of(2, "local") != of(4, "local")


@pytest.mark.parametrize(("same", "words"), [(False, "process 0: its data or flags"), (True, "the data or flags of another process")])
def test_processes_with_different_data_fail(monkeypatch, same, words):
    source = load_data(SMALL)
    monkeypatch.setattr(setup, "process_count", lambda: 2)
    monkeypatch.setattr(setup, "broadcast_text", lambda text: text if same else "of process 0")
    monkeypatch.setattr(setup, "any_across_processes", lambda flag: True)
    with pytest.raises(DataError, match=words):
        setup.check_alike(SMALL, source)
    monkeypatch.setattr(setup, "any_across_processes", lambda flag: flag)
    if same:
        setup.check_alike(SMALL, source)


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
        run(SMALL)
    monkeypatch.undo()
    record, _ = run(SMALL, resume=tmp_path / "run", may_restart=True)
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
