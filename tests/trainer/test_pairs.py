"""A run on pairs of files: training, grids, resume, fork, evaluation, and commands after the images are gone."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax.conditioning import CONDITIONS, given_inputs
from gan_jax.data import DataError, Source
from gan_jax.gan.state import named_key
from gan_jax.trainer.build.compatibility import resolve
from gan_jax.trainer.build.gan import build, build_condition
from gan_jax.trainer.config import Config, ConfigError, DataConfig, EvaluationConfig, ModelConfig, MonitorConfig, OptimizerConfig
from gan_jax.trainer.contexts import context_shape, translates
from gan_jax.trainer.figures import SampleRenderer, translations
from gan_jax.trainer.image_grid import image_grid, load_png, to_uint8
from gan_jax.trainer.loaded_run import load_run
from gan_jax.trainer.sampling import Weights, translated_files, translation_pairs
from gan_jax.trainer.sweep.plan import plan_runs
from gan_jax.trainer.writers.samples import sampler, translation_rows
from support.small_runs import trained

CONFIG = Config(
    recipe="pairs",
    steps=2,
    batch_size=4,
    log_every=1,
    sample_every=2,
    checkpoint_every=1,
    sample_grid=3,
    tensorboard=False,
    data=DataConfig(source="image_folder", image_size=16, pairs="side-by-side", direction="B-to-A", flip=True, jitter=2),
    model=ModelConfig(name="pix2pix", width=4, latent_dim=1),
    monitor=MonitorConfig(enabled=False),
    evaluation=EvaluationConfig(samples=0),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Twenty files of pairs, and a run of two steps that translates the right image to the left one."""
    place, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    (place / "images").mkdir()
    for number in range(20):
        Image.fromarray(rng.integers(0, 256, (16, 32, 3), np.uint8)).save(place / "images" / f"{number:02d}.png")
    data = dataclasses.replace(CONFIG.data, directory=place / "images")
    _, text = trained(dataclasses.replace(CONFIG, out=place / "run", data=data))
    return place, text


@pytest.fixture(scope="module")
def run(place):
    return load_run(place[0] / "run")


def halves(place, number):
    whole = np.asarray(Image.open(place[0] / "images" / f"{number:02d}.png"))
    return whole[:, 16:], whole[:, :16]


def test_the_run_says_what_it_is_trained_on(place):
    assert "18 pairs of 16x16 in colour" in place[1]
    assert "  pairs: two images side by side in each file; the right one is the input, the left one the target" in place[1]
    assert "to train on; D soon knows them by heart" not in place[1]  # The run mirrors and jitters already.
    data = json.loads((place[0] / "run" / "run.json").read_text())["data"]
    assert (data["shape"], data["input_shape"], data["examples"]) == ([16, 16, 3], [16, 16, 3], 18)
    assert "the right one is the input" in data["summary"]["pairs_by"]
    assert data["summary"]["sizes"] == {"16x16": 20}


def test_the_step_and_the_networks_receive_the_inputs(run):
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), np.uint8)
    spec = run.built.spec
    minibatch = spec.prepare_minibatch({"image": images[0], "input": images[1]}, jax.random.key(0))
    np.testing.assert_allclose(minibatch.context, images[1] / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(minibatch.real, images[0] / 127.5 - 1, atol=1e-6)
    with pytest.raises(ValueError, match=r"batch\['input'\] must have shape \(4, 16, 16, 3\); got None"):
        spec.prepare_minibatch({"image": images[0]}, jax.random.key(0))
    # The edges that the model makes from images have one channel.
    assert context_shape(run.built) == (16, 16, 3)
    assert run.params.discriminator["conv_0"]["kernel"].shape[2] == 6


def test_grids_show_input_output_and_target(place, run):
    held_out = [halves(place, number) for number in (9, 19)]
    grid = load_png(place[0] / "run" / "samples" / "step_00000002.png")[::2, ::2]
    outputs = to_uint8(sampler(run.config, run.built, run.source)(run.params, run.opt_state))
    # The grid has 3 rows of 3 / 3 examples, which are the held-out pairs in turn.
    rows = [np.concatenate([held_out[row % 2][0], outputs[row], held_out[row % 2][1]], axis=1) for row in range(3)]
    difference = grid.astype(int) - image_grid(np.stack(rows), cols=1)
    assert np.abs(difference).max() <= 1


def test_commands_show_the_inputs_of_the_files(place, run):
    images, _, columns = translation_pairs(run, 2, seed=0, weights=Weights())
    given, _, real = images.reshape(3, 2, 16, 16, 3)
    assert columns == 2
    for index, number in enumerate((9, 19)):
        np.testing.assert_array_equal(given[index], halves(place, number)[0])
        np.testing.assert_array_equal(real[index], halves(place, number)[1])
    renderer = SampleRenderer(run)
    assert "input, output, target" in translations(renderer).caption
    known = {halves(place, number)[0].tobytes() for number in (9, 19)}
    assert {to_uint8(np.asarray(image)).tobytes() for image in renderer.context} == known
    restored = run.with_standing_statistics(2)
    assert np.isfinite(jax.tree.leaves(restored.opt_state.networks.generator)[0]).all()


def test_a_resumed_run_equals_one_that_was_not_interrupted(place, tmp_path):
    config = dataclasses.replace(CONFIG, out=tmp_path / "run", data=dataclasses.replace(CONFIG.data, directory=place[0] / "images"))
    trained(config, until=1)
    result, _ = trained(config, resume=tmp_path / "run")
    whole = load_run(place[0] / "run")
    jax.tree.map(np.testing.assert_array_equal, result.params, whole.params)


@pytest.mark.slow
def test_a_fork_continues_with_another_rate(place, tmp_path):
    data = dataclasses.replace(CONFIG.data, directory=place[0] / "images")
    optimizer = OptimizerConfig(generator_lr=1e-5)
    config = dataclasses.replace(
        CONFIG, out=tmp_path / "child", data=data, fork=place[0] / "run", steps=3, sample_every=0, optimizer=optimizer
    )
    result, _ = trained(config)
    assert (result.step, json.loads((tmp_path / "child" / "run.json").read_text())["parent"]["step"]) == (3, 2)


def test_without_the_images_the_run_loads_and_says_what_is_missing(place, tmp_path):
    shutil.copytree(place[0] / "run", tmp_path / "run")
    config = (tmp_path / "run" / "config.yaml").read_text()
    (tmp_path / "run" / "config.yaml").write_text(config.replace(str(place[0] / "images"), str(tmp_path / "gone")))
    run = load_run(tmp_path / "run")
    assert context_shape(run.built) == (16, 16, 3)
    with pytest.raises(DataError, match=r"the images of the run are needed for this, and they are gone: --data.directory .*gone: no such"):
        translation_pairs(run, 2, seed=0, weights=Weights())


def test_pairs_need_a_model_that_takes_images():
    pairs = DataConfig(pairs="folders")
    with pytest.raises(ConfigError, match=r"^--data.pairs folders: the model dcgan learns from single images; use --model.name pix2pix$"):
        resolve(Config(data=pairs), {"data.pairs"})
    config, _ = resolve(Config(data=pairs, model=ModelConfig(name="pix2pix", latent_dim=1)), {"data.pairs"})
    assert config.data.source == "image_folder"
    with pytest.raises(ConfigError, match=r"^--data.pairs folders: mnist5k has no pairs; use --data.source image_folder"):
        resolve(Config(data=pairs, model=ModelConfig(name="pix2pix", latent_dim=1)), {"data.pairs", "data.source"})
    with pytest.raises(ConfigError, match=r"^--data.direction B-to-A: there are no pairs"):
        resolve(Config(data=DataConfig(direction="B-to-A")), {"data.direction"})
    # A source of the caller of `train`.
    with pytest.raises(
        ConfigError, match=r"^--model.name dcgan: takes no images as input, and the data have inputs; use --model.name pix2pix for"
    ):
        build(Config(), (16, 16, 1), input_shape=(16, 16, 1))
    assert build_condition(Config(model=ModelConfig(name="pix2pix")), (16, 16, 1), None) is CONDITIONS["image"]


def test_a_source_of_the_caller_has_inputs_of_other_channels():
    rng = np.random.default_rng(0)
    images, inputs = (rng.integers(0, 256, (8, 16, 16, channels), np.uint8) for channels in (3, 1))
    source = Source("own", images, None, 0, "all", "made here", inputs=inputs)
    config = dataclasses.replace(CONFIG, data=DataConfig(image_size=16))
    built = build(config, source.shape, input_shape=source.input_shape)
    params, _ = jax.eval_shape(built.gan.init, jax.random.key(0))
    assert params.discriminator["conv_0"]["kernel"].shape[2] == 4
    rows, columns = translation_rows(config, built, source)(np.zeros((9, 16, 16, 3), np.float32), None, None)
    assert (rows.shape, columns) == ((3, 16, 48, 3), 1)
    np.testing.assert_array_equal(to_uint8(rows[:, :, :16]), np.broadcast_to(inputs[:3], (3, 16, 16, 3)))


def test_a_condition_gives_what_is_in_the_data():
    condition, real = given_inputs((4, 4, 1)), np.zeros((2, 4, 4, 3), np.float32)
    given = np.ones((2, 4, 4, 1), np.float32)
    assert condition(jax.random.key(0), real, given) is given
    assert condition.example(named_key(jax.random.key(0), "context"), real).shape == (2, 4, 4, 1)
    with pytest.raises(ValueError, match=r"must have shape \(2, 4, 4, 1\); got \(2, 4, 4, 3\)"):
        condition(jax.random.key(0), real, real)
    with pytest.raises(ValueError, match=r"batch\['input'\] is given, but the GAN makes its contexts"):
        CONDITIONS["image"](jax.random.key(0), real, given)
    assert not translates(Config(), build(Config(model=ModelConfig(width=4)), (8, 8, 1)))


def test_a_sweep_of_pairs_is_refused():
    with pytest.raises(ConfigError, match=r"^--data.pairs side-by-side: not in a sweep; use gan-jax train for each$"):
        plan_runs(CONFIG, [], set())


def test_images_of_any_folder_are_translated_without_the_images_of_the_run(place, tmp_path, script):
    shutil.copytree(place[0] / "run", tmp_path / "run")
    config = (tmp_path / "run" / "config.yaml").read_text()
    (tmp_path / "run" / "config.yaml").write_text(config.replace(str(place[0] / "images"), str(tmp_path / "gone")))
    given = np.stack([halves(place, number)[0] for number in (9, 19)])
    for name, image in zip(("cat/1.png", "dog/1.png"), given, strict=True):
        (tmp_path / "new" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "new" / name)
    Image.fromarray(given[1]).save(tmp_path / "new" / "dog" / "1.bmp")
    run = load_run(tmp_path / "run")
    samples = translated_files(run, tmp_path / "new", count=None, seed=0, weights=Weights())
    assert samples.names == ("cat_1", "dog_1", "dog_1_2")
    np.testing.assert_array_equal(samples.beside_inputs()[:, :, :16], given[[0, 1, 1]])
    np.testing.assert_array_equal(samples.beside_inputs()[:, :, 16:], samples.images)
    status, out, _ = script(
        "sample", str(tmp_path / "run"), "--inputs", str(tmp_path / "new"), "--separate", "--out", str(tmp_path / "out")
    )
    assert status in (0, None)
    assert str(tmp_path / "out") in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cat_1.png", "dog_1.png", "dog_1_2.png"]
    np.testing.assert_array_equal(load_png(tmp_path / "out" / "cat_1.png"), samples.images[0])
    with pytest.raises(DataError, match=r"no such directory or zip archive of images$"):
        translated_files(run, tmp_path / "nothing", count=None, seed=0, weights=Weights())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no images that can be read$"):
        translated_files(run, tmp_path / "empty", count=None, seed=0, weights=Weights())
