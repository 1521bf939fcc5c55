"""The README's and the pages' Python runs; their links lead somewhere; the files, scripts, recipes and flags they name exist."""

import ast
import dataclasses
import importlib
import re
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from gan_jax.recipes import recipes
from gan_jax.trainer.config import Config, flag, flatten

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
# Pages whose blocks have tests of their own, with what they should come to.
RUN_ELSEWHERE = {"docs/use_anywhere.md": "test_docs_use_anywhere.py"}
RUN_ELSEWHERE |= {name: "test_tutorials.py" for name in NAMES if name.startswith("docs/tutorials/")}
OF_TRAIN = ("resume", "config", "compilation-cache", "recipes", "models", "lr", "b1", "b2", "latent-dim", "image-size", "on-failure")


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
        "discriminator": lambda params, images: (images @ params["kernel"])[:, 0],
        "adversarial": lambda params: jnp.sum(params["kernel"]),
    }


def of_parallel():
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


# What the blocks of a page may take for granted: what the text around them says is there.
GIVEN = {
    "docs/api.md": of_api,
    "docs/checkpoints.md": of_checkpoints,
    "docs/data.md": of_data,
    "docs/losses.md": of_losses,
    "docs/metrics.md": of_metrics,
    "docs/monitor.md": of_monitor,
    "docs/distributed.md": of_parallel,
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
    """Job scripts of a cluster (bash, yaml) are looked through for their commands, below, and not run."""
    assert {language for language, _ in blocks_of(name)} <= {"python", "sh", "", "bash", "yaml"}
    for language, block in blocks_of(name):
        if language == "sh":
            assert all(line.startswith("python experiments/") for line in block.strip().splitlines()), block


def commands_of(name):
    """(script, words) of every command of a page, in blocks, in indented lines and in the text."""
    text = (ROOT / name).read_text()
    found = re.findall(r"(?:^|`|\s)python experiments/(\w+)\.py([^`#\n]*)", text)
    commands = [(script, rest.split()) for script, rest in found]
    # What stands behind -- is for the program that is launched.
    launched = [("train", words[words.index("--") + 1 :]) for _, words in commands if "--" in words]
    return [(script, words[: words.index("--")] if "--" in words else words) for script, words in commands] + launched


@cache
def known_flags(script):
    """The flags that a script takes: those of argparse, fields of its dataclasses, and the configuration's where it reads one."""
    source = (ROOT / "experiments" / f"{script}.py").read_text()
    found = {"--help"}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            found |= {word.value for word in node.args if isinstance(word, ast.Constant) and str(word.value).startswith("--")}
        if isinstance(node, ast.ClassDef):
            fields = [line.target.id for line in node.body if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)]
            found |= {flag(name) for name in fields}
    if script in ("train", "mixtures"):
        found |= {flag(path) for path in flatten(Config())} | ({f"--{word}" for word in OF_TRAIN} if script == "train" else set())
    return found


@pytest.mark.parametrize("name", NAMES)
def test_commands_can_be_typed(name):

    known_recipes = recipes()
    for script, words in commands_of(name):
        assert (ROOT / "experiments" / f"{script}.py").is_file(), script
        for word in (word for word in words if re.match(r"--[a-z]", word)):
            plain = re.sub(r"(--|\.)no-", r"\1", word.split("=")[0])
            assert {word.split("=")[0], plain} & known_flags(script), f"{script}.py has no {word}"
        if script == "train" and words and re.fullmatch(r"[a-z]\w*", words[0]):
            assert words[0] in known_recipes, words[0]


TRAIN = sorted(
    {
        " ".join(words)
        for name in NAMES
        for script, words in commands_of(name)
        if script == "train" and words and re.fullmatch(r"[a-z]\w*", words[0]) and not {"--help", "..."} & set(words)
    }
)


@pytest.mark.parametrize("words", TRAIN)
def test_train_commands_make_a_game(words, monkeypatch):
    """Flags that exist one by one may still not go together. The data themselves are not loaded."""
    from gan_jax.trainer.build.gan import build
    from support.scripts import load_script

    arguments = words.split()
    vgg = arguments.index("--loss.vgg") if "--loss.vgg" in arguments else None
    config, _, _ = load_script("train").read(arguments)
    if vgg is not None:
        assert not Path(arguments[vgg + 1]).exists()
        config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, vgg=None, perceptual=0.0, style=0.0))
    points, size = config.model.name == "points", config.data.image_size
    colours = config.data.channels or (3 if config.data.source in ("stacked_mnist", "image_folder") or ":" in config.data.source else 1)
    build(config, (2,) if points else (size, size, colours), 0 if points else 10)


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


def test_the_index_of_modules_is_whole_and_true():
    import gan_jax

    text = (ROOT / "docs" / "api.md").read_text()
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `gan_jax.")]
    named = set()
    for modules, _, names, *_ in rows:
        found = [importlib.import_module(module) for module in re.findall(r"`(gan_jax\.\w+)`", modules)]
        named |= {module.__name__.split(".")[1] for module in found}
        for name in re.findall(r"`(\w+)`", names):
            assert any(hasattr(module, name) for module in found), name
    assert named == set(gan_jax._SUBMODULES)


def test_the_checks_see_what_they_should():
    assert ("train", ["dcgan_mnist", "--seed", "0"]) in commands_of("README.md")
    assert {"--loss.name", "--resume", "--help"} <= known_flags("train")
    assert {"--samples", "--raw-weights"} <= known_flags("evaluate")
    assert "--workloads" in known_flags("benchmark")
    assert "--no-such-flag" not in known_flags("train")
