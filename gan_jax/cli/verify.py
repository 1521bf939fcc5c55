"""Does a run again and says whether it is reproduced to the byte.

python experiments/verify.py RUN                 its first steps: up to an early checkpoint, else about 100
python experiments/verify.py RUN --steps 500     its first 500
python experiments/verify.py RUN --all           all of them, and the measurements at the end

Compares the rows of metrics.jsonl, the sample pictures and every leaf of the checkpoints, where both have them, and says where the first
difference is and how large, and what differs between the machine and the versions of then and of now. Nothing is written into RUN.

Ends with status 0 where the run is reproduced, 1 where something differs, 2 where it cannot be done again.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from gan_jax.cli import common


def read(arguments: list[str]) -> argparse.Namespace:
    """The flags."""
    parser = common.argument_parser(__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="directory of the run")
    parser.add_argument("--steps", type=int, help="how many of its steps to do again")
    parser.add_argument("--all", action="store_true", help="do all of them again")
    parser.add_argument("--compilation-cache", metavar="DIR", help="where compiled programs are kept; none for nowhere")
    flags = parser.parse_args(arguments)
    if flags.steps is not None and flags.steps < 1:
        common.fail(f"--steps {flags.steps}: must be at least 1")
    if flags.steps is not None and flags.all:
        common.fail("--steps and --all: give one of them")
    return flags


def flags_of_the_compiler(run: Path) -> str:
    """XLA_FLAGS as the run had them, where it says so."""
    try:
        record = json.loads((run / "run.json").read_text())
        return str(record["xla_flags"])
    except (OSError, ValueError, KeyError, TypeError):
        return "--xla_gpu_deterministic_ops=true"


def main() -> None:
    """Does the run again and reports."""
    flags = read(sys.argv[1:])
    # Before JAX is first used; those of this shell count if there are any, and are named if they are others.
    os.environ.setdefault("XLA_FLAGS", flags_of_the_compiler(flags.run))
    with common.errors_as_lines():
        common.compilation_cache(flags.compilation_cache)
        from gan_jax.distributed import simulate_devices
        from gan_jax.trainer.config import load_config
        from gan_jax.trainer.reproduce import describe, verify

        if (flags.run / "config.yaml").is_file():
            simulate_devices(load_config(flags.run / "config.yaml").parallel.devices)
        found = verify(flags.run, steps=flags.steps, whole_run=flags.all)
    print(describe(found))
    raise SystemExit(0 if found.reproduced else 1)


if __name__ == "__main__":
    main()
