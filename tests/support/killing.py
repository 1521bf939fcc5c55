"""Starts a training program many times at little cost. This process imports its modules once, and each start is a fork of it.

    python tests/support/killing.py DIRECTORY

Each line of standard input is a JSON list of arguments. A child process runs `gan-jax train` with them in DIRECTORY and appends its
output to the file `output`. The process id of the child is printed, and after its end its exit status, which is negative if the child
was killed. JAX uses no device before the fork.
"""

import json
import os
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_child(arguments: list[str]) -> int:
    """Runs the training command in a child process and returns its exit status."""
    from gan_jax.cli import train

    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
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
    """Starts a child for each line until standard input ends."""
    sys.path[:0] = [str(ROOT / "experiments"), str(ROOT)]
    os.chdir(sys.argv[1])
    import tensorboardX  # noqa: F401
    import tyro  # noqa: F401

    import gan_jax.trainer.loop  # noqa: F401 - This import is the slow part of a start.

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = run_child(json.loads(line))
            sys.stdout.flush()
            os._exit(status)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
