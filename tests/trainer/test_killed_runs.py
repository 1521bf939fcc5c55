"""Training programs killed at random moments, and runs whose checkpoints are damaged: the final bytes are those of an undisturbed run."""

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


class Lives:
    """Begins the training program again and again in one directory."""

    def __init__(self, directory: Path):
        self.directory = directory
        write_idx_set(directory / "data")
        environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
        command = [sys.executable, str(KILLING), str(directory)]
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def begin(self, *arguments: str) -> int:
        """Begins a life; returns its process id."""
        self.server.stdin.write(json.dumps(arguments) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def end(self) -> int:
        """Waits for its end; returns its exit status."""
        return int(self.server.stdout.readline())

    def whole(self, *arguments: str) -> str:
        """A life that nobody disturbs; returns what it said."""
        (self.directory / "said").unlink(missing_ok=True)
        self.begin(*arguments)
        assert self.end() == 0, self.said()
        return self.said()

    def said(self) -> str:
        """What the lives since the last whole one said."""
        return (self.directory / "said").read_text(errors="replace") if (self.directory / "said").exists() else ""


@pytest.fixture
def lives(tmp_path):
    begun = Lives(tmp_path)
    yield begun
    begun.server.stdin.close()
    begun.server.wait(timeout=60)


def newest(run: Path) -> str:
    """The newest checkpoint."""
    return max((path.name for path in (run / "checkpoints").glob("step_*")), default="") if (run / "checkpoints").exists() else ""


def kill_somewhere(lives, run, process, draws):
    """Kills a life: one in five while it starts, the others a moment after it has saved a checkpoint; False if it ended before."""
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


def survive(lives, kills, draws):
    """Kills lives of runs until there were so many; every run, once whole, has the bytes of the undisturbed one. Returns the runs."""
    lives.whole(*RUN, "--out", "undisturbed")
    killed, runs = 0, 0
    while killed < kills:
        runs += 1
        run = lives.directory / f"run{runs}"
        status = None
        while status != 0:
            process = lives.begin("--resume", "auto", *RUN, "--out", run.name)
            struck = killed < kills and kill_somewhere(lives, run, process, draws)
            status = lives.end()
            killed += struck and status == -signal.SIGKILL
            assert status in (0, -signal.SIGKILL), lives.said()[-3000:]
        assert_same_run(run, lives.directory / "undisturbed")
        assert newest(run) == f"step_{STEPS:08d}"
        assert not [path.name for path in (run / "checkpoints").iterdir() if path.name.startswith(".")]
    assert "damaged" not in lives.said()
    assert "Traceback" not in lives.said()
    return runs


def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(lives):
    survive(lives, 3, random.Random(0))


@pytest.mark.long
def test_a_hundred_kills_leave_no_trace(lives):
    started = time.monotonic()
    runs = survive(lives, 100, random.Random(1))
    print(f"100 kills in {runs} runs, {time.monotonic() - started:.0f} s")


def flip(path: Path, draws: random.Random) -> None:
    """Flips one bit of a file, or cuts it."""
    whole = bytearray(path.read_bytes())
    at = draws.randrange(len(whole))
    if draws.random() < 0.7:
        whole[at] ^= 1 << draws.randrange(8)
        path.write_bytes(whole)
    else:
        path.write_bytes(whole[:at])


def damage_and_resume(lives, count, draws):
    """Damages the newest checkpoint of a run and resumes it, so many times: it is named, and the bytes are those of an undisturbed run."""
    short = [*RUN, "--steps", "6"]
    lives.whole(*short, "--out", "run")
    lives.whole(*short[:-1], str(6 + 2 * count), "--out", "undisturbed")
    run = lives.directory / "run"
    for number in range(count):
        broken = draws.choice(sorted((run / "checkpoints" / newest(run)).iterdir()))
        before = newest(run)
        flip(broken, draws)
        said = lives.whole("--resume", "run", "--steps", str(8 + 2 * number), "--compilation-cache", "none")
        assert f"checkpoint of step {int(before[5:])} is damaged and not used" in " ".join(said.split())
        assert broken.name in "".join(said.split())
        assert f"resuming run at step {int(before[5:]) - 1}" in " ".join(said.split())
    last = newest(lives.directory / "undisturbed")
    assert newest(run) == last
    for path in (lives.directory / "undisturbed" / "checkpoints" / last).glob("*.safetensors"):
        assert path.read_bytes() == (run / "checkpoints" / last / path.name).read_bytes()
    rows = [(directory / "metrics.jsonl").read_text().splitlines() for directory in (run, lives.directory / "undisturbed")]
    logs = [[line for line in lines if "discriminator_loss" in line] for lines in rows]
    assert logs[0] == logs[1]


def test_a_damaged_checkpoint_is_named_and_the_run_goes_on_from_the_one_before(lives):
    damage_and_resume(lives, 2, random.Random(0))


@pytest.mark.long
def test_damage_upon_damage_changes_no_byte(lives):
    damage_and_resume(lives, 50, random.Random(1))
