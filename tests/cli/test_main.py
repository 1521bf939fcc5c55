"""The console command, its subcommands, and the names of `import gan_jax`."""

import importlib.util
import subprocess
import sys

import pytest

from gan_jax.cli import main as command
from gan_jax.models import MODELS
from gan_jax.recipes import recipes
from support.scripts import EXPERIMENTS, ROOT, assert_one_line


def run(capsys, *words):
    status = 0
    try:
        status = command.main(list(words))
    except SystemExit as end:
        status = end.code or 0
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_command_alone_shows_its_subcommands(capsys):
    for words in ([], ["--help"], ["-h"]):
        status, text, _ = run(capsys, *words)
        assert status == 0
        assert len(text.splitlines()) < 20
        assert all(f"  {name} " in text for name in command.COMMANDS)
    files = {path.stem for path in (ROOT / "gan_jax" / "cli").glob("*.py")}
    assert set(command.COMMANDS) <= files


def test_a_mistyped_command_gets_a_suggestion(capsys):
    assert_one_line(run(capsys, "tran"), "tran: no such command (did you mean train?)")
    assert_one_line(run(capsys, "modles"), "did you mean models?")
    assert_one_line(run(capsys, "xyzzy"), "xyzzy: no such command; see gan-jax --help")


@pytest.mark.parametrize("name", command.COMMANDS)
def test_every_command_has_a_help_that_names_it(capsys, name):
    status, text, _ = run(capsys, name, "--help")
    assert status == 0
    assert f"gan-jax {name}" in text
    assert_one_line(run(capsys, name, *(["ring"] if name == "train" else []), "--no-such-flag"), "")


def test_lists(capsys):
    status, text, _ = run(capsys, "recipes")
    assert status == 0
    assert [line.split()[0] for line in text.splitlines()] == list(recipes())
    status, text, _ = run(capsys, "models")
    assert status == 0
    assert [line.partition(":")[0] for line in text.splitlines()] == list(MODELS)


def test_without_the_extra_the_command_says_what_to_install(capsys, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tyro" else find_spec(name))
    assert_one_line(run(capsys, "train", "ring"), 'pip install "gan-jax[train]"')


def test_the_module_and_the_wrappers_are_the_command():
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    for words in (["-m", "gan_jax", "recipes"], ["-m", "gan_jax.cli.main"], [EXPERIMENTS / "report.py", "--help"]):
        result = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
    for name in ("train", "evaluate", "measure", "invert", "sample", "report", "export", "verify", "launch", "stack"):
        assert f'run_command("{name}")' in (EXPERIMENTS / f"{name}.py").read_text()


PUBLIC = """
import gan_jax
from gan_jax import GAN, Config, load_generator, load_run, make_gan, train

reveal_type(gan_jax.Config)
reveal_type(Config(seed=3).optimizer.b1)
reveal_type(train(Config()).step)
reveal_type(load_run("run").config.loss.name)
reveal_type(gan_jax.losses.hinge_generator_loss)
gan_jax.train("no configuration")
Config(seeds=3)
"""


@pytest.mark.slow
def test_type_checkers_see_the_public_names(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(PUBLIC)
    options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent", f"--cache-dir={ROOT / '.pytest_cache' / 'mypy'}"]
    environment = {"MYPYPATH": str(ROOT), "PATH": ""}
    text = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "user.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
    ).stdout
    revealed = [line.partition("Revealed type is ")[2] for line in text.splitlines() if "Revealed" in line]
    assert len(revealed) == 5, text
    for kind, shown in zip(("Config", "float", "int", "relativistic_average_hinge", "def (fake_logits"), revealed, strict=True):
        assert kind in shown, text
    assert 'Argument 1 to "train" has incompatible type "str"' in text
    assert 'Unexpected keyword argument "seeds"' in text


def test_names_load_on_first_use():
    code = """
import sys, gan_jax
assert "jax" not in sys.modules and "tyro" not in sys.modules
assert set(gan_jax._HOME) | set(gan_jax._SUBMODULES) <= set(dir(gan_jax))
assert callable(gan_jax.make_gan) and callable(gan_jax.train) and gan_jax.Config().steps == 1000
for name in (*gan_jax._HOME, *gan_jax._SUBMODULES): getattr(gan_jax, name)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": "/nonexistent"})
