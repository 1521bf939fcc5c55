"""The commands and the Python of each tutorial run in order, with small networks, in an empty directory."""

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from support.scripts import load_script

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
NAMES = ("own_images", "one_penalty", "a_trick_in_one_file", "reproduce", "transfer", "why_it_fails", "many_runs", "your_networks")
# Flags that make a command of a tutorial quick. A later flag takes precedence over an earlier one.
SMALL = {
    "dcgan_mnist": "--steps 2 --batch-size 8 --model.width 4 --model.latent-dim 8 --model.norm none "
    "--evaluation.samples 0 --no-tensorboard --sample-every 0",
    "mlp_mnist": "--batch-size 16 --evaluation.samples 0 --no-tensorboard",
    "runs/digits/config.yaml": "--steps 2 --batch-size 8 --sample-every 1",
    "evaluate": "--samples 12",
}


@pytest.fixture
def follow(monkeypatch, tmp_path, capsys):
    """Runs a tutorial from top to bottom. Returns the names that its Python defined, and what its commands and its Python printed."""
    monkeypatch.chdir(tmp_path)

    def command(line):
        words = shlex.split(line)
        assert words[0] == "gan-jax", line
        subcommand, arguments = words[1], words[2:]
        small = next((SMALL[word] for word in (subcommand, *arguments) if word in SMALL), "")
        monkeypatch.setattr(sys, "argv", [f"gan-jax {subcommand}", *arguments, *small.split()])
        try:
            status = load_script(subcommand).main()
        except SystemExit as end:
            status = end.code
        assert not status, (line, capsys.readouterr().err)

    def run(name):
        names, printed = {"__name__": name}, ""
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```", (TUTORIALS / f"{name}.md").read_text(), re.M | re.S):
            if language == "python":
                exec(compile(block, f"{name}.md", "exec"), names)
            else:
                assert language == "sh", language
                for line in block.strip().splitlines():
                    command(line)
            printed += capsys.readouterr().out
        return names, printed

    return run


def test_every_tutorial_is_tested():
    assert {path.stem for path in TUTORIALS.glob("*.md")} == set(NAMES)


@pytest.mark.slow
def test_own_images(follow, tmp_path):
    follow("own_images")
    assert len(list((tmp_path / "my_images").rglob("*.png"))) == 120
    assert (tmp_path / "runs" / "mine" / "report.html").is_file()
    assert json.loads((tmp_path / "runs" / "by_class" / "run.json").read_text())["data"]["examples"] == 108  # every tenth is held out
    records = json.loads((tmp_path / "runs" / "mine" / "metrics.json").read_text())
    assert {"sliced_wasserstein", "ms_ssim"} <= {record["metric"] for record in records}
    assert len(list((tmp_path / "runs" / "mine" / "pictures").glob("*.png"))) >= 2


def test_one_penalty(follow):
    names, printed = follow("one_penalty")
    (plain_slope, plain_right), (smooth_slope, smooth_right) = names["plain"], names["smooth"]
    assert smooth_slope < 0.7 * plain_slope
    assert min(plain_right, smooth_right) > 0.75
    assert f"slope {plain_slope:.2f}" in printed
    assert all(np.isfinite(value) for value in names["values"].values())


@pytest.mark.slow
def test_a_trick_in_one_file(follow):
    names, printed = follow("a_trick_in_one_file")
    assert len(names["difference"]) == names["SEEDS"]
    assert re.search(r"Interval\(.*\) PairedTest\(student=.*\)", printed)


@pytest.mark.slow
def test_reproduce(follow, tmp_path):
    names, printed = follow("reproduce")
    assert "reproduced" in printed
    steps = [json.loads(line)["step"] for line in names["longer"].splitlines()]
    assert max(steps) == 300
    assert len(names["longer"]) > len(names["first"])


@pytest.mark.slow
def test_transfer(follow, tmp_path):
    names, printed = follow("transfer")
    assert min(names["origin"]["layers"].values()) >= 4
    assert "runs/digits/checkpoints/step_00000002" in printed
    assert json.loads((tmp_path / "runs" / "few" / "run.json").read_text())["data"]["examples"] == 90
    assert (tmp_path / "runs" / "few" / "samples" / "step_00000000.png").is_file()


@pytest.mark.slow
def test_why_it_fails(follow, tmp_path):
    names, printed = follow("why_it_fails")
    assert "generator_frozen" in {finding["id"] for finding in names["findings"]}
    assert "--optimizer.generator-lr" in printed  # the advice names the flag that was wrong
    assert set(names["last"]) >= {"real_accuracy", "fake_accuracy", "generator_gradient_norm"}
    mended = tmp_path / "runs" / "mended" / "findings.jsonl"
    found = [json.loads(line)["id"] for line in mended.read_text().splitlines()] if mended.exists() else []
    assert "generator_frozen" not in found
    assert (tmp_path / "runs" / "both.html").is_file()


@pytest.mark.slow
def test_many_runs(follow, tmp_path):
    names, printed = follow("many_runs")
    assert names["record"]["settings"] == {"lr": 1e-4}
    assert printed.count("0000 {'lr': 0.001} 0 ") == 1
    assert len(list((tmp_path / "runs" / "search" / "runs").iterdir())) == 3
    assert all((tmp_path / "runs" / name / "sweep.html").is_file() for name in ("rates", "search"))


@pytest.mark.slow
def test_your_networks(follow, tmp_path):
    names, printed = follow("your_networks")
    assert "TrainResult(runs/flax, step 60, generator" in printed
    assert names["samples"].shape == (4, 8, 8, 1)
    assert [step for step, _ in names["steps"]] == [10, 20, 30, 40, 50, 60]
    assert all("term/brightness" in row for _, row in names["steps"])
    assert "the generator makes images [48, 8, 8, 1], and those of the data are [48, 4, 8, 1]" in names["problem"]
    assert not (tmp_path / "runs" / "none").exists()
    assert (tmp_path / "runs" / "functions" / "report.html").is_file()
    if names["eqx"] is not None:
        assert (tmp_path / "runs" / "equinox" / "report.html").is_file()
