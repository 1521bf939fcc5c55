"""What goes on from a run: `--init-from`, frozen layers, and commands after the images of a run are gone."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from gan_jax import load_generator
from gan_jax.data import DataError
from gan_jax.data.missing import missing_source, why_missing
from gan_jax.gan.transfer import flat
from gan_jax.trainer.config import load_config
from gan_jax.trainer.image_grid import image_grid
from gan_jax.trainer.loaded_run import load_run
from gan_jax.trainer.writers.samples import sampler
from support.scripts import assert_one_line, load_script

FLAGS = [
    *("--model.width", "4", "--model.latent-dim", "6", "--batch-size", "4", "--image-size", "8", "--evaluation.samples", "0"),
    *("--no-tensorboard", "--monitor.no-enabled", "--checkpoint-every", "0", "--log-every", "1", "--steps", "2"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of images, a run on them that is conditioned on their classes, and its exported generator."""
    place = tmp_path_factory.mktemp("next")
    for number in range(12):
        path = place / "images" / ("disc", "square")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 20 * number, np.uint8)).save(path)
    data = ["--data.source", "image_folder", "--data.directory", str(place / "images"), "--model.conditional"]
    load_script("train").main(["dcgan_mnist", *FLAGS, *data, "--sample-every", "0", "--out", str(place / "parent")])
    load_script("export").main([str(place / "parent")])
    return place


@pytest.fixture
def train(script, place, tmp_path):
    """Trains with the given flags and returns the directory, run.json and what was printed."""

    def train(*flags, name="child"):
        status, _, error = script("train", "dcgan_mnist", *FLAGS, *map(str, flags), "--out", str(tmp_path / name))
        assert status in (0, None), error
        return tmp_path / name, json.loads((tmp_path / name / "run.json").read_text()), error

    return train


def first_grid(run):
    return np.asarray(Image.open(run / "samples" / "step_00000000.png"))


@pytest.fixture(scope="module")
def folder_flags(place):
    return ["--data.source", "image_folder", "--data.directory", place / "images", "--model.conditional", "--sample-every", "1"]


def test_a_run_begins_with_the_weights_of_a_run_or_of_a_file(place, train, folder_flags, script):
    origins = {"run": place / "parent", "file": place / "parent" / "generator.safetensors"}
    grids, records = {}, {}
    for name, origin in origins.items():
        run, record, printed = train(*folder_flags, "--init-from", origin, "--steps", "0", name=name)
        grids[name], records[name] = first_grid(run), record["init_from"]
        assert f"--init-from {record['init_from']['path']}" in printed.replace("\n", "")
    parent = load_run(place / "parent")
    expected = image_grid(sampler(parent.config, parent.built, parent.source)(parent.params, parent.opt_state))
    for grid in grids.values():
        np.testing.assert_allclose(grid[::2, ::2].squeeze().astype(int), expected.squeeze(), atol=1)
    assert [record["step"] for record in records.values()] == [2, None]
    assert records["run"]["path"] == str(
        place / "parent" / "checkpoints" / "step_00000002"
    )  # The checkpoint of that moment, so that the run can be repeated.
    assert records["run"]["new_layers"] == {"generator": {}, "discriminator": {}}
    assert records["file"]["layers"]["discriminator"] == 0
    assert load_config(place / "parent" / "config.yaml").init_from is None


def test_layers_that_do_not_fit_are_named(place, train):
    _, record, printed = train("--init-from", place / "parent", "--sample-every", "0", "--steps", "0")
    assert record["init_from"]["new_layers"]["generator"], "the parent is conditional, and this run is not"
    assert re.search(r"new layers of the generator: \w+.* \(.*here.*\)", " ".join(printed.split()))


def test_a_model_that_shares_no_layer_is_refused_and_nothing_is_written(script, place, tmp_path):
    result = script(
        "train", "mlp_mnist", "--image-size", "8", "--batch-size", "4", "--init-from", place / "parent", "--out", tmp_path / "no"
    )
    assert_one_line(result, f"--init-from {place / 'parent'}", "no layer fits", "--config RUN/config.yaml")
    (tmp_path / "empty").mkdir()
    for path, words in [(tmp_path / "none", "must be a run with a checkpoint"), (tmp_path / "empty", "must be a run with a checkpoint")]:
        assert_one_line(script("train", "dcgan_mnist", *FLAGS, "--init-from", path, "--out", tmp_path / "no"), f"--init-from {path}", words)
    assert not (tmp_path / "no").exists()


def test_frozen_layers_keep_the_weights_of_the_parent(place, train, folder_flags):
    parent = load_run(place / "parent")
    names = list(dict.fromkeys(path.partition("/")[0] for path in flat(parent.params.discriminator)))
    frozen = names[0]
    flags = ("--init-from", place / "parent", "--freeze-layers", f"discriminator:{frozen}", "--sample-every", "0")
    run, _, _ = train(*folder_flags, *flags)
    child = load_run(run)
    assert child.config.update.freeze_layers == (f"discriminator:{frozen}",)
    for path, leaf in flat(child.params.discriminator).items():
        same = np.array_equal(leaf, flat(parent.params.discriminator)[path])
        assert same == path.startswith(f"{frozen}/"), path


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("discriminator", "must be generator:REGEX or discriminator:REGEX"),
        ("both:x", "must be generator:REGEX or discriminator:REGEX"),
        ("generator:(", "no regular expression"),
        ("generator:nothing", "matches no layer; the layers are "),
    ],
)
def test_wrong_patterns(script, tmp_path, value, words):
    result = script("train", "dcgan_mnist", *FLAGS, "--freeze-layers", value, "--out", tmp_path / "no")
    assert_one_line(result, f"--update.freeze-layers {value}", words)
    assert not (tmp_path / "no").exists()


def test_a_resumed_run_does_not_read_the_weights_again(place, train, folder_flags, script):
    parent = place / "copy"
    shutil.copytree(place / "parent", parent)
    run, record, _ = train(*folder_flags, "--init-from", parent, "--sample-every", "0", "--steps", "1")
    shutil.rmtree(parent)
    status, _, error = script("train", "--resume", run, "--steps", "2")
    assert status in (0, None), error
    resumed = json.loads((run / "run.json").read_text())
    assert (resumed["step"], resumed["init_from"]) == (2, record["init_from"])


@pytest.fixture(scope="module")
def moved(place):
    """The run after its images were moved away."""
    shutil.copytree(place / "parent", place / "moved")
    shutil.copytree(place / "images", place / "gone")
    shutil.rmtree(place / "gone")
    config = (place / "moved" / "config.yaml").read_text().replace(str(place / "images"), str(place / "gone"))
    (place / "moved" / "config.yaml").write_text(config)
    return place / "moved"


def test_a_run_without_its_images_is_loaded(moved, place):
    run, parent = load_run(moved), load_run(place / "parent")
    assert run.source.shape == parent.source.shape
    assert (run.source.num_classes, run.source.class_names, len(run.source)) == (2, ("disc", "square"), len(parent.source))
    assert "gone" in why_missing(run.source)
    assert not why_missing(parent.source)
    with pytest.raises(DataError, match=r"the images of the run are needed for this, and they are gone: --data.directory .*gone"):
        run.source.images[0]


def test_a_run_without_its_images_is_sampled_exported_and_reported(script, moved, place):
    for command in (["sample", moved, "--count", "4", "--label", "1"], ["export", moved], ["report", moved]):
        status, printed, error = script(*map(str, command))
        assert status in (0, None), error
        assert "Traceback" not in error
        if command[0] != "report":
            assert "notice: --data.directory" in error
            assert "come from run.json" in error
        assert str(moved) in printed
    first, second = (load_generator(run / "generator.safetensors") for run in (moved, place / "parent"))
    np.testing.assert_array_equal(
        first(np.ones((2, 6), np.float32), np.array([0, 1])), second(np.ones((2, 6), np.float32), np.array([0, 1]))
    )
    assert (moved / "report.html").is_file()


def test_classes_are_named_when_sampling_and_inverting(script, place, tmp_path):
    image = sorted((place / "images" / "square").iterdir())[0]
    flags = ("--steps", "2", "--starts", "2", "--label")
    status, printed, error = script("invert", image, place / "parent", *flags, "square", "--out", tmp_path / "latents.npz")
    assert status in (0, None), error
    assert "class square" in printed
    with np.load(tmp_path / "latents.npz") as file:
        assert file["label"] == [1]
    for command in (("sample", place / "parent", "--label", "circle"), ("invert", image, place / "parent", *flags, "circle")):
        assert_one_line(script(*command), "--label circle: the model has 2 classes; must be disc, square or 0 to 1")


def test_a_run_without_its_images_is_evaluated_without_reals(script, moved):
    (moved / "metrics.json").write_text(json.dumps([{"metric": "sliced_wasserstein", "value": 3.0}]))
    status, _, error = script("evaluate", str(moved), "--samples", "8")
    assert status in (0, None), error
    kept, ssim = json.loads((moved / "metrics.json").read_text())
    assert kept == {"metric": "sliced_wasserstein", "value": 3.0}
    assert (ssim["metric"], ssim["real"], ssim["reference"], ssim["reference_samples"]) == ("ms_ssim", None, "none", 0)
    status, _, error = script("evaluate", str(moved), "--samples", "8", "--metrics", "sliced_wasserstein")
    assert status == 2
    assert error.splitlines()[-1].startswith("error: --metrics sliced_wasserstein: needs the images of the run, which are gone: --data.dir")


def test_a_record_that_is_incomplete_is_named():
    with pytest.raises(DataError, match="no such directory; and the record of the data is incomplete"):
        missing_source({"examples": 3}, "no such directory")
