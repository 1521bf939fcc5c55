"""The folder for the Hugging Face Hub, and generators from its local cache. Nothing is downloaded."""

import json
import re

import jax
import numpy as np
import pytest
import yaml
from PIL import Image

import gan_jax
from gan_jax.export.hub import HubAddress, parse_address
from support.scripts import assert_one_line
from support.stored_runs import store

MISSING = "needs the extra `hub` (huggingface_hub)"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with the files that a training writes."""
    directory = store(tmp_path_factory.mktemp("runs") / "small", "stacked_small")
    data = {"source": "mnist5k", "split": "train", "examples": 4000, "shape": [8, 8, 1], "num_classes": 10, "provenance": "MNIST | digits"}
    data["class_names"] = [f"digit {number}" for number in range(10)]
    record = {"status": "finished", "seed": 7, "device": "cpu", "versions": {"jax": "0.10"}, "data": data}
    (directory / "run.json").write_text(json.dumps(record))
    row = {"metric": "precision", "value": 0.25, "real": 0.75, "samples": 500, "extractor": "digit_classifier", "seed": 0, "ema": True}
    (directory / "metrics.json").write_text(json.dumps([row]))
    return directory


@pytest.fixture
def folder(run, script, tmp_path):
    status, out, error = script("export", run, "--out", "weights.safetensors", "--hub", "digits", "--license", "cc-by-4.0")
    assert status == 0, error
    assert "hf upload USER/digits digits" in out
    return tmp_path / "digits"


def test_the_folder_has_the_generator_and_the_facts_of_its_run(folder, run, script):
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "generator.safetensors", "samples.png"]
    config = json.loads((folder / "config.json").read_text())
    assert (config["library_name"], config["model"]) == ("gan_jax", "dcgan")
    assert config["options"]["image_size"] == 8
    assert Image.open(folder / "samples.png").size == (82, 82)
    generator = gan_jax.load_generator(folder)
    np.testing.assert_array_equal(
        generator.sample(jax.random.key(0), 2), gan_jax.load_generator(folder / "generator.safetensors").sample(jax.random.key(0), 2)
    )
    card = (folder / "README.md").read_text()
    _, metadata, text = card.split("---\n", 2)
    metadata = yaml.safe_load(metadata)
    assert metadata["license"] == "cc-by-4.0"
    assert metadata["library_name"] == "gan_jax"
    assert metadata["pipeline_tag"] == "unconditional-image-generation"
    for fact in (
        "# digits",
        "8x8x1",
        "| Images | 4000 |",
        "| Classes | 10 (digit 0, digit 1,",
        "| Origin | MNIST \\| digits |",
        "| Versions | jax 0.10 |",
        "`cc-by-4.0`",
    ):
        assert fact in text
    assert re.search(r"\| precision \| 0.25 \| 0.75 \| 500 samples, extractor digit_classifier, seed 0, EMA weights \|", text)
    assert str(run) not in card


def test_a_folder_is_never_overwritten(folder, run, script):
    assert_one_line(script("export", run, "--hub", "digits"), "--hub digits: exists already")
    assert_one_line(script("export", run, "--license", "mit"), "--license: needs --hub")


def cached(folder, cache, repository, commit="0" * 40):
    """Puts the folder into the local cache of the Hub, in its layout."""
    place = cache / ("models--" + repository.replace("/", "--"))
    (place / "snapshots" / commit).mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    (place / "snapshots" / commit / "generator.safetensors").write_bytes((folder / "generator.safetensors").read_bytes())


def test_a_generator_is_loaded_from_the_cache_of_the_hub(folder, tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants", reason=MISSING)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    cached(folder, tmp_path / "cache", "somebody/digits")
    expected = gan_jax.load_generator(folder).sample(jax.random.key(3), 2)
    for address in ("hf://somebody/digits", "hf://somebody/digits@main"):
        np.testing.assert_array_equal(gan_jax.load_generator(address).sample(jax.random.key(3), 2), expected)
    with pytest.raises(FileNotFoundError, match=r"hf://somebody/faces: generator.safetensors cannot be downloaded \(.*\)$"):
        gan_jax.load_generator("hf://somebody/faces")
    with pytest.raises(ValueError, match="hf://some body/faces: "):
        gan_jax.load_generator("hf://some body/faces")


def test_addresses():
    assert parse_address("hf://a/b@v1") == HubAddress("a/b", "v1")
    for address in ("hf://a", "hf://a/b/c", "hf:///b", "a/b"):
        with pytest.raises(ValueError, match="must be hf://USER/NAME"):
            parse_address(address)


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"gan-jax\[hub\]"):
        gan_jax.load_generator("hf://a/b")
