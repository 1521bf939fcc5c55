"""What the library names by arguments, the command line names by flags."""

import dataclasses

import pytest

from gan_jax._internal.checks import ArgumentError
from gan_jax.data import DataError
from gan_jax.distributed import make_placement
from gan_jax.monitor import ADVICE
from gan_jax.trainer.build.data import build_feed, load_data
from gan_jax.trainer.config import Config, DataConfig, flatten
from gan_jax.trainer.config.flags import name_flag, settings_as_flags


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ArgumentError("mnist5k has train", argument="split", value="valid"), "--data.split valid: mnist5k has train"),
        (ArgumentError("give the size wanted", argument="image_size"), "--data.image-size: give the size wanted"),
        (ArgumentError("must be at least 1", argument="batch_size", value=0), "--batch-size 0: must be at least 1"),
        (ArgumentError("must be one of a, b", argument="name", value="c"), "--data.source c: must be one of a, b"),
        (ArgumentError("no such directory", argument="data_dir", value="x"), "--data.directory x: no such directory"),
        (ArgumentError("x.png: no such file"), "x.png: no such file"),
        (ValueError("anything else"), "anything else"),
    ],
)
def test_an_argument_becomes_its_flag(error, line):
    assert name_flag(error, "data") == line


def test_a_value_is_shown_as_it_was_typed():
    error = ArgumentError("the data set has 200 points", argument="batch_size", value=320)
    assert name_flag(error, "data", batch_size="64 x 5") == "--batch-size 64 x 5: the data set has 200 points"


def test_the_library_error_names_the_argument():
    error = ArgumentError("must be train or test", argument="split", value="valid")
    assert (str(error), error.argument) == ('split="valid": must be train or test', "split")
    assert str(ArgumentError("must be at least 1", argument="count", value=0)) == "count=0: must be at least 1"


RING = Config(data=DataConfig(source="ring"))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"data": DataConfig(source="nothing")}, r"^--data.source nothing: must be one of mnist5k, .*, tfds:NAME, hf:NAME$"),
        ({"data": DataConfig(split="valid")}, r"^--data.split valid: mnist5k has train, test, all$"),
        ({"data": DataConfig(image_size=4)}, r"^--data.image-size 4: must be between 8 and 4096 pixels$"),
        ({"data": DataConfig(source="mnist")}, r"^--data.directory: mnist needs the directory of its four IDX files"),
        ({"data": DataConfig(source="ring", channels=3)}, r"^--data.channels: the source ring does not take it$"),
    ],
)
def test_data_that_cannot_be_loaded_name_the_flag(change, line):
    with pytest.raises(DataError, match=line):
        load_data(dataclasses.replace(Config(), **change))


def test_the_data_of_a_configuration():
    assert load_data(Config()).shape == (32, 32, 1)
    assert load_data(RING).shape == (2,)


def test_a_feed_that_cannot_be_made_names_the_flags_as_they_were_typed():
    source = load_data(RING)
    with pytest.raises(DataError, match=r"^--batch-size 200000 x --update.discriminator-steps 5: the data set has 100000 points$"):
        build_feed(dataclasses.replace(RING, batch_size=200_000), source, batches_per_step=5)
    with pytest.raises(DataError, match=r"^--batch-size 200000: the data set has 100000 points$"):
        build_feed(dataclasses.replace(RING, batch_size=200_000), source)
    unlabelled = dataclasses.replace(source, labels=None)
    with pytest.raises(DataError, match=r"^--data.balanced: ring has no labels$"):
        build_feed(Config(data=DataConfig(source="ring", balanced=True)), unlabelled)
    with pytest.raises(DataError, match=r"^--data.flip: ring has points, not images$"):
        build_feed(Config(data=DataConfig(source="ring", flip=True)), source)


def test_a_placement_that_cannot_be_made_names_the_flag():
    with pytest.raises(ArgumentError, match=r"^devices=0: ") as caught:
        make_placement("jit", devices=0)
    assert name_flag(caught.value, "parallel").startswith("--parallel.devices 0: there are ")


@pytest.mark.parametrize(
    ("settings", "flags"),
    [
        ("penalty.r1 1", "--penalty.r1 1"),
        ("data.flip True", "--data.flip"),
        ("update.joint_batches False", "--update.no-joint-batches"),
        ("tensorboard False", "--no-tensorboard"),
        ("model.minibatch_stddev True", "--model.minibatch-stddev True"),
        ("loss.real_target 0.9 0.9 loss.fake_target 0 0", "--loss.real-target 0.9 0.9 --loss.fake-target 0 0"),
        ("batch_size 16 optimizer.ema_warmup True", "--batch-size 16 --optimizer.ema-warmup"),
    ],
)
def test_settings_become_flags(settings, flags):
    assert settings_as_flags(settings) == flags


def test_every_setting_that_the_monitor_advises_is_a_field():
    for row in ADVICE.values():
        for line in row.advice:
            assert line.split()[0] in flatten(Config()), line
