"""The leading directions of a run: from the right weights, in the figure, and by the flag of `gan-jax sample`."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.gan.directions import closed_form_directions
from gan_jax.gan.make import sampling_params
from gan_jax.trainer import directions, figures, sampling
from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import ConfigError
from gan_jax.trainer.loaded_run import LoadedRun, load_run
from gan_jax.trainer.sample_renderer import COLUMNS, ROWS, SampleRenderer
from support.scripts import assert_one_line
from support.small_recipes import RECIPES, shrunk
from support.stored_runs import store


def stored(name):
    """A recipe's run before the first step."""
    config = shrunk(RECIPES[name][1])
    size = max(16 if name == "stylegan2" else 8, config.data.image_size)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, source="mnist5k", image_size=size))
    source = load_data(config)
    built = build(config, source.shape, source.num_classes)
    return LoadedRun(config, source, built, *jax.jit(built.gan.init)(jax.random.key(0)), 0)


@pytest.fixture(scope="module")
def run():
    return stored("dcgan_mnist")


def test_the_weight_is_that_of_the_first_layer(run):
    effective, _ = run.built.spec.effective_params("generator", sampling_params(run.params, run.opt_state), run.opt_state)
    kernel = effective["project"]["kernel"]
    np.testing.assert_array_equal(directions.first_weight(run, effective), kernel)
    found, values = directions.run_directions(run)
    expected = closed_form_directions([kernel])
    np.testing.assert_allclose(found, expected[0], atol=1e-3)
    np.testing.assert_allclose(values, expected[1], rtol=1e-4)


def test_rows_go_along_the_direction(run):
    latents = jax.random.normal(jax.random.key(1), (2, run.built.spec.latent_dim))
    direction = directions.direction_of(run, 2, ema=True)
    grid = np.asarray(directions.along_direction(run, latents, direction, steps=7))
    assert grid.shape == (2, 7, run.built.spec.latent_dim)
    np.testing.assert_allclose(grid[:, 3], latents, atol=1e-6)
    np.testing.assert_allclose((grid[:, 6] - grid[:, 0]) @ direction, 6.0, rtol=1e-4)
    np.testing.assert_allclose(grid[:, 5] - grid[:, 4], np.broadcast_to(direction, (2, len(direction))), atol=1e-5)
    rows = sampling.along_direction(run, direction, 2, steps=3, seed=0, weights=sampling.Weights())
    assert (rows.images.shape[0], rows.columns) == (6, 3)
    middle = sampling.grid_samples(run, sampling.anchors(run, 2, seed=0, weights=sampling.Weights())[:, None], weights=sampling.Weights())
    np.testing.assert_allclose(rows.images[1::3].astype(int), middle.images, atol=1)


def test_the_command_writes_rows_of_eleven_steps(tmp_path, script):
    """The command folds batch norm into the weights for sampling. The directions are those of the weights before."""
    directory = store(tmp_path / "run", "dcgan_mnist")
    status, _, error = script("sample", directory, "--direction", "1", "--count", "2", "--out", tmp_path / "rows.npz")
    assert status == 0, error
    with np.load(tmp_path / "rows.npz") as file:
        images = file["images"]
    assert images.shape[0] == 22
    loaded = load_run(directory)
    expected = sampling.along_direction(
        loaded, directions.direction_of(loaded, 1, ema=True), 2, steps=11, seed=0, weights=sampling.Weights()
    )
    np.testing.assert_allclose(images.astype(int), expected.images, atol=1)


def test_the_figure_has_two_rows_for_each_direction(run):
    renderer = SampleRenderer(run)
    figure = figures.leading_directions(renderer)
    side = run.source.shape[0]
    assert figure.image.shape[:2] == (ROWS * (side + 2) + 2, COLUMNS * (side + 2) + 2)
    assert "two rows for each of 4 directions" in figure.caption
    assert "8 rows of 8 generated images" in figure.alt


@pytest.mark.slow
def test_styles_move_along_the_directions_of_all_affine_layers():
    run = stored("stylegan2")
    effective, _ = run.built.spec.effective_params("generator", sampling_params(run.params, run.opt_state), run.opt_state)
    layers = [layer for layer in effective.values() if isinstance(layer, dict) and "affine" in layer]
    affine = [layer["affine"]["dense"]["kernel"] for layer in layers]
    found, _ = directions.run_directions(run)
    # Two layers for each stage, and the image layers.
    assert (
        len(affine) == 3 * run.built.spec.generator.mapping(effective, run.opt_state.networks.generator, jnp.zeros((1, 8))).shape[1] / 2 - 1
    )
    np.testing.assert_allclose(np.abs(found[0] @ np.asarray(closed_form_directions(affine)[0])[0]), 1, rtol=1e-3)
    grid = directions.along_direction(run, jnp.ones((2, run.built.spec.latent_dim)), found[0], steps=5)
    assert grid.shape[:2] == (2, 5)
    np.testing.assert_allclose(grid[:, 4] - grid[:, 0], np.broadcast_to(6 * found[0], grid[:, 0].shape), atol=1e-4)
    assert figures.leading_directions(SampleRenderer(run)) is not None


def test_a_number_that_does_not_exist_is_an_error(run, script):
    with pytest.raises(ConfigError, match=r"--direction 999: must be between 1 and \d+"):
        directions.direction_of(run, 999, ema=True)
    own = run._replace(built=run.built._replace(own=dataclasses.replace(run.built.own, networks=())))
    assert directions.run_directions(own) is None
    with pytest.raises(ConfigError, match="no dense layer of the model dcgan receives the latents alone"):
        directions.direction_of(own, 1, ema=True)
    assert_one_line(script("sample", "run", "--direction", "-1"), "--direction -1: must be at least 1")
    assert_one_line(script("sample", "run", "--direction", "1", "--walk", "3"), "--walk: excludes --direction")
