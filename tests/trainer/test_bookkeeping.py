"""The loop over many steps: memory does not grow, long logs are read quickly, and the files stay bounded."""

import dataclasses
import gc
import json
import resource
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.monitor import Monitor, RunInfo
from gan_jax.trainer import image_grid, loop, setup
from gan_jax.trainer.config import Config, DataConfig, EvaluationConfig, ModelConfig
from gan_jax.trainer.failure_policy import REPLAYED, FailurePolicy, replay_window
from gan_jax.trainer.progress import ProgressBar
from gan_jax.trainer.report import read_run, write_report
from gan_jax.trainer.writers.jsonl import JsonLines
from gan_jax.trainer.writers.samples import write_animation
from support.data_files import write_idx_set
from support.fake_run import FINDING, log_line


def resident() -> float:
    """The resident memory of this process, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def bookkeeping(monkeypatch, tmp_path, steps, **fields):
    """Runs the real loop with train steps that compute no networks. Returns step -> memory, and the directory of the run."""
    build, memory = setup.build, {}

    def idle(*arguments, **options):
        built = build(*arguments, **options)

        def train_step(params, opt_state, batch, rng):
            step = opt_state.step + 1
            waves = {name: jnp.sin(step * speed) for name, speed in (("real_logits", 0.1), ("fake_logits", 0.2))}
            figures = {"discriminator_loss": 1.3 + 0.1 * jnp.sin(step * 0.3), "generator_loss": 0.8 + 0.1 * jnp.cos(step * 0.7)}
            shares = {"real_accuracy": 0.6 + 0.2 * jnp.sin(step * 0.5), "fake_accuracy": 0.6 + 0.2 * jnp.cos(step * 0.5)}
            return params, opt_state._replace(step=step), waves | figures | shares | {f"gradient_norm/{n}": 1.0 + n for n in range(8)}

        return built._replace(gan=built.gan._replace(train_step=train_step))

    class Watched(ProgressBar):
        def advance(self, step):
            super().advance(step)
            if step % max(1, steps // 20) == 0:
                gc.collect()
                memory[step] = resident()

    monkeypatch.setattr(setup, "build", idle)
    monkeypatch.setattr(loop, "progress_bar", Watched)
    write_idx_set(tmp_path / "data")
    config = Config(
        recipe="idle",
        steps=steps,
        batch_size=4,
        out=tmp_path / "run",
        data=DataConfig(source="mnist", directory=tmp_path / "data", image_size=8),
        model=ModelConfig(name="mlp", latent_dim=4, options={"generator_hidden": "8", "discriminator_hidden": "8"}),
        evaluation=EvaluationConfig(samples=0),
    )
    return memory, loop.train(dataclasses.replace(config, **fields)).directory


def growth(memory):
    """Growth of the memory from the first fifth of the steps to the end, in MiB."""
    marks = sorted(memory)
    return memory[marks[-1]] - memory[marks[len(marks) // 5]]


def assert_whole(directory, steps, log_every):
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    logged = [row["step"] for row in rows if "discriminator_loss" in row]
    assert logged == list(range(log_every, steps + 1, log_every))
    assert json.loads((directory / "run.json").read_text())["status"] == "finished"
    assert (directory / "report.html").stat().st_size < 20 * 2**20
    assert len(list((directory / "checkpoints").iterdir())) == 2
    findings = directory / "findings.jsonl"
    assert not findings.exists() or len(findings.read_text().splitlines()) < 30


@pytest.mark.slow
def test_memory_does_not_grow_over_thousands_of_steps(monkeypatch, tmp_path):
    # Each step is logged, so the monitor's history of 400 rows is full after a fifth of the steps.
    fields = {"log_every": 1, "sample_every": 1000, "sample_grid": 2, "checkpoint_every": 200, "tensorboard": False}
    memory, directory = bookkeeping(monkeypatch, tmp_path, 2000, **fields)
    print(f"memory by step: { {step: round(size, 1) for step, size in memory.items()} }")
    assert_whole(directory, 2000, 1)
    assert growth(memory) < 12


@pytest.mark.long
def test_memory_does_not_grow_over_a_million_steps(monkeypatch, tmp_path):
    # Ten steps a program give 100,000 iterations of the loop, 20,000 rows, 1,000 grids of samples and 500 checkpoints.
    started, intervals = time.monotonic(), {"scan_steps": 10, "log_every": 50, "sample_every": 1000, "checkpoint_every": 2000}
    memory, directory = bookkeeping(monkeypatch, tmp_path, 1_000_000, sample_grid=2, **intervals)
    print(f"{time.monotonic() - started:.0f} s; memory by step: { {step: round(size) for step, size in memory.items()} }")
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    print(f"directory {size / 2**20:.0f} MiB, metrics.jsonl {(directory / 'metrics.jsonl').stat().st_size / 2**20:.1f} MiB")
    assert_whole(directory, 1_000_000, 50)
    assert growth(memory) < 32


def long_log(directory, rows):
    """A run directory whose log has one row for each of `rows` steps, and a row of samples every hundred steps."""
    figures = ("mean", "deviation", "large_gradients")
    reported = {f"monitor/{player}_{figure}": 0.0 for player in ("generator", "discriminator") for figure in figures}
    directory.mkdir()
    (directory / "config.yaml").write_text("seed: 0\n")
    kinds = [reported | log_line(step, np.random.default_rng(step), layers=0) for step in range(200)]
    with (directory / "metrics.jsonl").open("w") as file:
        for step in range(1, rows + 1):
            file.write(json.dumps(kinds[step % 200] | {"step": step}) + "\n")
            if step % 100 == 0:
                file.write(json.dumps({"step": step, "samples/pairwise_distance": 1.0}) + "\n")
    return directory


def seconds_of(work):
    """Processor time of the faster of two calls."""
    times = []
    for _ in range(2):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


@pytest.mark.parametrize("rows", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_long_log_is_reported_and_resumed_in_seconds(tmp_path, rows):
    directory = long_log(tmp_path / "run", rows)

    def resume():
        JsonLines(directory / "metrics.jsonl", after_step=rows - 10)
        FailurePolicy(Config(), RunInfo(), directory)

    reported, resumed = seconds_of(lambda: write_report(directory)), seconds_of(resume)
    print(f"report {reported:.2f} s, resume {resumed:.2f} s of processor time")
    # The limits are twice those for an idle machine, because processor time also grows on shared cores.
    limit = 1 + 3 * rows / 100_000
    assert reported < limit
    assert resumed < limit
    assert read_run(directory).steps == rows - 10


def test_a_resumed_monitor_of_a_long_run_equals_one_that_received_all_rows(tmp_path):
    directory = long_log(tmp_path / "run", REPLAYED + 900)
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    everything = Monitor(RunInfo())
    for line in lines:
        everything.observe(json.loads(line))
    (directory / "findings.jsonl").write_text(
        "".join(json.dumps(finding._asdict()) + "\n" for finding in everything.findings.values())
        + json.dumps(FINDING | {"step": REPLAYED + 901})
        + "\n{half a line"
    )
    policy = FailurePolicy(Config(), RunInfo(), directory)
    assert policy._monitor.history.logs == everything.history.logs
    assert policy._monitor.history.samples == everything.history.samples
    assert policy._monitor.findings == everything.findings
    assert len((directory / "findings.jsonl").read_text().splitlines()) == len(everything.findings)
    assert len(replay_window(lines)) < 1000


def test_an_animation_of_a_long_run_reads_few_grids(monkeypatch, tmp_path):
    (tmp_path / "samples").mkdir()
    image_grid.save_png(tmp_path / "samples" / "step_00000000.png", np.zeros((8, 8, 1), np.uint8))
    for step in range(1, 1000):
        (tmp_path / "samples" / f"step_{step:08d}.png").hardlink_to(tmp_path / "samples" / "step_00000000.png")
    read, load = [], image_grid.load_png
    monkeypatch.setattr(image_grid, "load_png", lambda path: read.append(path.name) or load(path))
    write_animation(tmp_path)
    assert len(read) == image_grid.MAX_GIF_FRAMES
    assert {read[0], read[-1]} == {"step_00000000.png", "step_00000999.png"}
    assert (tmp_path / "samples" / "animation.gif").is_file()
