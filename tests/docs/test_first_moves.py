"""Every move of docs/first_moves.md is one command that works at the first try. The tests take the commands from the page."""

import importlib.util
import json
import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_jax.cli.main import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "first_moves.md").read_text()
# Heading -> the lines of the block below it. The first block is that of the default recipe.
BLOCK = re.compile(r"^#+ ([^\n]+)\n(?:(?!#|```)[^\n]*\n)*```sh\n(.*?)\n```", re.M | re.S)
MOVES = {title: block.splitlines() for title, block in BLOCK.findall(PAGE)}
START = "First moves"
# Flags that make a command quick. They are appended, so the command stays as it stands on the page.
SMALL = "--steps 2 --batch-size 8 --model.width 4 --model.latent-dim 8 --sample-every 0 --evaluation.samples 0 --no-tensorboard"
SMALL_IMAGES = f"{SMALL} --data.image-size 16"


def run_move(title, small=""):
    """Runs the command of a move with further flags, and returns its exit status."""
    (line,) = MOVES[title]
    program, *words = shlex.split(line)
    assert program == "gan-jax"
    try:
        return main([*words, *small.split()])
    except SystemExit as end:
        return end.code or 0


def steps_of(directory):
    return [json.loads(line)["step"] for line in (directory / "metrics.jsonl").read_text().splitlines()]


def configuration(directory):
    return (directory / "config.yaml").read_text()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_has_fifteen_moves_of_one_command():
    expected = [
        *("Another loss", "Hinge loss with spectral normalisation", "WGAN-GP", "Your own folder of images", "Labels", "64x64 images"),
        *("Continue a run", "Compare runs", "Sample one class", "A video", "A notebook", "Weights & Biases"),
        *("A smaller learning rate from here on", "Several seeds", "Two devices"),
    ]
    assert list(MOVES) == [START, *expected]
    assert re.findall("^## (.*)$", PAGE, re.M) == expected
    assert {title for title, lines in MOVES.items() if len(lines) != 1} == set()


@pytest.mark.slow
def test_moves_from_a_run_of_the_default_recipe(folder, capsys):
    """The default recipe twice, then the moves that continue from its runs, in the order of the page."""
    assert run_move(START, SMALL_IMAGES) == 0
    assert run_move(START, SMALL_IMAGES) == 0
    run = folder / "runs" / "dcgan_mnist"
    assert (run / "report.html").is_file()
    assert f"report: {Path('runs', 'dcgan_mnist', 'report.html')}" in capsys.readouterr().err
    assert run_move("Continue a run", "--steps 3") == 0
    assert steps_of(run)[-1] == 3
    assert run_move("Compare runs") == 0
    comparison = (folder / "comparison.html").read_text()
    assert "dcgan_mnist-2" in comparison
    assert run_move("A video", "--frames 2") == 0
    (video,) = (run / "pictures").glob("*.gif")
    with Image.open(video) as animation:
        assert animation.n_frames == 10  # Two frames from each of five latents to the next.
    assert run_move("A smaller learning rate from here on", "--steps 5") == 0
    (fork,) = [path for path in (folder / "runs").iterdir() if path.name not in ("dcgan_mnist", "dcgan_mnist-2")]
    parent = json.loads((fork / "run.json").read_text())["parent"]
    assert steps_of(fork)[-1] == 5
    assert {"optimizer.generator_lr", "optimizer.discriminator_lr"} <= set(parent["changed"])


@pytest.mark.slow
def test_labels_and_one_class(folder):
    assert run_move("Labels", SMALL_IMAGES) == 0
    assert run_move("Sample one class") == 0
    (grid,) = (folder / "runs" / "cgan" / "pictures").glob("samples*.png")
    assert Image.open(grid).size[0] > 16


@pytest.mark.slow
@pytest.mark.parametrize(
    ("title", "small", "expected"),
    [
        ("Another loss", SMALL_IMAGES, {"name: hinge"}),
        ("Hinge loss with spectral normalisation", SMALL_IMAGES, {"name: hinge", "spectral_norm: discriminator"}),
        ("WGAN-GP", SMALL_IMAGES, {"name: wasserstein", "wgan_gp: 10.0", "discriminator_steps: 5"}),
        ("64x64 images", SMALL, {"image_size: 64"}),
        ("Two devices", SMALL_IMAGES, {"devices: 2"}),
    ],
)
def test_moves_of_their_own(folder, title, small, expected):
    assert run_move(title, small) == 0
    (run,) = (folder / "runs").iterdir()
    text = configuration(run)
    assert {word for word in expected if word not in text} == set()
    assert steps_of(run)[-1] == 2
    assert (run / "report.html").is_file()
    if title == "Two devices":
        assert json.loads((run / "run.json").read_text())["devices_used"] == 2


@pytest.mark.slow
def test_a_folder_of_60_images(folder, capsys):
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for number in range(60):
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(folder / "photos" / f"{number:02}.png")
    assert run_move("Your own folder of images", SMALL_IMAGES) == 0
    assert "chosen: " in capsys.readouterr().err
    record = json.loads((folder / "runs" / "own_images" / "run.json").read_text())
    assert record["data"]["examples"] == 54  # Every tenth image is held out.
    assert record["choices"]


@pytest.mark.slow
def test_several_seeds(folder):
    assert run_move("Several seeds", SMALL_IMAGES) == 0
    (page,) = (folder / "runs").rglob("sweep.html")
    runs = sorted((page.parent / "runs").iterdir())
    assert [json.loads((run / "run.json").read_text())["seed"] for run in runs] == [0, 1, 2, 3]


@pytest.mark.slow
def test_weights_and_biases(folder, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    status = run_move("Weights & Biases", SMALL_IMAGES)
    if importlib.util.find_spec("wandb") is None:  # The line says what to type, before anything is trained.
        assert status == 2
        assert 'pip install "gan-jax[wandb]"' in capsys.readouterr().err
        assert not (folder / "runs").exists()
    else:
        assert status == 0
        assert list((folder / "runs" / "dcgan_mnist").rglob("*.wandb"))


def test_a_notebook():
    """tests/docs/test_notebooks.py executes it."""
    (line,) = MOVES["A notebook"]
    program, path = line.rsplit(" ", 1)
    assert program == "python -m jupyter lab"
    assert (ROOT / path).is_file()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"jupyterlab", "ipykernel", "matplotlib"} <= {re.match(r"[\w-]+", requirement)[0] for requirement in extras["notebooks"]}
