"""GANs on mixtures of Gaussians, whose modes are known: how many of them each game finds, over many seeds at once.

    python -m experiments.studies.mixtures ring                                        the library's recipe, 8 seeds
    python -m experiments.studies.mixtures grid --protocol short --update.name unrolled --seeds 4
    python -m experiments.studies.mixtures grid --protocol pacgan --augment.pack 2 --batch-size 200 --seeds 10
    python -m experiments.studies.mixtures ring --protocol short --help                every flag, with its default in that protocol
    python -m experiments.studies.mixtures --table docs/data/mixtures.jsonl            the table of the rows in a file

The data: `ring`, 8 Gaussians of standard deviation 0.01 on the unit circle; `grid`, 25 of standard deviation 0.05 from -4 to 4 with
spacing 2; 100,000 points. Measured on 2,500 samples of the last step; a sample is of high quality within 3 standard deviations of a
centre, and a mode counts with one such sample (Lin et al., "PacGAN", 2018, table 1). Protocols:

    recipe   the configuration of gan_jax/recipes/ring.py or grid.py
    short    for comparing tricks: small perceptrons, 2,500 steps of 128 points
    pacgan   the networks, optimiser and budget of PacGAN's published code: 400 epochs, 400,000 steps of 100 (packs of) points

Flags: --protocol, --seeds N (from --seed on), --devices N (runs spread over so many CPU devices), --form map (the runs of a device one
after the other, not all in every operation: faster for large networks), --every STEPS (measured along the way, too; a multiple of 500),
--out FILE (rows are appended as they are measured), --name LABEL, and those of experiments/train.py that say how the game is played.

PacGAN's networks here are those of its code: four hidden layers of 400 with batch norm in G, three of 200 maxout units in D,
both players moving at once. Differs: weights begin as PyTorch's linear layers do (its code: normal, 0.02); a packed epoch has as many
points as an unpacked one (its code: as many packs).
"""

import argparse
import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from gan_jax.cli import common
from gan_jax.cli.common import append_rows, read_rows
from gan_jax.recipes import recipes
from gan_jax.trainer.config import Config, ConfigError, DataConfig, ModelConfig, OptimizerConfig, UpdateConfig, check, flatten

DATA = ("ring", "grid")
SAMPLES = 2500
CHUNK = 500  # steps compiled into one program

SHORT = Config(
    steps=2500,
    batch_size=128,
    model=ModelConfig(
        name="points",
        latent_dim=2,
        options={"generator_hidden": "128,128", "discriminator_hidden": "128,128", "activation": "leaky_relu"},
    ),
    optimizer=OptimizerConfig(generator_lr=1e-3, discriminator_lr=1e-3, b1=0.5, ema_decay=0.0),
)
PACGAN = Config(
    steps=400_000,
    batch_size=100,
    model=ModelConfig(
        name="points",
        latent_dim=2,
        norm="batch",
        options={
            "generator_hidden": "400,400,400,400",
            "discriminator_hidden": "200,200,200",
            "activation": "relu",
            "discriminator_activation": "maxout",
        },
    ),
    optimizer=OptimizerConfig(generator_lr=1e-4, discriminator_lr=1e-4, b1=0.8, ema_decay=0.0),
    update=UpdateConfig(name="simultaneous"),
)
PROTOCOLS = ("recipe", "short", "pacgan")


def protocol_config(protocol: str, data: str) -> Config:
    """The configuration that a protocol begins with."""
    if protocol == "recipe":
        return dataclasses.replace(recipes()[data][1], recipe=data)
    config = {"short": SHORT, "pacgan": PACGAN}[protocol]
    return dataclasses.replace(config, recipe=f"{protocol}_{data}", data=DataConfig(source=data))


def changes(config: Config, base: Config) -> dict[str, Any]:
    """The fields in which a configuration differs from another."""
    before = flatten(base)
    return {path: value for path, value in flatten(config).items() if value != before[path] and path != "seed"}


def replaced(config: Any, changed: dict[str, Any]) -> Any:
    """The configuration with some fields, by dotted path, set to other values."""
    for path, value in changed.items():
        head, _, rest = path.partition(".")
        config = dataclasses.replace(config, **{head: replaced(getattr(config, head), {rest: value}) if rest else value})
    return config


def label_of(config: Config, base: Config) -> str:
    """A name made of what was changed."""
    return ", ".join(f"{path.split('.')[-1]} {value}" for path, value in changes(config, base).items()) or "as it is"


def measure(samples: Any, source: Any) -> dict[str, Any]:
    """Modes, share of high quality, and reverse KL of the samples of one run; of diverged runs nothing is left to count."""
    import numpy as np

    from gan_jax.metrics import mode_coverage

    if not np.isfinite(samples).all():
        return {"modes": 0, "high_quality": 0.0, "reverse_kl": None, "reverse_kl_good": None}
    found = mode_coverage(samples, source.centers, source.std)
    # PacGAN's code takes the divergence over the samples of high quality only.
    share = found.counts[found.counts > 0] / max(found.counts.sum(), 1)
    good = float((share * np.log(share * len(source.centers))).sum()) if share.size else None
    return {
        "modes": found.modes,
        "high_quality": round(found.high_quality, 5),
        "reverse_kl": round(found.reverse_kl, 5),
        "reverse_kl_good": None if good is None else round(good, 5),
    }


def play_seeds(config: Config, seeds: Sequence[int], *, devices: int = 1, samples: int = SAMPLES) -> list[dict[str, Any]]:
    """The rows of the last step of `watch_seeds`."""
    *_, last = watch_seeds(config, seeds, devices=devices, samples=samples)
    return last


def watch_seeds(
    config: Config, seeds: Sequence[int], *, devices: int = 1, form: Literal["vmap", "map"] = "vmap", samples: int = SAMPLES, every: int = 0
) -> Iterator[list[dict[str, Any]]]:
    """Plays one configuration from many seeds at once.

    Args:
        config: checked; its own seed is not used.
        seeds: of the runs: the start, the latents, and the order of the points. The points themselves are those of seed 0.
        devices: how many share the runs.
        form: see `gan_jax.distributed.sweep.train_many`; the last bits may depend on it.
        samples: of each run that are measured.
        every: steps between two looks, a multiple of `CHUNK`; 0 looks at the last step only.

    Yields:
        At each look, the last step's included, one row for each seed: the step, `measure`'s values, and milliseconds per step and run
        without compilation.
    """
    from functools import partial

    import jax
    import jax.numpy as jnp
    import numpy as np

    from gan_jax.data.batches import Batches
    from gan_jax.distributed.sweep import init_many, sample_many, split_runs, train_many
    from gan_jax.trainer.build.data import load_data
    from gan_jax.trainer.build.gan import build

    if len(seeds) % devices:
        raise ConfigError(f"--seeds {len(seeds)}: must be a multiple of --devices {devices}")
    if devices > len(jax.devices()):
        raise ConfigError(f"--devices {devices}: there are {len(jax.devices())}")
    if config.steps < 1:
        raise ConfigError(f"--steps {config.steps}: must be at least 1")
    if every % CHUNK:
        raise ConfigError(f"--every {every}: must be a multiple of {CHUNK}")
    source = load_data(config)
    built = build(config, source.shape, 0)
    chosen = jax.devices()[:devices]
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    params, opt_state = split_runs(partial(init_many, built.gan), devices=chosen)(keys)
    train = split_runs(partial(train_many, built.gan, form=form), devices=chosen, shared=(2,), donate=(0, 1))
    orders = [Batches(source, config.batch_size * built.rule.batches_per_step, seed) for seed in seeds]
    data = {"image": jnp.asarray(source.images)}
    sample = jax.jit(partial(sample_many, built.gan, count=samples))
    lapse, timed = 0.0, 0
    for step in range(0, config.steps, CHUNK):
        count = min(CHUNK, config.steps - step)
        indices = np.stack([order.indices_at(step, count) for order in orders])
        start = time.perf_counter()
        params, opt_state, metrics = train(params, opt_state, data, indices, keys)
        jax.block_until_ready(metrics)
        if step and count == CHUNK:  # the first program of a length is also compiled
            lapse, timed = lapse + time.perf_counter() - start, timed + count
        after = step + count
        if after == config.steps or (every and after % every == 0):
            cost = round(1000 * lapse / timed / len(seeds), 3) if timed else None
            drawn = np.asarray(sample(params, opt_state, keys))
            yield [
                {"steps": after, "seed": seed, **measure(points, source), "milliseconds": cost}
                for seed, points in zip(seeds, drawn, strict=True)
            ]


def rows_of(config: Config, base: Config, protocol: str, name: str, results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Result rows as they are written: what was played, and what came of it."""
    import jax

    about = {"data": config.data.source, "protocol": protocol, "name": name, "changes": changes(config, base)}
    return [about | row | {"jax": jax.__version__} for row in results]


def mean_and_deviation(values: Sequence[float | None], digits: int) -> str:
    """Mean and sample standard deviation; values that do not exist are left out and counted."""
    import numpy as np

    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ± {np.std(known, ddof=1):.{digits}f}" if len(known) > 1 else ""
    missing = f" ({len(values) - len(known)} failed)" if len(known) < len(values) else ""
    return f"{np.mean(known):.{digits}f}{spread}{missing}"


def table(rows: Iterable[dict[str, Any]], *, times: bool = True) -> str:
    """A Markdown table, one line for each game and step, in the order of their first rows, with or without the time of a step."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["data"], row["protocol"], row["name"], row["steps"]), []).append(row)
    heads = ["data", "protocol", "game", "steps", "seeds", "modes", "all modes in", "high quality, %", "reverse KL"]
    heads += ["ms per step and seed"] if times else []
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for (data, protocol, name, steps), group in groups.items():
        total = {"ring": 8, "grid": 25}[data]
        full = sum(row["modes"] == total for row in group)
        cells = [
            data,
            protocol,
            name,
            f"{steps:,}",
            str(len(group)),
            f"{mean_and_deviation([row['modes'] for row in group], 1)} of {total}",
        ]
        cells += [f"{full} of {len(group)}", mean_and_deviation([100 * row["high_quality"] for row in group], 1)]
        cells += [mean_and_deviation([row["reverse_kl"] for row in group], 3)]
        cells += [mean_and_deviation(list({row["milliseconds"] for row in group}), 2)] if times else []
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def read_flags(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags of this script, and those of the configuration."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("data", nargs="?", choices=DATA)
    parser.add_argument("--protocol", choices=PROTOCOLS, default="recipe")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--form", choices=("vmap", "map"), default="vmap")
    parser.add_argument("--every", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--name")
    parser.add_argument("--table", type=Path)
    parser.error = common.fail  # type: ignore[method-assign]
    own, rest = parser.parse_known_args(arguments)
    if own.seeds < 1 or own.devices < 1:
        common.fail(f"--seeds {own.seeds}, --devices {own.devices}: must be at least 1")
    if own.every < 0:
        common.fail(f"--every {own.every}: must be at least 0")
    return own, rest


def main() -> None:
    """Reads the flags, plays, prints the rows and their table."""
    if not sys.argv[1:] or sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__)
        return
    own, rest = read_flags(sys.argv[1:])
    if own.table is not None:
        with common.errors_as_lines():
            try:
                print(table(read_rows(common.existing("--table", own.table))))
            except (KeyError, ValueError) as error:
                raise ConfigError(f"--table {own.table}: its rows are not those of this script ({error})") from error
        return
    if own.data is None:
        common.fail(f"say which data: {' or '.join(DATA)}")
    with common.errors_as_lines():
        import tyro

        from gan_jax.distributed import simulate_devices

        simulate_devices(own.devices)

        base = protocol_config(own.protocol, own.data)
        options, words = common.split_options(rest)
        default = common.with_options(base, options)
        parsed = common.parse(lambda: tyro.cli(Config, prog="mixtures.py", description=__doc__, default=default, args=words))
        config = check(parsed)
        common.compilation_cache(None)
        seeds = range(config.seed, config.seed + own.seeds)
        command = shlex.join(["python", "experiments/studies/mixtures.py", *sys.argv[1:]])
        rows: list[dict[str, Any]] = []
        for results in watch_seeds(config, seeds, devices=own.devices, form=own.form, every=own.every):
            new = rows_of(config, base, own.protocol, own.name or label_of(config, base), results)
            for row in new:
                print(json.dumps(row), flush=True)
            if own.out is not None:
                append_rows(own.out, (row | {"command": command} for row in new))
            rows += new
        print(table(rows), file=sys.stderr)


if __name__ == "__main__":
    main()
