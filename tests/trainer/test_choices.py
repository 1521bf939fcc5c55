"""The recipe own_images: what it chooses from the data and the device, and that typed flags stay."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from gan_jax.cli.train_command import read_command, read_config
from gan_jax.data import load_source, summarize
from gan_jax.recipes import recipes
from gan_jax.trainer.choices import Choice, Device, choose, look, shorter_side
from gan_jax.trainer.config import check, flatten, replace_field
from gan_jax.trainer.data_record import without_followed
from support.data_files import write_tree

CPU, GPU = Device("some CPU", False), Device("some GPU", True)


def summary(tmp_path, names, size=(40, 70)):
    write_tree(tmp_path, names, size=size)
    return summarize(load_source("image_folder", data_dir=tmp_path, image_size=8))


def chosen(*arguments):
    return {choice.path: choice.value for choice in choose(*arguments)}


def test_the_choices_for_a_few_photographs(tmp_path):
    facts = summary(tmp_path, {f"{number}.png": number for number in range(60)})
    values = chosen(facts, CPU, {})
    assert (values["data.image_size"], values["batch_size"], values["model.width"]) == (32, 32, 32)
    # StyleGAN2-ADA's auto: gamma = 0.0002 * 32^2 / 32 = 0.0064, and the moving average has a half-life of 10,000 images.
    assert values["penalty.r1"] == pytest.approx(0.0032)
    assert values["optimizer.ema_images"] == pytest.approx(10_000)
    assert (values["augment.ada"], values["evaluation.samples"], values["steps"]) == (0.6, 6, 10_000)
    assert "model.conditional" not in values


def test_a_larger_device_and_data_set_give_a_larger_run(tmp_path):
    facts = dataclasses.replace(summary(tmp_path, {"0.png": 0, "1.png": 1}, size=(300, 200)), used=60_000)
    values = chosen(facts, GPU, {})
    assert (values["data.image_size"], values["batch_size"], values["model.width"], values["augment.ada"]) == (128, 32, 64, 0.0)
    assert values["penalty.r1"] == pytest.approx(0.0002 * 128**2 / 32 / 2)
    assert values["steps"] == 157_000  # 5 million images in batches of 32


def test_typed_flags_stay_and_the_other_choices_follow_from_them(tmp_path):
    facts = summary(tmp_path, {f"{number}.png": number for number in range(60)})
    values = chosen(facts, CPU, {"data.image_size": 64, "batch_size": 8})
    assert not {"data.image_size", "batch_size"} & set(values)
    assert values["penalty.r1"] == pytest.approx(0.0002 * 64**2 / 8 / 2)


def test_classes_decide_about_labels_and_balance(tmp_path):
    facts = summary(tmp_path, {"a/0.png": 0, "b/0.png": 1})
    assert chosen(facts, CPU, {})["model.conditional"] is False
    values = chosen(dataclasses.replace(facts, class_counts={"a": 500, "b": 60}), CPU, {})
    assert (values["model.conditional"], values["data.balanced"]) == (True, True)
    assert "data.balanced" not in chosen(dataclasses.replace(facts, class_counts={"a": 90, "b": 60}), CPU, {})


def test_the_median_of_the_shorter_sides_counts_images():
    assert shorter_side({"100x20": 3, "64x64": 4}) == 64
    assert shorter_side({"100x20": 4, "64x64": 3}) == 20


def test_a_choice_is_a_flag_with_its_reason():
    assert Choice("penalty.r1", 0.0032, "why").line() == "--penalty.r1 0.0032: why"
    assert Choice("model.conditional", False, "why").line() == "--model.no-conditional: why"
    assert Choice("steps", 1000, "why").line() == "--steps 1000: why"


def test_a_look_gives_a_configuration_that_is_allowed_and_repeats_by_its_flags(tmp_path):
    write_tree(tmp_path / "images", {f"{kind}/{number}.png": number for kind in "ab" for number in range(6)})
    words = ["own_images", "--data.directory", str(tmp_path / "images")]
    command = read_command([*words, "--steps", "5"])
    config, lines = look(read_config(command)[0], command.typed)
    assert check(config) == config
    assert (config.steps, config.batch_size) == (5, 11)
    assert not any(line.startswith("--steps") for line in lines)
    flags = [word for line in lines for word in line.partition(": ")[0].split()]
    again, _ = read_config(read_command([*words, "--steps", "5", *flags]))
    numbers = {path: value for path, value in flatten(config).items() if isinstance(value, int | float)}
    assert {path: flatten(again)[path] for path in numbers if path != "data.shrink_batch"} == {
        path: pytest.approx(value, rel=1e-2) for path, value in numbers.items() if path != "data.shrink_batch"
    }


def test_advice_that_is_followed_is_not_given(tmp_path):
    facts = summary(tmp_path, {f"{number}.png": number for number in range(6)})
    assert any("augment.ada 0.6" in advice for _, advice in facts.notices)
    fields = flatten(recipes()["own_images"][1])
    assert not any("augment.ada" in advice for _, advice in without_followed(facts, fields).notices)
    assert without_followed(facts, fields | {"augment.ada": 0.0}) == facts
    assert without_followed(facts, fields | {"augment.ada": 0.4}).notices == without_followed(facts, fields).notices


@pytest.mark.slow
def test_images_with_opacity_are_trained_on_with_the_chosen_augmentation(script, tmp_path):
    (tmp_path / "images").mkdir()
    draws = np.random.default_rng(0)
    for number in range(40):
        Image.fromarray(draws.integers(0, 256, (16, 16, 4), np.uint8)).save(tmp_path / "images" / f"{number}.png")
    small = ["--model.width", "2", "--model.latent-dim", "2", "--steps", "2", "--batch-size", "2", "--log-every", "1"]
    options = ["--data.directory", "images", "--out", "run", "--no-tensorboard", "--data.channels", "4", "--augment.ada-kimg", "0.004"]
    status, _, error = script("train", "own_images", *options, *small)
    assert status == 0, error
    assert "in colour and opacity" in " ".join(error.split())
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert any({"augment/probability", "augment/overfitting"} <= row.keys() for row in rows)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())
    status, _, error = script("sample", "run", "--count", "4", "--separate", "--out", "files")
    assert status == 0, error
    assert Image.open(next((tmp_path / "files").glob("**/*.png"))).mode == "RGBA"


@pytest.mark.slow
def test_the_run_prints_and_records_the_choices(script, tmp_path):
    write_tree(tmp_path / "images", {f"{number}.png": 20 * number for number in range(6)}, size=(16, 16))
    small = ["--model.width", "2", "--model.latent-dim", "2", "--steps", "1", "--batch-size", "2", "--sample-every", "0"]
    status, _, error = script("train", "own_images", "--data.directory", "images", "--out", "run", "--no-tensorboard", *small)
    assert status == 0, error
    assert "chosen: --data.image-size 16: the power of two below the median shorter side, 16 pixels" in " ".join(error.split())
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["choices"][0].startswith("--data.image-size 16: ")


def test_the_recipe_names_a_source_of_files():
    config = recipes()["own_images"][1]
    assert config.data.source == "image_folder"
    assert replace_field(config, "steps", 1).steps == 1
