"""A sweep trains what single runs train, continues where it stopped, and shows its result."""

import dataclasses
import json
import re

import numpy as np
import pytest
from rich.console import Console

from gan_jax.cli import sweep as command
from gan_jax.recipes import recipes
from gan_jax.trainer.config import DataConfig, EvaluationConfig, ModelConfig
from gan_jax.trainer.loaded_run import load_run
from gan_jax.trainer.loop import train
from gan_jax.trainer.run_directory import RunError
from gan_jax.trainer.sweep.directory import Sweep, load_sweep, save_sweep
from gan_jax.trainer.sweep.outcome import rank, read_outcomes
from gan_jax.trainer.sweep.page import write_page
from gan_jax.trainer.sweep.plan import Axis, group_runs, plan_runs
from gan_jax.trainer.sweep.program import train_program
from support.scripts import assert_one_line

OPTIONS = {"generator_hidden": "8,8", "discriminator_hidden": "8,8", "activation": "relu"}
BASE = dataclasses.replace(
    recipes()["ring"][1],
    recipe="ring",
    steps=6,
    batch_size=8,
    log_every=2,
    checkpoint_every=4,
    sample_every=0,
    tensorboard=False,
    model=ModelConfig(name="points", latent_dim=2, options=OPTIONS),
    evaluation=EvaluationConfig(samples=64),
)
RATE = "optimizer.generator_lr"


def make_sweep(directory, base=BASE, axes=None, keep=1):
    axes = axes or [Axis("seed", ("seed",), (0, 3)), Axis("optimizer.generator-lr", (RATE,), (1e-3, 1e-2))]
    runs, _ = plan_runs(base, axes, {axis.paths[0] for axis in axes})
    directory.mkdir(parents=True)
    sweep = Sweep(directory, base, axes, runs, group_runs(base, runs, 64), keep, "gan-jax sweep ring")
    save_sweep(sweep)
    return load_sweep(directory)


def silent(_):
    """Prints nothing."""


def rows(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    sweep = make_sweep(tmp_path_factory.mktemp("sweep") / "out")
    assert train_program(sweep, 0, print_line=silent)
    return sweep


def test_the_runs_are_those_of_train(finished, tmp_path):
    assert finished.programs == [[0, 1, 2, 3]]
    single = train(dataclasses.replace(finished.config(3), out=tmp_path / "single"), console=Console(quiet=True))
    alone, swept = rows(single.directory), rows(finished.run_directory(3))
    assert [row["step"] for row in swept] == [row["step"] for row in alone] == [2, 4, 6]
    assert alone[0].keys() == swept[0].keys()
    for name in ("discriminator_loss", "generator_loss", "learning_rate/generator", "generator_gradient_norm"):
        np.testing.assert_allclose([row[name] for row in swept], [row[name] for row in alone], rtol=1e-4)
    # Another seed, and another rate, are other runs.
    assert len({rows(finished.run_directory(run))[-1]["generator_loss"] for run in range(4)}) == 4


def test_every_run_has_its_configuration_and_metrics(finished):
    for run in range(4):
        record = json.loads((finished.run_directory(run) / "run.json").read_text())
        assert record["seed"] == finished.config(run).seed
        assert record["settings"] == {"optimizer.generator-lr": finished.config(run).optimizer.generator_lr}
        assert {row["metric"] for row in json.loads((finished.run_directory(run) / "metrics.json").read_text())} >= {"modes", "reverse_kl"}
    assert finished.result(0)["traced"] == ["seed", RATE]
    assert finished.unfinished() == []


def test_the_weights_of_the_best_run_can_be_loaded(finished):
    outcomes = read_outcomes(finished)
    kept = [run for run in range(4) if (finished.run_directory(run) / "checkpoints").exists()]
    known = [outcome for outcome in outcomes if outcome.value is not None]
    assert kept == [min(known, key=lambda outcome: outcome.value).run] if known else kept == []
    for run in kept:
        assert load_run(finished.run_directory(run)).step == 6


def test_a_sweep_that_stopped_continues_to_the_same_bytes(finished, tmp_path):
    sweep = make_sweep(tmp_path / "again")
    assert not train_program(sweep, 0, print_line=silent, until=4)
    assert sweep.unfinished() == [0]
    assert train_program(sweep, 0, print_line=silent)
    for run in range(4):
        first, second = ((place.run_directory(run) / "metrics.jsonl").read_bytes() for place in (finished, sweep))
        assert first == second


def test_the_ranking_and_the_page(finished):
    ranked = rank(finished, read_outcomes(finished))
    assert len(ranked) == 2
    medians = [row.median for row in ranked if row.median is not None]
    assert medians == sorted(medians)
    page = write_page(finished).read_text()
    assert "Sweep of ring: 4 runs" in page
    assert "--optimizer.generator-lr" in page
    assert "Failure map" in page
    assert page.count("<script") == 2
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert any(chart["title"] == "generator_loss" and len(chart["series"]) == 4 for chart in data["charts"])


@pytest.mark.slow
def test_mirrored_images_are_those_of_train(tmp_path):
    base = dataclasses.replace(
        BASE,
        recipe="dcgan_mnist",
        data=DataConfig(source="mnist5k", image_size=8, flip=True),
        model=ModelConfig(name="mlp", latent_dim=2, options={"generator_hidden": "8", "discriminator_hidden": "8"}),
        steps=2,
        evaluation=EvaluationConfig(samples=0),
    )
    sweep = make_sweep(tmp_path / "sweep", base, [Axis("seed", ("seed",), (1,)), Axis("penalty.r1", ("penalty.r1",), (0.1,))])
    assert train_program(sweep, 0, print_line=silent)
    single = train(dataclasses.replace(sweep.config(0), out=tmp_path / "single"), console=Console(quiet=True))
    (alone,), (swept,) = rows(single.directory), rows(sweep.run_directory(0))
    for name in ("discriminator_loss", "generator_loss", "penalty/r1"):
        np.testing.assert_allclose(swept[name], alone[name], rtol=1e-4)
    assert read_outcomes(sweep)[0].failure == ""


def test_a_run_that_diverges_is_a_failure_and_not_an_outcome(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", axes=[Axis("lr", (RATE, "optimizer.discriminator_lr"), (1e-3, 1e6))])
    assert train_program(sweep, 0, print_line=silent)
    healthy, broken = read_outcomes(sweep)
    assert broken.value is None
    assert broken.failure in ("non_finite", "not measured")
    assert healthy.run == 0
    assert rank(sweep, [healthy, broken])[-1].failed == 1
    assert "1 of 1 failed" in write_page(sweep).read_text()


def test_what_is_no_sweep_is_named(tmp_path):
    with pytest.raises(RunError, match="no sweep there"):
        load_sweep(tmp_path)
    sweep = make_sweep(tmp_path / "sweep")
    plan = json.loads((sweep.directory / "sweep.json").read_text())
    (sweep.directory / "sweep.json").write_text(json.dumps(plan | {"programs": [[0]]}))
    with pytest.raises(RunError, match="do not hold every run once"):
        load_sweep(sweep.directory)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ring"], "no flag has several values"),
        (["ring", "--seed", "0:2", "--at-once", "0"], "--at-once 0: must be at least 1"),
        (["ring", "--seed", "0:2", "--random", "x"], "--random x: must be a whole number"),
        (["ring", "--lr", "1e-3:1e-2"], "an interval needs --random N"),
        (["ring", "--b1", "0.5,1.5"], "--optimizer.b1 1.5"),
        (["--resume", "nowhere"], "no sweep there"),
        (["--resume", "nowhere", "--seed", "0:2"], "takes no other flags"),
    ],
)
def test_errors_are_one_line(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        command.main(words)
    assert_one_line((end.value.code, "", capsys.readouterr().err), message)


@pytest.mark.slow
def test_the_command_trains_in_processes_and_prints_the_table(tmp_path, capsys):
    words = ["ring", "--seed", "0,1", "--steps", "2", "--batch-size", "8", "--log-every", "2", "--no-tensorboard"]
    small = ["--model.options.generator-hidden", "8", "--model.options.discriminator-hidden", "8", "--evaluation.samples", "32"]
    assert command.main([*words, *small, "--out", str(tmp_path / "sweep")]) == 0
    captured = capsys.readouterr()
    assert "reverse_kl, median" in " ".join(captured.out.split())
    assert (tmp_path / "sweep" / "sweep.html").exists()
    sweep = load_sweep(tmp_path / "sweep")
    assert [outcome.seed for outcome in read_outcomes(sweep)] == [0, 1]
