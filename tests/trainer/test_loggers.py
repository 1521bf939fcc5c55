"""Experiment trackers: each receives the configuration, every logged row, the grids and the final metrics, and none can end a run."""

import dataclasses
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from gan_jax.trainer.config import Config, ConfigError, EvaluationConfig, LogConfig
from gan_jax.trainer.loop import train
from gan_jax.trainer.writers import loggers
from support.small_runs import SMALL, trained

GRID = np.full((6, 8, 1), 40, np.uint8)


def needs(package):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"the package {package} is not installed")


def log(kind, directory):
    """Logs two steps, a grid and a final metric."""
    directory.mkdir(parents=True, exist_ok=True)
    logger = kind(Config(seed=7, out=directory, log=LogConfig(project="small")), directory, 0)
    for step in (1, 2):
        logger.write_scalars(step, {"loss": step / 4})
    logger.write_image(2, GRID)
    logger.close({"fid": 3.5})


def test_tensorboard(tmp_path):
    log(loggers.TensorBoardLogger, tmp_path / "run")
    files = list((tmp_path / "run" / "tensorboard").rglob("events*"))
    content = b"".join(path.read_bytes() for path in files)
    for word in (b"loss", b"samples", b"final/fid", b"optimizer.generator_lr"):
        assert word in content


@needs("wandb")
def test_wandb_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    log(loggers.WandbLogger, tmp_path / "run")
    content = b"".join(path.read_bytes() for path in (tmp_path / "run").rglob("*.wandb"))
    for word in (b"loss", b"samples", b"final/fid", b"optimizer.generator_lr"):
        assert word in content


@needs("mlflow")
def test_mlflow_without_a_server(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    log(loggers.MlflowLogger, tmp_path / "run")
    client = MlflowClient(f"sqlite:///{tmp_path / 'run' / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("small").experiment_id])
    assert run.data.params["seed"] == "7"
    assert run.data.metrics["final/fid"] == 3.5
    assert [metric.value for metric in client.get_metric_history(run.info.run_id, "loss")] == [0.25, 0.5]
    assert [path.name for path in (tmp_path / "run" / "mlflow").rglob("*.png")] == ["step_00000002.png"]


@needs("aim")
@pytest.mark.parametrize("place", ["run", "."])  # The repository of the run, and that of the working directory.
def test_aim_without_a_server(tmp_path, monkeypatch, place):
    import aim

    monkeypatch.chdir(tmp_path)
    if place == ".":
        aim.Repo.from_path(".", init=True)
    log(loggers.AimLogger, tmp_path / "run")
    # Aim reads runs from an index, which `aim up` and this command make.
    code = f"import sys; sys.argv[1:] = ['storage', '--repo', {place!r}, 'reindex']; from aim.cli.cli import cli_entry_point as aim; aim()"
    subprocess.run([sys.executable, "-c", code], input="y\n", text=True, check=True, capture_output=True)
    (run,) = aim.Repo.from_path(place).iter_runs()
    assert (run.name, run.experiment) == ("run", "small")
    assert run["hparams", "seed"] == 7
    assert run["final", "fid"] == 3.5
    (losses,) = run.metrics()
    assert (losses.name, losses.values.values_list()) == ("loss", [0.25, 0.5])
    ((found,),) = aim.Repo.from_path(place).query_images("images.name == 'samples'").iter_runs()
    (image,) = found.values.values_list()
    assert (np.asarray(image.to_pil_image()) == GRID[..., 0]).all()


@pytest.mark.parametrize("name", loggers.LOGGERS)
def test_a_missing_package_is_one_line_before_the_training(name, monkeypatch, tmp_path):
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda package, *rest: None if package == name else found(package, *rest))
    config = dataclasses.replace(SMALL, out=tmp_path / "run", log=LogConfig(**{name: True}))
    with pytest.raises(ConfigError, match=rf"--log\.{name}: needs the package {name}: pip install \"gan-jax\[{name}\]\""):
        train(config, console=Console(quiet=True))
    assert not (tmp_path / "run").exists()


class Recording:
    """A tracker that keeps what it receives, and fails at a step."""

    package = "json"

    def __init__(self, config, directory, step, fails_at=None):
        self.rows, self.images, self.final, self._fails_at = [], [], None, fails_at

    def write_scalars(self, step, scalars):
        if step == self._fails_at:
            raise OSError("no\nnetwork")
        self.rows.append((step, dict(scalars)))

    def write_image(self, step, image):
        self.images.append((step, image.shape, image.dtype))

    def close(self, final):
        self.final = dict(final)


@pytest.fixture
def run_with(monkeypatch, tmp_path):
    def run(**options):
        made = []
        monkeypatch.setitem(loggers.LOGGERS, "wandb", lambda *arguments: made.append(Recording(*arguments, **options)) or made[-1])
        monkeypatch.setattr(loggers, "check_loggers", lambda config: None)
        monkeypatch.setattr("gan_jax.trainer.setup.check_loggers", lambda config: None)
        monkeypatch.setattr("gan_jax.trainer.loop.write_figures", lambda *arguments: None)
        config = dataclasses.replace(
            SMALL, out=tmp_path / "run", steps=12, log=LogConfig(wandb=True), evaluation=EvaluationConfig(samples=64)
        )
        _, printed = trained(config)
        return made[0], printed, tmp_path / "run"

    return run


def test_a_tracker_receives_every_row_grid_and_final_metric(run_with):
    tracker, _, directory = run_with()
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert [{"step": step, **row} for step, row in tracker.rows] == rows
    assert [step for step, *_ in tracker.images] == [0, 6, 12]
    assert all(dtype == np.uint8 and len(shape) == 3 for _, shape, dtype in tracker.images)
    assert tracker.final == {record["metric"]: record["value"] for record in json.loads((directory / "metrics.json").read_text())}


def test_a_tracker_that_fails_is_one_line_and_training_continues(run_with):
    tracker, printed, directory = run_with(fails_at=6)
    assert "wandb: no network; training continues without it" in printed
    assert max(step for step, _ in tracker.rows) < 6
    assert json.loads((directory / "run.json").read_text())["status"] == "finished"
