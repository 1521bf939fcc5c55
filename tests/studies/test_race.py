"""Games in equal time: the entries are valid, later flags win, and the table compares only what is comparable."""

import itertools

import numpy as np
import pytest

from experiments import rows as row_files
from experiments.studies import race
from gan_jax.trainer.config import flatten


def test_every_entry_is_a_valid_run_and_each_rung_changes_the_game():
    configs = [flatten(race.config_of(entry, 2000, 10)) for entry in race.SETS["ladder"]]
    assert all(before != after for before, after in itertools.pairwise(configs))
    assert configs[0]["loss.name"] == "minimax"
    assert configs[-1]["loss.name"] == "non_saturating"
    assert configs[-1]["optimizer.generator"] == "optimistic_adam"
    assert all(config["evaluation.samples"] == 0 and config["model.width"] == race.WIDTH for config in configs)


def test_a_later_flag_replaces_an_earlier_one():
    assert race.words("--a 1 --b 2 3 --a 4") == ["--b", "2", "3", "--a", "4"]


def _rows(entry, outcomes, **origin):
    about = row_files.origin("command") | {"kind": "run", "name": entry.name, "flags": entry.flags, "steps": 10, "processor_seconds": 1.0}
    figures = dict.fromkeys(race.FIGURES, 0.5)
    return [about | figures | {"seed": seed, "fd": value} | origin for seed, value in enumerate(outcomes)]


def test_table_by_hand():
    first, second = race.Entry("first", ""), race.Entry("second", "--x")
    rows = _rows(first, [100.0, 120.0, 80.0]) + _rows(second, [50.0, 60.0, 40.0])
    line = race.result_table(rows, [first, second]).splitlines()[-1]
    assert "| second | 3 | 0 | 10 | 1 | 50.0 |" in line
    assert "| 0.50 (0.50 to 0.50) | 0.000 |" in line


def test_rows_of_other_code_are_not_compared():
    first, second = race.Entry("first", ""), race.Entry("second", "--x")
    rows = _rows(first, [100.0, 120.0, 80.0]) + _rows(second, [50.0, 60.0, 40.0], code="another")
    with pytest.raises(ValueError, match="rows differ in 'code'"):
        race.result_table(rows, [first, second])


def test_failed_runs_are_counted_and_left_out():
    first, second = race.Entry("first", ""), race.Entry("second", "--x")
    rows = _rows(first, [100.0, 120.0, 80.0, 90.0]) + _rows(second, [50.0, 66.0, 40.0, 45.0])
    failed = {key: value for key, value in rows[-1].items() if key not in ("fd", *race.FIGURES)} | {"error": "not finite", "status": 2}
    line = race.result_table([*rows[:-1], failed], [first, second]).splitlines()[-1]
    ratio = float(np.exp(np.log([0.5, 0.55, 0.5]).mean()))
    assert "| second | 4 | 1 |" in line
    assert f"| {ratio:.2f} (" in line


def test_missing_runs_come_seed_by_seed():
    entries = [race.Entry("a", ""), race.Entry("b", "")]
    rows = [{"kind": "run", "name": "a", "flags": "", "seed": 2000}]
    assert [(seed, entry.name) for seed, entry in race.missing(entries, rows, [2000, 2001])] == [(2000, "b"), (2001, "a"), (2001, "b")]
