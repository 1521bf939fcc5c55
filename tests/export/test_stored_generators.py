"""The commands that use the generators of stored runs: export and stack."""

import dataclasses

import jax
import jax.export
import numpy as np
import pytest
from PIL import Image

import gan_jax
from gan_jax.trainer.loaded_run import load_run
from support.small_recipes import RECIPES
from support.stored_runs import store


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The two stages of a stacked GAN, the first conditional and with spectral normalisation."""
    place = tmp_path_factory.mktemp("runs")
    transform = dataclasses.replace(RECIPES["stacked"][1].transform, spectral_norm="generator")
    small = store(place / "small", "stacked_small", transform=transform, model={"conditional": True})
    return small, store(place / "large", "stacked", model={"options": {"blocks": 1}})


def test_an_exported_generator_makes_the_samples_of_its_run(runs, script, tmp_path):
    file = tmp_path / "small.safetensors"
    status, out, error = script("export", runs[0], "--out", file, "--stablehlo", "--platforms", "cpu")
    assert status == 0, error
    assert out.splitlines() == [str(file), f"{file.with_suffix('.stablehlo')}: called with latents, labels, seed"]
    stored = load_run(runs[0])
    labels = np.arange(4, dtype=np.int32)
    expected = stored.built.gan.sample(stored.params, stored.opt_state, jax.random.key(5), 4, labels)
    generator = gan_jax.load_generator(file)
    np.testing.assert_allclose(generator.sample(jax.random.key(5), 4, labels), expected, atol=1e-5)
    latents = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    program = jax.export.deserialize(bytearray(file.with_suffix(".stablehlo").read_bytes()))
    np.testing.assert_allclose(program.call(latents, labels, np.uint32(0)), generator(latents, labels), atol=1e-5)
    status, _, error = script("export", runs[0], "--out", file)
    assert (status, error) == (2, f"error: --out {file}: exists already\n")


def test_a_generator_with_a_context_is_exported_with_its_shape(runs, script, tmp_path):
    assert script("export", runs[1], "--out", tmp_path / "large.safetensors")[0] == 0
    generator = gan_jax.load_generator(tmp_path / "large.safetensors")
    assert generator.config.context_shape == (8, 8, 1)
    assert generator.sample(jax.random.key(0), 2, context=np.zeros((2, 8, 8, 1), np.float32)).shape == (2, 32, 32, 1)


def test_stages_in_sequence(runs, script, tmp_path):
    status, out, error = script("stack", *runs, "--count", 4)
    assert status == 0, error
    # Four pairs in a row, each 64 pixels wide, margins of 2.
    assert Image.open(out.strip()).size == (2 + 4 * 66, 36)
    images = tmp_path / "images.npz"
    assert script("stack", *runs, "--count", 4, "--format", "npz", "--out", images)[0] == 0
    with np.load(images) as file:
        drawn = file["images"]
    assert (drawn.shape, drawn.dtype) == ((4, 32, 32, 1), np.uint8)
    # The second half of each pair in the picture is the array's image.
    picture = np.asarray(Image.open(out.strip()).convert("L"))
    np.testing.assert_array_equal(picture[2:34, 34:66], drawn[0, ..., 0])


@pytest.mark.parametrize(
    ("order", "words"), [((1,), "takes (8, 8, 1) as input, and it is the first stage"), ((0, 0), "takes no images as input")]
)
def test_stages_that_do_not_fit_are_refused(runs, script, order, words):
    status, _, error = script("stack", *(runs[number] for number in order))
    assert status == 2
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    assert words in error
