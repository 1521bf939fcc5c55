"""The data set of a run in the terminal, in run.json and in the report."""

import dataclasses
import json

import numpy as np
import pytest
from rich.console import Console

from gan_jax.cli.train_command import read_command, read_config
from gan_jax.data import DataError, Source, load_source
from gan_jax.trainer.config import Config, DataConfig, EvaluationConfig, ModelConfig, UpdateConfig
from gan_jax.trainer.evaluate import fewer_samples
from gan_jax.trainer.loop import train
from gan_jax.trainer.report import write_report
from gan_jax.trainer.small_data import fit_batch
from support.data_files import write_tree
from support.small_runs import trained

CONFIG = Config(
    recipe="folder",
    steps=1,
    batch_size=4,
    sample_every=0,
    tensorboard=False,
    data=DataConfig(source="image_folder", image_size=8),
    model=ModelConfig(name="mlp", latent_dim=2, options={"generator_hidden": "4", "discriminator_hidden": "4"}),
    evaluation=EvaluationConfig(samples=0),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a run on a folder with surprises, and what the run printed."""
    place = tmp_path_factory.mktemp("folder")
    write_tree(place / "images", {f"{kind}/{number}.png": 20 * number for kind in (10, 9) for number in range(6)}, size=(8, 8))
    write_tree(place / "images", {"9/6.png": 0}, mode="L", size=(8, 8))
    (place / "images" / "notes.txt").write_text("")
    data = dataclasses.replace(CONFIG.data, directory=place / "images")
    _, text = trained(dataclasses.replace(CONFIG, out=place / "run", data=data))
    return place / "run", text


def test_a_run_prints_what_it_found_and_what_may_surprise(finished):
    _, text = finished
    assert "data: image_folder/train, 12 images of 8x8 in colour (12 of 13 files are in colour), values 0 to 100" in text
    assert "  files: 13 image files in " in text
    assert "not read: 1 .txt" in text
    assert "  classes (by the folders): 2 of 6 images: 9, 10" in text
    assert "  held out for the metrics: 1 (by every 10th image)" in text
    assert "  note: 1 of 13 files are grey and 12 in colour; all are read in colour; try --data.channels 1" in text


def test_the_record_has_class_names_counts_and_the_summary(finished):
    directory, _ = finished
    data = json.loads((directory / "run.json").read_text())["data"]
    assert (data["class_names"], data["class_counts"]) == (["9", "10"], [6, 6])
    assert data["summary"]["sizes"] == {"8x8": 13}
    assert data["summary"]["ignored"] == {".txt": 1}
    assert any(line.endswith("try --data.channels 1") for line in data["summary"]["notices"])


def test_the_report_has_the_classes_and_the_notes(finished):
    directory, _ = finished
    page = write_report(directory).read_text()
    section = page[page.index('<section id="dataset"') :]
    section = section[: section.index("</section>")]
    assert "all are read in colour; try --data.channels 1" in section
    assert ">10</th>" in section
    assert "held_out_by" in section


def test_a_batch_larger_than_the_data_is_shrunk_with_one_line_or_refused(tmp_path):
    write_tree(tmp_path / "images", {f"{number}.png": 20 * number for number in range(7)}, size=(8, 8))
    source = load_source("image_folder", data_dir=tmp_path / "images", image_size=8)
    config, line = fit_batch(dataclasses.replace(CONFIG, batch_size=64), source)
    assert (config.batch_size, line) == (7, "the batch of 64 is larger than the 7 examples to train on: --batch-size is 7 here")
    assert fit_batch(dataclasses.replace(CONFIG, batch_size=64), source, devices=2)[0].batch_size == 6
    assert fit_batch(CONFIG, source) == (CONFIG, "")
    strict = dataclasses.replace(CONFIG, batch_size=64, data=dataclasses.replace(CONFIG.data, shrink_batch=False))
    with pytest.raises(DataError, match=r"^--batch-size 64: the data set has 7 images$"):
        fit_batch(strict, source)


def test_a_typed_batch_size_is_not_shrunk():
    for words, shrinks in (([], True), (["--batch-size", "64"], False), (["--batch-size", "64", "--data.shrink-batch"], True)):
        config, _ = read_config(read_command(["mlp_mnist", *words]))
        assert config.data.shrink_batch == shrinks


def test_one_image_trains_with_several_updates_of_the_discriminator(tmp_path):
    write_tree(tmp_path / "images", {"only.png": 100}, size=(8, 8))
    data = dataclasses.replace(CONFIG.data, directory=tmp_path / "images")
    config = dataclasses.replace(CONFIG, out=tmp_path / "run", data=data, update=UpdateConfig(discriminator_steps=2))
    assert train(config, console=Console(quiet=True)).step == 1


def test_fewer_samples_than_asked_are_said():
    held_out = Source("made", np.zeros((3, 8, 8, 1), np.uint8), None, 0, "test", "made here")
    source = dataclasses.replace(held_out, held_out=held_out)
    assert fewer_samples([{"samples": 3}], 10, source).startswith("measured 3 samples, not 10, so that they are as many as the 3 held-out")
    assert fewer_samples([{"samples": 10}], 10, source) == ""
