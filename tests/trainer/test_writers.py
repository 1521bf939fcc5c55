"""What a run writes while it trains, when it goes on from before its end, and what it says to a person."""

import dataclasses
import io
import json
import shutil

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
from gan_jax.trainer.writers import metric_writer
from gan_jax.trainer.writers.samples import bounds_of, forget_samples, write_animation, write_samples
from support.data_files import write_idx_set
from support.small_runs import SMALL

QUIET = {"console": Console(quiet=True)}


def steps_of(directory):
    return sorted(int(path.stem.removeprefix("step_")) for path in (directory / "samples").glob("step_*.png"))


def animated(directory):
    """The number of frames of the animation, and their size."""
    with Image.open(directory / "samples" / "animation.gif") as animation:
        return animation.n_frames, animation.size


# -- what is said ----------------------------------------------------------------------------------------------

# Each is markup to rich, or an emoji.
BRACKETED = ("images must be [batch, height, width, 3]; got [2, 8, 8, 1]", "runs/[a]/report.html", "an end [/b] of nothing", "runs/:car:/x")


@pytest.mark.parametrize("is_terminal", [False, True])
@pytest.mark.parametrize("text", BRACKETED)
def test_what_is_said_beside_the_bar_keeps_its_brackets(text, is_terminal):
    said = io.StringIO()
    with ProgressBar(10, 0, Console(file=said, width=200, force_terminal=is_terminal, no_color=True)) as bar:
        bar.say(text)
        bar.show(10, {"discriminator_loss": 1.0})
    assert text in said.getvalue()


def test_a_run_says_the_names_of_its_folders_and_what_went_wrong(tmp_path, monkeypatch):
    directory = tmp_path / "[a]" / "[b]"
    monkeypatch.setattr("gan_jax.trainer.loop.write_pictures", lambda directory, run, say: [say(text) for text in BRACKETED])

    def said_by(**options):
        said = io.StringIO()
        train(dataclasses.replace(SMALL, out=directory), console=Console(file=said, width=1000), **options)
        return said.getvalue()

    said = said_by(until=6)
    assert f"continue with: python experiments/train.py {SMALL.recipe} --resume {directory}" in said
    said = said_by(resume=directory)
    assert f"resuming {directory} at step 6" in said
    assert f"report: {directory}/report.html" in said
    for text in BRACKETED:
        assert text in said


# -- what an abandoned branch left -----------------------------------------------------------------------------


def test_grids_of_later_steps_are_forgotten(tmp_path):
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


def test_a_run_that_goes_on_from_an_earlier_checkpoint_shows_its_own_grids(tmp_path):
    config = dataclasses.replace(SMALL, out=tmp_path / "run", keep_checkpoints=9)
    train(config, **QUIET)
    assert steps_of(tmp_path / "run") == [0, 6, 12, 18, 24]
    for step in (18, 24):
        shutil.rmtree(tmp_path / "run" / "checkpoints" / f"step_{step:08d}")
    assert train(config, resume=tmp_path / "run", until=12, **QUIET).step == 12
    assert steps_of(tmp_path / "run") == [0, 6, 12]
    assert [step for step, _ in read_run(tmp_path / "run").samples] == [0, 6, 12]


# -- grids of another size -------------------------------------------------------------------------------------


def test_an_animation_has_the_frames_of_the_last_grids_shape(tmp_path):
    for step in range(6):
        side = 8 if step < 4 else 12
        image_grid.save_png(tmp_path / "samples" / f"step_{step:08d}.png", np.full((side, side, 1), 40 * step, np.uint8))
    write_animation(tmp_path)
    assert animated(tmp_path) == (2, (12, 12 + 14))  # and a line of 14 pixels for the label


def test_a_run_resumed_with_another_grid_ends_well(tmp_path, monkeypatch):
    monkeypatch.setattr("gan_jax.trainer.loop.write_pictures", lambda *arguments: None)  # seconds of compiling, and no part of this
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


# -- points ----------------------------------------------------------------------------------------------------


def test_points_are_drawn_at_the_scale_of_the_training_points(tmp_path, monkeypatch):
    source = load_data(SMALL)
    # Eight Gaussians of standard deviation 0.01 on the unit circle.
    assert bounds_of(source) == 1.25 * np.abs(source.images).max()
    assert 1.25 < bounds_of(source) < 1.25 * 1.06
    used, draw = [], image_grid.scatter
    monkeypatch.setattr(metric_writer.pictures, "scatter", lambda points, **options: used.append(options) or draw(points, **options))
    train(dataclasses.replace(SMALL, steps=12, out=tmp_path / "run"), **QUIET)
    assert used == [{"bounds": bounds_of(source)}] * 3


def test_pictures_of_points_show_how_they_come_together(tmp_path):
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    widths = []
    for step, radius in enumerate((1.0, 0.5)):
        write_samples(tmp_path, step, radius * circle, 1.25)
        columns = np.flatnonzero((image_grid.load_png(tmp_path / "samples" / f"step_{step:08d}.png")[..., 0] == 0).any(axis=0))
        widths.append(columns[-1] - columns[0] - 2)  # a dot has 3 pixels
    # Of 255 pixels from -1.25 to 1.25 the circle of radius 1 takes 204; each end is rounded to a pixel.
    np.testing.assert_allclose(widths, [204, 102], atol=1)
