"""Images that are rectangular, no power of two, or have four channels, from the files to the report."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from gan_jax.models import build_model
from gan_jax.models.common import first_map
from gan_jax.trainer.config import Config, DataConfig, EvaluationConfig, ModelConfig, check
from gan_jax.trainer.loop import train


@pytest.mark.parametrize(
    ("size", "expected"),
    [(64, (4, (4, 4))), (8, (1, (4, 4))), (28, (2, (7, 7))), (48, (3, (6, 6))), ((96, 64), (4, (6, 4))), ((16, 48), (2, (4, 12)))],
)
def test_growing_begins_at_a_map_of_four_to_seven_pixels(size, expected):
    assert first_map(size) == expected


@pytest.mark.parametrize("size", [28, 24, (24, 40), [8, 12]])
def test_dcgan_makes_and_judges_images_of_the_size(size):
    networks = build_model("dcgan", image_size=size, channels=4, width=2, latent_dim=3)
    height, width = (size, size) if isinstance(size, int) else size

    def judge(key):
        latents = jnp.zeros((2, 3))
        params, state = networks.generator.init(key, latents)
        images = networks.generator.apply(params, state, latents, train=False)[0].images
        params, state = networks.discriminator.init(key, images)
        return images, networks.discriminator.apply(params, state, images, train=False)[0].logits

    images, logits = jax.eval_shape(judge, jax.random.key(0))
    assert (images.shape, logits.shape) == ((2, height, width, 4), (2,))


@pytest.mark.parametrize("size", [30, 31, (36, 64), 6, 1024])
def test_sizes_that_do_not_grow_are_refused(size):
    with pytest.raises(ValueError, match="model 'dcgan' makes images with sides up to 512 that halve evenly"):
        build_model("dcgan", image_size=size)


def test_models_of_square_images_say_so():
    with pytest.raises(ValueError, match="model 'r3gan' makes square images of 8, 16, 32"):
        build_model("r3gan", image_size=[8, 16])


def test_height_and_width_give_the_size():
    assert DataConfig(image_size=16).size == 16
    assert DataConfig(image_size=16, height=24).size == (24, 16)
    assert DataConfig(height=24, width=24).size == 24


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a run on rectangular images with opacity."""
    place = tmp_path_factory.mktemp("sizes")
    (place / "images").mkdir()
    draws = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(draws.integers(0, 256, (16, 24, 4), np.uint8)).save(place / "images" / f"{number}.png")
    config = Config(
        recipe="sizes",
        steps=1,
        batch_size=4,
        sample_every=1,
        sample_grid=2,
        tensorboard=False,
        out=place / "run",
        data=DataConfig(source="image_folder", directory=place / "images", height=16, width=24, channels=4),
        model=ModelConfig(name="dcgan", latent_dim=2, width=2),
        evaluation=EvaluationConfig(samples=0),
    )
    train(check(config), console=Console(quiet=True))
    return place / "run"


def test_a_run_on_rectangular_images_with_opacity_writes_grids_of_their_shape(finished):
    assert json.loads((finished / "run.json").read_text())["data"]["shape"] == [16, 24, 4]
    with Image.open(finished / "samples" / "step_00000001.png") as grid:
        assert grid.mode == "RGB"
        assert grid.width > grid.height


def test_a_generator_of_rectangular_images_is_exported(finished, script):
    from gan_jax import load_generator

    status, _, error = script("export", str(finished))
    assert status == 0, error
    assert load_generator(finished / "generator.safetensors").sample(jax.random.key(0), 2).shape == (2, 16, 24, 4)


def test_a_value_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"--data.height 1: must"):
        check(dataclasses.replace(Config(), data=DataConfig(height=1)))
