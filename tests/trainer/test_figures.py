"""The figures of a run: the contents of their cells, when they are left out, and that their errors do not end a run."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from gan_jax.trainer import figures, point_figures
from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import EvaluationConfig
from gan_jax.trainer.figures import COLUMNS, ROWS, SampleRenderer, as_image, attention_maps, thumbnails, usual_distance, write_figures
from gan_jax.trainer.image_grid import to_uint8
from gan_jax.trainer.loaded_run import LoadedRun
from gan_jax.trainer.loop import train
from gan_jax.typing import DiscriminatorOutput, GeneratorOutput, Network
from support.figure_runs import IMAGES, SIDE, flat, run_of
from support.scripts import load_script
from support.small_recipes import RECIPES, one_recipe_per_model, shrunk

FILES = [f"{name}.{ending}" for name, ending in (
    ("explorer", "json"), ("explorer", "webp"), ("interpolations", "json"), ("interpolations", "png"), ("nearest_neighbours", "json"),
    ("nearest_neighbours", "png"),
)]  # fmt: skip


def cells(figure, *columns, bar=0):
    """The cells [rows, columns, side, side, channels] of grids with these numbers of columns, side by side with a bar between them."""
    image, left, columns_found = figure.image, 0, []
    tops = range(2, image.shape[0] - 2, SIDE + 2)
    for count in columns:
        starts = [left + 2 + column * (SIDE + 2) for column in range(count)]
        columns_found += [np.stack([image[top : top + SIDE, start : start + SIDE] for top in tops]) for start in starts]
        left += 2 + count * (SIDE + 2) + bar
    assert left - bar == image.shape[1]
    return np.stack(columns_found, axis=1)


def columns_of(figure, count):
    """The cells [columns, count, side, side, channels] of a figure of `count` grids below each other, each of one row."""
    rows = np.split(figure.image, count)
    return np.concatenate([cells(figure._replace(image=row), ROWS) for row in rows]).swapaxes(0, 1)


def test_interpolations_go_along_great_circles_with_one_class_a_row():
    renderer = SampleRenderer(run_of(flat, num_classes=3))
    figure = figures.interpolations(renderer)
    grid = cells(figure, COLUMNS)
    assert grid.shape[:2] == (ROWS, COLUMNS)
    ends = np.asarray(renderer.latents(2 * ROWS, 2))
    np.testing.assert_array_equal(grid[:, 0, 0, 0, 0], to_uint8(ends[:ROWS, 0] / 8))
    np.testing.assert_array_equal(grid[:, -1, 0, 0, 0], to_uint8(ends[ROWS:, 0] / 8))
    # After four of seven equal steps the point on the circle is (sin(4w/7) b + sin(3w/7) a) / sin(w).
    a, b = ends[0].astype(float), ends[ROWS].astype(float)
    angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    between = (np.sin(3 * angle / 7) * a + np.sin(4 * angle / 7) * b) / np.sin(angle)
    assert abs(int(grid[0, 4, 0, 0, 0]) - int(to_uint8(between[:1] / 8)[0])) <= 1
    labels = to_uint8(np.arange(ROWS) % 3 / np.float32(10))
    np.testing.assert_array_equal(grid[:, :, 0, -1, 0], np.repeat(labels[:, None], COLUMNS, axis=1))
    assert "class of a row stays the same" in figure.caption


def test_interpolations_are_left_out_if_latents_have_no_effect():
    assert figures.interpolations(SampleRenderer(run_of(flat, latent_dim=1))) is None
    assert figures.interpolations(SampleRenderer(run_of(lambda z, labels, context: context, context="real"))) is None
    moved = figures.interpolations(SampleRenderer(run_of(lambda z, labels, context: jnp.tanh(context + flat(z)), context="real")))
    assert "The input of a row stays the same" in moved.caption


def test_nearest_neighbours_show_copies_first():
    """One latent in four gives a copy of a training image. The others give noise that is unlike any training image."""
    real = jnp.asarray(IMAGES, jnp.float32) / 127.5 - 1

    def generate(latents, labels, context):
        index = (jnp.abs(latents[:, 0]) * 1000).astype(int) % len(real)
        noise = jnp.sign(jnp.sin(1e3 * latents[:, 1, None, None, None] * jnp.arange(1, SIDE**2 + 1).reshape(1, SIDE, SIDE, 1)))
        return jnp.where((latents[:, 2] > 0.6)[:, None, None, None], real[index], noise)

    figure = figures.nearest_neighbours(SampleRenderer(run_of(generate)))
    grid = cells(figure, 1, figures.NEIGHBOURS, bar=6)
    assert grid.shape[:2] == (ROWS, 1 + figures.NEIGHBOURS)
    np.testing.assert_array_equal(grid[:, 0], grid[:, 1])
    pixels = IMAGES.reshape(len(IMAGES), -1).astype(float)
    for sample, *neighbours in grid:
        distances = np.linalg.norm(pixels - sample.reshape(1, -1), axis=1)
        expected = IMAGES[np.argsort(distances)[: figures.NEIGHBOURS]]
        np.testing.assert_array_equal(np.stack(neighbours), expected)
    assert "distance of the first sample is 0.00 times the median distance" in figure.caption
    assert "40 training images, by distance in pixels" in figure.caption


def test_nearest_neighbours_of_a_conditioned_generator_show_each_input_once():
    figure = figures.nearest_neighbours(SampleRenderer(run_of(lambda z, labels, context: context, context="real")))
    first = cells(figure, 1, figures.NEIGHBOURS, bar=6)[:, 0]
    assert len({image.tobytes() for image in first}) == ROWS
    assert f"the {ROWS} of {ROWS} samples" in figure.caption


@pytest.mark.parametrize("context", ["image", "masked", "small"])
def test_translations_show_input_output_and_target(context):
    def halved(latents, labels, given):
        return jnp.broadcast_to(given.mean(axis=(1, 2, 3), keepdims=True) / 2, (len(given), SIDE, SIDE, 1))

    renderer = SampleRenderer(run_of(halved, context=context))
    grid = columns_of(figures.translations(renderer), 3)
    assert grid.shape[:2] == (ROWS, 3)
    inputs, targets = np.asarray(renderer.context[::COLUMNS]), np.asarray(renderer.real[::COLUMNS])
    np.testing.assert_array_equal(grid[:, 2, ..., :1], to_uint8(targets))
    np.testing.assert_array_equal(grid[:, 1, 0, 0, 0], to_uint8(inputs.mean(axis=(1, 2, 3)) / 2))
    np.testing.assert_array_equal(grid[:, 0, ..., :1], to_uint8(as_image(inputs, targets.shape)))
    if context == "masked":
        assert all((row == 128).sum() >= (SIDE // 2) ** 2 for row in grid[:, 0, ..., 0])


def test_translations_of_an_encoder_are_reconstructions():
    renderer = SampleRenderer(run_of(lambda z, labels, x: GeneratorOutput(0 * x, {"reconstruction": x / 2}), context="real"))
    figure = figures.translations(renderer)
    grid = columns_of(figure, 2)
    assert grid.shape[:2] == (ROWS, 2)
    np.testing.assert_array_equal(grid[:, 0, ..., :1], to_uint8(np.asarray(renderer.real[::COLUMNS]) / 2))
    assert figure.caption.startswith("From top to bottom: reconstruction, image.")
    assert figures.translations(SampleRenderer(run_of(flat))) is None


def test_contexts_as_images():
    masked = np.stack([np.full((4, 4), 0.5), np.ones((4, 4))], axis=-1)[None]
    np.testing.assert_array_equal(as_image(masked, (1, 4, 4, 1)), masked[..., :1])
    small = np.arange(4.0).reshape(1, 2, 2, 1)
    # Each pixel becomes four.
    np.testing.assert_array_equal(as_image(small, (1, 4, 4, 1))[0, ..., 0], [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]])
    assert as_image(np.zeros((1, 4, 4, 1)), (1, 4, 4, 3)).shape == (1, 4, 4, 1)


def test_thumbnails_are_means_and_small_images_stay():
    images = np.zeros((1, 64, 64, 1), np.uint8)
    images[0, :2, 2:4, 0] = [[0, 100], [200, 100]]
    small = thumbnails(images).reshape(32, 32)
    assert small[0, 1] == 100
    assert small.sum() == 100
    np.testing.assert_array_equal(thumbnails(IMAGES), IMAGES.reshape(40, -1))


def test_usual_distance_by_hand():
    # The nearest other points of 0, 1, 3, 7 are at distances 1, 1, 2, 4, and the median of these is 1.5.
    assert usual_distance(np.array([[0.0], [1.0], [3.0], [7.0]])) == 1.5
    assert usual_distance(np.zeros((1, 2))) == 0


def test_attended_pixels_are_lit_and_the_attending_pixel_has_a_cross():
    maps = np.zeros((1, 16, 16, 8, 8), np.float32)
    maps[0, 12, 8, 1, 6] = 0.5  # Attends to the upper right.
    maps[0, 8, 12, 7, 0] = 1.0  # The attention of another pixel.
    image = figures._attended(-np.ones((1, 32, 32, 1)), maps, 0.75, 0.5)[0]
    assert image.shape == (32, 32, 3)
    assert (image[4:8, 24:28] == [255, 190, 40]).all()
    cross = (image == [90, 200, 255]).all(axis=-1)
    assert cross[24, 14:19].all()
    assert cross[22:27, 16].all()
    assert cross.sum() == 9
    lit = image.any(axis=-1) & ~cross
    assert lit.sum() == 16


def stored(config):
    """A recipe's run before the first step."""
    source = load_data(config)
    built = build(config, source.shape, source.num_classes)
    params, opt_state = jax.jit(built.gan.init)(jax.random.key(0))
    return LoadedRun(config, source, built, params, opt_state, 0)


def small(name):
    config = shrunk(RECIPES[name][1])
    return dataclasses.replace(config, data=dataclasses.replace(config.data, source="mnist5k", image_size=max(8, config.data.image_size)))


@pytest.mark.slow
def test_attention_maps_are_those_of_the_samples(monkeypatch):
    config = small("biggan")
    config = dataclasses.replace(
        config, model=dataclasses.replace(config.model, width=8, options={**config.model.options, "attention": 16})
    )
    run = stored(config)
    # gamma starts at 0. With 0.7 the attention has an effect.
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.full_like(leaf, 0.7) if str(path[-1].key) == "gamma" and leaf.ndim == 0 else leaf, run.params.generator
    )
    run = run._replace(params=run.params._replace(generator=params), opt_state=replace_ema(run.opt_state, run.params.generator, params))
    renderer = SampleRenderer(run)
    latents = renderer.latents(figures.ATTENDING, 3)
    maps, gammas, samples = attention_maps(renderer, latents)
    assert list(maps) == ["attention_16"]
    assert maps["attention_16"].shape == (figures.ATTENDING, 16, 16, 8, 8)
    np.testing.assert_allclose(maps["attention_16"].sum(axis=(3, 4)), 1, rtol=1e-4)
    np.testing.assert_allclose(gammas["attention_16"], 0.7, rtol=1e-6)
    labels = jnp.arange(figures.ATTENDING)
    sample = jax.jit(lambda params, state: run.built.gan.sample(params, state, jax.random.key(1), 6, labels, latents=latents))
    expected = sample(run.params, run.opt_state)
    np.testing.assert_allclose(samples, expected, atol=2e-5)
    monkeypatch.setattr(figures, "attention_maps", lambda *arguments: (maps, gammas, samples))
    figure = figures.attention(renderer)
    assert figure.image.shape == (ROWS_OF_ATTENTION, (1 + len(figures.QUERIES)) * 36, 3)
    assert "Its weight gamma is 0.7" in figure.caption


ROWS_OF_ATTENTION = 2 + figures.ATTENDING * 34


def replace_ema(opt_state, old, new):
    """The state with another moving average of G's parameters, if it has one."""
    structure, leaves = jax.tree.structure(old), [leaf.shape for leaf in jax.tree.leaves(old)]

    def is_average(node):
        return jax.tree.structure(node) == structure and [jnp.shape(leaf) for leaf in jax.tree.leaves(node)] == leaves

    return jax.tree.map(lambda node: new if is_average(node) else node, opt_state, is_leaf=is_average)


def test_models_without_attention_have_no_figure_of_it():
    assert figures.attention(SampleRenderer(stored(small("dcgan_mnist")))) is None


def test_figures_are_reproducible_and_deleted_if_they_do_not_apply(tmp_path, monkeypatch):
    for name in ("attention", "directions"):  # These generators are functions, not modules.
        monkeypatch.delitem(figures.FIGURES, name)
    run = run_of(flat)
    written = write_figures(tmp_path, run)
    assert [path.name for path in written] == ["interpolations.png", "nearest_neighbours.png", "explorer.webp"]
    before = {path.name: path.read_bytes() for path in (tmp_path / "pictures").iterdir()}
    assert sorted(before) == FILES
    write_figures(tmp_path, run_of(flat))
    assert {path.name: path.read_bytes() for path in (tmp_path / "pictures").iterdir()} == before
    sidecar = json.loads(before["interpolations.json"])
    assert sidecar["caption"].startswith("Interpolations")
    assert "8 rows of 8" in sidecar["alt"]
    # The figures of a generator that diverged are deleted.
    assert write_figures(tmp_path, run_of(lambda z, labels, context: flat(z) * jnp.nan)) == []
    assert list((tmp_path / "pictures").iterdir()) == []


def test_a_figure_that_fails_is_printed_and_the_others_are_drawn(tmp_path, monkeypatch):
    def fails(renderer):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nand a long story")

    monkeypatch.setattr(figures, "FIGURES", {"interpolations": fails, "nearest_neighbours": figures.nearest_neighbours})
    printed = []
    written = write_figures(tmp_path, run_of(flat), printed.append)
    assert [path.name for path in written] == ["nearest_neighbours.png", "explorer.webp"]
    assert printed == ["interpolations.png could not be drawn (RESOURCE_EXHAUSTED: Out of memory)"]


def test_points_have_a_figure_of_the_surface(tmp_path):
    """D is 3 x, so it rises to the right. The samples are the latents, of which almost none lie on a mode."""
    centers = np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32)
    points = np.repeat(centers, 20, axis=0)
    run = run_of(lambda z, labels, context: z, latent_dim=2, images=points)
    discriminator = Network(run.built.spec.discriminator.init, lambda params, state, inputs, *extra, **named: (output_of(inputs), state))
    run = run._replace(
        built=run.built._replace(spec=dataclasses.replace(run.built.spec, discriminator=discriminator)),
        source=dataclasses.replace(run.source, centers=centers, std=0.01),
    )
    written = write_figures(tmp_path, run)
    assert [path.name for path in written] == ["discriminator_surface.png"]
    sidecar = json.loads((tmp_path / "pictures" / "discriminator_surface.json").read_text())
    # The last of 64 cells from -1.2 to 1.2 has its centre at 1.18125, and 3 * 1.18125 = 3.54.
    assert sidecar["caption"].startswith("D's output over the plane, from -3.54 (orange) to 3.54 (blue). Dark blue: 40 training points.")
    assert "of 2 modes have a sample, and 0% of the samples" in sidecar["caption"]
    with Image.open(written[0]) as file:
        image = np.asarray(file)[::2, ::2]
    assert image.shape == (256, 256, 3)
    assert (image[:4, :4] == point_figures.LOW).all(axis=-1).any()
    assert (image[:4, -4:] == point_figures.HIGH).all(axis=-1).any()
    # The mode at (1, 0) is a dot at column (1 / 1.2 + 1) / 2 * 255 = 233.75 of 255, and row 127.5.
    real = (image == point_figures.REAL).all(axis=-1)
    assert real[126:130, 232:236].any()
    assert not real[:, 100:150].any()


def output_of(points):
    return DiscriminatorOutput(3 * points[:, 0])


def test_a_surface_is_drawn_with_y_upwards():
    image = point_figures.surface_image(np.array([[0.0, 1.0], [2.0, 4.0]]))
    assert image.shape == (8, 8, 3)
    np.testing.assert_array_equal(image[7, 0], point_figures.LOW)
    np.testing.assert_array_equal(image[0, 7], point_figures.HIGH)
    np.testing.assert_array_equal(image[0, 0], point_figures.MIDDLE)
    np.testing.assert_array_equal(point_figures.surface_image(np.ones((2, 2))), np.full((8, 8, 3), 255))


def test_points_outside_of_a_plane_have_no_figure(tmp_path):
    run = run_of(lambda z, labels, context: z, latent_dim=3, images=np.zeros((4, 3), np.float32))
    assert write_figures(tmp_path, run) == []


@pytest.mark.slow
def test_a_report_has_the_figures_and_they_can_be_drawn_again(tmp_path, monkeypatch, capsys):
    config = dataclasses.replace(small("dcgan_mnist"), steps=2, sample_every=2, evaluation=EvaluationConfig(samples=0), tensorboard=False)
    train(dataclasses.replace(config, out=tmp_path / "run"), console=Console(quiet=True))
    folder = tmp_path / "run" / "pictures"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(before) == ["directions.json", "directions.png", *FILES]
    page = (tmp_path / "run" / "report.html").read_text()
    for name in ("interpolations", "nearest_neighbours", "directions"):
        sidecar = json.loads(before[f"{name}.json"])
        assert f"{sidecar['caption'].replace(chr(39), '&#x27;')}</figcaption>" in page
        assert f'alt="{sidecar["alt"]}"' in page
    with Image.open(folder / "interpolations.png") as figure:
        assert figure.size == (2 * (2 + COLUMNS * 10), 2 * (2 + ROWS * 10))
    for path in folder.iterdir():
        path.unlink()
    assert load_script("report").main([str(tmp_path / "run"), "--pictures"]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert "interpolations.png" in capsys.readouterr().out
    train(dataclasses.replace(config, out=tmp_path / "blind", sample_every=0), console=Console(quiet=True))
    assert not (tmp_path / "blind" / "pictures").exists()


EXPECTED = {name: {"interpolations", "nearest_neighbours", "explorer", "directions"} for name in one_recipe_per_model() if name != "points"}
EXPECTED |= {"sagan": {*EXPECTED["sagan"], "attention"}, "pix2pix": {"nearest_neighbours", "translations"}}
EXPECTED |= {"inpaint": {"nearest_neighbours", "translations"}}
EXPECTED |= {name: {*EXPECTED[name], "translations"} for name in ("stacked", "vaegan", "klgan") if name in EXPECTED}


@pytest.mark.long
@pytest.mark.parametrize("model", sorted(EXPECTED))
def test_every_model_has_the_figures_that_apply(tmp_path, model):
    printed = []
    written = write_figures(tmp_path, stored(small(one_recipe_per_model()[model])), printed.append)
    assert printed == []
    assert {path.stem for path in written} == EXPECTED[model]
