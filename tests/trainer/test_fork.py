"""Forks continue a whole state with changed settings; refused resumes name the changed flag first; runs end when patience is over."""

import dataclasses
import json
import math

import jax
import numpy as np
import pytest

from gan_jax.checkpoint import Checkpointer, read_step
from gan_jax.checkpoint.serialization import Leaf, Piece, assemble
from gan_jax.trainer.config import (
    ConfigError,
    DataConfig,
    EvaluationConfig,
    OptimizerConfig,
    check,
    load_config,
)
from gan_jax.trainer.fork import continued
from gan_jax.trainer.loaded_run import load_run
from gan_jax.trainer.patience import Patience, out_of_patience, patience_of
from gan_jax.trainer.run_directory import RunError
from support.scripts import assert_one_line
from support.small_runs import SHORT, trained

SMALL = dataclasses.replace(SHORT, recipe="ring")


def begin(out, config=SMALL, **changes):
    keywords = {name: changes.pop(name) for name in ("resume", "until") if name in changes}
    return trained(dataclasses.replace(config, out=out, **changes), **keywords)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    out = tmp_path_factory.mktemp("fork") / "parent"
    begin(out)
    return out


def leaves(run, step):
    return {path: assemble(leaf) for path, leaf in read_step(Checkpointer(run / "checkpoints", owner=False).path(step)).leaves.items()}


def test_a_fork_with_equal_settings_is_the_longer_run(parent, tmp_path):
    begin(tmp_path / "fork", fork=parent, steps=6)
    begin(tmp_path / "whole", steps=6)
    one, other = leaves(tmp_path / "fork", 6), leaves(tmp_path / "whole", 6)
    assert one.keys() == other.keys()
    for path, value in one.items():
        np.testing.assert_array_equal(value, other[path], err_msg=path)
    rows = [json.loads(line)["step"] for line in (tmp_path / "fork" / "metrics.jsonl").read_text().splitlines()]
    assert rows == [5, 6]


def test_a_fork_changes_settings_and_records_its_parent(parent, tmp_path):
    optimizer = OptimizerConfig(generator_lr=1e-3, schedule="cosine", clip_gradients=1.0, ema_decay=0.5)
    _, printed = begin(tmp_path / "fork", fork=parent, steps=6, batch_size=16, optimizer=optimizer)
    record = json.loads((tmp_path / "fork" / "run.json").read_text())["parent"]
    assert (record["path"], record["step"]) == (str(parent / "checkpoints" / "step_00000004"), 4)
    assert record["changed"] == {
        "steps": ["4", "6"],
        "batch_size": ["8", "16"],
        "optimizer.generator_lr": ["0.0002", "0.001"],
        "optimizer.schedule": ["constant", "cosine"],
        "optimizer.ema_decay": ["0.999", "0.5"],
        "optimizer.clip_gradients": ["0.0", "1.0"],
    }
    assert "continuing at step 4 with --steps 6 (was 4), --batch-size 16 (was 8)" in printed
    assert "begun anew" not in printed
    run = load_run(tmp_path / "fork")
    assert run.config.fork == parent / "checkpoints" / "step_00000004"
    # The moments are found although clipping and the schedule have moved them in the chain: both have seen 6 updates.
    counts = {path: int(value) for path, value in leaves(tmp_path / "fork", 6).items() if path.endswith("/count")}
    assert set(counts.values()) == {6}
    assert len(counts) > len([path for path in leaves(parent, 4) if path.endswith("/count")])
    begin(None, config=run.config, resume=tmp_path / "fork")  # The fork is a run like others: it can be resumed.


def test_the_state_of_a_fork_is_the_parents(parent, tmp_path):
    begin(tmp_path / "fork", fork=parent / "checkpoints" / "step_00000002", steps=8, until=2, optimizer=OptimizerConfig(clip_gradients=1.0))
    old, new = leaves(parent, 2), leaves(tmp_path / "fork", 2)
    moments = [path for path in old if "/mu/" in path]
    assert moments
    for path, value in old.items():
        name = path.replace("1/optimizer/generator/0/", "1/optimizer/generator/1/").replace(
            "1/optimizer/discriminator/0/", "1/optimizer/discriminator/1/"
        )
        name = name.replace("1/optimizer/generator/1/params", "1/optimizer/generator/2/params").replace(
            "generator/1/step", "generator/2/step"
        )
        np.testing.assert_array_equal(value, new[name], err_msg=path)


def test_what_the_parent_does_not_have_begins_at_its_weights(parent, tmp_path):
    optimizer = OptimizerConfig(generator="adabelief", schedule="linear", target_discriminator=True)
    _, printed = begin(tmp_path / "fork", fork=parent, steps=6, until=4, optimizer=optimizer)
    new = "optimizer/generator/count, optimizer/generator/mu, optimizer/generator/nu, optimizer/discriminator/params"
    assert f"new in the state, and begun anew: {new}, optimizer/discriminator/step\n" in printed
    state = leaves(tmp_path / "fork", 4)
    # The moments of another rule begin at 0, and the schedule goes on.
    counts = {path: int(value) for path, value in state.items() if path.startswith("1/optimizer/generator/") and path.endswith("/count")}
    assert sorted(counts.values()) == [0, 4]
    params = {path.removeprefix("0/discriminator/"): value for path, value in state.items() if path.startswith("0/discriminator/")}
    averages = {
        path.partition("/params/")[2]: value
        for path, value in state.items()
        if path.startswith("1/optimizer/discriminator/") and "/params/" in path
    }
    assert params.keys() == averages.keys()
    for path, value in params.items():
        np.testing.assert_array_equal(value, averages[path])


def test_leaves_of_equal_names_are_not_mixed_up():
    def leaf(*values):
        array = np.array(values, np.float32)
        return Leaf({"kind": "array", "dtype": "float32", "shape": list(array.shape)}, [Piece((0,), array)])

    links = {"0/0/mu/a": leaf(1, 1), "1/0/mu/a": leaf(2, 2), "0/0/count": leaf(7), "0/1/count": leaf(7)}
    saved = {f"1/optimizer/generator/{path}": value for path, value in links.items()} | {"1/step": leaf(3), "0/generator/a": leaf(4, 4)}
    links = {"2/0/mu/a": leaf(0, 0), "2/0/count": leaf(0)}
    begun = {f"1/optimizer/generator/{path}": value for path, value in links.items()}
    begun |= {"1/step": leaf(0), "0/generator/a": leaf(0, 0), "1/terms/0/x": leaf(0)}
    merged, new = continued(begun, saved)
    assert [value.pieces[0].data.tolist() for value in merged.values()] == [[0, 0], [7], [3], [4, 4], [0]]
    assert new == ["optimizer/generator/mu", "terms/0/x"]


def test_forks_that_cannot_be(parent, tmp_path):
    with pytest.raises(
        ConfigError, match=r"^--steps 4: .*step_00000004 is at step 4 already, and --steps counts the steps of the parent, too; take more$"
    ):
        begin(tmp_path / "no", fork=parent)
    wider = dataclasses.replace(SMALL.model, options={"generator_hidden": "9", "discriminator_hidden": "8"})
    with pytest.raises(
        ConfigError, match=r"the networks differ: .* of the generator: .*; to begin with the weights that fit, use --init-from"
    ):
        begin(tmp_path / "no", fork=parent, steps=6, model=wider)
    with pytest.raises(ConfigError, match=r"--fork .*nothing: must be a run with a checkpoint, or a checkpoint"):
        begin(tmp_path / "no", fork=tmp_path / "nothing", steps=6)
    with pytest.raises(ConfigError, match="--fork, --init-from: exclude each other"):
        check(dataclasses.replace(SMALL, fork=parent, init_from=parent))
    assert not (tmp_path / "no").exists()


def test_the_command_takes_the_configuration_of_the_parent(script, parent, tmp_path):
    status, _, error = script("train", "--fork", parent, "--steps", "5", "--lr", "1e-3", "--out", tmp_path / "fork")
    assert status in (0, None), error
    config = load_config(tmp_path / "fork" / "config.yaml")
    assert (config.model, config.steps, config.optimizer.generator_lr) == (SMALL.model, 5, 1e-3)
    assert load_run(tmp_path / "fork").step == 5
    assert_one_line(script("train", "--fork", tmp_path / "none"), "--fork", "no run there")
    assert_one_line(script("train", "--fork", parent, "--config", parent / "config.yaml"), "--fork, --config: exclude each other")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--b1", "0.9"], ["--optimizer.b1 0.9: the run has 0.5", "gan-jax train --fork", "--optimizer.b1 0.9"]),
        (["--batch-size", "16", "--seed", "3"], ["--seed 3: the run has 0; --batch-size 16: the run has 8;"]),
    ],
)
def test_a_refused_resume_names_the_flag_first_and_the_way_out(script, parent, flags, words):
    before = {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()}
    result = script("train", "--resume", parent, *flags)
    assert_one_line(result, *words)
    assert result[2].startswith(f"error: {words[0]}")
    assert {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()} == before


def test_a_changed_flag_is_named_before_the_data(parent, tmp_path):
    config = dataclasses.replace(SMALL, data=DataConfig(source="image_folder", directory=tmp_path / "missing"))
    with pytest.raises(RunError, match=r"^--data.source image_folder: the run has ring"):
        begin(None, config=config, resume=parent)


def test_a_schedule_over_a_longer_run_needs_a_fork(tmp_path):
    cosine = dataclasses.replace(SMALL, optimizer=OptimizerConfig(schedule="cosine"), steps=2)
    begin(tmp_path / "run", config=cosine)
    with pytest.raises(RunError, match=r"^--steps 4: the run has 2; .*--fork .*run --steps 4$"):
        begin(None, config=dataclasses.replace(cosine, steps=4), resume=tmp_path / "run")
    begin(tmp_path / "longer", config=dataclasses.replace(cosine, steps=4, fork=tmp_path / "run"))
    rates = [json.loads(line)["learning_rate/generator"] for line in (tmp_path / "longer" / "metrics.jsonl").read_text().splitlines()]
    # optax's cosine over 4 steps, at its steps 2 and 3: 2e-4 (1 + cos(pi t / 4)) / 2.
    np.testing.assert_allclose(rates, [2e-4 * (1 + math.cos(math.pi * t / 4)) / 2 for t in (2, 3)], rtol=1e-5)


def write_rows(directory, rows):
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("best", "values", "waited", "best_step"),
    [
        ("reverse_kl", [3.0, 2.0, 2.0, 2.5], 2, 20),  # Equal values are no improvement.
        ("reverse_kl", [3.0, None, 1.0], 0, 30),
        ("reverse_kl", [None, 3.0, None], 1, 20),
        ("modes", [3.0, 5.0, 4.0], 1, 20),  # Higher is better.
        ("auto", [3.0, 2.0, 4.0], 1, 20),
        ("finite_samples", [0.5, 0.5], 2, None),  # Stands alone in an evaluation of samples that are not finite.
    ],
)
def test_patience_counts_evaluations_since_the_best(tmp_path, best, values, waited, best_step):
    name, best = "reverse_kl" if best == "auto" else best, "auto" if best == "finite_samples" else best
    rows = [{"step": 10 * (index + 1), f"evaluation/{name}": value} for index, value in enumerate(values)]
    write_rows(tmp_path, [{"step": 5, "generator_loss": 1.0}, *rows])
    config = dataclasses.replace(SMALL, evaluation=EvaluationConfig(best=best, every=10, patience=2))
    found = patience_of(tmp_path, config)
    assert (found.waited, found.best_step) == (waited, best_step)
    assert out_of_patience(tmp_path, config) == (waited >= 2)
    assert not out_of_patience(tmp_path, dataclasses.replace(config, evaluation=EvaluationConfig(best=best, every=10)))


def test_without_evaluations_nobody_waits(tmp_path):
    config = dataclasses.replace(SMALL, evaluation=EvaluationConfig(every=10, patience=1))
    assert patience_of(tmp_path, config) == Patience("auto", best=patience_of(tmp_path, config).best)
    assert not out_of_patience(tmp_path, config)


def test_patience_needs_evaluations():
    with pytest.raises(ConfigError, match=r"^--evaluation.patience 3: needs --evaluation.every N$"):
        check(dataclasses.replace(SMALL, evaluation=EvaluationConfig(patience=3)))


def test_a_run_ends_when_patience_is_over(tmp_path):
    # Learning rates of 0 change nothing, and the samples of each evaluation are those of one seed.
    config = dataclasses.replace(
        SMALL,
        steps=20,
        optimizer=OptimizerConfig(generator_lr=0.0, discriminator_lr=0.0),
        evaluation=EvaluationConfig(samples=50, every=2, patience=3),
    )
    result, printed = begin(tmp_path / "run", config=config)
    assert result.step == 8  # The best at 2, and no improvement at 4, 6 and 8.
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["status"], record["step"], record["patience"]["best_step"], record["patience"]["waited"]) == ("finished", 8, 2, 3)
    assert "ended at step 8: auto has not improved for 3 evaluations; the best was" in printed
    assert (tmp_path / "run" / "metrics.json").is_file()
    assert 2 in Checkpointer(tmp_path / "run" / "checkpoints", owner=False).steps()
    assert jax.tree.leaves(result.params)
