"""Several real processes on one machine train as one, and none waits for a process that is gone."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.scripts import EXPERIMENTS, load_script

SMALL = ["ring", "--batch-size", "16", "--log-every", "5", "--sample-every", "20", "--sample-grid", "3", "--no-tensorboard"]
# Nothing that spans the run: then the number of steps is not in its fingerprint.
SMALL += ["--evaluation.samples", "0", "--compilation-cache", "none", "--optimizer.schedule", "constant", "--augment.instance-noise", "0"]
ALONE = {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": "", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
HEARTBEAT = 10


def environment():
    return os.environ | ALONE | {"PYTHONPATH": str(EXPERIMENTS.parent)}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(*flags, script=EXPERIMENTS / "train.py"):
    return [sys.executable, str(script), *map(str, flags)]


def start(directory, *flags, processes=2, heartbeat=HEARTBEAT, script=EXPERIMENTS / "train.py"):
    """Starts the processes of one run and returns immediately."""
    shared = ["--distributed.coordinator", f"127.0.0.1:{free_port()}", "--distributed.num-processes", processes]
    shared += ["--distributed.heartbeat-seconds", heartbeat]
    return [
        subprocess.Popen(
            command(*flags, *shared, "--distributed.process-id", number, script=script),
            cwd=directory,
            env=environment(),
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]


def end(processes, timeout=150):
    """(status, standard error) of each."""
    try:
        return [(process.returncode, error) for process in processes for _, error in [process.communicate(timeout=timeout)]]
    finally:
        for process in processes:
            process.kill()


def alone(directory, *flags):
    done = subprocess.run(command(*flags), cwd=directory, env=environment(), capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    return done


def leaves(run, step):
    """The leaves of a checkpoint: path -> the sha256 of the bytes of its pieces, in any files."""
    manifest = json.loads((run / "checkpoints" / f"step_{step:08d}" / "manifest.json").read_text().splitlines()[0])
    return {path: [piece["sha256"] for piece in leaf["pieces"]] for path, leaf in manifest["leaves"].items()}


def wait_for(path, processes, seconds=100):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not come"
        assert all(process.poll() is None for process in processes), [process.communicate() for process in processes]
        time.sleep(0.05)


def test_two_processes_train_as_one_with_two_devices(tmp_path):
    """Metrics, samples, and every leaf of the checkpoint have equal bytes."""
    flags = [*SMALL, "--steps", "30", "--checkpoint-every", "10"]
    ended = end(start(tmp_path, *flags, "--out", "two"))
    assert [status for status, _ in ended] == [0, 0], ended
    alone(tmp_path, *flags, "--out", "one", "--parallel.devices", "2")
    one, two = tmp_path / "one", tmp_path / "two"
    assert (one / "metrics.jsonl").read_bytes() == (two / "metrics.jsonl").read_bytes()
    for picture in (one / "samples").glob("*.png"):
        assert picture.read_bytes() == (two / "samples" / picture.name).read_bytes()
    assert leaves(one, 30) == leaves(two, 30)
    record = json.loads((two / "run.json").read_text())
    assert (record["status"], record["processes"], record["devices_used"]) == ("finished", 2, 2)
    # Only one process writes: there is one set of lines and one directory.
    assert len((two / "metrics.jsonl").read_text().splitlines()) == len((one / "metrics.jsonl").read_text().splitlines())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    assert "report:" in ended[0][1]
    assert "report:" not in ended[1][1]


@pytest.mark.slow
def test_a_run_of_two_processes_is_verified_and_continued_by_one(tmp_path):
    flags = [*SMALL, "--steps", "10", "--checkpoint-every", "10"]
    ended = end(start(tmp_path, *flags, "--out", "two"))
    assert [status for status, _ in ended] == [0, 0], ended
    alone(tmp_path, *flags, "--out", "one", "--parallel.devices", "2")
    # A run on several devices is reproduced on as many devices.
    again = [sys.executable, str(EXPERIMENTS / "verify.py"), "one", "--steps", "10", "--compilation-cache", "none"]
    verified = subprocess.run(again, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=150)
    assert (verified.returncode, "reproduced to the byte" in verified.stdout) == (0, True), verified
    # The flags about processes are not stored, so one process can continue the run on other devices.
    alone(tmp_path, "--resume", "two", "--steps", "20", "--parallel.devices", "1")
    starts = json.loads((tmp_path / "two" / "run.json").read_text())["starts"]
    assert [(each["processes"], each["devices_used"]) for each in starts] == [(2, 2), (1, 1)]


@pytest.mark.slow
def test_a_killed_peer_ends_the_others_at_once_and_the_run_resumes(tmp_path):
    flags = [*SMALL, "--steps", "100000", "--checkpoint-every", "10", "--log-every", "10", "--sample-every", "0"]
    processes = start(tmp_path, *flags, "--out", "run")
    wait_for(tmp_path / "run" / "checkpoints" / "step_00000020", processes)
    os.kill(processes[1].pid, signal.SIGKILL)
    killed = time.monotonic()
    (status, error), (other, _) = end(processes, timeout=60)
    assert time.monotonic() - killed < HEARTBEAT + 10
    assert other == -signal.SIGKILL
    assert status == 4, error
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "another process of this run is gone" in lines[0]
    assert "--resume auto" in lines[0]
    last = max(int(path.name.removeprefix("step_")) for path in (tmp_path / "run" / "checkpoints").glob("step_*"))
    ended = end(start(tmp_path, "--resume", "auto", "ring", "--out", "run", "--steps", last + 10, "--log-every", 1))
    assert [status for status, _ in ended] == [0, 0], ended
    assert re.search(r"resuming run at step \d+", ended[0][1])
    assert json.loads((tmp_path / "run" / "run.json").read_text())["step"] == last + 10


@pytest.mark.long
def test_a_launched_run_survives_a_killed_process(tmp_path):
    """The launcher restarts all processes from the last checkpoint, and the result is that of an undisturbed run."""
    flags = [*SMALL, "--steps", "60", "--checkpoint-every", "5", "--log-every", "5", "--sample-every", "0", "--out", "run"]
    launch = [sys.executable, str(EXPERIMENTS / "launch.py"), "--processes", "2", "--restarts", "1", "--heartbeat-seconds", str(HEARTBEAT)]
    process = subprocess.Popen([*launch, "--", *flags], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        wait_for(tmp_path / "run" / "checkpoints" / "step_00000005", [process])
        os.kill(child_of(process.pid, "--distributed.process-id 1"), signal.SIGKILL)
        _, error = process.communicate(timeout=200)
    finally:
        process.kill()
    assert process.returncode == 0, error
    assert "process 1 was killed by SIGKILL; start 2 of 2" in error
    alone(tmp_path, *flags[:-1], "undisturbed", "--parallel.devices", "2")
    assert leaves(tmp_path / "run", 60) == leaves(tmp_path / "undisturbed", 60)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (tmp_path / "undisturbed" / "metrics.jsonl").read_bytes()


def child_of(parent, words):
    """The child process whose command line has these words."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            status = (entry / "status").read_text()
        except OSError:
            continue
        if words in line and f"PPid:\t{parent}\n" in status:
            return int(entry.name)
    raise AssertionError(f"{parent} has no child with {words}")


@pytest.mark.long
@pytest.mark.parametrize(("placement", "more"), [("shard_map", []), ("jit", ["--parallel.shard-parameters"])])
def test_two_processes_with_two_devices_each_are_as_four_devices(tmp_path, placement, more):
    """Also with sharded parameters of a large model. Two processes write the checkpoint in two parts."""
    flags = [
        "mlp_mnist",
        "--epochs",
        "0",
        "--steps",
        "6",
        "--batch-size",
        "16",
        "--checkpoint-every",
        "3",
        "--sample-every",
        "0",
        "--no-tensorboard",
    ]
    flags += ["--evaluation.samples", "0", "--log-every", "1", "--parallel.placement", placement, *more, "--compilation-cache", "none"]
    ended = end(start(tmp_path, *flags, "--parallel.devices", "2", "--out", "two"), timeout=400)
    assert [status for status, _ in ended] == [0, 0], ended
    alone(tmp_path, *flags, "--parallel.devices", "4", "--out", "one")
    rows = {name: [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()] for name in ("one", "two")}
    for first, second in zip(rows["one"], rows["two"], strict=True):
        assert first.keys() == second.keys()
        for name in first:
            assert abs(first[name] - second[name]) <= 1e-4 * max(1, abs(first[name])), name
    if more:
        parts = sorted((tmp_path / "two" / "checkpoints" / "step_00000006").glob("shard_*"))
        assert len(parts) == 2
        assert min(part.stat().st_size for part in parts) > 0.3 * max(part.stat().st_size for part in parts)
    alone(tmp_path, "--resume", "two", "--epochs", "0", "--steps", "8", "--parallel.devices", "1", "--parallel.no-shard-parameters")


@pytest.mark.long
def test_a_stop_request_reaches_all_processes(tmp_path):
    """After SIGTERM to one process, both save and end in the same way."""
    flags = [*SMALL, "--steps", "100000", "--checkpoint-every", "10000", "--log-every", "10", "--sample-every", "0"]
    processes = start(tmp_path, *flags, "--out", "run")
    wait_for(tmp_path / "run" / "metrics.jsonl", processes)
    processes[1].send_signal(signal.SIGTERM)
    ended = end(processes, timeout=90)
    assert [status for status, _ in ended] == [0, 0], ended
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "interrupted"
    assert record["step"] % 10 == 0
    assert (tmp_path / "run" / "checkpoints" / f"step_{record['step']:08d}").is_dir()
    assert "interrupted; saved at step" in ended[0][1]


@pytest.mark.long
def test_a_lost_coordinator_ends_the_others(tmp_path):
    flags = [*SMALL, "--steps", "100000", "--checkpoint-every", "10", "--log-every", "10", "--sample-every", "0"]
    processes = start(tmp_path, *flags, "--out", "run")
    wait_for(tmp_path / "run" / "checkpoints" / "step_00000010", processes)
    os.kill(processes[0].pid, signal.SIGKILL)
    killed = time.monotonic()
    _, (status, error) = end(processes, timeout=90)
    assert time.monotonic() - killed < HEARTBEAT + 20
    assert status not in (0, None)
    assert "another process of this run is gone" in error or "another task died" in error


BROKEN = """
import sys
import gan_jax.trainer.loop
from gan_jax.cli import train

def broken(*_):
    raise KeyError("what nobody foresaw")

if sys.argv[-1] == "1":
    gan_jax.trainer.loop.loop = broken
train.main()
"""


def test_an_error_that_nobody_foresaw_in_one_process_ends_all(tmp_path):
    """Otherwise it would wait for the others at its end, and they for it in a collective."""
    script = tmp_path / "broken.py"
    script.write_text(BROKEN)
    ended = end(start(tmp_path, *SMALL, "--steps", "30", "--out", "run", script=script), timeout=100)
    assert ended[1][0] == 1
    assert "KeyError: 'what nobody foresaw'" in ended[1][1]
    assert ended[0][0] not in (0, None)


@pytest.mark.slow
def test_an_error_of_the_first_process_ends_all_with_its_line(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "precious").write_text("data")
    ended = end(start(tmp_path, *SMALL, "--steps", "1", "--out", "taken"), timeout=60)
    for status, error in ended:
        assert status == 2, error
        assert "error: --out taken: exists already" in error
        assert "Traceback" not in error


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--distributed.num-processes", "2"], "need --distributed.coordinator"),
        (["--distributed.coordinator", "localhost:1"], "--distributed.coordinator: needs --distributed.num-processes"),
        (
            ["--distributed.coordinator", "localhost:1", "--distributed.num-processes", "2", "--distributed.process-id", "2"],
            "--distributed.process-id 2: must be below 2",
        ),
    ],
)
def test_flags_that_cannot_be(monkeypatch, capsys, flags, words):
    monkeypatch.setattr(sys, "argv", ["train.py", "ring", *flags])
    monkeypatch.setattr("gan_jax.distributed.abort_process", lambda status: None)
    with pytest.raises(SystemExit) as ended:
        load_script("train").main()
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_the_launcher_starts_again_with_resume_auto(capsys):
    launch = load_script("launch")
    assert launch.resuming(["ring", "--seed", "1"]) == ["--resume", "auto", "ring", "--seed", "1"]
    assert launch.resuming(["--resume", "runs/ring"]) == ["--resume", "runs/ring"]
    options, behind = launch.parse(["--processes", "3", "--", "ring", "--seed", "1"])
    assert (options.processes, options.restarts, behind) == (3, 3, ["ring", "--seed", "1"])
    for wrong in (["--processes", "3"], ["--processes", "0", "--", "ring"], ["--restarts", "-1", "--", "ring"]):
        with pytest.raises(SystemExit):
            launch.parse(wrong)
    assert launch.describe(1, -9) == "process 1 was killed by SIGKILL"
