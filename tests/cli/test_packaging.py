"""The wheel and the source distribution hold what they need."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest

from support.scripts import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_command_and_its_extra_are_declared():
    from gan_jax.cli.main import REQUIRED

    assert PROJECT["scripts"] == {"gan-jax": "gan_jax.cli.main:main"}
    names = {"yaml": "pyyaml"}
    declared = {requirement.partition(">")[0].lower() for requirement in PROJECT["optional-dependencies"]["train"]}
    assert declared == {names.get(module, module).lower() for module in REQUIRED}
    small = {requirement.partition(">")[0].lower() for requirement in PROJECT["dependencies"]}
    assert not small & declared


@pytest.mark.long
def test_the_distributions_hold_what_they_need(tmp_path):
    """Needs the package `build`, and a registry or a mirror for setuptools."""
    pytest.importorskip("build")
    subprocess.run([sys.executable, "-m", "build", "--outdir", tmp_path, ROOT], check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    assert {name for name in tracked if name.startswith("gan_jax/")} <= names
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"gan_jax"}
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as source:
        held = {name.partition("/")[2] for name in source.getnames()}
    wanted = ("gan_jax/", "tests/", "docs/", "experiments/", "constraints/", "Makefile", "requirements", "README.md", "LICENSE")
    assert {name for name in tracked if name.startswith(wanted)} <= held
