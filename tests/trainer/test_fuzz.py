"""Reads many damaged files of every kind in another process. Damaged image files are in tests/data/test_fuzz_files.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "support" / "fuzzing.py"
# Kind -> the least share of damaged files whose reading must fail. Weights and images have no checksum, and a report leaves out the
# files that it cannot read.
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
    """Reads `count` damaged files in another process. The test fails if that process crashes, hangs or raises an unexpected error."""
    command = [sys.executable, str(SCRIPT), kind, str(count), str(seed), str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert done.returncode == 0, f"{kind}: ended with {done.returncode}: {done.stderr[-3000:]}"
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"{kind}: {count} files, {result}")
    assert not result["failures"], "\n".join(result["failures"])
    assert result["read"] + result["refused"] == count
    assert result["refused"] >= KINDS[kind] * count
    assert result["grown_mib"] < 1024
    assert result["slowest"] < 10


@pytest.mark.parametrize("kind", list(SAMPLE))
def test_damaged_files_fail_by_name(tmp_path, kind):
    damage(tmp_path, kind, SAMPLE[kind], seed=0)


@pytest.mark.long
@pytest.mark.parametrize("kind", list(KINDS))
def test_thousands_of_damaged_files_fail_by_name(tmp_path, kind):
    damage(tmp_path, kind, MANY[kind], seed=1)
