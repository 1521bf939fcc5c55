"""Which exit statuses of the training are tried again, by the launcher and by the SLURM script of the documentation."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.scripts import load_script

PAGE = Path(__file__).parents[2] / "docs" / "distributed.md"


@pytest.mark.parametrize(("status", "starts"), [(0, 1), (2, 1), (3, 1), (5, 1), (1, 3), (4, 3)])
def test_the_launcher_starts_again_only_what_can_help(monkeypatch, tmp_path, status, starts):
    launch, started = load_script("launch"), []

    def start(options, flags):
        started.append(flags)
        return [subprocess.Popen([sys.executable, "-c", f"raise SystemExit({status})"])]

    monkeypatch.setattr(launch, "start", start)
    monkeypatch.setattr(launch.signal, "signal", lambda *_: None)
    ended = 0
    try:
        launch.main(["--processes", "2", "--restarts", "2", "--", "ring", "--out", str(tmp_path / "run")])
    except SystemExit as end:
        ended = end.code
    assert (ended, len(started)) == (status, starts)


@pytest.mark.parametrize(("statuses", "ended", "starts"), [([5], 5, 1), ([2], 2, 1), ([0], 0, 1), ([4, 0], 0, 2), ([137, 5], 5, 2)])
def test_the_slurm_script_starts_again_only_what_can_help(tmp_path, statuses, ended, starts):
    (script,) = [block for block in re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL) if "#SBATCH" in block]
    lines = [f'if [ "$(wc -l < {tmp_path}/calls)" = {number + 1} ]; then exit {status}; fi' for number, status in enumerate(statuses)]
    (tmp_path / "srun").write_text("\n".join(["#!/bin/sh", f'echo "$@" >> {tmp_path}/calls', *lines, "exit 99"]) + "\n")
    (tmp_path / "srun").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", script], env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=30)
    assert done.returncode == ended, done.stderr
    assert len((tmp_path / "calls").read_text().splitlines()) == starts
