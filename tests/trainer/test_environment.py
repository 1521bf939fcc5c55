"""The environment in run.json."""

import subprocess
from pathlib import Path

import pytest

import gan_jax
from gan_jax.trainer import environment

ROOT = Path(gan_jax.__file__).resolve().parents[1]


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the package has no repository")
def test_commit_is_that_of_the_package():
    changed = git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    assert environment.commit() == git("rev-parse", "HEAD") + ("+" if changed else "")


def test_a_package_without_a_repository_has_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(gan_jax, "__file__", str(tmp_path / "gan_jax" / "__init__.py"))
    assert environment.commit() == ""
