"""Part 6: the rate of the data pipeline beside that of the train step."""

import importlib.util
from typing import Any

from experiments.benchmarks import pipelines
from experiments.benchmarks.accelerator.scale import Scale
from experiments.benchmarks.accelerator.session import Session
from experiments.benchmarks.timing import seconds_of


def measure(kind: str, batch: int) -> dict[str, Any]:
    """Images a second that arrive on the device, without a train step."""
    call = pipelines.feed_call(kind, batch)
    call()
    seconds = min(seconds_of(call) for _ in range(3))
    return {"images_per_second": pipelines.BATCHES * batch / seconds, "batch": batch}


def run(session: Session, scale: Scale) -> None:
    """Runs the part."""
    batch = next(iter(scale.workloads.values())).batch
    kinds = ["memory"]
    if importlib.util.find_spec("grain") is None:
        session.skipped["data/folder"] = "grain is not installed"
    else:
        kinds.append("folder")
    for kind in kinds:
        session.item(f"data/{kind}", lambda kind=kind: measure(kind, batch), needs=scale.compile_seconds / 2)
