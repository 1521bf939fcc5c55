"""Number of the 1,000 modes of stacked digits that a trained generator covers.

    python experiments/train.py stacked_mnist --seed 0
    python -m experiments.studies.stacked_mnist runs/stacked_mnist --out docs/data/stacked_mnist.jsonl
    python -m experiments.studies.stacked_mnist runs/stacked_mnist --every-checkpoint
    python -m experiments.studies.stacked_mnist                                           the real images alone, to check the classifier
    python -m experiments.studies.stacked_mnist --table docs/data/stacked_mnist.jsonl     the table of the rows in a file

Three digits are the colour channels of an image. Its mode is the triple that the shipped digit classifier reads. The outcomes are the
modes among 26,000 samples and the reverse KL divergence KL(fake || real) in nats between the distributions over modes, where the real one
is taken as uniform. This is the protocol of VEEGAN (Srivastava et al., 2017) and PacGAN (Lin et al., 2018). As many held-out real images
are measured, too. Each row has the command of its run.

Differs: the digits are the embedded 5,000 and not MNIST's 60,000, and the classifier is ours, so the published numbers give only the
scale: DCGAN 78.9 to 99 modes / KL 3.4 to 4.5, Unrolled 48.7 / 4.32, VEEGAN 150 / 2.95, PacDCGAN2 1000 / 0.06. A uniform sample of 26,000
has a reverse KL of about 999 / 52,000 = 0.019.
"""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import tyro

from docs._generate.tables import table
from experiments.rows import append_rows, existing, read_rows
from gan_jax.cli.compilation_cache import use_compilation_cache
from gan_jax.cli.errors import errors_as_lines
from gan_jax.cli.parsing import parse_flags

SAMPLES = 26_000


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to measure."""

    runs: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="[RUN [RUN ...]]")]] = ()
    """Directories of runs on stacked_mnist."""
    samples: int = SAMPLES
    """Number of samples. The literature uses 26,000."""
    seed: int = 0
    """Random seed of the samples."""
    every_checkpoint: bool = False
    """Measure every checkpoint of a run and not only the newest."""
    out: Path | None = None
    """File of JSON lines to which the rows are added."""
    table: Path | None = None
    """Only print the table of the rows in a file."""


def coverage_row(images: Any) -> dict[str, Any]:
    """Modes and reverse KL of images."""
    from gan_jax.metrics import stacked_digit_coverage

    found = stacked_digit_coverage(images)
    return {"modes": found.modes, "reverse_kl": round(found.reverse_kl, 5), "samples": len(images)}


def checkpoints(run: Path, flags: Flags) -> list[int | None]:
    """The steps of the checkpoints to measure. None is the newest checkpoint."""
    if not flags.every_checkpoint:
        return [None]
    return sorted(int(path.name.removeprefix("step_")) for path in (run / "checkpoints").glob("step_*"))


def measure_run(run: Path, step: int | None, flags: Flags) -> dict[str, Any]:
    """The row of a run at one of its checkpoints."""
    from gan_jax.trainer.config import ConfigError
    from gan_jax.trainer.loaded_run import load_run
    from gan_jax.trainer.sample_images import sample_images

    loaded = load_run(run, step=step)
    if loaded.source.name != "stacked_mnist":
        raise ConfigError(f"{run}: the data of this run is {loaded.source.name}, not stacked_mnist")
    images, _ = sample_images(loaded.built, loaded.params, loaded.opt_state, flags.samples, seed=flags.seed)
    record = json.loads((run / "run.json").read_text())
    about = {"recipe": loaded.config.recipe, "seed": loaded.config.seed, "step": loaded.step, "batch_size": loaded.config.batch_size}
    finished = record.get("step") == loaded.step
    # The row was made by the run, so it states the origin of the run.
    machine = {"commit": record.get("commit"), "processor": record.get("cpu"), "devices": record.get("devices_used"), "form": "step"}
    origin = {"seconds": record.get("seconds") if finished else None, "command": record.get("command", "")}
    return about | coverage_row(images) | machine | origin


def measure_real(flags: Flags) -> dict[str, Any]:
    """The row of real images made from held-out digits."""
    import numpy as np

    from gan_jax.data import load_source

    source = load_source("stacked_mnist", split="test", count=flags.samples)
    return {"recipe": "real, held out"} | coverage_row(np.asarray(source.images[: flags.samples]))


def result_table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = []
    for row in rows:
        minutes = f"{row['seconds'] / 60:.1f}" if row.get("seconds") else ""
        command = f"`{row['command']}`" if row.get("command") else ""
        cells = [row["recipe"], row.get("seed", ""), f"{row['step']:,}" if "step" in row else "", minutes]
        lines.append([*cells, f"{row['modes']:,}", f"{row['reverse_kl']:.3f}", f"{row['samples']:,}", command])
    return table(["", "seed", "steps", "minutes", "modes of 1,000", "reverse KL", "samples", "command"], lines)


# Modes and reverse KL as reported by Srivastava et al., 2017, and Lin et al., 2018.
PUBLISHED = {
    "DCGAN": ("78.9 to 99", "3.4 to 4.5"),
    "Unrolled GAN": ("48.7", "4.32"),
    "VEEGAN": ("150", "2.95"),
    "PacDCGAN2": ("1,000", "0.06"),
}


def page_table(rows: list[dict[str, Any]]) -> str:
    """The table of docs/mixtures.md: the recipe at its checkpoints, real images, and the published figures."""
    runs = [row for row in rows if "step" in row]
    real = [row for row in rows if "step" not in row]
    lines = [[f"recipe `{row['recipe']}`, step {row['step']:,}", f"{row['modes']:,}", f"{row['reverse_kl']:.3f}"] for row in runs]
    lines += [["real images, held out", f"{row['modes']:,}", f"{row['reverse_kl']:.3f}"] for row in real]
    return table(["", "modes of 1,000", "reverse KL"], [*lines, *([f"published: {name}", *cells] for name, cells in PUBLISHED.items())])


def main() -> None:
    """Reads the flags, measures, and prints one row for the real images and one per checkpoint."""
    flags = parse_flags(Flags, __doc__)
    with errors_as_lines():
        from gan_jax.trainer.config import ConfigError

        if flags.table is not None:
            print(result_table(read_rows(existing("--table", flags.table))))
            return
        if flags.samples < 1:
            raise ConfigError(f"--samples {flags.samples}: must be at least 1")
        use_compilation_cache()
        rows = [measure_real(flags)]
        print(json.dumps(rows[0]), flush=True)
        for run in flags.runs:
            for step in checkpoints(run, flags):
                rows.append(measure_run(run, step, flags))
                print(json.dumps(rows[-1]), flush=True)
        if flags.out is not None:
            append_rows(flags.out, rows)


if __name__ == "__main__":
    main()
