"""The figures of docs/recipes.md: the row of a run, and the tables of rows."""

import dataclasses
import json
from pathlib import Path

import pytest

from docs._generate import recipe_table
from experiments.rows import append_rows, read_rows
from gan_jax.recipes import recipes
from gan_jax.trainer.config import ConfigError, save_config

RECIPES = recipes()
RECORD = {
    "status": "finished",
    "step": 3000,
    "data": {"examples": 4000},
    "seconds": 200.5,
    "processor_seconds": 300.5,
    "cpu": "some CPU",
    "cpus_allowed": 1,
}


def make_run(directory, *, seed=0, distance=10.0, width=32, vgg=None, **record):
    """The files of a run of cgan that a row is made of."""
    directory.mkdir()
    config = RECIPES["cgan"][1]
    model, loss = dataclasses.replace(config.model, width=width), dataclasses.replace(config.loss, vgg=vgg)
    config = dataclasses.replace(config, recipe="cgan", seed=seed, out=directory, model=model, loss=loss)
    save_config(config, directory / "config.yaml")
    versions = {"python": "3.11.7", "jax": "0.10.2", "numpy": "2"}
    (directory / "run.json").write_text(json.dumps(RECORD | {"versions": versions} | record))
    measured = [{"metric": "classifier_fd", "value": distance, "real": 7.5}, {"metric": "precision", "value": 0.5, "real": None}]
    (directory / "metrics.json").write_text(json.dumps(measured))
    return directory


def test_a_row_has_the_configuration_and_the_figures_of_a_run(tmp_path):
    row = recipe_table.row_of(make_run(tmp_path / "run", seed=3, width=16))
    assert (row["recipe"], row["seed"], row["changes"], row["steps"]) == ("cgan", 3, {"model.width": 16}, 3000)
    assert row["metrics"] == {"classifier_fd": 10.0, "precision": 0.5}
    assert row["real"] == {"classifier_fd": 7.5}
    assert (row["processor_seconds"], row["versions"]) == (300.5, {"python": "3.11.7", "jax": "0.10.2"})


def test_a_row_with_a_file_can_be_written(tmp_path):
    row = recipe_table.row_of(make_run(tmp_path / "run", vgg=Path("vgg16.safetensors")))
    append_rows(tmp_path / "rows.jsonl", [row])
    assert read_rows(tmp_path / "rows.jsonl")[0]["changes"] == {"loss.vgg": "vgg16.safetensors"}


def test_a_run_that_did_not_finish_has_no_row(tmp_path):
    with pytest.raises(ConfigError, match=r"its status is interrupted"):
        recipe_table.row_of(make_run(tmp_path / "run", status="interrupted"))


def test_runs_that_differ_in_the_seed_make_one_line(tmp_path):
    chosen = {"a": (0, 10.0, 32), "b": (1, 14.0, 32), "c": (0, 30.0, 16), "d": (1, 16.0, 32)}
    runs = [make_run(tmp_path / name, seed=seed, distance=distance, width=width) for name, (seed, distance, width) in chosen.items()]
    found = recipe_table.parts([recipe_table.row_of(run) for run in runs])
    # 10 and 16 (a later run of a seed replaces the earlier one): mean 13, deviation sqrt(2 * 3^2) = 4.2.
    assert "| `cgan` | 0, 1 | 3,000 | some CPU | 300 | 13.0 ± 4.2 | 0.50 ± 0.00 | - |" in found["own length"]()
    # The flags tell it from the configuration of the other table.
    assert "| `cgan` `--model.width 16` | 0 | 3,000 | some CPU | 300 | 30.0 | 0.50 |" in found["shorter"]()
    assert "| real images, held out |  |  |  |  | 7.5 |" in found["own length"]()


def test_configurations_of_one_recipe_are_told_apart_by_their_flags():
    common = {"recipe": "cgan", "seed": 0, "steps": 10, "cpu": "some CPU", "processor_seconds": 5.0, "real": {}}
    changes = [{"steps": 10, "model.width": 16}, {"steps": 10, "model.width": 16, "optimizer.b1": 0.0}, {"model.width": 16}]
    rows = [common | {"changes": each, "metrics": {"classifier_fd": 1.0}} for each in changes]
    names = [line.split("|")[1].strip() for line in recipe_table.parts(rows)["shorter"]().splitlines()[2:]]
    assert names == ["`cgan`", "`cgan` `--optimizer.b1 0`", "`cgan`"]


def test_the_time_is_that_of_one_processor(tmp_path):
    first = recipe_table.row_of(make_run(tmp_path / "a", seed=0))
    other = recipe_table.row_of(make_run(tmp_path / "b", seed=1, cpu="slower CPU", processor_seconds=900.0))
    assert "| `cgan` | 0, 1 | 3,000 | some CPU | 300 |" in recipe_table.parts([first, other])["own length"]()


def test_configurations_on_different_data_have_their_real_images_beside_them():
    common = {"recipe": "pix2pix", "changes": {}, "steps": 10, "cpu": "some CPU", "processor_seconds": 5.0}
    rows = [
        common | {"seed": seed, "metrics": {"sliced_wasserstein": 40.0 + seed}, "real": {"sliced_wasserstein": 10.4}} for seed in (0, 2)
    ]
    rows.append(common | {"recipe": "r3gan", "seed": 0, "metrics": {"sliced_wasserstein": 18.0}, "real": {"sliced_wasserstein": 12.1}})
    found = recipe_table.parts(rows)["pixels"]().splitlines()
    assert found[2:] == [
        "| `pix2pix` | 0, 2 | 10 | some CPU | 5 | 41.0 ± 1.4 (real: 10.4) | - |",
        "| `r3gan` | 0 | 10 | some CPU | 5 | 18.0 (real: 12.1) | - |",
    ]


def test_the_readme_states_the_default_recipe_at_its_own_length():
    rows = [
        {"recipe": "dcgan_mnist", "seed": seed, "changes": changes, "metrics": {"classifier_fd": value}, "real": {"classifier_fd": 7.5}}
        for seed, changes, value in ((0, {}, 10.0), (1, {}, 14.0), (0, {"steps": 5}, 99.0))
    ]
    # The sample deviation of 10 and 14 is the root of 8.
    assert recipe_table.default_recipe(rows) == "12.0 ± 2.8 over 2 seeds, where held-out real digits have 7.5"
    assert recipe_table.default_recipe(rows[1:]) == "14.0 over one seed, where held-out real digits have 7.5"
