"""The script that counts the modes of stacked digits: what it measures of real images and of a run, and the table."""

import json

import pytest

from experiments.studies import stacked_mnist as stacked
from support.scripts import TINY, assert_one_line


def test_held_out_digits_have_the_modes_of_even_ones():
    row = stacked.measure_real(stacked.Flags(samples=2000))
    # 2,000 even draws of 1,000 modes leave out each with probability (1 - 1/1000)^2000 = 0.135.
    assert row["modes"] == pytest.approx(865, abs=40)
    assert row["samples"] == 2000


@pytest.mark.slow
def test_a_run_is_measured_at_each_checkpoint(script, tmp_path):
    plain = ["--loss.name", "hinge", "--penalty.r1", "0", "--penalty.r2", "0", "--model.norm", "none", "--augment.pack", "1"]
    small = [*TINY, *plain, "--steps", "4", "--scan-steps", "1", "--checkpoint-every", "2", "--sample-every", "0", "--out", "run"]
    assert script("train", "stacked_mnist", *small)[0] == 0
    status, printed, _ = script("stacked_mnist", "run", "--samples", "30", "--every-checkpoint", "--out", "rows.jsonl")
    assert status == 0
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert rows == [json.loads(line) for line in printed.splitlines()]
    assert [row.get("step") for row in rows] == [None, 2, 4]
    assert rows[1]["seconds"] is None  # the run took its time for all four steps
    assert rows[2]["seconds"] > 0
    assert "stacked_mnist" in rows[2]["command"]
    assert all(1 <= row["modes"] <= 30 for row in rows)
    status, text, _ = script("stacked_mnist", "--table", "rows.jsonl")
    lines = text.splitlines()
    assert len(lines) == 5
    assert f"| {rows[2]['modes']} | {rows[2]['reverse_kl']:.3f} | 30 | `" in lines[4]


def test_errors_are_one_line(script):
    assert_one_line(script("stacked_mnist", "--samples", "0"), "--samples 0")
    assert_one_line(script("stacked_mnist", "nowhere", "--samples", "10"), "nowhere")
    assert_one_line(script("stacked_mnist", "--table", "missing.jsonl"), "--table missing.jsonl: there is no such file")
