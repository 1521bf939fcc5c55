"""Measures how good a trained generator is.

    python experiments/evaluate.py RUN
    python experiments/evaluate.py RUN --metrics frechet_distance precision_recall --samples 10000 --seed 1

Writes RUN/metrics.json, where every number carries its protocol, and renews RUN/report.html.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from gan_jax.cli import common


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to measure."""

    run: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Directory of the run."""
    metrics: tuple[str, ...] = ()
    """Rows of gan_jax.metrics.METRICS; by default what suits the data."""
    samples: int = 5000
    """Number of samples."""
    seed: int = 0
    """Of the samples."""
    extractor: str = "auto"
    """digit_classifier, inception_v3, pixels, or auto."""
    weights: Path | None = None
    """Weight file of the feature network."""
    step: int | None = None
    """Which checkpoint; by default the newest."""
    best: bool = False
    """The checkpoint that was the best while training."""
    raw_weights: bool = False
    """Sample from the weights themselves, not from their moving average."""
    standing_statistics: int = 0
    """Make batch norm's averages anew over so many batches before sampling; 0 to sample with those of the training."""
    compilation_cache: str | None = None
    """Where compiled programs are kept between runs, or none."""


def main() -> None:
    """Reads the flags and measures."""
    flags = common.parse(lambda: tyro.cli(Flags, description=__doc__, config=(tyro.conf.PositionalRequiredArgs,)))
    with common.errors_as_lines():
        from rich.console import Console

        from gan_jax.metrics import METRICS
        from gan_jax.trainer.config import ConfigError
        from gan_jax.trainer.evaluate import evaluate_run
        from gan_jax.trainer.report import write_report
        from gan_jax.trainer.restore import load_run

        unknown = sorted(set(flags.metrics) - set(METRICS))
        if unknown:
            raise ConfigError(f"--metrics {unknown[0]}: must be among {', '.join(METRICS)}")
        if flags.samples < 2:
            raise ConfigError(f"--samples {flags.samples}: must be at least 2")
        common.compilation_cache(flags.compilation_cache)
        stored = load_run(flags.run, step=flags.step, best=flags.best)
        if flags.standing_statistics:
            stored = stored.with_standing_statistics(flags.standing_statistics, seed=flags.seed, ema=not flags.raw_weights)
        evaluation = dataclasses.replace(stored.config.evaluation, extractor=flags.extractor, weights=flags.weights)
        evaluate_run(
            flags.run,
            dataclasses.replace(stored.config, evaluation=evaluation),
            stored.built,
            stored.source,
            stored.params,
            stored.opt_state,
            console=Console(),
            names=flags.metrics or None,
            samples=flags.samples,
            seed=flags.seed,
            ema=not flags.raw_weights,
        )
        print(f"report: {write_report(flags.run)}")


if __name__ == "__main__":
    main()
