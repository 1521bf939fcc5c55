"""Image files that are damaged or deleted before a resume or during training. A line and run.json name them."""

import json

import numpy as np
import pytest
from PIL import Image

from gan_jax.data import Feed, folder
from gan_jax.trainer.report import judge, read_run
from gan_jax.trainer.report.page import facts
from support.scripts import assert_one_line

FLAGS = [
    *("mlp_mnist", "--out", "run", "--data.source", "image_folder", "--data.directory", "pictures", "--data.image-size", "8"),
    *(
        "--epochs",
        "0",
        "--batch-size",
        "4",
        "--model.latent-dim",
        "4",
        "--model.options",
        "generator_hidden",
        "8",
        "discriminator_hidden",
        "8",
    ),
    *("--log-every", "1", "--sample-every", "0", "--checkpoint-every", "2", "--evaluation.samples", "0", "--no-tensorboard"),
    *("--compilation-cache", "none"),
]


@pytest.fixture
def pictures(tmp_path):
    """A folder of forty images. Every tenth is held out."""
    place = tmp_path / "pictures"
    place.mkdir()
    draws = np.random.default_rng(0)
    for number in range(40):
        Image.fromarray(draws.integers(0, 256, (8, 8), np.uint8)).save(place / f"{number:02d}.png")
    return place


def passed_over(tmp_path):
    return json.loads((tmp_path / "run" / "run.json").read_text())["data"]["passed_over"]


def one_line(text):
    return " ".join(text.split())


def test_a_damaged_image_is_skipped_and_recorded(script, pictures, tmp_path):
    (pictures / "03.png").write_bytes(b"no picture")
    status, _, error = script("train", *FLAGS, "--steps", "2")
    assert status == 0, error
    assert "skipped 1 of 36 files: pictures/03.png" in one_line(error)
    found = passed_over(tmp_path)
    assert found["count"] == 1
    assert "pictures/03.png: not a readable picture" in found["files"][0]
    stopped = script("train", *FLAGS, "--steps", "2", "--out", "other", "--data.on-corrupt", "stop")
    assert_one_line(stopped, "pictures/03.png", "not a readable")
    assert not (tmp_path / "other").exists()


def test_resuming_with_a_changed_folder_fails(script, pictures):
    assert script("train", *FLAGS, "--steps", "2")[0] == 0
    whole = {name: (pictures / name).read_bytes() for name in ("05.png", "06.png")}
    for name in whole:
        (pictures / name).unlink()
    assert_one_line(script("train", "--resume", "run", "--steps", "4"), "the data set shrank from 36 to 35 examples")
    # The number of files is the same, but two of them have changed.
    for name in whole:
        Image.new("L", (8, 8)).save(pictures / name)
    assert_one_line(script("train", "--resume", "run", "--steps", "4"), "not the one that the run began with")
    for name, content in whole.items():
        (pictures / name).write_bytes(content)
    assert script("train", "--resume", "run", "--steps", "4")[0] == 0


@pytest.fixture
def vanishing(monkeypatch, pictures):
    """Streams the folder from the disk, like a folder that is larger than the memory, and deletes files at a step."""
    monkeypatch.setattr(folder, "MEMORY_SIZE", 0)

    def at(step, names, with_text=None):
        class Watched(Feed):
            def chunk(self, start, count):
                if start == step:
                    for name in names:
                        (pictures / name).unlink() if with_text is None else (pictures / name).write_text(with_text)
                return super().chunk(start, count)

        monkeypatch.setattr("gan_jax.trainer.build.data.Feed", Watched)

    return at


STREAM = [*FLAGS, "--data.pipeline", "stream", "--data.workers", "1", "--steps", "24"]


def test_an_image_deleted_during_training_is_named_and_replaced_by_the_next(script, vanishing, tmp_path):
    vanishing(2, ["07.png"])
    status, _, error = script("train", *STREAM)
    assert status == 0, error
    assert "warning: skipped pictures/07.png: no such file (1 of 36 files so far)" in one_line(error)
    assert passed_over(tmp_path) == {"count": 1, "files": ["pictures/07.png: no such file"]}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["step"] == 24


def test_an_image_damaged_during_training_ends_the_run_with_on_corrupt_stop(script, vanishing, tmp_path):
    vanishing(2, ["07.png"], with_text="no picture any more")
    status, _, error = script("train", *STREAM, "--data.on-corrupt", "stop")
    assert status == 2
    assert error.splitlines()[-1].startswith("error: pictures/07.png: not a readable picture")
    assert "Traceback" not in error
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["status"], "pictures/07.png" in record["error"]) == ("failed", True)
    read = read_run(tmp_path / "run")
    assert judge(read).headline == "The run ended with an error: no failure of the training was found"
    assert "07.png" in dict(facts(read))["Ended by"]
    # The checkpoint from before is intact.
    assert list((tmp_path / "run" / "checkpoints").glob("step_*"))


def test_a_data_set_deleted_during_training_ends_the_run(script, vanishing, pictures):
    vanishing(2, [f"{number:02d}.png" for number in range(10, 19)])
    status, _, error = script("train", *STREAM)
    assert status == 2
    assert "Traceback" not in error
    assert "error: pictures: the data set shrank: 4 of 36 files are gone" in one_line(error)
