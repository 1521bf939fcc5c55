"""Images that are rectangular, no power of two, or have four channels, from the files to the report."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from gan_jax.models import MODELS, build_model
from gan_jax.models.common import first_map
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.build.model_options import model_options, network_classes
from gan_jax.trainer.config import Config, ConfigError, DataConfig, EvaluationConfig, ModelConfig, check
from gan_jax.trainer.loop import train
from support.small_recipes import RECIPES, one_recipe_per_model, shrunk, started


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


@pytest.mark.parametrize(
    ("size", "nearest"), [(30, "28 and 32"), (31, "28 and 32"), ((36, 64), "32x64 and 40x64"), (6, "8 and 10"), (1024, "448 and 512")]
)
def test_sizes_that_do_not_grow_are_refused(size, nearest):
    rule = "model 'dcgan' makes images with sides up to 512 that halve evenly 1 to 7 times until the shorter one has 4 to 7 pixels"
    with pytest.raises(ValueError, match=f"{rule}.* the nearest sizes are {nearest}$"):
        build_model("dcgan", image_size=size)


def rectangle(model):
    """A small size that the model makes, whose sides are neither equal nor powers of two, with opacity."""
    return (32, 48, 4) if model in ("sngan", "sagan", "biggan") else (16, 24, 4)


def small(model, shape):
    """A recipe of the model at its smallest, with images of the shape."""
    config = shrunk(RECIPES[one_recipe_per_model()[model]][1])
    height, width, channels = shape
    return dataclasses.replace(config, data=dataclasses.replace(config.data, height=height, width=width, channels=channels))


IMAGE_MODELS = [model for model in MODELS if model != "points"]


@pytest.mark.parametrize("model", IMAGE_MODELS)
def test_every_model_can_be_traced_with_rectangular_images_of_four_channels(model):
    shape = rectangle(model)
    built, batch = started(small(model, shape), shape)
    key = jax.random.key(0)
    params, state = jax.eval_shape(built.gan.init, key)
    *after, metrics = jax.eval_shape(built.gan.train_step, params, state, batch, key)
    assert tuple(after) == (params, state)
    assert {metric.shape for metric in metrics.values()} == {()}
    network = built.spec.generator
    context = jax.eval_shape(lambda k, real: built.spec.context(k, real), key, jax.ShapeDtypeStruct((2, *shape), jnp.float32))
    latents, labels = jnp.zeros((2, built.spec.latent_dim)), jnp.zeros(2, jnp.int32) if built.spec.num_classes else None
    made = jax.eval_shape(lambda p, s, c: network.apply(p, s, latents, labels, c, rng=key, train=False)[0], *_of_g(params, state), context)
    assert made.images.shape == (2, *shape)


def _of_g(params, state):
    return params.generator, state.networks.generator


@pytest.mark.slow
@pytest.mark.parametrize("model", IMAGE_MODELS)
def test_every_model_steps_on_rectangular_images_of_four_channels(model):
    shape = rectangle(model)
    built, batch = started(small(model, shape), shape)
    params, state = jax.jit(built.gan.init)(jax.random.key(0))
    after, _, metrics = jax.jit(built.gan.train_step)(params, state, batch, jax.random.key(1))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((after, metrics)))
    for player in ("generator", "discriminator"):
        moved = jax.tree.map(lambda a, b: bool((a != b).any()), getattr(params, player), getattr(after, player))
        assert any(jax.tree.leaves(moved)), player


@pytest.mark.parametrize("model", [model for model in IMAGE_MODELS if model != "mlp"])
@pytest.mark.parametrize("size", [(30, 44), (29, 29), (2, 2), (2000, 20)])
def test_every_other_size_is_refused_in_one_line_with_the_nearest_sizes(model, size):
    with pytest.raises(ConfigError) as refused:
        build(small(model, (*size, 4)), (*size, 4), 10)
    message = str(refused.value)
    flags = f"--data.height {size[0]} --data.width {size[1]}: " if size[0] != size[1] else f"--data.image-size {size[0]}: "
    assert message.startswith(flags)
    assert "\n" not in message
    nearest = refused.value.__cause__.nearest
    assert 1 <= len(nearest) <= 2
    for height, width in nearest:
        assert (height == width) == (size[0] == size[1])
        assert f"--data.height {height} --data.width {width}" in message or f"--data.image-size {height}" in message
        config = small(model, (height, width, 4))
        MODELS[model](**model_options(config, (height, width, 4), network_classes(config, 10)))


def test_a_first_map_of_another_size_does_not_change_the_networks_that_begin_at_four_by_four():
    # The layers of the networks depend on how often the sides are halved: those of 48x40 are those of 32x32.
    rows = [("r3gan", "basis"), ("progressive", "project"), ("stylegan2", "constant"), ("sngan", "project")]
    for model, first_layer in rows:
        options = {"channels": 1, "width": 16, "latent_dim": 4}
        square, other = (build_model(model, image_size=size, **options) for size in (32, (48, 40)))
        shapes = [jax.eval_shape(pair.generator.init, jax.random.key(0), jnp.zeros((1, 4)))[0] for pair in (square, other)]
        differ = jax.tree.leaves_with_path(jax.tree.map(lambda a, b: a.shape != b.shape, *shapes))
        layers = {path[0].key for path, differs in differ if differs}
        assert layers == {first_layer}, model


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
