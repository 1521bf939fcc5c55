"""The program that measures the step of the recipes at their own sizes, on a small one."""

import json

import pytest

from experiments.benchmarks import step_costs
from support.scripts import assert_one_line
from support.small_recipes import RECIPES, shrunk


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("gan_jax.recipes.recipes", lambda: {"mlp_mnist": ("", shrunk(RECIPES["mlp_mnist"][1]))})
    monkeypatch.setattr("os.sched_setaffinity", lambda *_: None)  # The process of the tests keeps its cores.
    monkeypatch.setattr(step_costs, "SHOWN", ["mlp_mnist"])


def test_a_recipe_is_measured_once_and_its_row_states_its_origin(small, script, tmp_path):
    out = tmp_path / "rows.jsonl"
    assert script("step_costs", "--out", out)[0] == 0
    (row,) = map(json.loads, out.read_text().splitlines())
    assert (row["recipe"], row["image_shape"], row["batch"]) == ("mlp_mnist", [4, 4, 1], 4)
    assert min(row["processor_ms"], row["megabytes"]) > 0
    assert {"commit", "code", "processor", "devices", "form", "command"} <= row.keys()
    before = out.read_bytes()
    assert script("step_costs", "--out", out)[0] == 0
    assert out.read_bytes() == before
    status, table, _ = script("step_costs", "--table", out)
    assert status == 0
    assert f"| `mlp_mnist` | 4 of 4x4x1 | {row['processor_ms']:,.0f} | {row['megabytes']:,.0f} |" in table


def test_an_unknown_recipe_is_one_line(script):
    assert_one_line(script("step_costs", "no_such_recipe"), "no_such_recipe", "gan-jax recipes")
