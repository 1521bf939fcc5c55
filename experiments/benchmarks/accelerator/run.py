"""The first quarter of an hour on an accelerator: one call, in the order of worth, never longer than its minutes.

    python -m experiments.benchmarks.accelerator.run --minutes 9 --out DIR
    python experiments/benchmarks/accelerator.py --minutes 9 --out DIR                        the same
    python -m experiments.benchmarks.accelerator.run --minutes 9 --out DIR --images fashion_mnist.npz
    python -m experiments.benchmarks.accelerator.run --minutes 3 --out DIR --rehearsal        at toy size, on a CPU

    1 correctness   losses, penalties, convolutions and a step of every model against the CPU; two runs equal to the byte
    2 steps         train steps in float32, TF32 and bfloat16 beside PyTorch: eager, compiled, and as a CUDA graph
    3 seeds         1 to 256 runs of one program
    4 search        256 random settings of each method on mixtures of Gaussians
    5 recipe        a recipe at length, with its metrics and report
    6 data          images a second that arrive on the device
    7 placements    shard_map, pmap and jit on the one device; steps in one program

DIR/accelerator.json has a row for everything that was measured, and is written after every row. A second call with the same DIR goes on
where the first one ended. Each part first has a share of the time, and in a second round the parts use what is left. A row is started only
if it is expected to end in time, and at the end of the time the process ends whatever it is doing. The last lines are a short table, which
is also DIR/table.txt.

It needs JAX, Flax, optax and the packages of the extra `train`. Without PyTorch its columns are left out. --images is the file that
`python -m experiments.tools.pack_images` writes; without it the recipe is trained on the digits of the package.
"""

import argparse
import os
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

BEGUN = time.monotonic()


def read_flags(arguments: list[str] | None) -> argparse.Namespace:
    """Reads the flags."""
    from gan_jax.cli.errors import fail
    from gan_jax.cli.parsing import argument_parser

    parser = argument_parser(__doc__, "accelerator.py")
    parser.add_argument("--minutes", type=float, default=9.0, help="minutes that the call may take (9)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--work", type=Path, default=Path("runs/accelerator"), help="folder of the runs and of compiled programs")
    parser.add_argument("--images", type=Path, help="npz file of images for the recipe")
    parser.add_argument("--only", nargs="+", metavar="PART", help="measure only these parts")
    parser.add_argument("--rehearsal", action="store_true", help="toy sizes, on whatever device there is")
    options = parser.parse_args(arguments)
    from experiments.benchmarks.accelerator.scale import PARTS

    if not 0.2 <= options.minutes <= 600:
        fail(f"--minutes {options.minutes}: must be from 0.2 to 600")
    unknown = [part for part in options.only or () if part not in PARTS]
    if unknown:
        fail(f"--only {unknown[0]}: must be of {', '.join(PARTS)}")
    if options.images is not None and not options.images.is_file():
        fail(f"--images {options.images}: there is no such file")
    return options


def machine_facts() -> dict[str, object]:
    """The device, its CPU cores, and the versions. PyTorch is not imported, because it would use the same device."""
    import jax

    from gan_jax.trainer.environment import commit, cpu_model, cpus_allowed

    device = cpu_model() if jax.default_backend() == "cpu" else jax.devices()[0].device_kind
    versions: dict[str, str | None] = {}
    for package in ("jax", "flax", "optax", "numpy", "torch"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {"device": device, "cores": cpus_allowed(), "commit": commit()} | versions


def main(arguments: list[str] | None = None) -> int:
    """Measures. Returns 1 if a result is wrong, or if a rehearsal has a part without any row."""
    options = read_flags(arguments)
    # PyTorch needs memory of the same device.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms and "cpu" not in platforms.split(","):
        os.environ["JAX_PLATFORMS"] = f"{platforms},cpu"  # The references are computed on the CPU.
    options.out.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)
    # PyTorch's processes and this one keep their compiled programs beside the runs.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str((options.work / "inductor").resolve()))
    import jax

    from experiments.benchmarks.accelerator import correctness, data_rate, placements, recipe, search, seeds, steps
    from experiments.benchmarks.accelerator.scale import FULL, PARTS, TOY
    from experiments.benchmarks.accelerator.session import Session
    from experiments.benchmarks.accelerator.summary import parts_without_rows, summary
    from gan_jax.cli.compilation_cache import use_compilation_cache
    from gan_jax.cli.errors import fail

    scale = TOY if options.rehearsal else FULL
    if jax.default_backend() == "cpu" and not options.rehearsal:
        fail("JAX finds no accelerator here; install jax[cuda13], or add --rehearsal for toy sizes on the CPU")
    use_compilation_cache(str(options.work / "compiled"))

    def show() -> int:
        text = summary(session, scale)
        (options.out / "table.txt").write_text(text + "\n")
        print(f"\n{text}", flush=True)
        wrong = [name for name, row in session.values("correctness/").items() if not row["passed"]]
        empty = [part for part in parts_without_rows(session) if part in chosen]
        failed = [name for name, row in session.rows.items() if "error" in row]
        if wrong:
            print(f"wrong: {', '.join(wrong)}", file=sys.stderr)
        if options.rehearsal and (empty or failed):
            print(f"parts without rows: {', '.join(empty) or 'none'}; failed rows: {', '.join(failed) or 'none'}", file=sys.stderr)
        return int(bool(wrong) or (options.rehearsal and bool(empty or failed)))

    chosen = [part for part in PARTS if part in (options.only or PARTS)]
    session = Session(options.out / "accelerator.json", 60 * options.minutes, begun=BEGUN, on_timeout=show)
    session.watch()
    session.facts = machine_facts() | {"command": " ".join(["accelerator.py", *(sys.argv[1:] if arguments is None else arguments)])}
    for name in (*correctness.absent(scale), *steps.absent(scale)):
        session.skipped[name] = "this version has no such model"
    parts = {
        "correctness": lambda: correctness.run(session, scale),
        "steps": lambda: steps.run(session, scale),
        "seeds": lambda: seeds.run(session, scale),
        "search": lambda: search.run(session, scale),
        "recipe": lambda: recipe.run(session, scale, options.images, options.work),
        "data": lambda: data_rate.run(session, scale),
        "placements": lambda: placements.run(session, scale),
    }
    for part in chosen:
        with session.part(60 * options.minutes * scale.shares[part]):
            parts[part]()
    for part in chosen if not options.rehearsal else ():
        with session.part(session.remaining() / 2):
            parts[part]()
    session.calls[-1]["ended"] = "done"
    session.write()
    return show()


def main_and_exit() -> None:
    """Measures and ends the process at once. A program that is still being compiled would keep it until the compiler returns."""
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main_and_exit()
