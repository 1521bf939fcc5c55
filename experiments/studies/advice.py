"""Does the monitor's advice cure? Trains broken runs again with each line of advice that their findings give.

    python -m experiments.studies.advice --out docs/data/advice.jsonl                 what the file lacks
    python -m experiments.studies.advice --only one_latent --seeds 2000 --out FILE
    python -m experiments.studies.advice --table docs/data/advice.jsonl               the table of the rows in a file

The broken runs are those of `experiments.studies.failures` whose failure is in the settings, and some more in `MORE`. Each is trained for
300 steps from seeds that chose no threshold. For each failure that the monitor names, each line of its advice is applied in two ways:

    start     the run is trained again from its beginning with the settings of the advice
    finding   the run is trained until the failure is named, and goes on for 300 steps from those weights with the settings of the advice

A line cures a run if the failure is not named again within the 300 steps and the samples are finite. The table also has the ratio of the
distances of the run with the advice and the broken run: the Fréchet distance of 1,000 samples to the 1,000 held-out digits, in the features
of the shipped classifier. It does not decide, because 300 steps are few: a rate 100 times too high learns more in them than the right one.
Failures whose cause is outside of the settings (data of a wrong range, a generator that copies, a NaN) are left out: no setting can cure
them.
"""

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from docs._generate.tables import table
from experiments.rows import append_rows, check_comparable, command_of, existing, origin, read_rows
from experiments.studies.failures import CASES, CONVOLUTIONS, Case, Prepared, Trained, make, prepare, train
from gan_jax.cli.compilation_cache import use_compilation_cache
from gan_jax.cli.errors import errors_as_lines
from gan_jax.cli.parsing import argument_parser
from gan_jax.gan.transfer import Weights, flat, transfer
from gan_jax.monitor import Finding
from gan_jax.trainer.config import Config, check
from gan_jax.typing import Players

SAMPLES = 1000
FIRST_SEED = 2000
KEYS = ("case", "seed", "failure", "advice", "way")  # of a finished run
# Failures by settings that `failures` has not.
MORE: dict[str, Case] = {
    "average_too_slow": Case("moving average with decay 0.9999 from the start", make(optimizer={"ema_decay": 0.9999, "ema_warmup": False})),
    "minimax_against_strong": Case(
        "minimax loss against a D ten times as fast",
        make(loss={"name": "minimax"}, optimizer={"generator_lr": 2e-4, "discriminator_lr": 2e-3}),
    ),
    "discriminator_rate_x100": Case("D's learning rate x100", make(optimizer={"discriminator_lr": 2e-2})),
    "generator_rate_x100": Case("G's learning rate x100", make(optimizer={"generator_lr": 2e-2})),
    "lazy_critic": Case(
        "WGAN-GP with a critic at a hundredth of the rate",
        make(loss={"name": "wasserstein"}, penalty={"wgan_gp": 10.0}, optimizer={"discriminator_lr": 2e-6, "b1": 0.0, "b2": 0.9}),
    ),
    "conditional_dcgan": Case("conditional DCGAN without smoothed labels", make(CONVOLUTIONS, model={"conditional": True})),
}
BROKEN = {name: case for name, case in CASES.items() if case.expected and case.between is None} | MORE
IN_SETTINGS = {name: case for name, case in BROKEN.items() if (case.source, case.built) == (CASES["dcgan"].source, CASES["dcgan"].built)}


def advised(config: Config, flags: str) -> Config:
    """A configuration with the flags of a line of advice. The monitor gives only lines that go together with the configuration."""
    import tyro

    return check(tyro.cli(Config, args=shlex.split(flags), default=config, console_outputs=False))


@cache
def _reference() -> tuple[Any, Any]:
    from gan_jax import metrics
    from gan_jax.data import load_source

    extractor = metrics.feature_extractor("digit_classifier")
    return extractor, {size: extractor(np.asarray(load_source("mnist5k", split="test", image_size=size).images[:])) for size in (28, 32)}


def distance(ready: Prepared, trained: Trained, seed: int) -> float | None:
    """The Fréchet distance of samples of a run to held-out digits, or None if the samples are not finite."""
    from gan_jax import metrics
    from gan_jax.trainer.config import ConfigError
    from gan_jax.trainer.sample_images import sample_images

    extractor, real = _reference()
    try:
        images, _ = sample_images(ready.built, trained.params, trained.opt_state, SAMPLES, seed=seed)
    except ConfigError:
        return None
    return round(metrics.frechet_distance(real[images.shape[1]], extractor(images)), 2)


def from_weights(params: Players) -> Any:
    """A start from the weights of another run, as `--init-from` makes it."""
    weights = Weights(Players(*(flat(jax.device_get(player)) for player in params)))
    return lambda ready, rng: transfer(ready.built.spec, ready.built.rule, ready.built.gan.init, rng, weights)


def _row(case: str, seed: int, ready: Prepared, trained: Trained, **about: Any) -> dict[str, Any]:
    named = {finding.id: finding.step for finding in reversed(trained.findings)}
    return {"case": case, "seed": seed, **about, "named": named, "fd": distance(ready, trained, seed), "seconds": trained.seconds}


def rows_of(name: str, seeds: Sequence[int], have: set[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Trains what the rows lack of a case: the broken run, and each line of advice of each failure that it names, in both ways.

    Args:
        name: Key of `IN_SETTINGS`.
        seeds: Random seeds.
        have: The `KEYS` of the finished runs.
    """
    case = IN_SETTINGS[name]
    ready = prepare(case)
    broken = {seed: train(ready, seed) for seed in seeds}
    for seed, run in broken.items():
        if (name, seed, None, None, None) not in have:
            yield _row(name, seed, ready, run, failure=None, advice=None, way=None)
    lines = {(finding.id, flags): None for run in broken.values() for finding in run.findings for flags in finding.advice}
    for failure, flags in lines:
        lacking = [(seed, way) for seed in seeds for way in ("start", "finding") if (name, seed, failure, flags, way) not in have]
        lacking = [(seed, way) for seed, way in lacking if _named(broken[seed].findings, failure)]
        if not lacking:
            continue
        cured = prepare(case._replace(config=advised(case.config, flags)))
        for seed, way in lacking:
            about = {"failure": failure, "advice": flags, "way": way}
            begin = None
            if way == "finding":
                stopped = train(ready, seed, until=partial(_named, failure=failure))
                begin = from_weights(stopped.params)
            yield _row(name, seed, cured, train(cured, seed, begin=begin), **about)


def _named(findings: Sequence[Finding], failure: str) -> bool:
    return any(finding.id == failure for finding in findings)


def cures(row: dict[str, Any]) -> bool:
    """Whether a run with advice is cured: its failure is not named again, and its samples are finite."""
    return row["failure"] not in row["named"] and row["fd"] is not None


def _base(row: dict[str, Any], broken: dict[tuple[Any, ...], dict[str, Any]]) -> dict[str, Any]:
    """The broken run that a row is compared with."""
    found = broken.get((row["case"], row["seed"], row["code"]))
    if found is None:
        raise ValueError(f"{row['case']}, {row['advice']}: there is no broken run of the same code; rows differ in 'code'")
    return found


def result_table(rows: Sequence[dict[str, Any]]) -> str:
    """One line per failure, broken run and line of advice: how many runs it cures in each way.

    Raises:
        ValueError: Rows that are compared come from different code or machines.
    """
    # A line that was tried later has broken runs of the same code beside it.
    broken = {(row["case"], row["seed"], row["code"]): row for row in rows if row["advice"] is None}
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["advice"] is not None:
            groups.setdefault((row["failure"], row["case"], row["advice"]), []).append(row)
    lines = []
    for (failure, case, line), own in sorted(groups.items()):
        bases = [_base(row, broken) for row in own]
        check_comparable([*own, *bases], f"{case}, {line}")
        cells = []
        for way in ("start", "finding"):
            cured = [cures(row) for row in own if row["way"] == way]
            cells.append(f"{sum(cured)} of {len(cured)}")
        pairs = [
            (row["fd"], base["fd"]) for row, base in zip(own, bases, strict=True) if row["way"] == "start" and row["fd"] and base["fd"]
        ]
        ratio = f"{np.exp(np.mean([np.log(one / other) for one, other in pairs])):.2f}" if pairs else "-"
        lines.append([failure, BROKEN[case].about, f"`{line}`", *cells, ratio])
    return table(["failure", "broken run", "advice", "cured from the start", "cured from the finding", "distance, ratio"], lines)


def main() -> None:
    """Trains the runs that the file lacks, and prints the table."""
    parser = argument_parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=IN_SETTINGS, default=list(IN_SETTINGS), help="broken runs")
    parser.add_argument("--seeds", nargs="+", type=int, default=[FIRST_SEED, FIRST_SEED + 1, FIRST_SEED + 2])
    parser.add_argument("--out", type=Path, help="file of JSON lines to which the rows are added; its runs are not trained again")
    parser.add_argument("--table", type=Path, help="only print the table of this file")
    options = parser.parse_args()
    with errors_as_lines():
        if options.table:
            print(result_table(read_rows(existing("--table", options.table))))
            return
        use_compilation_cache()
        rows = read_rows(options.out) if options.out else []
        for name in options.only:
            came_from = origin(command_of("experiments.studies.advice"))
            for row in rows_of(name, options.seeds, {tuple(row[key] for key in KEYS) for row in rows}):
                rows.append(row | came_from)
                print(json.dumps(row), file=sys.stderr, flush=True)
                if options.out:
                    append_rows(options.out, [rows[-1]])
        print(result_table(rows))


if __name__ == "__main__":
    main()
