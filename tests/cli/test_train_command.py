"""From the words of `gan-jax train` to a configuration: short names, model options, help, and recipes that give way to the user."""

import typing
from pathlib import Path

import pytest

from gan_jax.cli.train import USAGE
from gan_jax.cli.train_command import find_run, read_command, read_config
from gan_jax.cli.train_help import COMMON, short_help
from gan_jax.gan.update_rules import UPDATE_RULES
from gan_jax.latents import LATENTS
from gan_jax.losses import ADVERSARIAL, MULTICLASS
from gan_jax.models import MODELS
from gan_jax.models.common import ACTIVATIONS, OUTPUT_ACTIVATIONS
from gan_jax.models.dcgan import CONDITIONS
from gan_jax.nn.norms import NORMS
from gan_jax.nn.resampling import DOWN, UP
from gan_jax.optimizers import OPTIMIZERS, SCHEDULES
from gan_jax.recipes import recipes
from gan_jax.trainer.build.compatibility import UPDATE_OPTIONS, resolve
from gan_jax.trainer.config import Config, ConfigError, check, flag, flatten, replace_field, save_config, schema_fields
from gan_jax.trainer.features import EXTRACTORS
from support.scripts import assert_one_line

RECIPES = {name: config for name, (_, config) in recipes().items()}


def read(*words):
    return read_config(read_command(list(words)))


@pytest.mark.parametrize(
    ("path", "table"),
    [
        ("loss.name", ADVERSARIAL | MULTICLASS),
        ("model.name", MODELS),
        ("model.latents", LATENTS),
        ("model.norm", NORMS),
        ("model.discriminator_norm", NORMS),
        ("model.activation", ACTIVATIONS),
        ("model.output_activation", OUTPUT_ACTIVATIONS),
        ("model.up", UP),
        ("model.down", DOWN),
        ("model.condition", CONDITIONS),
        ("optimizer.generator", OPTIMIZERS),
        ("optimizer.discriminator", OPTIMIZERS),
        ("optimizer.schedule", SCHEDULES),
        ("update.name", UPDATE_RULES),
        ("update.name", UPDATE_OPTIONS),
        ("evaluation.extractor", EXTRACTORS),
    ],
)
def test_choices_equal_their_table(path, table):
    assert set(schema_fields()[path].choices) == set(table)


def test_every_number_with_a_range_refuses_what_is_outside():
    ranged = {path: field for path, field in schema_fields().items() if field.range}
    assert len(ranged) > 60
    for path, field in ranged.items():
        kind = int if int in (field.kind, *typing.get_args(field.kind)) else float
        for value in (field.range.low - 1, field.range.high + 1):
            with pytest.raises(ConfigError, match=f"^{flag(path)} {kind(value)}: must be "):
                check(replace_field(Config(), path, kind(value)))


def test_short_names_of_other_scripts():
    words = (
        "--n-epochs 2 --batch_size 16 --lr 0.01 --b1 0.1 --b2=0.9 --n_cpu 1 --latent-dim 7 --img-size 28 --channels 1 --sample-interval 9"
    )
    config, _ = read("mlp_mnist", *words.split(), "--on-failure", "stop")
    expected = {
        "epochs": 2,
        "batch_size": 16,
        "optimizer.generator_lr": 0.01,
        "optimizer.discriminator_lr": 0.01,
        "optimizer.b1": 0.1,
        "optimizer.b2": 0.9,
        "data.workers": 1,
        "model.latent_dim": 7,
        "data.image_size": 28,
        "data.channels": 1,
        "sample_every": 9,
        "monitor.on_failure": "stop",
    }
    assert {path: flatten(config)[path] for path in expected} == expected


def test_typed_fields_are_known_in_every_spelling():
    command = read_command(
        ["ring", "--seed=3", "--no-tensorboard", "--data.no-flip", "--b1", "0.1", "--lr", "1", "--model.options.activation", "relu"]
    )
    expected = {"seed", "tensorboard", "data.flip", "optimizer.b1", "optimizer.generator_lr", "optimizer.discriminator_lr"}
    assert command.typed == expected | {"model.options.activation"}


def test_options_of_the_model_are_added_to_those_of_the_recipe(tmp_path):
    config, _ = read("multiscale", "--model.options", "patch_layers", "1", "scales", "3", "--seed", "7")
    assert (config.model.options, config.seed) == ({"scales": 3, "patch_layers": 1}, 7)
    config, _ = read("multiscale", "--model.options.scales", "1", "--model.options.patch-layers=2")
    assert config.model.options == {"scales": 1, "patch_layers": 2}
    config, _ = read("ring", "--model.options", "generator_hidden", "8,8")
    assert config.model.options["generator_hidden"] == "8,8"
    save_config(config, tmp_path / "config.yaml")
    again, _ = read("--config", str(tmp_path / "config.yaml"), "--model.options", "activation", "relu")
    assert again.model.options == config.model.options | {"activation": "relu"}


@pytest.mark.parametrize("model", MODELS)
def test_every_option_of_a_model_is_a_flag(model):
    """Also an option that the recipe does not set."""
    values = {"norm": "none", "discriminator_norm": "none", "dtype": "float32", "activation": "relu"}
    of_data = {"image_size", "channels", "num_classes", "dim"}
    options = {name: default for name, default in MODELS[model].options.items() if name not in of_data}
    words = [word for name, default in options.items() for word in (f"--model.options.{name.replace('_', '-')}", values.get(name, default))]
    source = ("--data.source", "ring") if model == "points" else ()
    config, _ = read("klgan", "--model.name", model, *source, *map(str, words))
    assert set(options) <= set(config.model.options)


@pytest.mark.parametrize(
    ("words", "reset"),
    [
        ("dcgan_mnist --loss.name hinge", {"loss.real_target": None}),
        ("acgan --loss.name wasserstein", {"loss.real_target": None}),
        ("sngan --update.name simultaneous", {"update.discriminator_steps": 1}),
        ("biggan --update.name consensus", {"update.discriminator_steps": 1}),
        ("ring --update.name loss_balanced", {"optimizer.schedule": "constant"}),
        ("cgan --augment.pack 2", {"model.conditional": False}),
        ("acgan --replay.size 64", {"model.conditional": False, "model.auxiliary": None}),
        ("infogan --replay.size 64", {"model.codes": 0, "model.auxiliary": None}),
        ("infogan --model.conditional", {"model.codes": 0}),
        ("dcgan_mnist --model.name mlp", {"model.width": None}),
        ("multiscale --model.name dcgan", {"model.options": {}}),
        ("vaegan --model.name dcgan", {"loss.kl": 0.0}),
        ("cgan --model.name multiscale", {"model.conditional": False, "model.condition": None}),
        ("multiscale --model.name progressive", {"model.options": {}, "loss.feature_matching": 0.0}),
        ("inpaint --model.name points --data.source ring", {"model.width": None, "loss.total_variation": 0.0}),
    ],
)
def test_a_recipe_gives_way_to_what_the_user_typed(words, reset):
    name, *rest = words.split()
    config, notices = read(name, *rest)
    before, after = flatten(RECIPES[name]), flatten(config)
    typed = read_command([name, *rest]).typed
    assert {path: after[path] for path in reset} == reset
    changed = {path for path in after if after[path] != before[path]}
    assert changed <= set(reset) | typed | {"recipe"}
    assert notices
    assert all("is reset to" in notice for notice in notices)


def with_values(**values):
    config = Config()
    for path, value in values.items():
        config = replace_field(config, path.replace("__", "."), value)
    return config


@pytest.mark.parametrize(
    ("recipe", "typed", "reset"),
    [
        ({"augment__ada": 0.6, "loss__name": "wasserstein"}, "loss.name", {"augment.ada": 0.0}),
        ({"update__joint_batches": True, "parallel__placement": "pmap"}, "parallel.placement", {"update.joint_batches": False}),
        ({"update__fakes": "shared", "update__micro_batches": 2}, "update.micro_batches", {"update.fakes": "fresh"}),
        ({"update__fakes": "shared", "update__micro_batches": 2}, "update.fakes", {"update.micro_batches": 1}),
        ({"update__pool_size": 2, "update__name": "unrolled"}, "update.name", {"update.pool_size": 0}),
        ({"optimizer__adaptive_clip": 0.1, "update__name": "unrolled"}, "update.name", {"optimizer.adaptive_clip": 0.0}),
        ({"penalty__consistency": 1.0, "augment__pack": 2}, "augment.pack", {"penalty.consistency": 0.0}),
        ({"penalty__consistency": 1.0, "augment__pack": 2}, "penalty.consistency", {"augment.pack": 1}),
        ({"replay__size": 8, "model__name": "pix2pix"}, "model.name", {"replay.size": 0}),
        ({"augment__pack": 2, "batch_size": 63}, "batch_size", {"augment.pack": 1}),
        ({"evaluation__every": 10, "evaluation__samples": 0}, "evaluation.samples", {"evaluation.every": 0}),
        ({"loss__generator_target": 0.5, "loss__name": "minimax"}, "loss.name", {"loss.generator_target": None}),
    ],
)
def test_the_field_that_was_not_typed_is_reset(recipe, typed, reset):
    config = with_values(**recipe)
    resolved, notices = resolve(config, {typed})
    assert flatten(resolved) == flatten(config) | reset
    assert len(notices) == len(reset)
    with pytest.raises(ConfigError):
        resolve(config, set(schema_fields()))


@pytest.mark.parametrize(
    "words",
    [
        "dcgan_mnist --loss.name hinge --loss.real-target 0.9 0.9",
        "sngan --update.name simultaneous --update.discriminator-steps 5",
        "ring --optimizer.schedule cosine --update.name loss_balanced",
        "dcgan_mnist --augment.pack 2 --model.conditional",
        "multiscale --model.name dcgan --model.options.scales 2",
        "sngan --loss.flip-probability 0.1",
    ],
)
def test_what_the_user_typed_in_contradiction_is_refused(words):
    with pytest.raises(ConfigError):
        read(*words.split())


def test_a_number_of_steps_replaces_the_epochs_of_a_recipe():
    assert RECIPES["mlp_mnist"].epochs
    config, _ = read("mlp_mnist", "--steps", "100")
    assert (config.steps, config.epochs) == (100, 0)
    config, _ = read("mlp_mnist", "--steps", "100", "--epochs", "3")
    assert (config.steps, config.epochs) == (100, 3)


@pytest.mark.parametrize("recipe", recipes())
def test_the_short_help_is_one_screen(monkeypatch, recipe):
    monkeypatch.setenv("COLUMNS", "80")
    lines = short_help(recipes()[recipe][1], USAGE.format(name=recipe), recipe).splitlines()
    assert len(lines) <= 39  # A terminal of 40 lines needs one for the prompt.
    assert max(map(len, lines)) <= 80


def test_the_short_help_and_the_long_help(script):
    status, text, _ = script("train", "dcgan_mnist", "--help")
    lines = text.splitlines()
    assert status == 0
    assert lines[0].startswith("usage: gan-jax train dcgan_mnist")
    assert "--resume" in lines[0]
    assert "--config" in " ".join(lines[:2])
    assert len([line for line in lines if line.startswith("  --")]) == len(COMMON) == 20
    assert "--lr FLOAT" in text
    assert "Learning rate of G and D (0.003)" in text  # the learning rate of this recipe
    assert lines[-1] == "gan-jax train dcgan_mnist --help-all shows every flag."
    status, text, _ = script("train", "dcgan_mnist", "--help-all")
    assert status == 0
    for path, field in schema_fields().items():
        if path not in ("recipe", "choices", "model.options"):
            assert flag(path) in text, path
        assert all(alias in text for alias in field.aliases)
    for word in ("--resume", "--config", "--lr", "--compilation-cache", "relativistic_average_hinge", "warmup_cosine"):
        assert word in text


def test_help_without_a_recipe_lists_the_recipes(script):
    for words in ([], ["--help"]):
        status, text, _ = script("train", *words)
        assert status == 0
        assert "gan-jax train --resume" in text
        assert all(name in text for name in RECIPES)


def test_words_that_cannot_be_read(script):
    assert_one_line(script("train", "dcgan_mist"), "dcgan_mist: no such recipe (did you mean dcgan_mnist?)")
    assert_one_line(script("train", "--seed", "3"), "missing: RECIPE")
    assert_one_line(script("train", "ring", "--lr"), "--lr: needs a value")
    assert_one_line(script("train", "ring", "--model.options.activation", "--steps", "3"), "--model.options.activation: needs a value")
    assert_one_line(script("train", "ring", "--lss.name", "hinge"), "did you mean --loss.name?")


def test_auto_finds_the_run_that_is_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def found(*words):
        return find_run(read_command(["--resume", "auto", *words]))

    for place in ("runs/ring", "runs/ring-2", "other"):
        Path(place).mkdir(parents=True)
        Path(place, "config.yaml").write_text("recipe: ring\n")
    assert found("ring", "--out=other") == Path("other")
    assert found("ring", "--out", "other") == Path("other")
    assert found("ring", "--out", "new") is None
    assert found("grid") is None
    assert found("--config", "other/config.yaml").name.startswith("ring")
    for words in (["ring", "--out"], ["ring", "--out", "--steps", "3"], ["ring", "--out="]):
        with pytest.raises(SystemExit):
            found(*words)
