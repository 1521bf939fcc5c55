"""The Python of the README and the pages runs, their links exist, and so do the files, commands, recipes and flags that they name."""

import ast
import dataclasses
import importlib
import re
import tomllib
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from gan_jax.models import MODELS
from gan_jax.recipes import recipes
from gan_jax.trainer.config import Config, flag, flatten

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
# Pages whose blocks have their own tests, which also check the results.
RUN_ELSEWHERE = {"docs/use_anywhere.md": "test_use_anywhere.py"}
RUN_ELSEWHERE |= {name: "test_tutorials.py" for name in NAMES if name.startswith("docs/tutorials/")}
# Flags of `gan-jax train` that are not fields of the configuration.
OF_TRAIN = ("resume", "config", "compilation-cache", "lr", "b1", "b2", "latent-dim", "image-size", "on-failure")
OF_TRAIN += ("gradient-checkpointing", "freeze-layers", "help-all")


def blocks_of(name):
    """(language, text) of the fenced blocks of a page."""
    return re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / name).read_text(), re.M | re.S)


def tiny_gan():
    from gan_jax import make_gan
    from gan_jax.models import build_model

    networks = build_model("points", generator_hidden=(4,), discriminator_hidden=(4,))
    return make_gan(*networks, image_shape=(2,), latent_dim=2)


def of_checkpoints():
    gan, rng = tiny_gan(), jax.random.key(0)
    params, opt_state = gan.init(rng)
    return {"gan": gan, "rng": rng, "params": params, "opt_state": opt_state, "run": Path("run"), "config": {"seed": 0}, "step": 400}


def of_data():
    from gan_jax.data import Feed, load_source

    return {
        "Feed": Feed,
        "jax": jax,
        "source": load_source("mnist5k"),
        "step": lambda params, opt_state, batches, rng: (params, opt_state, 0),
    } | {name: jnp.zeros(1) for name in ("params", "opt_state", "rng")}


def of_metrics():
    from gan_jax.data import load_source

    source, features = load_source("mnist5k"), jax.random.normal(jax.random.key(0), (20, 3))
    return {"fake": source.images[:300], "real": source.images[300:600], "real_features": features, "fake_features": features + 1}


def of_monitor():
    path = Path("runs/dcgan_mnist/metrics.jsonl")
    path.parent.mkdir(parents=True)
    path.write_text('{"step": 5, "discriminator_loss": 1.4, "generator_loss": NaN}\n')
    return {}


def of_penalties():
    params, images = {"kernel": jnp.ones((2, 1))}, jnp.ones((4, 2))
    from gan_jax.transforms import spectral_norm

    return {
        "spectral_norm": spectral_norm,
        "rng": jax.random.key(0),
        "params": params,
        "images": images,
        "real": images,
        "fake": -images,
        "discriminator": lambda params, images: (images @ params["kernel"])[:, 0],
        "adversarial": lambda params: jnp.sum(params["kernel"]),
    }


def of_distributed():
    from gan_jax.gan.spec import GANSpec
    from gan_jax.gan.update_rules import alternating
    from gan_jax.latents import normal
    from gan_jax.losses import ADVERSARIAL
    from gan_jax.models import build_model
    from gan_jax.optimizers import ttur

    networks = build_model("points", generator_hidden=(8,), discriminator_hidden=(8,))
    loss, optimizer = ADVERSARIAL["hinge"], ttur(1e-3, 1e-3)
    further = {"image_shape": (2,), "latent_dim": 2, "sample_latents": normal}
    spec = GANSpec(networks.generator, networks.discriminator, loss=loss, optimizer=optimizer, **further)
    return {"spec": spec, "rule": alternating(), "rng": jax.random.key(0), "batch": {"image": jnp.ones((16, 2))}}


def of_api():
    from gan_jax.export.generator import GeneratorConfig, save_generator
    from gan_jax.models import build_model

    options = {"generator_hidden": (4,), "discriminator_hidden": (4,), "latent_dim": 2}
    params, state = build_model("points", **options).generator.init(jax.random.key(0), jnp.zeros((2, 2)))
    save_generator("generator.safetensors", GeneratorConfig("points", options, "normal"), params, state)
    return {}


def of_losses():
    return {"real_logits": jnp.ones(4), "fake_logits": jnp.zeros(4)}


# The names that the blocks of a page may use, because the text around them introduces them.
GIVEN = {
    "docs/api.md": of_api,
    "docs/checkpoints.md": of_checkpoints,
    "docs/data.md": of_data,
    "docs/losses.md": of_losses,
    "docs/metrics.md": of_metrics,
    "docs/monitor.md": of_monitor,
    "docs/distributed.md": of_distributed,
    "docs/penalties.md": of_penalties,
}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    page = ROOT / name
    prose = re.sub(r"`[^`]*`", "", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S))
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?", prose):
        if re.match(r"[a-z]+:", target):
            continue
        found = page.parent / target if target else page
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text(), re.M)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, f"{target}#{anchor}"


@pytest.mark.parametrize("name", [name for name in NAMES if any(language == "python" for language, _ in blocks_of(name))])
def test_python_blocks_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name in RUN_ELSEWHERE:
        test = (Path(__file__).parent / RUN_ELSEWHERE[name]).read_text()
        assert Path(name).stem in test, f"{RUN_ELSEWHERE[name]} does not run {name}"
        return
    given = GIVEN.get(name, dict)()
    for language, block in blocks_of(name):
        if language == "python":
            exec(compile(block, name, "exec"), dict(given))


@pytest.mark.parametrize("name", NAMES)
def test_blocks_are_python_or_commands_or_output(name):
    """Job scripts of a cluster (bash, yaml) are not run. The tests below check the commands in them."""
    assert {language for language, _ in blocks_of(name)} <= {"python", "sh", "", "bash", "yaml"}
    for language, block in blocks_of(name):
        if language == "sh":
            assert all(re.match(r"gan-jax |python -m ", line) for line in block.strip().splitlines()), block


def commands_of(name):
    """(program, words) of every command of a page, in blocks, in indented lines and in the text.

    A program is a subcommand of `gan-jax`, or a module that `python -m` runs.
    """
    text = (ROOT / name).read_text()
    assert not re.search(r"python (?:experiments|gan_jax)/", text), "programs run as `gan-jax COMMAND` or `python -m MODULE`"
    found = re.findall(r"(?:^|`|\s)(?:gan-jax ([a-z]\w*)|python -m ((?:experiments|docs|support|gan_jax)[\w.]*))([^`#\n]*)", text)
    commands = [(command or module, rest.split()) for command, module, rest in found]
    # The words behind -- are for the program that is launched.
    launched = [("train", words[words.index("--") + 1 :]) for _, words in commands if "--" in words]
    return [(program, words[: words.index("--")] if "--" in words else words) for program, words in commands] + launched


def sources_of(program):
    """The files that define the flags of a program."""
    if "." not in program:
        return [ROOT / "gan_jax" / "cli" / f"{program}.py", *sorted((ROOT / "gan_jax" / "cli").glob(f"{program}_*.py"))]
    folder = "tests" if program.startswith("support.") else ""
    return [ROOT / folder / f"{program.replace('.', '/')}.py"]


@cache
def known_flags(program):
    """The flags that a program takes: those of argparse, the fields of its dataclasses, and those of a configuration if it reads one."""
    known = {"--help"}
    for node in (node for path in sources_of(program) for node in ast.walk(ast.parse(path.read_text()))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            known |= {word.value for word in node.args if isinstance(word, ast.Constant) and str(word.value).startswith("--")}
        if isinstance(node, ast.ClassDef):
            fields = [line.target.id for line in node.body if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)]
            known |= {flag(name) for name in fields}
    if program in ("train", "sweep", "theatre", "experiments.studies.mixtures"):
        known |= {flag(path) for path in flatten(Config())} | ({f"--{word}" for word in OF_TRAIN} if "." not in program else set())
    if program == "sweep":
        known |= set(importlib.import_module("gan_jax.cli.sweep").OWN)
    return known


@pytest.mark.parametrize("name", NAMES)
def test_commands_can_be_typed(name):
    known_recipes = recipes()
    for program, words in commands_of(name):
        assert sources_of(program)[0].is_file(), program
        for word in (word for word in words if re.match(r"--[a-z]", word)):
            plain = re.sub(r"(--|\.)no-", r"\1", word.split("=")[0])
            assert {word.split("=")[0], plain} & known_flags(program), f"{program} has no {word}"
        if program == "train" and words and re.fullmatch(r"[a-z]\w*", words[0]):
            assert words[0] in known_recipes, words[0]


# Flags of other programs that the text names.
OF_OTHERS = {"--sync", "--xla_gpu_all_reduce_combine_threshold_bytes", "--rehearsal"}


@cache
def flags_of_all_programs():
    """The flags of every subcommand, of every module of experiments and docs, and of the scripts in tests/."""
    subcommands = [path.stem for path in (ROOT / "gan_jax" / "cli").glob("[a-z]*.py")]
    modules = [
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for folder in ("experiments", "docs/_generate")
        for path in (ROOT / folder).rglob("[a-z]*.py")
    ]
    scripts = [f"tests.{path.stem}" for path in (ROOT / "tests").glob("*.py")]
    return {flag for program in (*subcommands, *modules, *scripts) for flag in known_flags(program)}


@pytest.mark.parametrize("name", NAMES)
def test_flags_in_the_text_exist(name):
    """Also those outside of commands, e.g. in the cells of tables."""
    switches = {flag(path) for path, value in flatten(Config()).items() if isinstance(value, bool)}
    prose = re.sub(r"^```.*?^```", "", (ROOT / name).read_text(), flags=re.M | re.S)
    for code in re.findall(r"`([^`\n]+)`", prose):
        for word, value in re.findall(r"(?:^|\s)(--[a-z][\w.-]*)(?:=\S*| +(True|False)\b)?", code):
            plain = re.sub(r"(--|\.)no-", r"\1", word)
            known = flags_of_all_programs() | OF_OTHERS
            group = word.endswith(".") and any(other.startswith(word) for other in known)
            assert group or word.startswith("--model.options") or {word, plain} & known, word
            assert not (value and plain in switches), f"{word} takes no value; it has a form with no-"


def prose_lines(name):
    """(number, line) of a page, without tables, code, indented commands and generated parts."""
    text = (ROOT / name).read_text()
    for pattern in (r"^```.*?^```", r"<!-- generated.*?<!-- end -->"):
        text = re.sub(pattern, lambda match: "\n" * match[0].count("\n"), text, flags=re.M | re.S)
    return [(n, line) for n, line in enumerate(text.splitlines(), 1) if not line.startswith(("|", "    "))]


@pytest.mark.parametrize("name", NAMES)
def test_lines_end_at_120_columns(name):
    assert [(n, len(line)) for n, line in prose_lines(name) if len(line) > 120] == []


@pytest.mark.parametrize("name", NAMES)
def test_extras_exist(name):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for words in re.findall(r"gan-jax\[([a-z,]+)\]|'\.\[([a-z,]+)\]'", (ROOT / name).read_text()):
        assert set("".join(words).split(",")) <= set(extras), words


def test_every_page_is_linked_from_another_page():
    linked = {
        (ROOT / name).parent.joinpath(target).resolve()
        for name in NAMES
        for target in re.findall(r"\]\(([^)#\s]+)", (ROOT / name).read_text())
        if "://" not in target
    }
    assert [name for name in NAMES if ROOT / name not in linked | {ROOT / "README.md"}] == []


TRAIN = sorted(
    {
        " ".join(words)
        for name in NAMES
        for program, words in commands_of(name)
        if program == "train" and words and re.fullmatch(r"[a-z]\w*", words[0]) and not {"--help", "..."} & set(words)
    }
)


@pytest.mark.parametrize("words", TRAIN)
def test_train_commands_build_a_gan(words):
    """Flags that exist one by one may still be incompatible. The data are not loaded."""
    from gan_jax.cli.train_command import read_command, read_config
    from gan_jax.trainer.build.gan import build

    arguments = words.split()
    vgg = arguments.index("--loss.vgg") if "--loss.vgg" in arguments else None
    config, _ = read_config(read_command(arguments))
    if vgg is not None:
        assert not Path(arguments[vgg + 1]).exists()
        config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, vgg=None, perceptual=0.0, style=0.0))
    points, size = config.model.name == "points", config.data.image_size
    colours = config.data.channels or (3 if config.data.source in ("stacked_mnist", "image_folder") or ":" in config.data.source else 1)
    shape = (2,) if points else (size, size, colours)
    domains = MODELS[config.model.name].context == "domains"
    build(config, shape, 0 if points else 10, input_shape=shape if domains else None)


@pytest.mark.parametrize("name", NAMES)
def test_make_targets_exist(name):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    text = (ROOT / name).read_text()
    for target in re.findall(r"(?:^|^ {4}|`)make ([a-z-]+)(?=[\s`])", text, re.M):
        assert target in targets, target


@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_named_exist(name):
    for path in re.findall(r"`((?:gan_jax|experiments|tests|docs|constraints)/[\w./*-]+)`", (ROOT / name).read_text()):
        assert list(ROOT.glob(path.rstrip("/"))), path


def test_the_index_of_modules_is_complete_and_true():
    import gan_jax

    text = (ROOT / "docs" / "api.md").read_text()
    rows = [line.split(" | ") for line in text.splitlines() if re.match(r"\| `(gan_jax|experiments)\.", line)]
    indexed = set()
    for modules, _, names, *_ in rows:
        found = [importlib.import_module(module) for module in re.findall(r"`((?:gan_jax|experiments)(?:\.\w+)+)`", modules)]
        assert found, modules
        indexed |= {module.__name__.split(".")[1] for module in found if module.__name__.startswith("gan_jax.")}
        for name in re.findall(r"`(\w+)`", names):
            assert any(hasattr(module, name) for module in found), name
    assert indexed == set(gan_jax._SUBMODULES)


def test_the_checks_see_what_they_should():
    assert ("train", ["dcgan_mnist", "--seed", "0"]) in commands_of("README.md")
    assert ("verify", ["runs/dcgan_mnist"]) in commands_of("README.md")
    assert ("experiments.studies.dirac", ["--method", "r1", "--json"]) in commands_of("docs/dirac.md")
    assert ("train", ["dcgan_mnist", "--seed", "0"]) in commands_of("docs/distributed.md")  # behind the -- of `gan-jax launch`
    assert {"--loss.name", "--resume", "--help"} <= known_flags("train")
    assert {"--samples", "--raw-weights"} <= known_flags("evaluate")
    assert {"--every-checkpoint", "--out"} <= known_flags("experiments.studies.stacked_mnist")
    assert "--no-such-flag" not in known_flags("train")
    assert not sources_of("no_such_command")[0].is_file()
