"""Local data sets of Hugging Face `datasets`: a saved directory, and a Parquet file."""

import io

import numpy as np
import pytest
from PIL import Image

from gan_jax.data import DataError, load_source, summarize


def test_without_the_package_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(DataError, match=r"^name=\"hf:x\": needs datasets .*; install it with: pip install 'gan-jax\[datasets\]'$"):
        load_source("hf:x")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    library = pytest.importorskip("datasets", reason="needs the extra: pip install 'gan-jax[datasets]'")
    library.disable_progress_bars()
    return library


def png(value):
    file = io.BytesIO()
    Image.fromarray(np.full((12, 12, 3), (value, 0, 255 - value), np.uint8)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def made(datasets, count, names=("cat", "dog")):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))})
    return datasets.Dataset.from_dict({"image": [png(n) for n in range(count)], "label": [n % 2 for n in range(count)]}, features=features)


def test_a_saved_data_set_with_two_splits(datasets, tmp_path):
    datasets.DatasetDict({"train": made(datasets, 6), "test": made(datasets, 2)}).save_to_disk(tmp_path / "saved")
    source = load_source(f"hf:{tmp_path / 'saved'}", image_size=12)
    assert (source.shape, len(source), len(source.held_out), source.class_names) == ((12, 12, 3), 6, 2, ("cat", "dog"))
    assert source.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert source.labels.tolist() == [0, 1] * 3
    assert "by the column label" in "\n".join(summarize(source).lines())
    with pytest.raises(DataError, match="has train, test"):
        load_source(f"hf:{tmp_path / 'saved'}", split="validation")
    again = load_source(f"hf:{tmp_path / 'saved'}", image_size=12)
    assert again.fingerprint() == source.fingerprint()


@pytest.mark.parametrize(("split", "count"), [("train", 9), ("test", 1), ("all", 10)])
def test_a_parquet_file_is_split(datasets, tmp_path, split, count):
    made(datasets, 10).to_parquet(tmp_path / "x.parquet")
    source = load_source(f"hf:{tmp_path / 'x.parquet'}", image_size=12, split=split, data_dir=tmp_path / "cache")
    assert (len(source), source.class_names) == (count, ("cat", "dog"))


def test_a_damaged_record_is_named_and_a_data_set_without_images_refused(datasets, tmp_path):
    rows = made(datasets, 3).to_dict()
    rows["image"][1] = {"bytes": b"no image", "path": None}
    datasets.Dataset.from_dict(rows, features=made(datasets, 1).features).save_to_disk(tmp_path / "damaged")
    with pytest.warns(UserWarning, match="train/1: not a readable picture"):
        assert len(load_source(f"hf:{tmp_path / 'damaged'}", split="all")) == 2
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "text")
    with pytest.raises(DataError, match="the data set has no images; its columns are text"):
        load_source(f"hf:{tmp_path / 'text'}")
    with pytest.raises(DataError, match="absent"):
        load_source(f"hf:{tmp_path / 'absent'}")
