"""Games in equal time: the entries are valid, later flags win, and the table compares only what is comparable."""

import itertools
import subprocess
import types

import numpy as np
import pytest

from experiments import rows as row_files
from experiments.studies import race
from gan_jax.trainer.config import flatten


@pytest.mark.parametrize("name", race.RACES)
def test_every_entry_is_a_valid_run_and_no_two_are_the_same_game(name):
    of = race.RACES[name]
    configs = [flatten(race.config_of(of, entry, 2000, 10)) for entry in of.entries]
    assert all(first != second for first, second in itertools.combinations(configs, 2))
    assert all(config["evaluation.samples"] == 0 and config["model.width"] == race.WIDTH for config in configs)


def test_the_ladder_goes_from_2014_to_the_default():
    of = race.RACES["ladder"]
    bottom, *_, top = (flatten(race.config_of(of, entry, 2000, 10)) for entry in of.entries)
    assert bottom["loss.name"] == "minimax"
    assert top["loss.name"] == "non_saturating"
    assert top["optimizer.generator"] == "optimistic_adam"


def test_the_top_of_the_ladder_without_its_labels_is_the_default_recipe():
    of = race.RACES["ladder"]
    top = flatten(race.config_of(of, of.entries[-2], 2000, 10))
    default = flatten(race.config_of(of, race.Entry("the recipe", "--model.norm batch --model.discriminator-norm batch"), 2000, 10))
    assert {name: (top[name], default[name]) for name in top if top[name] != default[name]} == {}


def test_each_entry_of_without_lacks_one_change():
    of = race.RACES["without"]
    whole, *others = (flatten(race.config_of(of, entry, 2000, 10)) for entry in of.entries)
    changed = [{name for name in whole if whole[name] != other[name]} for other in others]
    assert {"augment.instance_noise"} in changed
    assert all(1 <= len(names) <= 2 for names in changed)


def test_a_command_names_no_folder_of_this_machine():
    of = race.RACES["pictures"]
    assert "--data.directory DIR" in " ".join(race.command(of, of.entries[0], 2000, 10, "DIR"))


def test_a_later_flag_replaces_an_earlier_one():
    assert race.words("--a 1 --b 2 3 --a 4") == ["--b", "2", "3", "--a", "4"]


def _table(rows, *entries, against="before"):
    return race.result_table(race.RACES["ladder"]._replace(entries=list(entries), against=against), rows)


def _rows(entry, outcomes, **origin):
    about = row_files.origin("command") | {"kind": "run", "name": entry.name, "flags": entry.flags, "steps": 10, "processor_seconds": 1.0}
    figures = dict.fromkeys(race.DIGITS, 0.5)
    return [about | figures | {"seed": seed, "fd": value} | origin for seed, value in enumerate(outcomes)]


def test_table_by_hand():
    first, second = race.Entry("first", ""), race.Entry("second", "--x")
    rows = _rows(first, [100.0, 120.0, 80.0]) + _rows(second, [50.0, 60.0, 40.0])
    line = _table(rows, first, second).splitlines()[-1]
    assert "| second | 3 | 0 | 10 | 1 | 50.0 |" in line
    assert "| 0.50 (0.50 to 0.50) | 0.000 |" in line


def test_each_entry_against_the_first_by_hand():
    first, second, third = race.Entry("first", ""), race.Entry("second", "--x"), race.Entry("third", "--y")
    rows = _rows(first, [100.0, 120.0, 80.0]) + _rows(second, [50.0, 60.0, 40.0]) + _rows(third, [25.0, 30.0, 20.0])
    line = _table(rows, first, second, third, against="first").splitlines()[-1]
    assert "| 0.25 (0.25 to 0.25) |" in line


def test_rows_of_other_code_are_not_compared():
    first, second = race.Entry("first", ""), race.Entry("second", "--x")
    rows = _rows(first, [100.0, 120.0, 80.0]) + _rows(second, [50.0, 60.0, 40.0], code="another")
    with pytest.raises(ValueError, match="rows differ in 'code'"):
        _table(rows, first, second)


def test_failed_runs_are_counted_and_left_out():
    first, second = race.Entry("first", ""), race.Entry("second", "--x")
    rows = _rows(first, [100.0, 120.0, 80.0, 90.0]) + _rows(second, [50.0, 66.0, 40.0, 45.0])
    failed = {key: value for key, value in rows[-1].items() if key not in race.DIGITS} | {"error": "not finite", "status": 2}
    line = _table([*rows[:-1], failed], first, second).splitlines()[-1]
    ratio = float(np.exp(np.log([0.5, 0.55, 0.5]).mean()))
    assert "| second | 4 | 1 |" in line
    assert f"| {ratio:.2f} (" in line


def test_words_about_the_certain_entries_by_hand():
    entries = [race.Entry("first", ""), race.Entry("half", "--x"), race.Entry("the same", "--y"), race.Entry("a tenth", "--z")]
    values = [[100.0, 120.0, 80.0], [51.0, 60.0, 39.0], [52.0, 58.0, 41.0], [5.2, 5.8, 4.1]]
    rows = [row for entry, outcomes in zip(entries, values, strict=True) for row in _rows(entry, outcomes)]
    ladder = race.RACES["ladder"]._replace(entries=entries)
    assert race.verdicts(ladder, rows, certain=True) == "a tenth 0.10, half 0.50"
    assert race.verdicts(ladder, rows, certain=False) == "the same 1.01"
    assert race.mean_of(ladder, rows, 1, "fd") == "50"


def test_missing_runs_come_seed_by_seed():
    entries = [race.Entry("a", ""), race.Entry("b", "")]
    rows = [{"kind": "run", "name": "a", "flags": "", "seed": 2000}]
    assert [(seed, entry.name) for seed, entry in race.missing(entries, rows, [2000, 2001])] == [(2000, "b"), (2001, "a"), (2001, "b")]


@pytest.mark.parametrize("step", [10, 7])
def test_a_run_that_a_signal_ended_early_has_no_outcome(monkeypatch, step):
    entry = race.RACES["ladder"].entries[0]
    own = race.RACES["ladder"]._replace(figures=lambda run, seed: {"fd": 1.0})
    monkeypatch.setattr("subprocess.run", lambda *_, **__: subprocess.CompletedProcess([], 0, "", ""))
    monkeypatch.setattr("gan_jax.trainer.loaded_run.load_run", lambda out: types.SimpleNamespace(step=step))
    row = race.train(own, entry, 2000, 10, core=None, directory=None)
    assert (row.get("fd"), row.get("error")) == ((1.0, None) if step == 10 else (None, "ended at step 7"))
