"""docs/tricks.md is true: each row is present, each function imports, each flag and recipe exists, each test file names its function."""

import importlib
import re
from pathlib import Path

import pytest

from gan_jax.models import MODELS
from gan_jax.recipes import recipes
from gan_jax.trainer.config import Config, flag, flatten

ROOT = Path(__file__).parents[2]
COUNTS = {"in": 5, "loss": 12, "label": 4, "gp": 7, "layer": 17, "model": 10, "train": 14, "watch": 7, "beyond": 10}
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "tricks.md").read_text().splitlines()
    if re.match(r"\| [a-z]+-\d+ \|", line)
]


def test_every_row_of_the_list_is_there_once():
    listed = [f"{family}-{n + 1}" for family, count in COUNTS.items() for n in range(count)]
    rows = [row[0] for row in ROWS]
    assert len(rows) == len(set(rows))
    assert set(listed) <= set(rows)
    assert {row.rpartition("-")[0] for row in set(rows) - set(listed)} <= {"beyond"}  # Rows beyond the list have numbers of their own.


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_row(row):
    _, _, function, flags, test, evidence = row
    dotted = function.strip("`")
    name = dotted.rsplit(".", 1)[1]
    try:
        importlib.import_module(dotted)
    except ModuleNotFoundError:
        assert hasattr(importlib.import_module(dotted.rsplit(".", 1)[0]), name), dotted
    known = {flag(path) for path in flatten(Config())}
    options = {f"--model.options.{option.replace('_', '-')}" for model in MODELS.values() for option in model.options}
    for word in re.findall(r"`(--[a-z0-9.-]+)`", flags):
        assert word in known | options, word
    for recipe in re.findall(r"recipe `(\w+)`", flags):
        assert recipe in recipes(), recipe
    path = ROOT / test.strip("`")
    assert path.name.startswith("test_"), test
    assert re.search(rf"\b{name}\b", path.read_text()), f"{test} does not name {name}"
    assert evidence in ("open", "rule", "recipe", "not measured") or re.match(r"\[.+\]\(.+\)$", evidence), evidence
