"""Trains with several processes on this machine, and restarts them if one is lost.

    gan-jax launch --processes 2 -- dcgan_mnist --seed 0
    gan-jax launch --processes 2 --restarts 3 -- dcgan_mnist --out runs/large

The words after -- are passed to every `gan-jax train`, with the flags by which the processes find each other. If one process dies, the
others exit, at once or within --heartbeat-seconds. Then all of them start again with --resume auto, from the last good checkpoint. They do
not start again after an error (status 2), after a training failure (status 3), if the last weights could not be saved (status 5), after
Ctrl-C, or after --restarts restarts.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time

from gan_jax.cli.errors import NOT_SAVED, PEER_LOST, errors_as_lines, fail
from gan_jax.cli.parsing import argument_parser

FINAL = (2, 3, NOT_SAVED)  # A restart would end with these statuses again.
GRACE = 30  # Seconds after the heartbeat until a process that does not exit is killed.


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Returns the flags of the launcher, and the words for `gan-jax train`."""
    parser = argument_parser(__doc__, "gan-jax launch")
    parser.add_argument("--processes", type=int, default=2, help="number of processes (2)")
    parser.add_argument("--restarts", type=int, default=3, help="number of restarts after a loss (3)")
    parser.add_argument("--heartbeat-seconds", type=int, default=30, help="silence after which a process counts as lost (30)")
    own, words = (arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]) if "--" in arguments else (arguments, [])
    options = parser.parse_args(own)
    if not words:
        fail("the recipe and its flags are missing after --; see --help")
    for flag, least in (("processes", 1), ("restarts", 0), ("heartbeat_seconds", 1)):
        if getattr(options, flag) < least:
            fail(f"--{flag.replace('_', '-')} {getattr(options, flag)}: must be at least {least}")
    return options, words


def free_port() -> int:
    """Returns a port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(options: argparse.Namespace, flags: list[str]) -> list[subprocess.Popen]:
    """Starts the processes of one attempt."""
    shared = ["--distributed.coordinator", f"127.0.0.1:{free_port()}", "--distributed.num-processes", str(options.processes)]
    shared += ["--distributed.heartbeat-seconds", str(options.heartbeat_seconds)]
    return [
        subprocess.Popen([sys.executable, "-m", "gan_jax", "train", *flags, *shared, "--distributed.process-id", str(number)])
        for number in range(options.processes)
    ]


def wait(processes: list[subprocess.Popen], patience: float, signals: list[int]) -> list[int]:
    """Returns the exit statuses. Processes that are still running `patience` seconds after another one failed are killed."""
    deadline = None
    while any(process.poll() is None for process in processes):
        failed = [number for number, process in enumerate(processes) if process.poll() not in (None, 0)]
        if failed and deadline is None and not signals:
            deadline = time.monotonic() + patience
            print(f"launch: {describe(failed[0], processes[failed[0]].returncode)}; waiting for the others to exit", file=sys.stderr)
        if deadline is not None and time.monotonic() > deadline:
            for process in processes:
                process.kill()
        time.sleep(0.1)
    return [process.wait() for process in processes]


def describe(number: int, status: int) -> str:
    """Says how a process ended."""
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return f"process {number} {how}"


def with_directory(words: list[str]) -> list[str]:
    """Adds a directory for the run, so that a restart finds this run and not an older one."""
    with errors_as_lines():
        from gan_jax.cli.train_command import read_command, saved_configuration
        from gan_jax.trainer.config import load_config
        from gan_jax.trainer.run_directory import free_directory

        command = read_command(words)
        if {"--out", "--resume"} & set(command.own):
            return words
        saved = saved_configuration(command)
        recipe = load_config(saved).recipe if saved else command.recipe
        return [*words, "--out", str(free_directory(recipe))]


def resuming(flags: list[str]) -> list[str]:
    """Returns the flags of a restart."""
    return flags if any(flag.partition("=")[0] == "--resume" for flag in flags) else ["--resume", "auto", *flags]


def main(arguments: list[str] | None = None) -> None:
    """Starts and restarts the processes. Exits with the status of the run."""
    options, flags = parse(sys.argv[1:] if arguments is None else arguments)
    flags = with_directory(flags)
    signals: list[int] = []
    processes: list[subprocess.Popen] = []

    def pass_on(number: int, frame: object) -> None:
        # A terminal sends Ctrl-C to the processes too. Other signals are passed on.
        signals.append(number)
        for process in processes:
            if process.poll() is None and (number != signal.SIGINT or not os.isatty(0)):
                process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):  # Windows has no SIGHUP.
        if signal.getsignal(number) is not signal.SIG_IGN:  # SIGHUP is ignored under nohup.
            signal.signal(number, pass_on)
    for attempt in range(options.restarts + 1):
        processes[:] = start(options, flags if attempt == 0 else resuming(flags))
        statuses = wait(processes, options.heartbeat_seconds + GRACE, signals)
        if not any(statuses):
            return
        final = [status for status in statuses if status in FINAL]
        # The message names the process that did not exit because of another one.
        number = next((n for n, status in enumerate(statuses) if status not in (0, PEER_LOST, -signal.SIGABRT)), None)
        number = number if number is not None else next(n for n, status in enumerate(statuses) if status)
        ending = describe(number, statuses[number])
        if final or signals or attempt == options.restarts:
            print(f"launch: {ending}; not restarted", file=sys.stderr)
            raise SystemExit(final[0] if final else max(1, abs(statuses[number])))
        print(f"launch: {ending}; start {attempt + 2} of {options.restarts + 1}, from the last checkpoint", file=sys.stderr)
