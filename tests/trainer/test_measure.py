"""Measurements of one set of images against another: folders, arrays, runs, and files of statistics."""

import json
import shutil
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gan_jax import metrics
from gan_jax.trainer import measure
from gan_jax.trainer.config import ConfigError
from support.scripts import assert_one_line
from support.stored_runs import store

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))
import measure_fidelity as golden

GOLDEN = json.loads(golden.OUTPUT.read_text())


def random_features():
    def apply(params, images):
        pixels = images.reshape(len(images), -1).astype(jnp.float32) / 127.5 - 1
        return jnp.maximum(pixels @ params[0], 0) @ params[1], None

    return metrics.FeatureExtractor("random", golden.random_weights(), apply, batch_size=250)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The two folders of 1,000 images that torch-fidelity measured."""
    place = tmp_path_factory.mktemp("folders")
    return {name: golden.write_folder(place / name, images) for name, images in golden.made_sets().items()}


def small(folder, count, side=16, seed=0, channels=3):
    """A folder of smooth images."""
    draws = np.random.default_rng(seed).integers(0, 256, (count, 2, 2, channels), np.uint8)
    folder.mkdir(parents=True)
    for number, image in enumerate(draws):
        picture = Image.fromarray(image if channels == 3 else image[..., 0])
        picture.resize((side, side), Image.Resampling.BILINEAR).save(folder / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


# torch-fidelity 0.4.0 (Fréchet, kernel distance, precision, recall) and prdc 0.2 (density, coverage) on the same folders.
def test_two_folders_have_torch_fidelitys_numbers(folders):
    fakes, reals = (measure.read_set(folders[name], measure.Reading()) for name in ("fakes", "reals"))
    rows = measure.measure_sets(fakes, reals, random_features())
    values = {row.metric: row.value for row in rows}
    assert values.keys() == GOLDEN.keys()
    for name, expected in GOLDEN.items():
        assert values[name] == pytest.approx(expected, rel=1e-3), name
    assert {(row.extractor, row.samples, row.reference_samples) for row in rows} == {("random", 1000, 1000)}
    assert rows[0].reference == str(folders["reals"])


def test_statistics_replace_the_reference(folders, tmp_path):
    extractor = random_features()
    fakes, reals = (measure.read_set(folders[name], measure.Reading(samples=60)) for name in ("fakes", "reals"))
    assert len(fakes.images) == 60
    names = measure.FEATURE_METRICS
    direct = measure.measure_sets(fakes, reals, extractor, names=names)
    metrics.save_statistics(tmp_path / "reals.npz", measure.reference_statistics(reals, extractor))
    stored = measure.read_set(tmp_path / "reals.npz", measure.Reading())
    assert (stored.statistics.name, stored.statistics.samples, stored.statistics.extractor) == ("reals", 60, "random")
    again = measure.measure_sets(fakes, stored, extractor, names=names)
    assert [row.value for row in again] == pytest.approx([row.value for row in direct], rel=1e-6)
    # Without images on either side no extractor is needed.
    metrics.save_statistics(tmp_path / "fakes.npz", measure.reference_statistics(fakes, extractor))
    both = measure.measure_sets(measure.read_set(tmp_path / "fakes.npz", measure.Reading()), stored, None)
    assert [row.value for row in both] == pytest.approx([row.value for row in direct], rel=1e-6)
    assert {row.extractor for row in both} == {"random"}
    with pytest.raises(ConfigError, match="were made with the extractor random, not pixels"):
        measure.measure_sets(fakes, stored, metrics.feature_extractor("pixels"))
    with pytest.raises(ConfigError, match="needs images; reals has statistics only"):
        measure.measure_sets(fakes, stored, extractor, names=["sliced_wasserstein"])


def test_the_command_measures_two_folders_of_pixels(script, tmp_path):
    a, b = small(tmp_path / "a", 12), small(tmp_path / "b", 14, seed=1)
    flags = ("--extractor", "pixels", "--save-reference", "b.npz", "--out", "records.json")
    status, out, error = script("measure", a, b, *flags)
    assert status == 0, error
    assert "12 images against 14 of" in " ".join(out.split())
    records = json.loads(Path("records.json").read_text())
    pixels = metrics.feature_extractor("pixels")
    arrays = {folder: np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]) for folder in (a, b)}
    expected = metrics.frechet_distance(pixels(arrays[b]), pixels(arrays[a]))
    assert records[0]["metric"] == "frechet_distance"
    assert records[0]["value"] == pytest.approx(expected, rel=1e-6)
    assert script("measure", a, "b.npz", "--out", "again.json")[0] == 0  # The extractor is that of the statistics.
    again = json.loads(Path("again.json").read_text())
    assert [row["metric"] for row in again] == [row["metric"] for row in records[:-1]]
    assert again[0]["value"] == pytest.approx(expected, rel=1e-6)
    status, out, _ = script("measure", a, b)
    assert status == 0
    assert "metrics on pixels" in out
    assert "spectrum_distance" in out
    assert_one_line(script("measure", a, b, "--out", "records.json"), "--out records.json: exists already")
    assert_one_line(script("measure", a, b, "--save-reference", "new.npz"), "--save-reference: needs a feature network")
    assert_one_line(script("measure", a, b, "--extractor", "pixels", "--size", "40"), "takes at most 4096 values of an image; got 4800")
    assert_one_line(script("measure", a, b, "--extractor", "vgg16"), "--weights: vgg16 needs its weight file")
    assert_one_line(script("measure", a, b, "--extractor", "digit_classifier"), "--extractor digit_classifier: takes 28x28x1")


def test_images_of_other_sizes_are_resized_only_by_a_flag_that_is_recorded(tmp_path):
    a, b = small(tmp_path / "a", 6), small(tmp_path / "b", 6, side=20)
    fakes, reals = (measure.read_set(folder, measure.Reading()) for folder in (a, b))
    with pytest.raises(ConfigError, match="images must have one shape"):
        measure.measure_sets(fakes, reals, metrics.feature_extractor("pixels"))
    fakes, reals = (measure.read_set(folder, measure.Reading(size=16, resize="stretch")) for folder in (a, b))
    (row,) = measure.measure_sets(fakes, reals, metrics.feature_extractor("pixels"), names=["frechet_distance"])
    assert row.resize == "B: stretch to 16 (Lanczos); then none"
    small(tmp_path / "b" / "more", 2, side=24)
    with pytest.raises(ConfigError, match=r"has images of 2 sizes \(20x20, 24x24.*--size"):
        measure.read_set(b, measure.Reading())


def test_rectangular_images_and_zip_archives_keep_their_size(tmp_path):
    draws = np.random.default_rng(0).integers(0, 256, (5, 10, 12, 3), np.uint8)
    for number, image in enumerate(draws):
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "a" / f"{number}.png")
    shutil.make_archive(str(tmp_path / "b"), "zip", tmp_path / "a")
    for path in (tmp_path / "a", tmp_path / "b.zip"):
        images, _, name, resize, _ = measure.read_set(path, measure.Reading())
        np.testing.assert_array_equal(images, draws)
        assert (name, resize) == (str(path), "none")
    assert measure.read_set(tmp_path / "b.zip", measure.Reading(size=8)).resize == "crop to 8 (Lanczos)"


def test_grey_images_are_compared_with_colour_images_as_three_equal_channels(tmp_path):
    grey, colour = small(tmp_path / "a", 6, channels=1), small(tmp_path / "b", 6)
    fakes, reals = (measure.read_set(folder, measure.Reading()) for folder in (grey, colour))
    assert (fakes.images.shape[-1], reals.images.shape[-1]) == (1, 3)
    (row,) = measure.measure_sets(fakes, reals, metrics.feature_extractor("pixels"), names=["frechet_distance"])
    assert row.details["dim"] == 16 * 16 * 3


def test_samples_of_a_run_against_an_array(script, tmp_path):
    run = store(tmp_path / "run", "stacked_small")
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "images.npz", arr_0=images)
    assert script("measure", run, "images.npz", "--samples", "9", "--seed", "4", "--out", "records.json")[0] == 0
    record = json.loads(Path("records.json").read_text())[0]
    assert (record["samples"], record["reference_samples"], record["seed"], record["ema"]) == (9, 9, 4, True)
    assert script("sample", run, "--count", "9", "--seed", "4", "--out", "samples.npz")[0] == 0
    with np.load("samples.npz") as file:
        np.testing.assert_array_equal(measure.read_set(run, measure.Reading(samples=9, seed=4)).images, file["images"])


def test_features_and_moments_of_any_origin(tmp_path):
    features = np.random.default_rng(0).normal(size=(2, 50, 6))
    np.savez(tmp_path / "a.npz", features=features[0])
    np.savez(tmp_path / "b.npz", mu=features[1].mean(0), sigma=np.cov(features[1], rowvar=False))  # As pytorch-fid writes it.
    a, b = (measure.read_set(tmp_path / f"{name}.npz", measure.Reading()) for name in "ab")
    (row,) = measure.measure_sets(a, b, None)
    assert row.value == pytest.approx(metrics.frechet_distance(features[1], features[0]), rel=1e-9)
    assert (row.metric, row.samples, row.reference_samples, row.extractor) == ("frechet_distance", 50, 0, "unknown")
    with pytest.raises(ConfigError, match=r"b.npz has their mean and covariance only"):
        measure.measure_sets(a, b, None, names=["kernel_distance"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": np.zeros((2, 8, 8, 3), np.float32)}, "images must be uint8"),
        ({"mu": np.zeros(3)}, "must hold the arrays features, or mu and sigma"),
        ({"mu": np.zeros(3), "sigma": np.zeros((2, 2))}, r"sigma \[dim, dim\]"),
        ({"features": np.full((3, 2), np.nan)}, "must be finite"),
        ({"features": np.zeros((3, 2)), "protocol": np.array("[")}, "not a readable npz file"),
        ({"features": np.array([{}, {}])}, "not a readable npz file"),
    ],
)
def test_files_that_are_no_sets(tmp_path, content, message):
    np.savez(tmp_path / "set.npz", **content)
    with pytest.raises(ConfigError, match=message):
        measure.read_set(tmp_path / "set.npz", measure.Reading())


def test_paths_that_are_no_sets(script, tmp_path):
    assert_one_line(script("measure", "nowhere", "nowhere"), "nowhere: no such folder, run or file")
    (tmp_path / "notes.txt").write_text("")
    assert_one_line(script("measure", "notes.txt", "nowhere"), "must be a folder of images")
    (tmp_path / "empty").mkdir()
    assert_one_line(script("measure", "empty", "nowhere"), "empty: has no images")
    (tmp_path / "broken.npz").write_bytes(b"PK")
    assert_one_line(script("measure", "broken.npz", "nowhere"), "broken.npz: not a readable npz file")
    for flags in (["--samples", "1"], ["--size", "4"], ["--metrics", "beauty"]):
        assert_one_line(script("measure", "a", "b", *flags), flags[0])
