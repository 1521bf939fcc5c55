"""Runs the train command many times with a quick start. Modules are imported once, and each run is a fork of this process.

    python tests/support/killing.py DIRECTORY

Each line of standard input is a JSON list of arguments. A child runs `gan-jax train` with them in DIRECTORY and writes its output to the
file `said`. The program prints the child's process id, and later its exit status (negative if it was killed). No device is used before
the fork.
"""

import json
import os
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def live(arguments: list[str]) -> int:
    """Runs the train command in the child. Returns its exit status."""
    from gan_jax.cli import train

    output = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = ["train.py", *arguments]
    try:
        train.main()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    """Forks one child per line until standard input ends."""
    sys.path.insert(0, str(ROOT))
    os.chdir(sys.argv[1])
    import tensorboardX  # noqa: F401
    import tyro  # noqa: F401

    import gan_jax.trainer.loop  # noqa: F401 - the slow part of the start

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = live(json.loads(line))
            sys.stdout.flush()
            os._exit(status)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
