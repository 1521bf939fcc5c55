"""Does the monitor's advice cure: the table by hand, what counts as a cure, and one study of one failure in full."""

import pytest

from experiments import rows as row_files
from experiments.studies import advice
from gan_jax.monitor import ADVICE


def _row(**about):
    base = {"case": "one_latent", "seed": 0, "failure": "few_dimensions", "advice": "--model.latent-dim 64", "way": "start", "named": {}}
    return row_files.origin("command") | base | {"fd": 50.0} | about


BROKEN = {"failure": None, "advice": None, "way": None, "named": {"few_dimensions": 30}, "fd": 100.0}


@pytest.mark.parametrize(
    ("changes", "cured"),
    [
        ({}, True),
        ({"named": {"few_dimensions": 40}}, False),
        ({"named": {"large_gradients": 40}}, True),
        ({"fd": 101.0}, True),
        ({"fd": None}, False),
    ],
)
def test_a_cure_is_a_run_that_is_not_named_again(changes, cured):
    assert advice.cures(_row(**changes)) is cured


def test_table_by_hand():
    rows = [_row(**BROKEN, seed=seed) for seed in (0, 1)]
    rows += [
        _row(seed=0, fd=25.0),
        _row(seed=1, fd=100.0),
        _row(seed=0, way="finding"),
        _row(seed=1, way="finding", named={"few_dimensions": 40}),
    ]
    line = advice.result_table(rows).splitlines()[-1]
    assert line == "| few_dimensions | latents of dimension 1 | `--model.latent-dim 64` | 2 of 2 | 1 of 2 | 0.50 |"


def test_rows_of_other_code_are_not_compared():
    with pytest.raises(ValueError, match="rows differ in 'code'"):
        advice.result_table([_row(**BROKEN), _row(code="another")])


def test_failures_outside_of_the_settings_are_left_out():
    assert not {"nan_injected", "one_image", "one_class", "images_not_normalised"} & set(advice.IN_SETTINGS)
    assert {"one_latent", "learning_rate_x100", "stale_replay"} <= set(advice.IN_SETTINGS)


@pytest.mark.slow
def test_each_line_of_advice_of_a_named_failure_is_tried_in_both_ways():
    rows = list(advice.rows_of("one_latent", [0], set()))
    assert rows[0]["named"]
    assert {(row["failure"], row["way"]) for row in rows[1:]} == {(name, way) for name in rows[0]["named"] for way in ("start", "finding")}
    assert len(rows[1:]) == 2 * sum(len(ADVICE[name].advice) for name in rows[0]["named"])
    assert not list(advice.rows_of("one_latent", [0], {tuple(row[key] for key in advice.KEYS) for row in rows}))
