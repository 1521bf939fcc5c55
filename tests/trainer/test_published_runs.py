"""What a run tells about the machine and the folders of its author, and text that could deceive a reader of its report."""

import dataclasses
import json
import os
import platform
import socket
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from experiments import benchmarks
from experiments.studies import compare_torch, failures
from experiments.studies.update_rules import costs
from gan_jax._internal.files import describe_oserror
from gan_jax.checkpoint import CheckpointWarning
from gan_jax.distributed import multihost
from gan_jax.trainer.loop import train
from gan_jax.trainer.report import LivePage, markup, write_report
from support.data_files import write_idx_set
from support.fake_run import make_run
from support.small_runs import SMALL

ORIGIN = {"commit", "processor", "devices", "form", "command"}


def test_a_run_names_neither_host_nor_kernel_nor_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "secret-host")
    directory = tmp_path / "run"
    train(dataclasses.replace(SMALL, out=directory, steps=2, log_every=1, tensorboard=True), console=Console(quiet=True))
    (events,) = (directory / "tensorboard").iterdir()
    assert events.name.startswith("events.out.tfevents.")
    assert events.stat().st_size > 100
    texts = [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
    names = " ".join(path.name for path in directory.rglob("*"))
    for secret in ("secret-host", platform.release(), str(tmp_path)):
        assert secret not in names
        assert not [text for text in texts if secret.encode() in text]


def test_the_description_of_data_has_no_absolute_path(tmp_path):
    from gan_jax.data import load_source

    write_idx_set(tmp_path / "digits")
    text = json.dumps(load_source("mnist", data_dir=tmp_path / "digits", image_size=8).describe())
    assert str(tmp_path) not in text
    assert "digits" in text


def test_paths_are_shortened_but_not_addresses():
    text = "directory: /home/me/data/faces out: runs/x see https://a.org/b/c and ~/mine"
    assert markup.shorten_paths(text) == "directory: …/faces out: runs/x see https://a.org/b/c and ~/mine"


def test_hidden_characters_of_a_run_are_visible_in_its_report(tmp_path):
    run = make_run(tmp_path / "run", steps=100, grids=0)
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"command": "gan-jax \u202e train \0\x1b[31m", "error": "at /home/me/data/x"}))
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 101, "loss\u2066": 1.0}) + "\n")
    page = write_report(run).read_text()
    for hidden in ("\u202e", "\0", "\x1b", "\u2066", "\\u2066", "\\u202e"):
        assert hidden not in page
    assert "gan-jax \ufffd train" in page
    assert "/home/me" not in page


def test_a_live_report_in_a_folder_that_is_not_utf8(tmp_path):
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/r\xffun"))
    try:
        run = make_run(place, steps=100, grids=0)
    except OSError:
        pytest.skip("the file system allows UTF-8 names only")
    assert LivePage(run)().read_bytes().decode()


def test_errors_of_files_have_no_numbers(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "none").read_text()
    assert describe_oserror(caught.value) == f"{tmp_path / 'none'}: No such file or directory"
    assert describe_oserror(OSError("custom")) == "custom"


def test_a_save_on_a_full_disk_has_no_number_of_the_error(tmp_path, monkeypatch):
    from gan_jax.checkpoint import Checkpointer, files

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_step", full)
    manager = Checkpointer(tmp_path)
    manager.save(1, {"x": 1})
    with pytest.warns(CheckpointWarning, match=r"checkpoint not saved \(No space left on device\)"):
        assert not manager.wait()


def test_a_busy_port_is_an_error_of_the_flags():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(multihost.PortInUse, match=f"port {port} cannot be used"):
            multihost.start(f"127.0.0.1:{port}", num_processes=2, process_id=0)


def test_rows_of_studies_state_their_origin(monkeypatch):
    monkeypatch.setattr(failures, "STEPS", 0)
    (row,) = failures.train_and_monitor(next(iter(failures.CASES.values())), [0])
    assert row.keys() >= ORIGIN
    monkeypatch.setattr(costs, "step_of", lambda *_: (lambda: None, 1.0))
    rows = costs.measure(costs.Flags(repeats=1))
    assert rows
    assert all(row.keys() >= ORIGIN for row in rows)


def test_rows_of_the_dirac_gan_state_their_origin(script, tmp_path):
    assert script("dirac", "--method", "r1", "--steps", "3", "--rows", tmp_path / "rows.jsonl")[0] == 0
    row = json.loads((tmp_path / "rows.jsonl").read_text().splitlines()[-1])
    assert row.keys() >= ORIGIN
    assert row["command"] == "python -m experiments.studies.dirac --method r1 --steps 3"


def test_rows_of_the_comparison_with_pytorch_state_their_origin(monkeypatch):
    class Side:
        parameters, compile_seconds, seconds, steps = (1, 2), 0.0, 0.0, 0

        def advance(self, until):
            self.seconds, self.steps = until, self.steps + 1

        def sample(self, count):
            return np.zeros((count, 32, 32, 1), np.uint8)

    fake = types.SimpleNamespace(from_config=lambda *_, **__: Side())
    monkeypatch.setitem(sys.modules, "experiments.benchmarks.torch_train", fake)
    monkeypatch.setattr(benchmarks, "torch_train", fake, raising=False)
    monkeypatch.setattr(compare_torch, "JaxTraining", lambda *_: Side())
    monkeypatch.setattr(compare_torch, "measure_images", lambda _: {"classifier_fd": 1.0})
    options = types.SimpleNamespace(width=4, devices=1, cached=False, slice=1.0, seconds=2.0)
    run = compare_torch.compare("dcgan", 3, options)
    assert run.keys() >= ORIGIN
    assert [point["steps"] for point in run["curves"]["gan_jax"]] == [1, 2]
