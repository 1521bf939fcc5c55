"""Measures the quality of a trained generator.

    gan-jax evaluate RUN
    gan-jax evaluate RUN --metrics frechet_distance precision_recall --samples 10000 --seed 1

Writes RUN/metrics.json, which has the protocol of every number, and updates RUN/report.html.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from gan_jax.cli.errors import errors_as_lines
from gan_jax.cli.notices import notice_missing_data
from gan_jax.cli.parsing import parse_flags
from gan_jax.trainer.config import ConfigError
from gan_jax.trainer.config.schema import Extractor


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to measure."""

    run: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Directory of the run."""
    metrics: tuple[str, ...] = ()
    """Metrics. By default those that suit the data."""
    samples: int = 5000
    """Number of samples."""
    seed: int = 0
    """Random seed of the samples."""
    extractor: Extractor = "auto"
    """Feature network of the distances."""
    weights: Path | None = None
    """Weight file of the feature network."""
    step: int | None = None
    """Step of the checkpoint. By default the newest."""
    best: bool = False
    """Use the checkpoint that was best during training."""
    raw_weights: bool = False
    """Sample with the weights themselves, not with their moving average."""
    standing_statistics: int = 0
    """Recompute the running statistics of batch norm over this many batches. 0 uses those of the training."""
    compilation_cache: str | None = None
    """Directory of compiled programs, or none."""


def main(arguments: list[str] | None = None) -> None:
    """Evaluates a run and writes the results."""
    flags = parse_flags(Flags, __doc__, arguments, prog="gan-jax evaluate")
    with errors_as_lines():
        from rich.console import Console

        from gan_jax.cli.compilation_cache import use_compilation_cache
        from gan_jax.metrics import METRICS
        from gan_jax.trainer.evaluate import evaluate_run
        from gan_jax.trainer.loaded_run import load_run
        from gan_jax.trainer.report import write_report

        unknown = sorted(set(flags.metrics) - set(METRICS))
        if unknown:
            raise ConfigError(f"--metrics {unknown[0]}: must be among {', '.join(METRICS)}")
        if flags.samples < 2:
            raise ConfigError(f"--samples {flags.samples}: must be at least 2")
        use_compilation_cache(flags.compilation_cache)
        run = load_run(flags.run, step=flags.step, best=flags.best)
        notice_missing_data(run)
        if flags.standing_statistics:
            run = run.with_standing_statistics(flags.standing_statistics, seed=flags.seed, ema=not flags.raw_weights)
        evaluation = dataclasses.replace(run.config.evaluation, extractor=flags.extractor, weights=flags.weights)
        evaluate_run(
            flags.run,
            dataclasses.replace(run.config, evaluation=evaluation),
            run.built,
            run.source,
            run.params,
            run.opt_state,
            console=Console(),
            names=flags.metrics or None,
            samples=flags.samples,
            seed=flags.seed,
            ema=not flags.raw_weights,
        )
        print(f"report: {write_report(flags.run)}")
