"""Flags of `gan-jax sample` and of `gan-jax launch`."""

from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from gan_jax.data import load_source
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import Config, ConfigError, ModelConfig, check
from gan_jax.trainer.image_grid import to_uint8
from gan_jax.trainer.loaded_run import LoadedRun
from support.scripts import assert_one_line, load_script


@pytest.mark.parametrize("name", ["sample", "evaluate", "export"])
def test_a_run_that_is_not_named(script, name):
    status, _, error = script(name)
    assert (status, error) == (2, "error: missing: RUN; see --help\n")
    assert_one_line(script(name, "--no-such-flag"), "see --help")


def test_the_launcher_chooses_one_place_for_all_its_starts(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    launch = load_script("launch")
    Path("runs/ring").mkdir(parents=True)
    Path("saved.yaml").write_text("recipe: grid\n")
    assert launch.with_directory(["ring", "--seed", "0"]) == ["ring", "--seed", "0", "--out", "runs/ring-2"]
    assert launch.with_directory(["--config", "saved.yaml"]) == ["--config", "saved.yaml", "--out", "runs/grid"]
    assert_one_line(script("launch", "--proc", "2", "--", "ring"), "--proc")
    for flags in (["ring", "--out=x"], ["ring", "--out", "x"], ["--resume", "auto", "ring"]):
        assert launch.with_directory(flags) == flags


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--count", "0"], "--count 0: must be at least 1"),
        (["--interpolate", "1"], "--interpolate 1: must be at least 2, or 0"),
        (["--interpolate", "3", "--diagram", "j"], "--interpolate: excludes --diagram"),
        (["--pairs", "--diagram", "j"], "--pairs: excludes"),
        (["--walk", "1"], "--walk 1: must be at least 2, or 0"),
        (["--walk", "3", "--diagram", "j"], "--walk: excludes --diagram"),
        (["--walk", "3", "--frames", "0"], "--frames 0"),
        (["--walk", "3", "--fps", "0"], "--fps 0.0: must be between"),
        (["--walk", "3", "--format", "png"], "--format png: a walk is written as gif, webp, mp4 or npz"),
        (["--walk", "3", "--seeds", "1,2"], "--seeds 1,2: must name 3 seeds here, one for each point; got 2"),
        (["--interpolate", "3", "--seeds", "1-3"], "must name 2 seeds here"),
        (["--seeds", "3-1"], "--seeds 3-1: 3-1 must go upwards"),
        (["--seeds", "3-2147483648"], "stay below 2147483648"),
        (["--seeds", "0-1000000"], "at most a million"),
        (["--seeds", "-1"], "--seeds"),
        (["--seeds", "one"], "--seeds one: must be numbers and ranges"),
        (["--seeds", "1,2", "--count", "2"], "--seeds: excludes --count"),
        (["--separate", "--format", "npz"], "--format npz: --separate writes png or webp files"),
        (["--pairs", "--separate"], "--pairs: excludes"),
        (["--inputs", "new", "--pairs"], "--inputs: excludes"),
        (["--out", "samples.bmp"], "--out samples.bmp: must end in one of png, webp, gif, mp4, npz"),
        (["--out", "samples.mp4"], "--out samples.mp4: needs --walk"),
        (["--scale", "0"], "--scale 0: must be at least 1"),
    ],
)
def test_flags_of_a_sample_that_do_not_go_together(script, flags, message):
    assert_one_line(script("sample", "run", *flags), message)


@pytest.mark.parametrize(
    ("model", "is_images", "flags", "message"),
    [
        ("dcgan", True, {"pairs": True}, "--pairs: the model dcgan does not translate images"),
        ("vaegan", True, {"pairs": True}, "--pairs: the model vaegan does not translate images"),
        ("inpaint", True, {"inputs": Path("new")}, "--inputs: the model inpaint does not translate images of files"),
        ("pix2pix", True, {"interpolate": 3}, "the model pix2pix samples from images"),
        ("pix2pix", True, {"seeds": "0-3"}, "the model pix2pix samples from images"),
        ("dcgan", True, {"truncation": 0.0}, "--truncation 0: must be positive, because the model has no styles"),
        ("points", False, {}, "--format png: the samples are points; use --format npz"),
    ],
)
def test_what_a_model_cannot_show(model, is_images, flags, message):
    sample, spec = load_script("sample"), SimpleNamespace(num_classes=0, generator=SimpleNamespace(mapping=None))
    stored = SimpleNamespace(
        config=Config(model=ModelConfig(name=model)), built=SimpleNamespace(spec=spec), source=SimpleNamespace(is_images=is_images)
    )
    with pytest.raises(ConfigError, match=message):
        sample.check_model(sample.Flags(Path("run"), **flags), stored)


@pytest.mark.parametrize(
    ("model", "channels"),
    [("stacked", 1), *(pytest.param(*pair, marks=pytest.mark.slow) for pair in (("pix2pix", 1), ("inpaint", 3)))],
)
def test_what_a_model_is_given_stands_beside_its_answer(model, channels):
    sample, source = load_script("sample"), load_source("mnist5k", image_size=16, channels=channels)
    options = {"blocks": 1} if model == "stacked" else {}
    config = check(Config(batch_size=4, model=ModelConfig(name=model, width=2, latent_dim=2, options=options)))
    built = build(config, source.shape, 0)
    params, opt_state = jax.jit(built.gan.init)(jax.random.key(0))
    stored = LoadedRun(config, source, built, params, opt_state, 0)
    images, _, columns = sample.sample(stored, sample.Flags(Path("run"), count=3, pairs=True))
    given, drawn, real = images.reshape(3, 3, 16, 16, channels)
    assert columns == 3
    np.testing.assert_array_equal(real, source.held_out.images[:3])
    floats, rng = jax.numpy.asarray(real) / 127.5 - 1, jax.random.key(0)
    context = built.spec.context(jax.random.fold_in(rng, 1), floats)
    sampler = jax.jit(lambda params, opt_state, context: built.gan.sample(params, opt_state, rng, 3, None, context))
    expected = to_uint8(np.asarray(sampler(params, opt_state, context)))
    assert np.abs(drawn.astype(int) - expected).max() <= 1
    if model == "pix2pix":
        np.testing.assert_array_equal(given, to_uint8(np.asarray(context)))
    elif model == "inpaint":
        hole = np.broadcast_to(np.asarray(context)[..., -1:] == 1, given.shape)
        np.testing.assert_array_equal(given, np.where(hole, 128, real))
    else:
        np.testing.assert_array_equal(given[:, ::4, ::4], to_uint8(np.asarray(context)))
        np.testing.assert_array_equal(given, given[:, ::4, ::4].repeat(4, axis=1).repeat(4, axis=2))
