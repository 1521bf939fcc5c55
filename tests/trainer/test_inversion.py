"""The latents of an image for the generator of a run."""

import json

import numpy as np
import pytest
from PIL import Image

from gan_jax.trainer import sampling
from gan_jax.trainer.config import ConfigError
from gan_jax.trainer.inversion import invert_image
from support.scripts import assert_one_line
from support.stored_runs import loaded_mlp, store

RAW = sampling.Weights(ema=False)


@pytest.fixture(scope="module")
def target():
    return sampling.samples_of_seeds(loaded_mlp(), [5], weights=RAW, label=3).images[0]


@pytest.mark.parametrize("distance", ["pixels", "discriminator"])
def test_a_sample_of_the_generator_is_found_again(target, distance):
    options = {"distances": (distance,), "starts": 6, "prior_weight": 0.0, "ema": False, "learning_rate": 0.1}
    result = invert_image(loaded_mlp(), target, steps=150, label=3, **options)
    assert result.latents.shape == (1, 5)
    assert result.label == 3
    assert result.history[-1] < 0.1 * result.history[0]
    if distance == "pixels":
        assert result.psnr > 30
        assert np.abs(result.image.astype(int) - target).mean() < 4


def test_the_class_is_found_if_it_is_not_given(target):
    result = invert_image(loaded_mlp(), target, steps=60, starts=20, learning_rate=0.1, ema=False)
    assert 0 <= result.label < 10
    assert result.psnr > 15


def test_images_and_models_that_do_not_fit(target):
    with pytest.raises(ConfigError, match=r"the image must have the shape \(8, 8, 1\)"):
        invert_image(loaded_mlp(), target[:4])
    with pytest.raises(ConfigError, match="--distance vgg: needs --vgg FILE"):
        invert_image(loaded_mlp(), target, distances=("vgg",))
    with pytest.raises(ConfigError, match=r"^distance lpips: must be one of pixels, discriminator, vgg$"):
        invert_image(loaded_mlp(), target, distances=("lpips",))


def test_the_command_writes_latents_and_a_picture(script, tmp_path, target):
    run = store(tmp_path / "run", "stacked_small")
    Image.fromarray(target[..., 0]).save(tmp_path / "target.png")
    flags = ("--steps", "3", "--starts", "2", "--distance", "pixels", "discriminator")
    status, out, error = script("invert", "target.png", run, *flags)
    assert status == 0, error
    assert "PSNR" in out
    assert Image.open(run / "pictures" / "inversion.png").size == (22, 12)
    with np.load(run / "pictures" / "inversion.npz") as file:
        assert file["latents"].shape == (1, 3)
    assert json.dumps(float(np.load(run / "pictures" / "inversion.npz")["pixel_error"]))
    assert_one_line(script("invert", "nothing.png", run), "IMAGE nothing.png: no such file")
    assert_one_line(script("invert", "target.png", run, "--steps", "0"), "--steps 0: must be at least 1")
    assert_one_line(script("invert", "target.png", run, "--label", "1"), "--label 1: the model has no classes")
    assert_one_line(script("invert", "target.png", run, "--out", "latents.txt"), "must end in .npz")
    assert_one_line(script("invert", "target.png", run, "--distance", "vgg"), "needs --vgg FILE")
