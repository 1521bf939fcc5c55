"""Damaged files of every kind that is read, by the thousand, in a process of its own; of images: tests/data/test_fuzz_files.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "support" / "fuzzing.py"
# Kind -> the share of damaged files that must at least be refused. Weights and pictures carry no checksum of their own, and a report
# leaves out what it cannot read.
KINDS = {
    "generator": 0.5,
    "classifier": 0.5,
    "inception": 1.0,
    "vgg": 1.0,
    "torch.zip": 0.1,
    "torch.legacy": 0.1,
    "checkpoint": 0.9,
    "checkpoint.manifest": 0.3,
    "config": 0.5,
    "record": 0.2,
    "log": 0.0,
    "report": 0.0,
    "report.pictures": 0.0,
}
SAMPLE = {"generator": 40, "checkpoint": 60, "checkpoint.manifest": 100, "config": 200, "record": 60, "log": 20, "report": 20}
MANY = {kind: 300 for kind in KINDS} | {"config": 1000, "checkpoint": 1000, "checkpoint.manifest": 1000, "generator": 500}


def damage(tmp_path, kind, count, seed):
    """Reads so many damaged files in another process; a crash, a hang or a surprise there is a failure here."""
    command = [sys.executable, str(SCRIPT), kind, str(count), str(seed), str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert done.returncode == 0, f"{kind}: ended with {done.returncode}: {done.stderr[-3000:]}"
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{kind}: {count} files, {found}")
    assert not found["failures"], "\n".join(found["failures"])
    assert found["read"] + found["refused"] == count
    assert found["refused"] >= KINDS[kind] * count
    assert found["grown_mib"] < 1024
    assert found["slowest"] < 10


@pytest.mark.parametrize("kind", list(SAMPLE))
def test_damaged_files_are_refused_by_name(tmp_path, kind):
    damage(tmp_path, kind, SAMPLE[kind], seed=0)


@pytest.mark.long
@pytest.mark.parametrize("kind", list(KINDS))
def test_thousands_of_damaged_files_are_refused_by_name(tmp_path, kind):
    damage(tmp_path, kind, MANY[kind], seed=1)
