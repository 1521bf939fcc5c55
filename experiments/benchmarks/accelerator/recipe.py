"""Part 5: a recipe at length, through the same code as `gan-jax train`, with its metrics, figures and report."""

import dataclasses
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.accelerator.scale import Scale
from experiments.benchmarks.accelerator.session import Session
from gan_jax.data.npz import read_npz
from gan_jax.trainer.config import Config


def unpack_images(npz: Path, folder: Path) -> None:
    """Writes the arrays of an npz file as the four IDX files of a data set.

    Args:
        npz: Has train_images and test_images, uint8 [n, 28, 28], and train_labels and test_labels, uint8 [n].
        folder: Where the files are written.
    """
    arrays = read_npz(npz, ("train_images", "train_labels", "test_images", "test_labels"))
    folder.mkdir(parents=True, exist_ok=True)
    for part, prefix in (("train", "train"), ("test", "t10k")):
        for kind, rank in (("images", 3), ("labels", 1)):
            array = np.ascontiguousarray(arrays[f"{part}_{kind}"], np.uint8)
            header = bytes([0, 0, 8, rank]) + np.array(array.shape, ">u4").tobytes()
            (folder / f"{prefix}-{kind}-idx{rank}-ubyte").write_bytes(header + array.tobytes())


def read_recipe(scale: Scale, images: Path | None, work: Path) -> Config:
    """The configuration: the recipe on the images, or on the digits of the package if there are none."""
    from gan_jax.cli.train_command import read_command, read_config

    words = list(scale.recipe)
    if images is not None:
        unpack_images(images, work / "images")
        words += ["--data.source", "fashion_mnist", "--data.directory", str(work / "images")]
    else:
        words += ["--data.source", "mnist5k"]
    return read_config(read_command(words))[0]


def train_for(config: Config, steps: int, directory: Path) -> dict[str, Any]:
    """Trains for a number of steps, and returns the times and the metrics."""
    from gan_jax.trainer.loop import train

    shutil.rmtree(directory, ignore_errors=True)
    begin = time.monotonic()
    train(dataclasses.replace(config, steps=steps, epochs=0, out=directory), command="experiments/benchmarks/accelerator.py")
    total = time.monotonic() - begin
    timing = [json.loads(line) for line in (directory / "timing.jsonl").read_text().splitlines()]
    first, last = timing[min(1, len(timing) - 1)], timing[-1]
    spent, made = last["time"] - first["time"], last["step"] - first["step"]
    metrics = json.loads((directory / "metrics.json").read_text()) if (directory / "metrics.json").exists() else []
    return {
        "steps": steps,
        "seconds": total,
        "before_and_after": total - last["time"] + first["time"],
        "milliseconds_per_step": 1e3 * spent / made if made else 1e3 * last["time"] / last["step"],
        "metrics": {row["metric"]: [row["value"], row["real"]] for row in metrics},
    }


def run(session: Session, scale: Scale, images: Path | None, work: Path) -> None:
    """Runs the part: a short run, which also fills the cache of compiled programs, sizes the long one."""
    low, high = scale.recipe_steps
    try:
        config = read_recipe(scale, images, work)
    except (SystemExit, ValueError) as error:
        session.skipped["recipe"] = str(error)
        return
    probe = session.item("recipe/probe", lambda: train_for(config, low // 2, work / "probe"), needs=3 * scale.compile_seconds)
    if probe is None:
        return
    step = probe["milliseconds_per_step"] / 1e3
    steps = int((session.remaining() - 1.2 * probe["before_and_after"] - 2) / max(step, 1e-6))
    steps = min(high, max(low, steps)) // config.scan_steps * config.scan_steps
    needs = probe["before_and_after"] + 1.1 * steps * step
    row = session.item("recipe/run", lambda: train_for(config, steps, work / "run"), needs=needs)
    if row is None:
        return
    out = session.path.parent
    shutil.copy(work / "run" / "report.html", out / "recipe_report.html")
    grids = sorted((work / "run" / "samples").glob("*.png"))
    if grids:
        shutil.copy(grids[-1], out / "recipe_samples.png")
