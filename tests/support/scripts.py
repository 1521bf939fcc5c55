"""The programs under test by a short name, and checks of their errors and results."""

import importlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "experiments"

TINY = ["--model.width", "4", "--model.latent-dim", "8", "--batch-size", "8", "--evaluation.samples", "0", "--no-tensorboard"]
COMMANDS = ("train", "evaluate", "measure", "invert", "sample", "stack", "report", "export", "verify", "launch", "sweep")
COMMANDS += ("recipes", "models", "theatre")
MODULES = {name: f"gan_jax.cli.{name}" for name in COMMANDS} | {
    **{
        name: f"experiments.studies.{name}"
        for name in ("dirac", "digit_outcomes", "failures", "mixtures", "race", "stacked_mnist", "compare_torch", "transfer", "advice")
    },
    "costs": "experiments.studies.update_rules.costs",
    "update_rule_mixtures": "experiments.studies.update_rules.mixtures",
    "ablate": "experiments.studies.ablations.ablate",
    "benchmarks": "experiments.benchmarks.run",
    "accelerator": "experiments.benchmarks.accelerator.run",
    "torch_rows": "experiments.benchmarks.accelerator.torch_rows",
    "sweep_cost": "experiments.benchmarks.sweep_cost",
    "first_grid": "experiments.benchmarks.first_grid",
    "step_costs": "experiments.benchmarks.step_costs",
    "communication": "experiments.benchmarks.communication.measure",
    **{
        name: f"experiments.tools.{name}"
        for name in (
            "choose_convs",
            "convert_inception",
            "convert_stylegan2",
            "convert_vgg",
            "make_mnist5k",
            "pack_images",
            "train_classifier",
        )
    },
    **{name: f"docs._generate.{name}" for name in ("pages", "recipe_table", "plot_losses")},
}


def load_script(name):
    """Returns the module of a program."""
    return importlib.import_module(MODULES[name])


def assert_one_line(result, *words):
    """Asserts that a program ended with status 2 and printed one line of error that contains the words."""
    status, _, error = result
    assert status == 2
    lines = [line for line in error.splitlines() if line.strip()]
    assert len(lines) == 1, error
    assert lines[0].startswith("error: ")
    assert "Traceback" not in error
    for word in words:
        assert word in lines[0]


def assert_same_run(first, second):
    """Asserts that two runs have the same weights, samples and metrics, to the byte."""
    assert (first / "metrics.jsonl").read_bytes() == (second / "metrics.jsonl").read_bytes()
    last = sorted((first / "checkpoints").glob("step_*"))[-1].name
    for name in [path.relative_to(first) for path in sorted((first / "checkpoints" / last).glob("*.safetensors"))]:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    pictures = sorted(path.name for path in (first / "samples").glob("*.png"))
    assert pictures == sorted(path.name for path in (second / "samples").glob("*.png"))
    for name in pictures:
        assert (first / "samples" / name).read_bytes() == (second / "samples" / name).read_bytes()
