"""The tables and numbers of the documentation that come from rows of `experiments.benchmarks.run`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from docs._generate.tables import number, table
from experiments.benchmarks.cases import CASES, PRESETS
from experiments.benchmarks.machine import in_words

Row = dict[str, Any]
OURS = ("gan_jax", "gan_jax cores", "gan_jax lax")
HEADS = ["one device ms", "one device per core ms", "PyTorch eager ms", "ratio"]


def latest(rows: Iterable[Row]) -> dict[str, Row]:
    """The last row of each case."""
    return {row["case"]: row for row in rows}


def one_machine(rows: Sequence[Row]) -> dict[str, Any]:
    """The machine of all rows.

    Raises:
        ValueError: Two rows were measured on different machines or with different versions, so they cannot share a table.
    """
    for row in rows:
        if row["machine"] != rows[0]["machine"]:
            both = f"({in_words(rows[0]['machine'])}) and ({in_words(row['machine'])})"
            raise ValueError(f"{rows[0]['case']} and {row['case']} were measured on different machines or versions: {both}")
    return rows[0]["machine"]


def fastest(row: Row) -> str:
    """The fastest of our float32 columns."""
    times = row["milliseconds"]
    return min((column for column in OURS if column in times), key=lambda column: times[column])


def best_torch(row: Row) -> float | None:
    """Milliseconds of the faster float32 form of PyTorch."""
    return min((row["milliseconds"][column] for column in ("eager", "compile") if column in row["milliseconds"]), default=None)


def ratio(row: Row) -> float | None:
    """PyTorch's best float32 time over ours. Above 1, gan_jax is faster."""
    best = best_torch(row)
    return best / row["milliseconds"][fastest(row)] if best else None


def share_of_peak(row: Row, column: str) -> float | None:
    """Counted operations per second over those of a square matrix product of the same type."""
    gigaflops = row["facts"].get(column, {}).get("gigaflops_a_step")
    peak = row["peaks"]["bfloat16" if "bfloat16" in column else "float32"]
    return gigaflops and gigaflops * 1e9 / (1e-3 * row["milliseconds"][column]) / peak


def milliseconds(value: float | None) -> str:
    """Milliseconds with three digits below 10 and one digit from 10 on."""
    return number(value, 1 if value and value >= 10 else 3)


def peak(rows: Sequence[Row], dtype: str = "float32") -> str:
    """The range of the speeds of matrix products beside which rows were measured, in GFLOP/s."""
    speeds = sorted({f"{row['peaks'][dtype] / 1e9:.0f}" for row in rows}, key=int)
    return " to ".join(dict.fromkeys((speeds[0], speeds[-1])))


def _compared(row: Row) -> list[str]:
    times = row["milliseconds"]
    ours = times.get("gan_jax", times.get("gan_jax lax"))
    return [milliseconds(ours), *(milliseconds(times.get(column)) for column in ("gan_jax cores", "eager")), number(ratio(row))]


def workload_table(rows: Sequence[Row]) -> str:
    """Workloads with their times, ratio, share of the peak, memory and time to the first step."""
    heads = ["workload", *HEADS, "share of peak", "peak MB", "first step s"]
    lines = []
    for row in rows:
        column = fastest(row)
        facts = row["facts"].get(column, {})
        cells = [f"{row['case']}: {CASES[row['case']].about}", *_compared(row), number(share_of_peak(row, column))]
        lines.append(cells + [number(facts.get(key), 1) for key in ("peak_megabytes", "first_step_seconds")])
    head = f"Measured on {in_words(one_machine(rows))}. Matrix products in float32 run at {peak(rows)} GFLOP/s."
    return f"{head}\n\n{table(heads, lines)}"


def scaling_table(rows: Sequence[Row]) -> str:
    """The workloads of the preset `scaling`."""
    return f"Measured on {in_words(one_machine(rows))}.\n\n" + table(
        ["workload", *HEADS], ([CASES[row["case"]].about, *_compared(row)] for row in rows)
    )


def apart_table(rows: Sequence[Row]) -> str:
    """Workloads in float32 and bfloat16, each with the version of JAX and the number of cores that it was measured with."""

    def how(row: Row) -> str:
        cores = row["machine"]["cores"]
        return f"JAX {row['machine']['jax']}, {cores} core{'s' if cores > 1 else ''}"

    heads = ["workload", "gan_jax ms", "PyTorch ms", "ratio", "gan_jax bfloat16 ms", "PyTorch autocast ms", "ratio", "with"]
    lines = []
    for row in rows:
        times = row["milliseconds"]
        narrow = [milliseconds(times.get(column)) for column in ("gan_jax bfloat16", "autocast")]
        wide = [milliseconds(times[fastest(row)]), milliseconds(best_torch(row)), number(ratio(row))]
        lines.append([f"{row['case']}: {CASES[row['case']].about}", *wide, *narrow, number(narrow_ratio(row)), how(row)])
    machine = one_machine([row | {"machine": row["machine"] | {"jax": "", "cores": 0}} for row in rows])
    head = f"Measured on {machine['device']}, with PyTorch {machine['torch']}."
    return f"{head}\n\n{table(heads, lines)}"


def narrow_ratio(row: Row) -> float | None:
    """PyTorch's time with autocast over ours in bfloat16. None if one of them was not measured."""
    times = row["milliseconds"]
    return times["autocast"] / times["gan_jax bfloat16"] if {"autocast", "gan_jax bfloat16"} <= times.keys() else None


def variants_table(rows: dict[str, Row]) -> str:
    """The variants of the DCGAN step and of the mixture step."""
    dcgan, mixture = rows["variants_dcgan32"], rows["variants_mixture"]
    cells = ((name, f"{ms:.0f}", number(mixture["milliseconds"].get(name))) for name, ms in dcgan["milliseconds"].items())
    head = f"Measured on {in_words(one_machine([dcgan, mixture]))}.\n\n"
    return head + table(["variant", "DCGAN 32x32x1 ms", "mixture ms"], cells)


def aims_table(rows: dict[str, Row]) -> str:
    """The aims of the project beside what was measured. A measurement in bold misses its aim."""
    dcgan, simultaneous, shared = (rows[f"dcgan32{name}"] for name in ("", "_simultaneous", "_shared"))
    narrow = rows.get("dcgan32_bfloat16", dcgan)
    loop, first = rows["loop_32"]["milliseconds"], rows["first_step"]["milliseconds"]
    overhead = 100 * (loop["step of a run"] / loop["bare step"] - 1)

    def at_least(aim: float, value: float | None) -> str:
        return "not measured" if value is None else f"{value:.2f}" if value >= aim else f"**{value:.2f}**"

    def at_most(aim: float, value: float, digits: int, unit: str) -> str:
        text = f"{value:.{digits}f}{unit}"
        return text if round(value, digits) <= aim else f"**{text}**"

    against_shared = (best_torch(shared) or 0) / simultaneous["milliseconds"][fastest(simultaneous)]
    lines = [
        ("DCGAN step, float32, same passes", "1.0", at_least(1.0, ratio(dcgan))),
        (
            "the same, bfloat16 against autocast",
            "1.0",
            f"{at_least(1.0, narrow_ratio(narrow))} (without AMX, JAX {narrow['machine']['jax']})",
        ),
        ("WGAN-GP, R1", "1.2, 1.1", f"{at_least(1.2, ratio(rows['wgan_gp32']))}, {at_least(1.1, ratio(rows['r1_32']))}"),
        (
            "simultaneous step against PyTorch's alternating one; against its step with one shared forward",
            "1.15, 1.05",
            f"{at_least(1.15, ratio(simultaneous))}; {at_least(1.05, against_shared)} ({best_torch(shared):.1f} ms, another process)",
        ),
        (
            "mixture, one seed; 16 seeds at once",
            "2.2; 3.5",
            f"{at_least(2.2, ratio(rows['mixture']))}; {at_least(3.5, ratio(rows['mixture_16']))}",
        ),
        ("files from the second epoch on", "1.5", at_least(1.5, ratio(rows["pipeline_cached"]))),
        (
            "time to the first step, cold; from the cache",
            "10 s; 3 s",
            f"{at_most(10, first['cold'] / 1e3, 2, ' s')}; {at_most(3, first['cached'] / 1e3, 2, ' s')}"
            f" ({rows['first_step']['machine']['device']})",
        ),
        (
            "overhead of the loop around the step",
            "2%",
            f"{at_most(2, overhead, 1, '%')} ({loop['bare step']:.1f} ms bare, {loop['step of a run']:.1f} ms in a run; width 32;"
            f" {rows['loop_32']['machine']['device']})",
        ),
        ("one H100", "1.3; 20", "not measured; `python -m experiments.benchmarks.accelerator.run` measures it"),
    ]
    return table(["figure", "aim", "measured"], lines)


def metrics_table(rows: dict[str, Row]) -> str:
    """Seconds of the metrics at the sizes of the literature."""
    distances, features = rows["distances"]["milliseconds"], rows["features"]["milliseconds"]

    def seconds(times: dict[str, float], *names: str) -> str:
        return "; ".join(f"{times[name] / 1e3:.{1 if times[name] > 1e3 else 2}f}" if name in times else "-" for name in names)

    lines = [
        ("precision, recall, density and coverage, 10,000 x 2,048", seconds(distances, "manifold metrics")),
        ("the same by prdc", seconds(distances, "manifold metrics by prdc")),
        ("Fréchet distance from moments, 2,048 dims", seconds(distances, "Fréchet distance from moments")),
        ("moments of two sets of 10,000 x 2,048 and their distance", seconds(distances, "Fréchet distance")),
    ]
    for name, about in (("digit_classifier", "5,000 digits by the digit classifier"), ("inception_v3", "64 images by Inception-v3")):
        lines.append((f"features of {about}; its bare network", seconds(features, f"{name}, extractor", f"{name}, bare network")))
    head = f"Measured on {in_words(one_machine([rows['distances'], rows['features']]))}.\n\n"
    return head + table(["", "seconds"], lines)


def monitor_table(rows: dict[str, Row]) -> str:
    """The step of a DCGAN with and without the monitor."""
    chosen = [rows["monitor_64"], rows["monitor_32"]]
    heads = ["width", "step without the monitor ms", "with it ms", "measurements of one grid ms"]
    lines = ((row["case"].removeprefix("monitor_"), *(f"{ms:.1f}" for ms in row["milliseconds"].values())) for row in chosen)
    return f"Measured on {in_words(one_machine(chosen))}.\n\n{table(heads, lines)}"


def performance(rows: dict[str, Row]) -> dict[str, Callable[[], str]]:
    """The generated parts of docs/performance.md: name -> function that returns the text."""
    workloads, scaling = ([rows[name] for name in PRESETS[preset] if name in rows] for preset in ("cpu", "scaling"))
    times = {case: row["milliseconds"] for case, row in rows.items()}
    dcgan, mixture = rows["dcgan32"], rows["mixture"]
    norms = [times["variants_dcgan32"][name] for name in ("a device a core, shard_map, one thread each", *FLAX_NORMS)]
    ideal = dcgan["facts"]["gan_jax cores"]["gigaflops_a_step"] * 1e12 / dcgan["peaks"]["float32"]
    return {
        "workloads": lambda: workload_table(workloads),
        "aims": lambda: aims_table(rows),
        "variants": lambda: variants_table(rows),
        "scaling": lambda: scaling_table(scaling),
        "apart": lambda: apart_table([rows[name] for name in PRESETS["apart"] if name in rows]),
        "cached files ratio": lambda: number(ratio(rows["pipeline_cached"]), 1),
        "torch.compile": lambda: f"{times['dcgan32']['compile']:.0f} ms",
        "batch norm": lambda: f"{norms[0]:.0f} ms and {norms[1]:.0f} ms with these two, and {norms[2]:.0f} ms with Flax's exact variance",
        "dcgan32 ratio": lambda: number(ratio(dcgan)),
        "sampling ratio": lambda: number(ratio(rows["sampling"])),
        "files ratio": lambda: number(ratio(rows["pipeline_folder"])),
        "bfloat16 ratio": lambda: number(narrow_ratio(rows.get("dcgan32_bfloat16", dcgan))),
        "mixture time": lambda: (
            f"{times['mixture']['gan_jax']:.2f} ms for {mixture['facts']['gan_jax']['gigaflops_a_step']:.3f} GFLOP, "
            f"{share_of_peak(mixture, 'gan_jax'):.0%} of the peak"
        ),
        "dcgan32 limit": lambda: f"{ideal:.0f} of the {times['dcgan32']['gan_jax cores']:.0f} ms",
    }


FLAX_NORMS = tuple(f"a device a core, shard_map, Flax's batch norm, {kind} variance" for kind in ("fast", "exact"))
