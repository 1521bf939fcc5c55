"""Repeats a run and checks that it is reproduced to the byte.

    gan-jax verify RUN                 repeats the first steps, up to an early checkpoint or about 100
    gan-jax verify RUN --steps 500     repeats the first 500 steps
    gan-jax verify RUN --all           repeats all steps, and the evaluation at the end

Compares the rows of metrics.jsonl, the sample images and every leaf of the checkpoints that both have. Prints the first difference and
its size, and the differences between the machines and the versions. Nothing is written to RUN. XLA flags that were used for the run
are used again only if they are known and harmless, unless --trust-xla-flags is given.

The exit status is 0 if the run is reproduced, 1 if something differs, and 2 if the run cannot be repeated.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path

from gan_jax._internal.files import read_text
from gan_jax.cli.errors import errors_as_lines, fail
from gan_jax.cli.parsing import argument_parser


def read(arguments: list[str]) -> argparse.Namespace:
    """Reads the flags."""
    parser = argument_parser(__doc__, "gan-jax verify")
    parser.add_argument("run", type=Path, metavar="RUN", help="directory of the run")
    parser.add_argument("--steps", type=int, help="number of steps to repeat")
    parser.add_argument("--all", action="store_true", help="repeat all steps")
    parser.add_argument("--trust-xla-flags", action="store_true", help="use all XLA flags of the run, also those that write files")
    parser.add_argument("--compilation-cache", metavar="DIR", help="directory of compiled programs, or none")
    flags = parser.parse_args(arguments)
    if flags.steps is not None and flags.steps < 1:
        fail(f"--steps {flags.steps}: must be at least 1")
    if flags.steps is not None and flags.all:
        fail("--steps and --all: use one of them")
    return flags


# Flags of XLA that change how a program computes, and neither read nor write files.
HARMLESS = frozenset(
    {
        "xla_allow_excess_precision",
        "xla_backend_optimization_level",
        "xla_cpu_enable_fast_math",
        "xla_cpu_enable_fast_min_max",
        "xla_cpu_multi_thread_eigen",
        "xla_cpu_use_onednn",
        "xla_cpu_use_thunk_runtime",
        "xla_force_host_platform_device_count",
        "xla_gpu_autotune_level",
        "xla_gpu_deterministic_ops",
        "xla_gpu_enable_command_buffer",
        "xla_gpu_enable_latency_hiding_scheduler",
        "xla_gpu_enable_triton_gemm",
        "xla_gpu_exclude_nondeterministic_ops",
    }
)


def recorded_xla_flags(run: Path, *, trusted: bool = False) -> tuple[str, list[str]]:
    """Reads the XLA_FLAGS of a run.

    A run can come from someone else, and XLA has flags that write files. So only the flags in `HARMLESS` are taken, with short values.

    Args:
        run: Directory of the run.
        trusted: Whether all flags are taken.

    Returns:
        flags: The flags to use, or the default if none are recorded.
        refused: The other flags.
    """
    try:
        recorded = json.loads(read_text(run / "run.json"))["xla_flags"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        recorded = None
    if not isinstance(recorded, str):
        return "--xla_gpu_deterministic_ops=true", []
    words = recorded.split()
    if trusted:
        return recorded, []
    taken = [word for word in words if (match := re.fullmatch(r"--(\w+)(=\w{0,8})?", word)) and match[1] in HARMLESS]
    return " ".join(taken), [word for word in words if word not in taken]


def main(arguments: list[str] | None = None) -> None:
    """Repeats the run and prints the result."""
    flags = read(sys.argv[1:] if arguments is None else arguments)
    # This must be set before JAX is used. XLA_FLAGS of the environment have priority, and a difference is printed.
    if "XLA_FLAGS" not in os.environ:
        os.environ["XLA_FLAGS"], refused = recorded_xla_flags(flags.run, trusted=flags.trust_xla_flags)
        if refused:
            names = " ".join(ascii(word)[1:-1] for word in refused)[:300]
            print(f"notice: these recorded XLA flags are not used: {names}; --trust-xla-flags uses them", file=sys.stderr)
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
