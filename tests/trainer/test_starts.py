"""What a start leaves behind: a refused command changes nothing, and run.json has a row for each start."""

import dataclasses
import json
import shutil

import pytest
from rich.console import Console

from gan_jax.trainer import setup
from gan_jax.trainer.config import OptimizerConfig, load_config
from gan_jax.trainer.loop import train
from gan_jax.trainer.report import read_run
from gan_jax.trainer.report.page import reproduction, run_page
from gan_jax.trainer.reproduce import verify
from gan_jax.trainer.run_directory import RunError
from gan_jax.trainer.run_record import recorded_starts
from support.small_runs import SMALL

CONFIG = dataclasses.replace(SMALL, steps=6, checkpoint_every=2, sample_every=4, log_every=1)
QUIET = {"console": Console(quiet=True)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run. No test changes it."""
    directory = tmp_path_factory.mktemp("runs") / "run"
    train(dataclasses.replace(CONFIG, out=directory), command="gan-jax train first", **QUIET)
    return directory


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def contents(directory):
    """The bytes and times of all files."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.rglob("*") if path.is_file()}


def record_of(directory):
    return json.loads((directory / "run.json").read_text())


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"seed": 1}, RunError, "^--seed 1: the run has 0"),
        ({"batch_size": 4}, RunError, "^--batch-size 4: the run has"),
        ({"optimizer": OptimizerConfig(generator_lr=1e-3, discriminator_lr=1e-4)}, RunError, "^--optimizer.generator-lr 0.001: "),
        ({"steps": 4}, RunError, "--steps 4: .* is at step 6 already; take at least 6"),
    ],
)
def test_a_refused_resume_leaves_no_trace(run, change, error, words):
    (run / "checkpoints" / ".step_00000006.99.partial").mkdir()  # An incomplete save is a trace of the run too.
    before = contents(run)
    with pytest.raises(error, match=words):
        train(dataclasses.replace(CONFIG, **change), resume=run, command="gan-jax train refused", **QUIET)
    assert contents(run) == before
    assert (run / "checkpoints" / ".step_00000006.99.partial").is_dir()


def test_a_refused_command_line_leaves_no_trace(script, run):
    before = contents(run)
    assert script("train", "--resume", run, "--seed", "3", "--compilation-cache", "none")[0] == 2
    assert contents(run) == before


def test_a_new_run_of_other_processes_data_makes_no_directory(monkeypatch, tmp_path):
    def differ(*_):
        raise RunError("other data")

    monkeypatch.setattr(setup, "check_alike", differ)
    with pytest.raises(RunError, match="other data"):
        train(dataclasses.replace(CONFIG, out=tmp_path / "new"), **QUIET)
    assert not (tmp_path / "new").exists()


def test_each_start_is_a_row_and_the_first_one_stays(run):
    first = record_of(run)
    assert [row["command"] for row in first["starts"]] == ["gan-jax train first"]
    assert (first["starts"][0]["from_step"], first["starts"][0]["to_step"]) == (0, 6)
    train(CONFIG, resume=run, command="gan-jax train again", **QUIET)
    train(dataclasses.replace(CONFIG, steps=8), resume=run, command="gan-jax train longer", **QUIET)
    record = record_of(run)
    for name in ("command", "versions", "started", "cpu"):
        assert record[name] == first[name]
    assert (record["status"], record["step"], record["steps"]) == ("finished", 8, 8)
    rows = record["starts"]
    assert [(row["command"][14:], row["from_step"], row["to_step"], row["status"]) for row in rows] == [
        ("first", 0, 6, "finished"),
        ("again", 6, 6, "finished"),
        ("longer", 6, 8, "finished"),
    ]
    for row in rows:
        assert {"versions", "commit", "cpu", "device", "devices_used", "processes", "seconds", "processor_seconds", "started"} <= row.keys()
    assert record["seconds"] == pytest.approx(sum(row["seconds"] for row in rows), abs=0.01)
    assert load_config(run / "config.yaml").steps == 8
    # The report has the first command and what followed. A start that trained no step is left out.
    assert reproduction(read_run(run)) == "gan-jax train first\ngan-jax train longer"
    assert "Starts of the run" in run_page(read_run(run))
    assert verify(run, steps=2).reproduced


def test_a_later_start_on_another_machine_is_named_by_verify(run):
    record = record_of(run)
    record["starts"].append(record["starts"][0] | {"from_step": 6, "cpu": "another processor"})
    (run / "run.json").write_text(json.dumps(record))
    (line,) = [line for line in verify(run, steps=2).environment if "resumed" in line]
    assert line.startswith("resumed at step 6 with cpu another processor instead of ")


def test_a_killed_start_has_the_step_of_its_last_checkpoint(run, tmp_path, monkeypatch):
    def die(*_, **__):
        raise SystemExit  # Nothing is recorded, as with kill -9.

    monkeypatch.setattr("gan_jax.trainer.loop.save_last", die)
    with pytest.raises(SystemExit):
        train(dataclasses.replace(CONFIG, out=tmp_path / "killed"), until=5, **QUIET)
    monkeypatch.undo()
    record = record_of(tmp_path / "killed")
    assert (record["status"], record["step"]) == ("running", 4)
    train(CONFIG, resume=tmp_path / "killed", **QUIET)
    rows = record_of(tmp_path / "killed")["starts"]
    assert [(row["status"], row["from_step"], row["to_step"]) for row in rows] == [("killed", 0, 4), ("finished", 4, 6)]


def test_an_error_while_training_is_recorded_in_its_row(run, monkeypatch):
    def fail(*_):
        raise OSError("broken")

    monkeypatch.setattr("gan_jax.trainer.loop.compile_steps", fail)
    with pytest.raises(OSError, match="broken"):
        train(dataclasses.replace(CONFIG, steps=8), resume=run, **QUIET)
    record = record_of(run)
    assert (record["status"], record["error"], record["step"]) == ("failed", "OSError: broken", 6)
    assert [row["status"] for row in record["starts"]] == ["finished", "failed"]
    monkeypatch.undo()
    train(dataclasses.replace(CONFIG, steps=8), resume=run, **QUIET)
    assert "error" not in record_of(run)


def test_damaged_starts_are_named(run):
    (run / "run.json").write_text(json.dumps(record_of(run) | {"starts": [{"seconds": "long"}]}))
    with pytest.raises(RunError, match=r"run.json: its starts cannot be read"):
        recorded_starts(run)
    with pytest.raises(RunError, match=r"run.json: its starts cannot be read"):
        train(CONFIG, resume=run, **QUIET)
    read_run(run)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_run_without_a_usable_checkpoint_is_not_begun_again_over_its_logs(script, run, damaged):
    for path in (run / "checkpoints").iterdir():
        if damaged:
            (path / "manifest.json").write_bytes(b"")
        else:
            shutil.rmtree(path)
    before = contents(run)
    status, _, error = script("train", "--resume", run, "--compilation-cache", "none")
    (line,) = [line for line in error.splitlines() if line.startswith("error")]
    assert status == 2
    assert ("its checkpoints (4, 6) are damaged" if damaged else "it has no checkpoint") in line
    assert f"gan-jax train --config {run / 'config.yaml'}" in line
    assert contents(run) == before


def test_a_loop_of_resume_auto_begins_again_before_the_first_checkpoint(script, run, finished):
    shutil.rmtree(run / "checkpoints")
    flags = ("--resume", "auto", "--out", run, "--config", run / "config.yaml", "--compilation-cache", "none")
    status, _, error = script("train", *flags)
    assert status == 0, error
    assert "has no checkpoint; starting again at step 0" in " ".join(error.split())
    assert (run / "metrics.jsonl").read_bytes() == (finished / "metrics.jsonl").read_bytes()


def test_a_loop_of_resume_auto_does_not_begin_again_over_damaged_checkpoints(run):
    for path in (run / "checkpoints").iterdir():
        (path / "manifest.json").write_bytes(b"")
    before = contents(run)
    with pytest.warns(match="damaged"), pytest.raises(RunError, match=r"its checkpoints \(4, 6\) are damaged"):
        train(CONFIG, resume=run, may_restart=True, **QUIET)
    assert contents(run) == before


def test_every_leaf_damaged_is_refused_too(run):
    for path in (run / "checkpoints").glob("*/*.safetensors"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    before = contents(run)
    with pytest.warns(match="damaged"), pytest.raises(RunError, match=r"its checkpoints \(4, 6\) are damaged"):
        train(CONFIG, resume=run, **QUIET)
    assert contents(run) == before
