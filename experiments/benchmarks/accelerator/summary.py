"""The short table at the end."""

from typing import Any

from experiments.benchmarks.accelerator.scale import PARTS, Scale
from experiments.benchmarks.accelerator.session import Session


def summary(session: Session, scale: Scale) -> str:
    """All rows in at most about sixty lines."""
    lines = [f"device: {session.facts.get('device', 'unknown')}, JAX {session.facts.get('jax')}, PyTorch {session.facts.get('torch')}"]
    for title, part in (
        ("1 correctness (largest relative error)", _correctness),
        ("2 train steps, ms (share of the peak of that precision, MB)", _steps),
        ("3 runs under vmap, ms per step and run (MB)", _seeds),
        ("4 random search: failed share; energy distance of the best of k settings", _search),
        ("5 recipe", _recipe),
        ("6 images a second", _data),
        ("7 first workload on one device, ms", _placements),
    ):
        lines += [title, *(f"  {line}" for line in part(session, scale))]
    errors = [f"  {name}: {row['error']}" for name, row in session.rows.items() if "error" in row]
    skipped = [f"  {name}: {reason}" for name, reason in session.skipped.items()]
    lines += (["failed", *errors] if errors else []) + (["not measured", *skipped[:12]] if skipped else [])
    if len(skipped) > 12:
        lines.append(f"  and {len(skipped) - 12} more")
    return "\n".join(lines)


def _correctness(session: Session, scale: Scale) -> list[str]:
    lines = []
    for name, row in session.values("correctness/").items():
        if name == "two runs":
            plain, same = row["default"], row["deterministic"]
            cost = same["milliseconds"] / plain["milliseconds"]
            lines.append(f"two runs equal: {plain['equal']}; with deterministic operations: {same['equal']}, at {cost:.2f} times the time")
        else:
            lines.append(
                f"{'ok   ' if row['passed'] else 'WRONG'} {name}: {row['error']:.1e}" + (f" ({row['worst']})" if "worst" in row else "")
            )
    return lines


def _steps(session: Session, scale: Scale) -> list[str]:
    peaks = session.values("steps/").get("peaks")
    lines = []
    if peaks:
        lines.append("peak TFLOP/s: " + ", ".join(f"{precision} {peak / 1e12:.1f}" for precision, peak in peaks.items()))
    for name, workload in scale.workloads.items():
        cells = []
        for column, row in session.values(f"steps/{name} ").items():
            share = f"{100 * row['share_of_peak']:.0f}%, " if "share_of_peak" in row else ""
            memory = "?" if row["megabytes"] is None else f"{row['megabytes']:.0f}"
            cells.append(f"{column} {row['milliseconds']:.2f} ({share}{memory})")
        lines.append(f"{workload.about}: " + ("; ".join(cells) or "not measured"))
    return lines


def _seeds(session: Session, scale: Scale) -> list[str]:
    lines = []
    for model in ("points", "dcgan"):
        rows = sorted(session.values(f"seeds/{model} ").items(), key=lambda item: int(item[0]))
        if rows:
            lines.append(f"{model}: " + ", ".join(f"{count}: {row['milliseconds']:.4f} ({row['megabytes']})" for count, row in rows))
    return lines


def _search(session: Session, scale: Scale) -> list[str]:
    lines = []
    for method, row in session.values("search/").items():
        if method == "size":
            lines.append(f"{row['runs']} runs, {row['steps']} steps, {row['milliseconds_per_step']:.2f} ms a step of all")
            continue
        cells = []
        for data in ("ring", "grid"):
            best = ", ".join(f"{k}: {value:.4f}" for k, value in row[data]["best_of_k_energy"].items())
            cells.append(f"{data} {100 * row[data]['failed']:.0f}% failed, {best}")
        lines.append(f"{method}: " + "; ".join(cells))
    return lines


def _recipe(session: Session, scale: Scale) -> list[str]:
    row = session.values("recipe/").get("run")
    if row is None:
        return []
    values = ", ".join(f"{name} {_number(value)} (real {_number(real)})" for name, (value, real) in list(row["metrics"].items())[:6])
    return [f"{scale.recipe[0]}: {row['steps']} steps in {row['seconds']:.0f} s, {row['milliseconds_per_step']:.2f} ms a step; {values}"]


def _number(value: Any) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _data(session: Session, scale: Scale) -> list[str]:
    cells = [f"{kind} {row['images_per_second']:,.0f}" for kind, row in session.values("data/").items()]
    name, workload = next(iter(scale.workloads.items()))
    steps = [row["milliseconds"] for row in session.values(f"steps/{name} gan_jax ").values()]
    if steps:
        cells.append(f"the fastest step of {name} takes {1e3 * workload.batch / min(steps):,.0f}")
    return ["; ".join(cells)] if cells else []


def _placements(session: Session, scale: Scale) -> list[str]:
    cells = [f"{name} {row['milliseconds']:.2f}" for name, row in session.values("placements/").items()]
    return ["; ".join(cells)] if cells else []


def parts_without_rows(session: Session) -> list[str]:
    """The parts that have no row with values."""
    return [part for part in PARTS if not session.values(f"{part}/")]
