"""Samples of a run by seed, along paths, and in files."""

import dataclasses
import json
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax import latents
from gan_jax.trainer import sample_files, sampling
from gan_jax.trainer.config import ConfigError
from gan_jax.trainer.image_grid import to_uint8
from support.scripts import assert_one_line, load_script
from support.stored_runs import loaded_mlp, store


@pytest.fixture(scope="module")
def run():
    return loaded_mlp()


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """The directory of an untrained run."""
    return store(tmp_path_factory.mktemp("runs") / "small", "stacked_small")


RAW = sampling.Weights(ema=False)


def test_a_seed_gives_one_sample_whatever_the_others_are(run):
    images, labels, _ = sampling.samples_of_seeds(run, [7, 3, 7, 12], weights=RAW)
    np.testing.assert_array_equal(images[0], images[2])
    assert labels[0] == labels[2]
    alone, its_label, _ = sampling.samples_of_seeds(run, [12], weights=RAW)
    np.testing.assert_array_equal(alone[0], images[3])
    assert its_label[0] == labels[3]
    assert len({image.tobytes() for image in images}) == 3
    expected = run.built.gan.sample(run.params, run.opt_state, jax.random.key(3), 1, ema=False)
    assert np.abs(images[1].astype(int) - to_uint8(np.asarray(expected))[0]).max() <= 1
    assert set(sampling.samples_of_seeds(run, [1, 2], weights=RAW, label=4).labels) == {4}


def test_the_points_of_a_walk_are_the_samples_of_its_seeds(run):
    points = sampling.anchors(run, 3, seed=0, seeds=[5, 6, 7], weights=RAW)
    options = {"walks": 1, "weights": RAW, "label": 2}
    closed = sampling.walk(run, points, steps=4, closed=True, **options)
    assert closed.images.shape == (12, 8, 8, 1)
    assert set(closed.labels) == {2}
    of_seeds = sampling.samples_of_seeds(run, [5, 6, 7], weights=RAW, label=2).images
    assert np.abs(closed.images[::4].astype(int) - of_seeds).max() <= 1
    open_walk = sampling.walk(run, points, steps=4, closed=False, **options)
    np.testing.assert_array_equal(open_walk.images, closed.images[:9])
    side_by_side = sampling.walk(run, points[np.array([0, 1, 1, 2])], steps=2, closed=False, walks=2, weights=RAW)
    assert side_by_side.images.shape == (3, 12, 22, 1)  # Two columns of 8 pixels and three margins of 2.


def test_truncation_bounds_the_points_of_a_path(run):
    weights = sampling.Weights(ema=False, truncation=0.5)
    points = np.asarray(sampling.anchors(run, 40, seed=0, weights=weights))
    assert np.abs(points).max() <= 0.5
    assert np.abs(sampling.anchors(run, 40, seed=0, weights=RAW)).max() > 1
    by_seed = np.asarray(sampling.anchors(run, 2, seed=0, seeds=[3, 4], weights=weights))
    drawn = latents.truncated_normal(sampling.named_key(jax.random.key(4), "latents"), (1, 5), threshold=0.5)
    np.testing.assert_array_equal(by_seed[1:], drawn)
    rows = sampling.interpolations(run, points[:4], steps=3, weights=weights)
    assert (rows.images.shape, rows.columns) == ((6, 8, 8, 1), 3)


def test_truncation_is_refused_for_latents_that_are_not_normal(run):
    sample = load_script("sample")
    model = dataclasses.replace(run.config.model, latents="spherical")
    spherical = run._replace(config=dataclasses.replace(run.config, model=model))
    with pytest.raises(ConfigError, match="the latents of the run are spherical"):
        sample.check_model(sample.Flags("run", truncation=1.0), spherical)
    sample.check_model(sample.Flags("run", truncation=1.0), run)


def test_single_images_at_their_own_size_with_their_classes(tmp_path):
    images = np.arange(3 * 8 * 6 * 3, dtype=np.uint8).reshape(3, 8, 6, 3)
    sample_files.save_folder(tmp_path / "folder", images, np.array([2, 0, 1]), ending="webp")
    files = sorted((tmp_path / "folder").glob("*.webp"))
    assert [file.name for file in files] == ["000000.webp", "000001.webp", "000002.webp"]
    for file, image in zip(files, images, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(file)), image)
    rows = json.loads((tmp_path / "folder" / "dataset.json").read_text())["labels"]
    assert rows == [["000000.webp", 2], ["000001.webp", 0], ["000002.webp", 1]]


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_an_animation_has_all_its_frames_at_their_speed(tmp_path, ending):
    frames = np.random.default_rng(0).integers(0, 256, (130, 9, 7, 1), np.uint8)
    sample_files.save_animation(tmp_path / "walk", frames, ending=ending, fps=25, scale=2)
    with Image.open(tmp_path / "walk") as file:
        assert (file.n_frames, file.size, file.format) == (130, (14, 18), ending.upper())
        file.seek(129)
        np.testing.assert_array_equal(np.asarray(file.convert("L"))[::2, ::2], frames[129, ..., 0])
        assert file.info["duration"] == 40


def test_a_film_has_even_sides_and_all_frames(tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="mp4 files need the extra `video`")
    frames = np.zeros((12, 33, 64, 3), np.uint8)
    frames[:, :, 32:] = np.arange(0, 240, 20)[:, None, None, None]
    sample_files.save_animation(tmp_path / "walk.mp4", frames, ending="mp4", fps=12)
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "walk.mp4"))
    about = next(reader)
    assert (about["size"], about["fps"]) == ((64, 34), 12.0)
    read = np.stack([np.frombuffer(frame, np.uint8).reshape(34, 64, 3) for frame in reader])
    assert len(read) == 12
    assert np.abs(read[:, :33].astype(int) - frames).mean() < 4  # H.264 loses a little.


def test_a_film_without_its_package_is_refused_before_anything_is_loaded(script, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setattr(sample_files, "has_ffmpeg", lambda: False)
    assert_one_line(script("sample", "run", "--walk", "3", "--out", "walk.mp4"), "needs the package imageio-ffmpeg", "gan-jax[video]")


def test_the_command_writes_what_its_flags_say(script, directory, tmp_path):
    def written(*flags):
        status, out, error = script("sample", directory, *flags)
        assert status == 0, error
        return tmp_path / out.strip()

    folder = written("--seeds", "3,10-11", "--out", "faces", "--separate")
    assert sorted(path.name for path in folder.iterdir()) == ["seed0003.png", "seed0010.png", "seed0011.png"]
    assert Image.open(folder / "seed0003.png").size == (8, 8)
    assert_one_line(script("sample", directory, "--out", "faces", "--separate"), "--out faces: exists already")
    assert Image.open(written("--seeds", "0-3")).size == (22, 22)  # At its own scale.
    assert Image.open(written("--count", 4, "--out", "grid.webp", "--scale", 3)).size == (66, 66)
    with np.load(written("--count", 5, "--out", "images.npz")) as file:
        assert file["images"].shape == (5, 8, 8, 1)
        assert file["images"].dtype == np.uint8
    with Image.open(written("--walk", 2, "--frames", 3, "--truncation", 0.7, "--out", "walk.webp")) as file:
        assert file.format == "WEBP"
    frames = written("--walk", 2, "--frames", 3, "--no-closed", "--separate")
    assert frames == directory / "pictures" / "samples"
    assert len(list(frames.iterdir())) == 4


@pytest.mark.parametrize("ema", [True, False])
def test_a_folded_run_gives_the_same_samples(ema):
    run = loaded_mlp("8,8")
    folded = sampling.folded(run, ema=ema)
    assert "norms" in folded.params.generator
    weights = sampling.Weights(ema=ema)
    images, labels, columns = sampling.independent_samples(run, 6, seed=1, weights=weights)
    again, same_labels, same_columns = sampling.independent_samples(folded, 6, seed=1, weights=weights)
    assert np.abs(images.astype(int) - again).max() <= 1
    np.testing.assert_array_equal(labels, same_labels)
    assert columns == same_columns
    narrow, *_ = sampling.independent_samples(sampling.folded(run, ema=ema, precision="bfloat16"), 6, seed=1, weights=weights)
    assert 0 < np.abs(images.astype(int) - narrow).max() < 30
