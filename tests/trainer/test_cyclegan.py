"""A run between two domains of files: training, grids, resume, commands, an exported generator, and errors."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax import load_generator
from gan_jax.data import DataError, Source, load_source
from gan_jax.models import build_model
from gan_jax.recipes import recipes
from gan_jax.trainer.build.compatibility import resolve
from gan_jax.trainer.build.data import check_pairs
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import Config, ConfigError, DataConfig, EvaluationConfig, ModelConfig, MonitorConfig
from gan_jax.trainer.contexts import context_shape, translates
from gan_jax.trainer.figures import SampleRenderer, translations
from gan_jax.trainer.image_grid import image_grid, load_png
from gan_jax.trainer.loaded_run import load_run
from gan_jax.trainer.sample_images import sample_images
from gan_jax.trainer.sampling import Weights, translation_pairs
from gan_jax.trainer.sweep.plan import plan_runs
from support.scripts import load_script
from support.small_runs import trained

SIDE = 8
CONFIG = dataclasses.replace(
    recipes()["cyclegan"][1],
    recipe="domains",
    steps=2,
    batch_size=2,
    log_every=1,
    sample_every=2,
    checkpoint_every=1,
    sample_grid=6,
    tensorboard=False,
    data=DataConfig(source="image_folder", image_size=SIDE, pairs="unpaired", flip=True),
    model=ModelConfig(name="cyclegan", width=4, latent_dim=1, options={"blocks": 0, "patch_layers": 1}),
    monitor=MonitorConfig(enabled=False),
    evaluation=EvaluationConfig(samples=0),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images of two domains, 11 and 20, and a run of two steps."""
    place, rng = tmp_path_factory.mktemp("domains"), np.random.default_rng(0)
    for letter, count in (("A", 11), ("B", 20)):
        (place / "images" / letter).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 256, (SIDE, SIDE), np.uint8)).save(place / "images" / letter / f"{number:02d}.png")
    _, text = trained(dataclasses.replace(CONFIG, out=place / "run", data=with_images(place)))
    return place, text


def with_images(place):
    return dataclasses.replace(CONFIG.data, directory=place / "images")


@pytest.fixture(scope="module")
def run(place):
    return load_run(place[0] / "run")


def held_out(place, letter, number):
    return np.asarray(Image.open(place[0] / "images" / letter / f"{number:02d}.png"))[..., None]


def test_the_run_says_what_the_domains_are(place):
    assert "pairs: none: 10 images of A are the inputs, 18 images of B the targets" in place[1]
    data = json.loads((place[0] / "run" / "run.json").read_text())["data"]
    assert (data["paired"], data["input_examples"], data["examples"], data["input_shape"]) == (False, 10, 18, [SIDE, SIDE, 1])
    rows = [json.loads(line) for line in (place[0] / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {"term/cycle", "term/identity"} <= set(rows[-1])


def test_commands_and_grids_show_both_ways_and_back(place, run):
    images, _, columns = translation_pairs(run, 2, seed=0, weights=Weights())
    rows = images.reshape(6, 2, SIDE, SIDE, 1)
    assert columns == 2
    for index, numbers in enumerate(((9, 9), (9, 19))):  # One image of A is held out, and two of B.
        np.testing.assert_array_equal(rows[0, index], held_out(place, "A", numbers[0]))
        np.testing.assert_array_equal(rows[3, index], held_out(place, "B", numbers[1]))
    params, options = run.params.generator, {"blocks": 0, "patch_layers": 1, "width": 4, "image_size": SIDE, "channels": 1}
    ways = [build_model("cyclegan", **options, reverse=reverse).generator for reverse in (False, True)]

    def translate(way, images):
        return np.asarray(jax.jit(lambda images: way.apply(params, {}, None, None, images, train=False)[0].images)(images))

    to_b = translate(ways[0], rows[0].astype(np.float32) / 127.5 - 1)
    np.testing.assert_allclose(rows[1], np.rint((to_b + 1) * 127.5), atol=1)
    np.testing.assert_allclose(rows[2], np.rint((translate(ways[1], to_b) + 1) * 127.5), atol=1)
    grid = load_png(place[0] / "run" / "samples" / "step_00000002.png")[::2, ::2]
    six = np.concatenate(list(rows[:, [0, 1, 0, 1, 0, 1]]), axis=2)  # The two held-out examples in turn.
    assert np.abs(grid.astype(int) - image_grid(six, cols=1)).max() <= 1
    assert "A, A to B, A to B to A, B, B to A, B to A to B" in translations(SampleRenderer(run)).caption


def test_samples_are_translations_of_the_held_out_inputs(place, run):
    images, _ = sample_images(run.built, run.params, run.opt_state, 2, seed=0, source=run.source.held_out)
    expected, *_ = translation_pairs(run, 2, seed=0, weights=Weights())
    assert np.abs(images.astype(int) - expected.reshape(6, 2, SIDE, SIDE, 1)[1]).max() <= 1
    assert (context_shape(run.built), translates(run.config, run.built)) == ((SIDE, SIDE, 1), True)


@pytest.mark.slow
def test_an_exported_generator_translates_either_way(place, run, tmp_path):
    images = translation_pairs(run, 1, seed=0, weights=Weights())[0].reshape(6, 1, SIDE, SIDE, 1)
    for flags, given, made in (((), 0, 1), (("--reverse",), 3, 4)):
        path = tmp_path / f"{made}.safetensors"
        load_script("export").main([str(place[0] / "run"), "--out", str(path), *flags])
        context = images[given].astype(np.float32) / 127.5 - 1
        generated = load_generator(path).sample(0, 1, context=context)
        np.testing.assert_allclose(np.rint((np.asarray(generated) + 1) * 127.5), images[made], atol=1)


@pytest.mark.slow
def test_a_resumed_run_equals_one_that_was_not_interrupted(place, run, tmp_path):
    config = dataclasses.replace(CONFIG, out=tmp_path / "run", data=with_images(place[0]), sample_every=0)
    trained(config, until=1)
    result, _ = trained(config, resume=tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, result.params, run.params)
    jax.tree.map(np.testing.assert_array_equal, result.opt_state.replay, run.opt_state.replay)


def test_what_does_not_fit_two_domains_is_one_line(tmp_path):
    model = ModelConfig(name="cyclegan", latent_dim=1)
    with pytest.raises(
        ConfigError, match=r"^--model.name cyclegan: translates between two domains, and the data have one; use --data.source"
    ):
        build(Config(model=model), (16, 16, 1))
    with pytest.raises(ConfigError, match=r"must have one shape; got 16x16x3 and 16x16x1; set --data.channels$"):
        build(Config(model=model), (16, 16, 1), input_shape=(16, 16, 3))
    for pairs, name, message in [
        ("folders", "cyclegan", "--data.pairs folders: the model cyclegan learns from unpaired images; use --model.name pix2pix"),
        ("unpaired", "pix2pix", "--data.pairs unpaired: the model pix2pix learns from pairs; use --model.name cyclegan"),
    ]:
        config = Config(data=DataConfig(pairs=pairs), model=ModelConfig(name=name, latent_dim=1))
        with pytest.raises(ConfigError, match=f"^{message}$"):
            resolve(config, {"data.pairs"})
    edges = load_source("digit_edges")
    with pytest.raises(ConfigError, match=r"^--model.name pix2pix: learns from pairs, and the two domains of digit_edges are not paired"):
        check_pairs(Config(model=ModelConfig(name="pix2pix")), edges)
    check_pairs(Config(model=model), edges)
    for path, value in (("augment.ada", 0.6), ("loss.reconstruction", 1.0), ("penalty.wgan_gp", 10.0), ("augment.pack", 2)):
        group, name = path.split(".")
        config = dataclasses.replace(Config(model=model), **{group: dataclasses.replace(getattr(Config(), group), **{name: value})})
        with pytest.raises(ConfigError, match=f"^--{path.replace('_', '-')} {value}: does not suit cyclegan"):
            resolve(config, {path, "model.name", "model.latent_dim"})
    with pytest.raises(ConfigError, match=r"^--loss.cycle 10.0: the model dcgan does not translate between two domains$"):
        resolve(dataclasses.replace(Config(), loss=dataclasses.replace(Config().loss, cycle=10.0)), {"loss.cycle"})
    with pytest.raises(ConfigError, match=r"^--model.name cyclegan: not in a sweep"):
        plan_runs(CONFIG, [], set())
    with pytest.raises(DataError, match="has no images of the other domain"):
        Source("own", np.zeros((2, 8, 8, 1), np.uint8), None, 0, "all", "here", inputs=np.zeros((0, 8, 8, 1), np.uint8), paired=False)
