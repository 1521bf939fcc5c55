"""`gan-jax train`: errors are one line with status 2, runs resume to the byte, an interrupt loses nothing."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.scripts import ROOT, TINY, assert_one_line, assert_same_run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no_such_recipe"], ["no_such_recipe", "dcgan_mnist"]),
        (["dcgan_mnist", "--no-such-flag", "3"], ["--no-such-flag"]),
        (["multiscale", "--model.options", "scales"], ["--model.options scales", "pairs NAME VALUE"]),
        (["multiscale", "--model.options", "no_such_option", "3"], ["--model.options no_such_option"]),
        (["dcgan_mnist", "--stepz", "3"], ["--stepz"]),
        (["dcgan_mnist", "--steps", "-1"], ["--steps -1", "at least 0"]),
        (["dcgan_mnist", "--steps", "many"], ["--steps", "many"]),
        (["dcgan_mnist", "--batch-size", "0"], ["--batch-size 0"]),
        (["dcgan_mnist", "--batch-size", "8192"], ["--batch-size 8192", "4000"]),
        (["dcgan_mnist", "--b1", "1.0"], ["--optimizer.b1 1.0", "[0, 1)"]),
        (["dcgan_mnist", "--optimizer.b2", "-0.1"], ["--optimizer.b2 -0.1"]),
        (["dcgan_mnist", "--lr", "-1"], ["--optimizer.generator-lr -1"]),
        (["dcgan_mnist", "--optimizer.generator-lr", "nan"], ["--optimizer.generator-lr", "nan"]),
        (["dcgan_mnist", "--image-size", "33"], ["33", "32"]),
        (["dcgan_mnist", "--loss.name", "best"], ["--loss.name best", "hinge"]),
        (["dcgan_mnist", "--model.name", "best"], ["--model.name best", "dcgan"]),
        (["dcgan_mnist", "--model.output-kernel", "4"], ["output_kernel", "4"]),
        (["mlp_mnist", "--model.width", "4"], ["--model.width", "mlp"]),
        (["dcgan_mnist", "--data.source", "nothing"], ["nothing", "mnist5k"]),
        (["dcgan_mnist", "--loss.name", "hinge", "--loss.flip-probability", "0.1"], ["hinge has no labels"]),
        (["dcgan_mnist", "--loss.real-target", "1.2", "0.7"], ["--loss.real-target 1.2 0.7"]),
        (["dcgan_mnist", "--augment.pack", "3"], ["--batch-size 64", "multiple of 3"]),
        (
            ["dcgan_mnist", "--update.name", "consensus", "--update.discriminator-steps", "2"],
            ["--update.discriminator-steps", "consensus"],
        ),
        (["dcgan_mnist", "--augment.diff-augment", "colour"], ["colour"]),
        (["dcgan_mnist", "--loss.perceptual", "1"], ["--loss.vgg", "convert_vgg.py"]),
        (["--config", "missing.yaml"], ["missing.yaml"]),
        (["--resume", "missing"], ["--resume missing"]),
    ],
)
def test_bad_flags(script, tmp_path, arguments, words):
    assert_one_line(script("train", *arguments), *words)
    assert list(tmp_path.iterdir()) == []


def test_bad_configuration_files(script, tmp_path):
    for text, words in [
        ("seed: [", ["not a YAML file"]),
        ("sed: 3", ["no field sed"]),
        ("seed: x", ["--seed 'x'"]),
        ("- 1", ["must be a mapping"]),
    ]:
        (tmp_path / "run.yaml").write_text(text)
        assert_one_line(script("train", "--config", "run.yaml"), "run.yaml", *words)


def test_bad_data_files(script, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    names = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
    good = gzip.compress(b"\x00\x00\x08\x03" + bytes([0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28]) + bytes(2 * 784))
    arguments = ["train", "dcgan_mnist", "--data.source", "mnist", "--data.directory", folder, *TINY]
    assert_one_line(script(*arguments), "train-images")
    for name in names:
        (folder / f"{name}.gz").write_bytes(good[:-20])
    assert_one_line(script(*arguments), "ubyte.gz")
    for name in names:
        (folder / f"{name}.gz").write_bytes(gzip.compress(b"\x00\x00\x09\x09" + bytes(40)))
    assert_one_line(script(*arguments), "ubyte.gz")
    pictures = tmp_path / "pictures" / "cats"
    pictures.mkdir(parents=True)
    (pictures / "one.png").write_text("this is no picture")
    arguments = [
        "train",
        "dcgan_mnist",
        "--data.source",
        "image_folder",
        "--data.directory",
        pictures.parent,
        "--data.on-corrupt",
        "stop",
        *TINY,
    ]
    assert_one_line(script(*arguments), "one.png")


def test_directories_that_cannot_be_used(script, tmp_path, monkeypatch):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "precious").write_text("data")
    assert_one_line(script("train", "dcgan_mnist", "--out", taken, "--steps", "1", *TINY), "--out", "taken", "exists already")
    assert [path.name for path in taken.iterdir()] == ["precious"]
    (tmp_path / "file").write_text("")
    assert_one_line(script("train", "dcgan_mnist", "--out", tmp_path / "file" / "run", "--steps", "1", *TINY), "--out", "file")

    def refuse(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert_one_line(script("train", "dcgan_mnist", "--out", tmp_path / "new", "--steps", "1", *TINY), "--out", "No space left")


@pytest.mark.slow
def test_a_disk_that_fills_while_training_is_survived(script, tmp_path, monkeypatch):

    def refuse(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gan_jax.trainer.image_grid.save_png", refuse)
    run = ["train", "dcgan_mnist", "--out", "run", "--steps", "2", "--sample-every", "1", "--checkpoint-every", "1", *TINY]
    status, _, error = script(*run)
    assert status == 0
    assert "the samples could not be written (No space left on device)" in " ".join(error.split())
    assert "Traceback" not in error
    assert list((tmp_path / "run" / "checkpoints").glob("step_*"))


def test_a_run_its_resumption_and_its_refusals(script, tmp_path):
    run = [
        "train",
        "dcgan_mnist",
        "--out",
        "run",
        "--steps",
        "4",
        "--log-every",
        "1",
        "--sample-every",
        "2",
        "--checkpoint-every",
        "2",
        *TINY,
    ]
    assert script(*run)[0] == 0
    for name in ("config.yaml", "run.json", "metrics.jsonl", "report.html", "samples/step_00000004.png", "samples/animation.gif"):
        assert (tmp_path / "run" / name).is_file(), name
    assert_one_line(script(*run), "exists already", "--resume")
    assert_one_line(script("train", "--resume", "run", "--lr", "0.1"), "--optimizer.generator-lr")
    assert_one_line(script("train", "mlp_mnist", "--resume", "run"), "dcgan_mnist")
    # Two more steps, compared with a run of six steps without a break.
    assert script("train", "--resume", "run", "--steps", "6")[0] == 0
    longer = [argument if argument != "4" or run[n - 1] != "--steps" else "6" for n, argument in enumerate(run)]
    assert script(*["whole" if argument == "run" and run[n - 1] == "--out" else argument for n, argument in enumerate(longer)])[0] == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    assert script("train", "--config", "run/config.yaml", "--out", "again", "--steps", "6")[0] == 0
    assert_same_run(tmp_path / "again", tmp_path / "whole")
    assert script("train", "--resume", "auto", "dcgan_mnist", "--out", "whole", "--steps", "6")[0] == 0
    assert script("sample", "run", "--count", "4", "--interpolate", "3")[0] == 0
    assert_one_line(script("sample", "run", "--label", "3"), "--label 3")
    assert_one_line(script("sample", "run", "--pairs"), "--pairs: the model dcgan does not translate images")
    assert_one_line(script("evaluate", "run", "--metrics", "beauty"), "--metrics beauty", "frechet_distance")
    assert_one_line(script("evaluate", "nothing"), "nothing")


@pytest.mark.slow
def test_a_recipe_gives_way_with_a_notice(script, tmp_path):
    status, _, error = script("train", "dcgan_mnist", "--loss.name", "hinge", "--out", "run", "--steps", "1", *TINY)
    assert status == 0
    notices = [line for line in error.splitlines() if line.startswith("notice: ")]
    assert len(notices) == 1
    assert "hinge has no labels; the recipe's --loss.real-target 0.9 0.9 is reset to None" in notices[0]
    assert (tmp_path / "run" / "report.html").is_file()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["command"].startswith(
        "gan-jax train dcgan_mnist --loss.name hinge --out run"
    )


@pytest.mark.slow
def test_evaluation_while_training_keeps_the_best_checkpoint(script, tmp_path):
    flags = ["--steps", "3", "--evaluation.every", "1", "--evaluation.samples", "64", "--keep-checkpoints", "1", "--checkpoint-every", "0"]
    assert (
        script("train", "dcgan_mnist", "--out", "run", *[word for word in TINY if word not in ("--evaluation.samples", "0")], *flags)[0]
        == 0
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    distances = {line["step"]: line["evaluation/classifier_fd"] for line in lines if "evaluation/classifier_fd" in line}
    assert sorted(distances) == [1, 2, 3]
    best = min(distances, key=distances.get)
    assert {path.name for path in (tmp_path / "run" / "checkpoints").glob("step_*")} == {f"step_{step:08d}" for step in (best, 3)}
    assert script("evaluate", "run", "--best", "--samples", "64", "--metrics", "frechet_distance")[0] == 0
    records = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert abs(records[0]["value"] - distances[best]) < 1e-6
    assert {"metric", "value", "real", "extractor", "samples", "reference", "resize", "seed", "ema"} <= set(records[0])


def test_interrupt_saves_and_says_how_to_resume(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    command = [sys.executable, "-m", "gan_jax", "train", "dcgan_mnist", "--out", "run", "--steps", "100000", "--log-every", "1", *TINY]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    for _ in range(1200):
        if (tmp_path / "run" / "metrics.jsonl").exists():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "interrupted" in error
    assert "--resume run" in " ".join(error.split())
    assert "Traceback" not in error
    assert list((tmp_path / "run" / "checkpoints").glob("step_*"))
    assert (tmp_path / "run" / "report.html").exists()


def test_the_directory_is_printed_first_and_the_report_can_be_opened(script, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    flags = ["--steps", "1", "--batch-size", "8", "--model.options.generator_hidden", "8", "--model.options.discriminator_hidden", "8"]
    status, _, printed = script("train", "ring", *flags, "--sample-every", "0", "--evaluation.samples", "0", "--no-tensorboard", "--open")
    lines = printed.splitlines()
    assert status == 0
    assert lines[0] == "run: runs/ring"
    assert any(line.startswith("compiling the train step") for line in lines)
    assert lines[-1] == "report: runs/ring/report.html"
    assert len(opened) == 1
    assert opened[0].startswith("file:///")
    assert opened[0].endswith("/runs/ring/report.html")


def test_a_missing_browser_is_one_line(monkeypatch, tmp_path, capsys):
    from gan_jax.cli.train import open_report

    monkeypatch.setattr("webbrowser.open", lambda address: False)
    (tmp_path / "report.html").write_text("")
    open_report(tmp_path / "report.html")
    assert capsys.readouterr().err == f"notice: --open: no browser could show {tmp_path / 'report.html'}\n"


def test_a_suggestion_has_no_comma(script):
    status, _, error = script("train", "ring", "--no-optimizer.ema-warmpu")
    assert status == 2
    assert "did you mean --" in error
    assert ",?" not in error
