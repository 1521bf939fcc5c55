"""Runs that are killed at random moments or whose checkpoints are damaged end with the bytes of an undisturbed run."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from support.data_files import write_idx_set
from support.scripts import assert_same_run

KILLING = Path(__file__).parents[1] / "support" / "killing.py"
STEPS = 120
RUN = [
    *("dcgan_mnist", "--epochs", "0", "--steps", str(STEPS), "--log-every", "1", "--sample-every", "20", "--sample-grid", "2"),
    *("--checkpoint-every", "1", "--batch-size", "4", "--data.source", "mnist", "--data.directory", "data", "--data.image-size", "8"),
    *("--model.latent-dim", "4", "--model.width", "4", "--evaluation.samples", "0", "--no-tensorboard", "--compilation-cache", "none"),
]


class Launcher:
    """Starts the training program repeatedly in one directory."""

    def __init__(self, directory: Path):
        self.directory = directory
        write_idx_set(directory / "data")
        environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
        command = [sys.executable, str(KILLING), str(directory)]
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def begin(self, *arguments: str) -> int:
        """Starts a process and returns its id."""
        self.server.stdin.write(json.dumps(arguments) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def end(self) -> int:
        """Waits for the process and returns its exit status."""
        return int(self.server.stdout.readline())

    def complete(self, *arguments: str) -> str:
        """Runs a process to its end and returns its output."""
        (self.directory / "output").unlink(missing_ok=True)
        self.begin(*arguments)
        assert self.end() == 0, self.output()
        return self.output()

    def output(self) -> str:
        """The output since the last call of `complete`."""
        return (self.directory / "output").read_text(errors="replace") if (self.directory / "output").exists() else ""


@pytest.fixture
def launcher(tmp_path):
    launcher = Launcher(tmp_path)
    yield launcher
    launcher.server.stdin.close()
    launcher.server.wait(timeout=60)


def newest(run: Path) -> str:
    """Name of the newest checkpoint."""
    return max((path.name for path in (run / "checkpoints").glob("step_*")), default="") if (run / "checkpoints").exists() else ""


def kill_somewhere(launcher, run, process, draws):
    """Kills a process: one in five while it starts, the others shortly after a checkpoint. False if it ended before."""
    moment, before = time.monotonic() + draws.uniform(0, 2), newest(run)
    starting = draws.random() < 0.2
    while time.monotonic() < moment if starting else newest(run) == before:
        if not Path(f"/proc/{process}").exists():
            return False
        time.sleep(0.002)
    if not starting:
        time.sleep(draws.uniform(0, 0.25))
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    return True


def kill_and_resume(launcher, kills, draws):
    """Kills and resumes runs, `kills` times in all. Every run ends with the bytes of the undisturbed one. Returns the number of runs."""
    launcher.complete(*RUN, "--out", "undisturbed")
    killed, runs = 0, 0
    while killed < kills:
        runs += 1
        run = launcher.directory / f"run{runs}"
        status = None
        while status != 0:
            process = launcher.begin("--resume", "auto", *RUN, "--out", run.name)
            struck = killed < kills and kill_somewhere(launcher, run, process, draws)
            status = launcher.end()
            killed += struck and status == -signal.SIGKILL
            assert status in (0, -signal.SIGKILL), launcher.output()[-3000:]
        assert_same_run(run, launcher.directory / "undisturbed")
        assert newest(run) == f"step_{STEPS:08d}"
        assert not [path.name for path in (run / "checkpoints").iterdir() if path.name.startswith(".")]
    assert "damaged" not in launcher.output()
    assert "Traceback" not in launcher.output()
    return runs


def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(launcher):
    kill_and_resume(launcher, 2, random.Random(0))


@pytest.mark.long
def test_a_hundred_kills_change_no_byte(launcher):
    started = time.monotonic()
    runs = kill_and_resume(launcher, 100, random.Random(1))
    print(f"100 kills in {runs} runs, {time.monotonic() - started:.0f} s")


def flip(path: Path, draws: random.Random) -> None:
    """Flips one bit of a file or cuts it."""
    content = bytearray(path.read_bytes())
    at = draws.randrange(len(content))
    if draws.random() < 0.7:
        content[at] ^= 1 << draws.randrange(8)
        path.write_bytes(content)
    else:
        path.write_bytes(content[:at])


def damage_and_resume(launcher, count, draws):
    """Damages the newest checkpoint of a run and resumes it, `count` times. The damage is named and changes no byte of the end."""
    short = [*RUN, "--steps", "6"]
    launcher.complete(*short, "--out", "run")
    launcher.complete(*short[:-1], str(6 + 2 * count), "--out", "undisturbed")
    run = launcher.directory / "run"
    for number in range(count):
        broken = draws.choice(sorted((run / "checkpoints" / newest(run)).iterdir()))
        before = newest(run)
        flip(broken, draws)
        output = launcher.complete("--resume", "run", "--steps", str(8 + 2 * number), "--compilation-cache", "none")
        assert f"checkpoint of step {int(before[5:])} is damaged and not used" in " ".join(output.split())
        assert broken.name in "".join(output.split())
        assert f"resuming run at step {int(before[5:]) - 1}" in " ".join(output.split())
    last = newest(launcher.directory / "undisturbed")
    assert newest(run) == last
    for path in (launcher.directory / "undisturbed" / "checkpoints" / last).glob("*.safetensors"):
        assert path.read_bytes() == (run / "checkpoints" / last / path.name).read_bytes()
    rows = [(directory / "metrics.jsonl").read_text().splitlines() for directory in (run, launcher.directory / "undisturbed")]
    logs = [[line for line in lines if "discriminator_loss" in line] for lines in rows]
    assert logs[0] == logs[1]


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_the_previous_one_is_used(launcher):
    damage_and_resume(launcher, 2, random.Random(0))


@pytest.mark.long
def test_repeated_damage_changes_no_byte(launcher):
    damage_and_resume(launcher, 50, random.Random(1))
