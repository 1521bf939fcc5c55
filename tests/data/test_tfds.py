"""TFDS data sets without TensorFlow: TFDS's own mock data, and a small data set that TFDS itself writes and reads."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from gan_jax.data import DataError, Feed, load_source

tfds = pytest.importorskip("tensorflow_datasets", reason="tensorflow-datasets is not installed (pip install -e '.[tfds]')")
pytest.importorskip("importlib_resources", reason="TFDS needs importlib_resources to make a data set")
pytest.importorskip("array_record", reason="TFDS needs array_record for random access")


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    """Constant images whose value is their index."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"image": tfds.features.Image(shape=(28, 28, 1)), "label": tfds.features.ClassLabel(names=["even", "odd"])}
        return tfds.core.DatasetInfo(builder=self, description="flat pictures", features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 30), "test": self._generate_examples(30, 40)}

    def _generate_examples(self, start, end):
        for number in range(start, end):
            file = io.BytesIO()
            Image.new("L", (28, 28), number).save(file, "PNG")
            file.seek(0)
            yield number, {"image": file, "label": number % 2}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return tmp_path_factory.mktemp("tfds")


def test_mock_data_come_in_the_form_of_every_source():
    with tfds.testing.mock_data(num_examples=20):
        source = load_source("tfds:cifar10")
        assert (source.name, source.shape, source.images.dtype) == ("tfds:cifar10", (32, 32, 3), np.uint8)
        assert (len(source), len(source.labels), source.num_classes, len(source.class_names)) == (20, 20, 10, 10)
        assert load_source("tfds:cifar10", image_size=64, channels=1).shape == (64, 64, 1)
        assert load_source("tfds:mnist", split="test").shape == (32, 32, 1)
    assert "tensorflow" not in sys.modules


def test_data_set_on_disk_is_read_with_its_held_out_part(prepared):
    source = load_source("tfds:tiny_pictures", data_dir=prepared)
    assert (len(source), len(source.held_out), source.held_out.split) == (30, 10, "test")
    assert source.shape == (32, 32, 1)
    values = source.images[:, 16, 16, 0]
    assert sorted(values.tolist()) == list(range(30))
    assert (source.labels == values % 2).all()
    assert (source.images[:, :2] == 0).all()
    assert source.class_names == ("even", "odd")
    assert sorted(source.held_out.images[:, 16, 16, 0].tolist()) == list(range(30, 40))
    assert len(load_source("tfds:tiny_pictures", data_dir=prepared, split="train[:50%]")) == 15
    assert load_source("tfds:tiny_pictures", data_dir=prepared, split="test").held_out is None


def test_data_set_that_does_not_fit_is_read_as_needed(prepared, monkeypatch):
    whole = load_source("tfds:tiny_pictures", data_dir=prepared)
    monkeypatch.setattr("gan_jax.data.from_tfds.MEMORY_SIZE", 0)
    lazy = load_source("tfds:tiny_pictures", data_dir=prepared)
    assert not isinstance(lazy.images, np.ndarray)
    assert (lazy.labels == whole.labels).all()
    with Feed(lazy, batch_size=8, pipeline="stream", workers=2) as feed:
        got, expected = feed.chunk(3, 1), Feed(whole, batch_size=8).batches.at(3)
        assert (np.asarray(got["image"][0]) == expected["image"]).all()
        assert (np.asarray(got["label"][0]) == expected["label"]).all()


def test_what_tfds_cannot_give_is_said_in_one_line(prepared):
    with tfds.testing.mock_data(num_examples=5):
        cases = [
            ("tfds:no_such_thing", {}, r'^name="tfds:no_such_thing": .*not found'),
            ("tfds:imdb_reviews", {}, r"the data set has no images; its features are text, label"),
            ("tfds:oxford_flowers102", {}, r"^image_size: tfds:oxford_flowers102 has images of many sizes; give the size wanted"),
            ("tfds:cifar10", {"channels": 2}, r"^channels=2"),
        ]
        for name, options, message in cases:
            with pytest.raises(DataError, match=message) as caught:
                load_source(name, **options)
            assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r'^name="tfds:tiny_pictures": .*[Uu]nknown split'):
        load_source("tfds:tiny_pictures", data_dir=prepared, split="nothing")


def test_missing_tfds_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(DataError, match=r"install it with: pip install 'gan-jax\[tfds\]'"):
        load_source("tfds:cifar10")
