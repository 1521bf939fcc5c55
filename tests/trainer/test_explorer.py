"""The tiles of the latent explorer: their places, latents, classes and truncations."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gan_jax.gan.diagnostics import with_diagnostics
from gan_jax.latents import j_diagram
from gan_jax.trainer import explorer
from gan_jax.trainer.explorer import make_plan, plane, shrink, tile_size, write_explorer
from gan_jax.trainer.image_grid import to_uint8
from gan_jax.trainer.sample_renderer import SampleRenderer
from gan_jax.typing import GeneratorOutput, Network
from support.figure_runs import SIDE, flat, run_of


def tiles_of(path):
    """The tiles [truncations, rows, classes, columns, height, width] of one channel, and the layout."""
    layout = json.loads(path.with_suffix(".json").read_text())
    with Image.open(path) as file:
        image = np.asarray(file)[..., 0]
    side, height, width = layout["side"], layout["height"], layout["width"]
    parts = image.reshape(len(layout["truncations"]), side, height, max(len(layout["classes"]), 1), side, width)
    return parts.transpose(0, 1, 3, 4, 2, 5), layout


@pytest.mark.parametrize(
    ("shape", "classes", "side", "shown", "levels"),
    [
        ((32, 32, 1), 0, 16, (None,), 4),
        ((32, 32, 1), 10, 8, tuple(range(10)), 4),  # 40 planes of 256 tiles would be 10.5 million pixels.
        ((64, 64, 3), 10, 8, tuple(range(10)), 1),  # At most 16 planes.
        ((64, 64, 3), 0, 16, (None,), 4),
        ((256, 256, 3), 0, 8, (None,), 2),  # 2^23 generated pixels are 128 images.
        ((1024, 1024, 3), 1000, 8, (0,), 1),
        ((32, 32, 3), 100, 8, (0, 11, 22, 33, 44, 55, 66, 77, 88, 99), 4),
    ],
)
def test_the_plan_stays_within_the_limits(shape, classes, side, shown, levels):
    plan = make_plan(shape, classes, (0.5, 1.0, 1.5, None))
    assert (plan.side, plan.classes, len(plan.truncations)) == (side, shown, levels)
    assert plan.truncations[-1] is None
    height, width = tile_size(shape)
    planes = len(plan.classes) * len(plan.truncations)
    assert planes * plan.side**2 * height * width <= explorer.TILE_PIXELS
    assert planes == 1 or planes * plan.side**2 * shape[0] * shape[1] <= explorer.SAMPLED_PIXELS


def test_tiles_are_whole_divisions_of_the_images():
    assert [tile_size(shape) for shape in ((64, 64, 1), (96, 96, 3), (128, 64, 3), (32, 48, 1))] == [(64, 64), (48, 48), (64, 32), (32, 48)]
    images = np.zeros((1, 128, 128, 1), np.uint8)
    images[0, :2, 2:4, 0] = [[0, 100], [200, 100]]
    small = shrink(images, (64, 64))
    assert small.shape == (1, 64, 64, 1)
    assert small[0, 0, 1, 0] == 100
    assert small.sum() == 100


def test_tiles_are_the_samples_of_the_plane(tmp_path, monkeypatch):
    """Of an unconditional generator of grey images: the level is the first latent."""
    monkeypatch.setattr(explorer, "SIDES", (8,))
    renderer = SampleRenderer(run_of(flat))
    assert write_explorer(tmp_path / "explorer.webp", renderer)
    tiles, layout = tiles_of(tmp_path / "explorer.webp")
    assert (layout["side"], layout["classes"], layout["truncations"]) == (8, [], ["0.5", "1", "1.5", "none"])
    corners = renderer.run.built.spec.sample_latents(jax.random.fold_in(renderer.rng, 6), (3, 4))
    expected = to_uint8(np.asarray(j_diagram(*corners, rows=8, columns=8))[..., 0] / 8)
    np.testing.assert_allclose(tiles[3, :, 0, :, SIDE // 2, SIDE // 2], expected, atol=2)  # WebP is lossy.
    # The corners of a truncated plane have no coordinate above the limit, and the images change gradually with it.
    truncated = np.asarray(plane(renderer, 8, 0.5)).reshape(8, 8, 4)[[0, 0, 7], [0, 7, 0]]
    assert np.abs(truncated).max() <= 0.5
    np.testing.assert_array_equal(np.sign(truncated), np.sign(corners))
    np.testing.assert_allclose(plane(renderer, 8, 50.0), plane(renderer, 8, None), atol=1e-4)


def test_classes_lie_side_by_side(tmp_path):
    run = run_of(lambda z, labels, context: jnp.broadcast_to(labels[:, None, None, None] / 4.0, (len(z), SIDE, SIDE, 1)), num_classes=3)
    assert write_explorer(tmp_path / "explorer.webp", SampleRenderer(run))
    tiles, layout = tiles_of(tmp_path / "explorer.webp")
    assert layout["classes"] == ["0", "1", "2"]
    assert "All classes have the same latents." in layout["caption"]
    for label in range(3):
        np.testing.assert_allclose(tiles[:, :, label].astype(int), to_uint8(np.float32(label / 4)), atol=2)


def test_truncation_of_styles_is_that_of_the_mapping(tmp_path):
    """Styles are truncation * 0.8 here, so a plane has the grey level of its truncation."""

    def mapping(params, state, latents, labels=None, *, truncation=None):
        return jnp.full((len(latents), 2, 4), 0.8) * (1.0 if truncation is None else truncation)

    def generate(params, state, inputs, labels=None, context=None, *, rng=None, train=True):
        styles = inputs if inputs.ndim == 3 else mapping(params, state, inputs)
        return GeneratorOutput(jnp.broadcast_to(styles[:, :1, :1, None], (len(inputs), SIDE, SIDE, 1))), state

    run = run_of(flat)
    generator = Network(run.built.spec.generator.init, generate, mapping)
    spec = dataclasses.replace(run.built.spec, generator=generator)
    built = run.built._replace(spec=spec, gan=with_diagnostics(spec, run.built.rule))
    assert write_explorer(tmp_path / "explorer.webp", SampleRenderer(run._replace(built=built)))
    tiles, layout = tiles_of(tmp_path / "explorer.webp")
    assert layout["truncations"] == ["0.25", "0.5", "0.75", "1"]
    for index, truncation in enumerate((0.25, 0.5, 0.75, 1.0)):
        np.testing.assert_allclose(tiles[index].astype(int), to_uint8(np.float32(0.8 * truncation)), atol=2)


def test_there_is_no_explorer_if_it_would_show_nothing(tmp_path):
    path = tmp_path / "explorer.webp"
    assert not write_explorer(path, SampleRenderer(run_of(flat, latent_dim=1)))
    assert not write_explorer(path, SampleRenderer(run_of(lambda z, labels, context: context, context="real")))
    assert not write_explorer(path, SampleRenderer(run_of(lambda z, labels, context: flat(z) * jnp.nan)))
    assert not path.exists()
