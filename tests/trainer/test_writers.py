"""The files that a run writes while it trains or after a resume, and the lines that it prints."""

import dataclasses
import io
import json
import shutil
import threading
import time

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from gan_jax.trainer import image_grid
from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.config import Config, DataConfig, EvaluationConfig, ModelConfig
from gan_jax.trainer.loop import train
from gan_jax.trainer.progress import ProgressBar
from gan_jax.trainer.report import read_run
from gan_jax.trainer.writers.samples import REALS_SHOWN, bounds_of, forget_samples, write_animation, write_samples
from support.data_files import write_idx_set
from support.small_runs import SMALL, trained

QUIET = {"console": Console(quiet=True)}


def steps_of(directory):
    return sorted(int(path.stem.removeprefix("step_")) for path in (directory / "samples").glob("step_*.png"))


def animated(directory):
    """The number of frames of the animation and their size."""
    with Image.open(directory / "samples" / "animation.gif") as animation:
        return animation.n_frames, animation.size


# rich would read each of them as markup or as an emoji.
BRACKETED = ("images must be [batch, height, width, 3]; got [2, 8, 8, 1]", "runs/[a]/report.html", "an end [/b] of nothing", "runs/:car:/x")


@pytest.mark.parametrize("is_terminal", [False, True])
@pytest.mark.parametrize("text", BRACKETED)
def test_lines_above_the_bar_keep_their_brackets(text, is_terminal):
    printed = io.StringIO()
    with ProgressBar(10, 0, Console(file=printed, width=200, force_terminal=is_terminal, no_color=True)) as bar:
        bar.print_above(text)
        bar.show(10, {"discriminator_loss": 1.0})
    assert text in printed.getvalue()


def lines_at(monkeypatch, moments):
    """The steps of the lines that are printed if the metrics of step n are shown `moments[n]` seconds after the start."""
    clock, printed = [0.0], io.StringIO()
    monkeypatch.setattr("gan_jax.trainer.progress.time.monotonic", lambda: 1000.0 + clock[0])
    with ProgressBar(1000, 0, Console(file=printed, width=200)) as bar:
        for step, clock[0] in enumerate(moments):
            bar.show(step, {"discriminator_loss": 1.0})
    return [int(line.split("/")[0].removeprefix("step ")) for line in printed.getvalue().splitlines()]


def test_lines_are_frequent_at_first_and_rarer_later(monkeypatch):
    assert lines_at(monkeypatch, range(14)) == [0, 5, 10]  # Every second: more than 4 seconds lie between two lines.
    assert lines_at(monkeypatch, range(130, 160)) == [0, 11, 22]  # After two minutes it is more than 10.


def printed_while(monkeypatch, body, **options):
    """What a bar prints while `body(bar)` runs, if a line is due after 0.05 seconds."""
    printed = io.StringIO()
    for name, value in (("FIRST_INTERVAL", 0.05), ("WATCH_INTERVAL", 0.01)):
        monkeypatch.setattr(f"gan_jax.trainer.progress.{name}", value)
    with ProgressBar(10, 0, Console(file=printed, width=200, no_color=True, **options)) as bar:
        body(bar)
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]
    return printed.getvalue()


def compile_slowly(bar):
    bar.print_above("compiling")
    with bar.working("compiling the step"):
        time.sleep(0.6)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_long_work_shows_how_long_it_takes(monkeypatch, is_terminal):
    printed = printed_while(monkeypatch, compile_slowly, force_terminal=is_terminal)
    assert "compiling the step: 0 s so far" in printed
    if not is_terminal:
        assert 2 <= printed.count("so far") <= 12


def test_a_slow_run_prints_its_step(monkeypatch):
    def wait(bar):
        bar.show(3, {"discriminator_loss": 0.5})
        bar.advance(4)
        time.sleep(0.6)

    first, *more = printed_while(monkeypatch, wait).splitlines()
    assert first.startswith("step 3/10")
    assert 1 <= len(more) <= 12
    assert all(line.startswith("step 4/10") and line.endswith("D   0.500") for line in more)


def test_quick_work_prints_nothing_and_its_errors_pass(monkeypatch):
    def fail(bar):
        with pytest.raises(ValueError, match="mine"), bar.working("compiling the step"):
            raise ValueError("mine")

    assert "so far" not in printed_while(monkeypatch, fail)
    assert printed_while(monkeypatch, compile_slowly, quiet=True) == ""


def test_a_run_prints_folder_names_and_errors_unchanged(tmp_path, monkeypatch):
    directory = tmp_path / "[a]" / "[b]"
    monkeypatch.setattr("gan_jax.trainer.loop.write_figures", lambda directory, run, print_line: [print_line(text) for text in BRACKETED])

    config = dataclasses.replace(SMALL, out=directory)
    _, printed = trained(config, until=6)
    assert f"continue with: gan-jax train {SMALL.recipe} --resume {directory}" in printed
    _, printed = trained(config, resume=directory)
    assert f"resuming {directory} at step 6" in printed
    assert f"report: {directory}/report.html" in printed
    for text in BRACKETED:
        assert text in printed


def test_grids_of_later_steps_are_deleted(tmp_path):
    for step in (0, 6, 12, 18):
        image_grid.save_png(tmp_path / "samples" / f"step_{step:08d}.png", np.zeros((8, 8, 1), np.uint8))
    (tmp_path / "samples" / "step_of_mine.png").touch()
    write_animation(tmp_path)
    forget_samples(tmp_path, after_step=18)
    assert (tmp_path / "samples" / "animation.gif").exists()
    forget_samples(tmp_path, after_step=6)
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == [
        "step_00000000.png",
        "step_00000006.png",
        "step_of_mine.png",
    ]
    forget_samples(tmp_path / "nowhere", after_step=0)


def test_a_run_resumed_from_an_earlier_checkpoint_deletes_later_grids(tmp_path):
    config = dataclasses.replace(SMALL, out=tmp_path / "run", keep_checkpoints=9)
    train(config, **QUIET)
    assert steps_of(tmp_path / "run") == [0, 6, 12, 18, 24]
    for step in (18, 24):
        shutil.rmtree(tmp_path / "run" / "checkpoints" / f"step_{step:08d}")
    assert train(config, resume=tmp_path / "run", until=12, **QUIET).step == 12
    assert steps_of(tmp_path / "run") == [0, 6, 12]
    assert [step for step, _ in read_run(tmp_path / "run").samples] == [0, 6, 12]


def test_an_animation_has_the_frames_with_the_shape_of_the_last_grid(tmp_path):
    for step in range(6):
        side = 8 if step < 4 else 12
        image_grid.save_png(tmp_path / "samples" / f"step_{step:08d}.png", np.full((side, side, 1), 40 * step, np.uint8))
    write_animation(tmp_path)
    assert animated(tmp_path) == (2, (12, 12 + 14))  # The label takes 14 pixels.


def test_a_run_resumed_with_another_grid_writes_its_animation(tmp_path, monkeypatch):
    monkeypatch.setattr("gan_jax.trainer.loop.write_figures", lambda *arguments: None)  # Compiling them takes seconds.
    write_idx_set(tmp_path / "data")
    config = Config(
        steps=2,
        batch_size=4,
        log_every=1,
        sample_every=1,
        sample_grid=2,
        out=tmp_path / "run",
        tensorboard=False,
        data=DataConfig(source="mnist", directory=tmp_path / "data", image_size=8),
        model=ModelConfig(name="mlp", latent_dim=4, options={"generator_hidden": "8", "discriminator_hidden": "8"}),
        evaluation=EvaluationConfig(samples=0),
    )
    train(config, until=1, **QUIET)
    train(dataclasses.replace(config, sample_grid=3), resume=tmp_path / "run", **QUIET)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"
    assert steps_of(tmp_path / "run") == [0, 1, 2]
    side = 2 * (2 + 3 * (8 + 2))
    assert animated(tmp_path / "run") == (1, (side, side + 14))


def test_points_are_drawn_at_the_scale_of_the_training_points(tmp_path, monkeypatch):
    source = load_data(SMALL)
    # Eight Gaussians of standard deviation 0.01 on the unit circle.
    assert bounds_of(source) == 1.25 * np.abs(source.images).max()
    assert 1.25 < bounds_of(source) < 1.25 * 1.06
    used, draw = [], image_grid.scatter
    monkeypatch.setattr(image_grid, "scatter", lambda points, **options: used.append(options) or draw(points, **options))
    train(dataclasses.replace(SMALL, steps=12, out=tmp_path / "run"), **QUIET)
    assert [options["bounds"] for options in used] == [bounds_of(source)] * 3
    np.testing.assert_array_equal(used[0]["real"], source.images[:REALS_SHOWN])


def test_scatter_images_share_one_scale(tmp_path):
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    widths = []
    for step, radius in enumerate((1.0, 0.5)):
        write_samples(tmp_path, step, radius * circle, 1.25)
        columns = np.flatnonzero((image_grid.load_png(tmp_path / "samples" / f"step_{step:08d}.png")[..., 0] == 0).any(axis=0))
        widths.append(columns[-1] - columns[0] - 2)  # A dot has 3 pixels.
    # The circle of radius 1 takes 204 of the 255 pixels from -1.25 to 1.25. Each end is rounded to a pixel.
    np.testing.assert_allclose(widths, [204, 102], atol=1)
