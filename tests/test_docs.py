"""The README's and the pages' Python runs; their links lead somewhere; the flags they name exist."""

import re
from pathlib import Path

import pytest

from gan_jax.config import Config, flag, flatten

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    prose = re.sub(r"`[^`]*`", "", page.read_text())
    for target in re.findall(r"\]\(([^)#\s]+)", prose):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "extending.md"], ids=lambda page: page.name)
def test_python_blocks_run(page):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, str(page), "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_of_train_exist(page):
    known = {flag(path) for path in flatten(Config())} | {
        f"--{name}"
        for name in ("resume", "config", "compilation-cache", "recipes", "models", "help", "lr", "b1", "b2", "latent-dim", "image-size")
    }
    for command in re.findall(r"experiments/train\.py[^\n`]*", page.read_text()):
        for name in re.findall(r"(?<!\S)(--[a-z][a-z0-9.-]*)", command):
            assert name.replace("--no-", "--") in known, f"{page.name}: {name}"
