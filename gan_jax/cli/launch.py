"""Trains by several processes on this machine, and starts them all again when one is lost.

    python experiments/launch.py --processes 2 -- dcgan_mnist --seed 0
    python experiments/launch.py --processes 2 --restarts 3 -- dcgan_mnist --out runs/large

What stands behind the -- goes to every experiments/train.py, with the flags that let the processes find each other. When one dies, the
others end by themselves, at once or within --heartbeat-seconds; then all begin again with --resume auto, from the last good checkpoint.
Nothing is started again after a line of error (status 2), a training that failed (status 3), Ctrl-C, or --restarts times.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from gan_jax.cli import common

TRAIN = Path(__file__).parent / "train.py"
FINAL = (2, 3)  # statuses that a second start would only repeat
GRACE = 30  # seconds over the heartbeat until a process that does not end is killed


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The launcher's flags, and those of train.py."""
    parser = common.argument_parser(__doc__)
    parser.add_argument("--processes", type=int, default=2, help="number of processes (2)")
    parser.add_argument("--restarts", type=int, default=3, help="how often to start again after a loss (3)")
    parser.add_argument("--heartbeat-seconds", type=int, default=30, help="silence after which a process counts as dead (30)")
    own, behind = (arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]) if "--" in arguments else (arguments, [])
    options = parser.parse_args(own)
    if not behind:
        common.fail("the recipe and its flags are missing behind --; see --help")
    for flag, value, least in (
        ("--processes", options.processes, 1),
        ("--restarts", options.restarts, 0),
        ("--heartbeat-seconds", options.heartbeat_seconds, 1),
    ):
        if value < least:
            common.fail(f"{flag} {value}: must be at least {least}")
    return options, behind


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(options: argparse.Namespace, flags: list[str]) -> list[subprocess.Popen]:
    """The processes of one attempt."""
    shared = ["--distributed.coordinator", f"127.0.0.1:{free_port()}", "--distributed.num-processes", str(options.processes)]
    shared += ["--distributed.heartbeat-seconds", str(options.heartbeat_seconds)]
    return [
        subprocess.Popen([sys.executable, str(TRAIN), *flags, *shared, "--distributed.process-id", str(number)])
        for number in range(options.processes)
    ]


def wait(processes: list[subprocess.Popen], patience: float, wishes: list[int]) -> list[int]:
    """The statuses of all; those that outlive another's failure by `patience` seconds are killed."""
    deadline = None
    while any(process.poll() is None for process in processes):
        failed = [number for number, process in enumerate(processes) if process.poll() not in (None, 0)]
        if failed and deadline is None and not wishes:
            deadline = time.monotonic() + patience
            print(f"launch: {describe(failed[0], processes[failed[0]].returncode)}; waiting for the others to end", file=sys.stderr)
        if deadline is not None and time.monotonic() > deadline:
            for process in processes:
                process.kill()
        time.sleep(0.1)
    return [process.wait() for process in processes]


def describe(number: int, status: int) -> str:
    """How a process ended."""
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return f"process {number} {how}"


def in_one_place(flags: list[str]) -> list[str]:
    """The flags with a directory for the run, so that a second start finds what the first one began, and no older run."""
    given = {flag.partition("=")[0]: flag.partition("=")[2] or following for flag, following in zip(flags, [*flags[1:], ""])}
    if {"--out", "--resume"} & set(given):
        return flags
    with common.errors_as_lines():
        from gan_jax.trainer.config import load_config
        from gan_jax.trainer.run_directory import free_directory

        recipe = load_config(Path(given["--config"])).recipe if "--config" in given else flags[0]
        return [*flags, "--out", str(free_directory(recipe))]


def resuming(flags: list[str]) -> list[str]:
    """The flags of a second start."""
    return flags if any(flag.partition("=")[0] == "--resume" for flag in flags) else ["--resume", "auto", *flags]


def main() -> None:
    """Starts, watches, starts again; ends with the status of the run."""
    options, flags = parse(sys.argv[1:])
    flags = in_one_place(flags)
    wishes: list[int] = []
    processes: list[subprocess.Popen] = []

    def pass_on(number: int, frame: object) -> None:
        # A terminal's Ctrl-C reaches the processes by itself; others' signals are handed on.
        wishes.append(number)
        for process in processes:
            if process.poll() is None and (number != signal.SIGINT or not os.isatty(0)):
                process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    for attempt in range(options.restarts + 1):
        processes[:] = start(options, flags if attempt == 0 else resuming(flags))
        statuses = wait(processes, options.heartbeat_seconds + GRACE, wishes)
        if not any(statuses):
            return
        final = [status for status in statuses if status in FINAL]
        # The one that did not end because of another is the one to name.
        number = next((n for n, status in enumerate(statuses) if status not in (0, common.PEER_LOST, -signal.SIGABRT)), None)
        number = number if number is not None else next(n for n, status in enumerate(statuses) if status)
        said = describe(number, statuses[number])
        if final or wishes or attempt == options.restarts:
            print(f"launch: {said}; not started again", file=sys.stderr)
            raise SystemExit(final[0] if final else max(1, abs(statuses[number])))
        print(f"launch: {said}; start {attempt + 2} of {options.restarts + 1}, from the last checkpoint", file=sys.stderr)


if __name__ == "__main__":
    main()
