"""The flag of the folder of decoded images."""

import dataclasses

import numpy as np
import pytest

from gan_jax.data import decoded_cache
from gan_jax.trainer.build.data import decoded_images_folder, load_data
from gan_jax.trainer.config import Config, ConfigError, DataConfig, check
from support.data_files import tree


def test_the_folder_of_a_value(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert decoded_images_folder("auto") == tmp_path / "gan_jax" / "images"
    assert decoded_images_folder("off") is None
    assert decoded_images_folder(str(tmp_path / "mine")) == tmp_path / "mine"


def test_the_flag_decides_whether_images_are_stored(monkeypatch, tmp_path):
    monkeypatch.setattr(decoded_cache, "LEAST", 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    data = DataConfig(source="image_folder", directory=tree(tmp_path / "images", count=10), image_size=12, split="all")
    images = {}
    for value in ("off", str(tmp_path / "mine"), "auto"):
        images[value] = load_data(Config(data=dataclasses.replace(data, cache=value))).images[:]
        np.testing.assert_array_equal(images[value], images["off"])
    assert [len(list(folder.rglob("*.npy"))) for folder in (tmp_path / "mine", tmp_path / "home" / "gan_jax" / "images")] == [1, 1]


@pytest.mark.parametrize("value", ["", "a\0b"])
def test_a_folder_that_cannot_exist_is_refused(value):
    with pytest.raises(ConfigError, match="must be auto, off, or a folder"):
        check(Config(data=DataConfig(cache=value)))
