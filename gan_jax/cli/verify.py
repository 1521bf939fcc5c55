"""Repeats a run and checks that it is reproduced to the byte.

    gan-jax verify RUN                 repeats the first steps, up to an early checkpoint or about 100
    gan-jax verify RUN --steps 500     repeats the first 500 steps
    gan-jax verify RUN --all           repeats all steps, and the evaluation at the end

Compares the rows of metrics.jsonl, the sample images and every leaf of the checkpoints that both have. Prints the first difference and
its size, and the differences between the machines and the versions. Nothing is written to RUN.

The exit status is 0 if the run is reproduced, 1 if something differs, and 2 if the run cannot be repeated.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from gan_jax.cli.errors import errors_as_lines, fail
from gan_jax.cli.parsing import argument_parser


def read(arguments: list[str]) -> argparse.Namespace:
    """Reads the flags."""
    parser = argument_parser(__doc__, "gan-jax verify")
    parser.add_argument("run", type=Path, metavar="RUN", help="directory of the run")
    parser.add_argument("--steps", type=int, help="number of steps to repeat")
    parser.add_argument("--all", action="store_true", help="repeat all steps")
    parser.add_argument("--compilation-cache", metavar="DIR", help="directory of compiled programs, or none")
    flags = parser.parse_args(arguments)
    if flags.steps is not None and flags.steps < 1:
        fail(f"--steps {flags.steps}: must be at least 1")
    if flags.steps is not None and flags.all:
        fail("--steps and --all: use one of them")
    return flags


def recorded_xla_flags(run: Path) -> str:
    """Returns the XLA_FLAGS of the run, or the default if they are not recorded."""
    try:
        record = json.loads((run / "run.json").read_text())
        return str(record["xla_flags"])
    except (OSError, ValueError, KeyError, TypeError):
        return "--xla_gpu_deterministic_ops=true"


def main(arguments: list[str] | None = None) -> None:
    """Repeats the run and prints the result."""
    flags = read(sys.argv[1:] if arguments is None else arguments)
    # This must be set before JAX is used. XLA_FLAGS of the environment have priority, and a difference is printed.
    os.environ.setdefault("XLA_FLAGS", recorded_xla_flags(flags.run))
    with errors_as_lines():
        from gan_jax.cli.compilation_cache import use_compilation_cache

        use_compilation_cache(flags.compilation_cache)
        from gan_jax.distributed import simulate_devices
        from gan_jax.trainer.config import load_config
        from gan_jax.trainer.reproduce import describe, verify

        if (flags.run / "config.yaml").is_file():
            simulate_devices(load_config(flags.run / "config.yaml").parallel.devices)
        result = verify(flags.run, steps=flags.steps, whole_run=flags.all)
    print(describe(result))
    raise SystemExit(0 if result.reproduced else 1)
