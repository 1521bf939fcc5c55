"""A failing run at the command line: it continues, ends with status 3, or rolls back with changed settings."""

import json
import sys

import pytest

from support.scripts import load_script

# The updates are as large as the weights. The monitor finds this within the first three rows.
FAILING = [
    *("ring", "--out", "run", "--steps", "24", "--batch-size", "8", "--log-every", "2", "--sample-every", "6", "--checkpoint-every", "2"),
    *("--keep-checkpoints", "20", "--sample-grid", "3", "--evaluation.samples", "0", "--no-tensorboard"),
    *("--model.options.generator-hidden", "8,8", "--model.options.discriminator-hidden", "8,8", "--penalty.r1", "0", "--penalty.r2", "0"),
    *(
        "--loss.name",
        "non_saturating",
        "--optimizer.schedule",
        "constant",
        "--optimizer.generator-lr",
        "0.5",
        "--optimizer.discriminator-lr",
        "0.5",
    ),
]


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Runs the command in an empty directory: (exit status, standard error on one line, run.json)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        status = 0
        try:
            load_script("train").main()
        except SystemExit as end:
            status = end.code or 0
        return status, " ".join(capsys.readouterr().err.split()), json.loads((tmp_path / "run" / "run.json").read_text())

    return run


def findings(tmp_path):
    return [json.loads(line) for line in (tmp_path / "run" / "findings.jsonl").read_text().splitlines()]


def test_warn_prints_the_finding_and_continues(run, tmp_path):
    status, printed, record = run(*FAILING, "--on-failure", "warn")
    assert (status, record["status"], record["step"]) == (0, "finished", 24)
    (finding,) = [finding for finding in findings(tmp_path) if finding["id"] == "updates_too_large"]
    assert finding["message"] in printed
    assert f"try: {finding['advice'][0]}" in printed


def test_stop_ends_with_status_3_and_the_run_can_be_continued(run, tmp_path):
    status, printed, record = run(*FAILING, "--on-failure", "stop")
    assert status == 3
    failure = findings(tmp_path)[-1]
    assert (record["status"], record["step"]) == ("stopped", failure["step"])
    assert record["step"] < 24
    assert f"stopped at step {record['step']}: {failure['message']}" in printed
    kept = sorted(int(path.name[5:]) for path in (tmp_path / "run" / "checkpoints").glob("step_*"))
    assert kept
    assert kept[-1] < failure["step"]
    assert f"the checkpoint of step {kept[-1]} is kept" in printed
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"Failing: {failure['message']}" in page
    # The command that it advises works.
    status, printed, record = run("--resume", "run", "--on-failure", "warn")
    assert (status, record["status"], record["step"]) == (0, "finished", 24)
    assert f"resuming run at step {kept[-1]}" in printed


@pytest.mark.slow
def test_rollback_halves_the_learning_rates_and_prints_it(run, tmp_path):
    """The learning rates are too high until they are halved once or twice. The run then finishes."""
    lower = [argument if argument != "0.5" else "0.04" for argument in FAILING]
    status, printed, record = run(*lower, "--on-failure", "rollback", "--monitor.rollbacks", "3")
    assert (status, record["status"], record["step"]) == (0, "finished", 24)
    assert 1 <= len(record["rollbacks"]) <= 3
    for n, entry in enumerate(record["rollbacks"]):
        assert entry["finding"] == "updates_too_large"
        assert entry["changed"] == {"optimizer.generator_lr": 0.02 / 2**n, "optimizer.discriminator_lr": 0.02 / 2**n}
        assert entry["to_step"] < entry["at_step"]
        assert f"rolling back to step {entry['to_step']} with" in printed
    assert not [finding for finding in findings(tmp_path) if finding["confidence"] >= 0.8]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "rollbacks" in page
    assert "updates_too_large" in page
