"""Lives of a training program, cheap to begin: what it imports is imported once, and each life is a fork of this process.

    python tests/support/killing.py DIRECTORY

For each line of standard input, a JSON list of arguments, `experiments/train.py` is run with them in a child, in DIRECTORY, its output
going to the file `said`; the child's process id is printed, and, when it has ended, its exit status (that of a killed one is negative).
No device is touched before the fork.
"""

import json
import os
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def live(arguments: list[str]) -> int:
    """Runs the script as a child does; returns its exit status."""
    from gan_jax.cli import (
        common,  # noqa: F401 - found beside the script
        train,
    )

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
    """Serves lives until standard input ends."""
    sys.path[:0] = [str(ROOT / "experiments"), str(ROOT)]
    os.chdir(sys.argv[1])
    import tensorboardX  # noqa: F401
    import tyro  # noqa: F401

    import gan_jax.trainer.loop  # noqa: F401 - the slow part of a start

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
