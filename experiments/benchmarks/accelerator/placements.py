"""Part 7: the placements on one device, and the number of steps in one program."""

from typing import Any

from experiments.benchmarks import jax_steps
from experiments.benchmarks.accelerator.scale import Scale
from experiments.benchmarks.accelerator.session import Session
from experiments.benchmarks.accelerator.steps import make_gan_of, time_program
from gan_jax.distributed import make_placement


def measure_scan(scale: Scale, scan: int) -> dict[str, Any]:
    """The first workload with a number of steps in one program."""
    workload = next(iter(scale.workloads.values()))
    gan, batch = make_gan_of(workload, scale.precisions[-1])
    program = jax_steps.training(gan, image_shape=batch["image"].shape[1:], batch=workload.batch, scan=scan)
    return time_program(program, scale.sample_seconds)


def measure_placement(scale: Scale, kind: str) -> dict[str, Any]:
    """The first workload, with the code for several devices on one device."""
    workload = next(iter(scale.workloads.values()))
    channels = workload.options.get("channels", 3)
    shape = (workload.size, workload.size, channels)
    options = {name: value for name, value in workload.options.items() if name != "channels"}
    placement = make_placement(kind, devices=1)
    gan = jax_steps.make(workload.model, image_shape=shape, placement=placement, **options)
    program = jax_steps.training(gan, image_shape=shape, batch=workload.batch, scan=scale.scans[-1] // 4 or 1, placement=placement)
    return time_program(program, scale.sample_seconds)


def run(session: Session, scale: Scale) -> None:
    """Runs the part."""
    needs = scale.compile_seconds
    for scan in scale.scans:
        session.item(f"placements/scan {scan}", lambda scan=scan: measure_scan(scale, scan), needs=needs, kind="scan")
    for kind in ("shard_map", "pmap", "jit"):
        session.item(f"placements/{kind}", lambda kind=kind: measure_placement(scale, kind), needs=needs, kind="placement")
