"""Measures every form of the CPU convolutions on this machine and writes the table that chooses among them.

    python -m experiments.tools.choose_convs                 # prints the times and the table
    python -m experiments.tools.choose_convs --write         # and writes it for this JAX version and processor
    python -m experiments.tools.choose_convs --write --dtypes bfloat16 --classes "strided many-many"   # only these rows; the others stay

Run it on an idle machine. Each form runs inside a `scan` over different operands, as in training. The forms are timed in turn and the
least time of several rounds counts. A class of shapes gets the form with the least geometric mean of its times, relative to the fastest
form of each shape. The table of another JAX version or processor is not changed.
"""

import json
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from experiments.benchmarks.timing import Candidate, interleave
from gan_jax.cli.errors import fail
from gan_jax.cli.parsing import argument_parser
from gan_jax.nn.fast_conv import forms, tables
from gan_jax.nn.fast_conv.choices import TABLES
from gan_jax.nn.fast_conv.conv import conv_geometry

TABLE = Path(forms.__file__).with_name("choices.py")
KINDS = {"forward": forms.FORWARD, "transpose": forms.TRANSPOSE, "weight": forms.WEIGHT}
# (image side, channels, features, kernel, stride): the layers of DCGAN at 32 and 64 pixels, of ResNets, of output and 1x1 layers.
SHAPES = [
    (32, 1, 64, 4, 2),
    (32, 3, 64, 4, 2),
    (16, 64, 128, 4, 2),
    (8, 128, 256, 4, 2),
    (32, 64, 3, 4, 2),
    (16, 2, 3, 4, 2),
    (32, 3, 64, 3, 1),
    (16, 64, 64, 3, 1),
    (8, 128, 128, 3, 1),
    (32, 64, 3, 3, 1),
    (16, 3, 3, 3, 1),
]
SCAN = 3


def operands(shape: tuple[int, ...], batch: int, dtype: Any) -> tuple[Any, ...]:
    """The geometry of a convolution, and `SCAN` different x, w and y."""
    side, channels, features, kernel, stride = shape
    geometry = conv_geometry((side, side), (kernel, kernel), (stride, stride), "SAME")
    keys = jax.random.split(jax.random.key(0), 3)
    sizes = (batch, side, side, channels), (kernel, kernel, channels, features), (batch, *geometry.output_size, features)
    return geometry, *(jax.random.normal(key, (SCAN, *size)).astype(dtype) for key, size in zip(keys, sizes))


def measure(kind: str, shape: tuple[int, ...], batch: int, dtype: Any, rounds: int) -> dict[str, float]:
    """Milliseconds of each form. A form that this backend does not run is left out."""
    geometry, x, w, y = operands(shape, batch, dtype)
    pair = {"forward": (x, w), "transpose": (y, w), "weight": (x, y)}[kind]
    candidates = {}
    for name, form in KINDS[kind].items():

        def run(a, b, form=form):
            return lax.scan(lambda carry, ab: (carry, form(*ab, geometry)), 0, (a, b))[1]

        try:
            program = jax.jit(run).lower(*pair).compile()
            program(*pair).block_until_ready()
        except Exception as error:
            print(f"{kind} {shape} {jnp.dtype(dtype).name}: {name} does not run ({type(error).__name__})")
            continue
        candidates[name] = Candidate(lambda program=program: program(*pair).block_until_ready(), SCAN)
    timings = interleave(candidates, seconds=0, least_rounds=rounds, sample_seconds=0)
    return {name: 1e3 * timing.least for name, timing in timings.items()}


def decide(times: list[dict[str, float]]) -> str:
    """The form with the least mean logarithm of its time over the best time, among the forms that ran for every shape."""
    everywhere = set.intersection(*(set(row) for row in times))
    return min(sorted(everywhere), key=lambda form: sum(math.log(row[form] / min(row.values())) for row in times))


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtypes", nargs="+", choices=("float32", "bfloat16"), default=["float32", "bfloat16"], help="rows to measure")
    parser.add_argument(
        "--classes", nargs="+", metavar="CLASS", help='classes of shapes to measure, e.g. "strided few-many" (default: all)'
    )
    parser.add_argument("--write", action="store_true", help="write the rows into gan_jax/nn/fast_conv/choices.py")
    options = parser.parse_args()
    if jax.default_backend() != "cpu":
        fail("the table is for the CPU: set JAX_PLATFORMS=cpu")
    classes: dict[str, dict[str, list[dict[str, float]]]] = {}
    print("| dtype | side, channels, features, kernel, stride | map | milliseconds (GFLOP/s) |\n|---|---|---|---|")
    for dtype in map(jnp.dtype, options.dtypes):
        for shape in SHAPES:
            side, channels, features, kernel, stride = shape
            flops = 2 * options.batch * (side // stride) ** 2 * kernel**2 * channels * features
            geometry = conv_geometry((side, side), (kernel, kernel), (stride, stride), "SAME")
            row = forms.shape_class(geometry, channels, features, dtype)
            if options.classes and row.partition(" ")[2] not in options.classes:
                continue
            for kind in KINDS:
                times = measure(kind, shape, options.batch, dtype, options.rounds)
                classes.setdefault(row, {}).setdefault(kind, []).append(times)
                ranked = sorted(times.items(), key=lambda item: item[1])
                cells = ", ".join(f"{form} {ms:.2f} ({flops / ms / 1e6:.0f})" for form, ms in ranked)
                print(f"| {jnp.dtype(dtype).name} | {', '.join(map(str, shape))} | {kind} | {cells} |", flush=True)
    choices = {row: {kind: decide(times) for kind, times in kinds.items()} for row, kinds in classes.items()}
    print(json.dumps(choices, indent=4))
    if options.write:
        version = ".".join(jax.__version__.split(".")[:2])
        name = f"{version} {tables.processor_kind()}"
        TABLE.write_text(source_of(TABLES | {name: TABLES.get(name, {}) | choices}))


def source_of(measured: dict[str, dict[str, dict[str, str]]]) -> str:
    """The text of gan_jax/nn/fast_conv/choices.py, as the formatter of this project writes it."""
    header = (
        '"""The fastest form of each CPU convolution, by JAX version and processor. '
        '`experiments.tools.choose_convs --write` writes this file."""'
    )
    rows = json.dumps(measured, indent=4).replace('"\n', '",\n').replace("}\n", "},\n")
    return f"{header}\n\nTABLES: dict[str, dict[str, dict[str, str]]] = {rows}\n"


if __name__ == "__main__":
    main()
