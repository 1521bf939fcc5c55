"""GANs on mixtures of Gaussians, whose modes are known: how many modes each configuration finds, over many seeds at once.

    python -m experiments.studies.mixtures ring                                        the library's recipe, 8 seeds
    python -m experiments.studies.mixtures grid --protocol short --update.name unrolled --seeds 4
    python -m experiments.studies.mixtures grid --protocol pacgan --augment.pack 2 --batch-size 200 --seeds 10
    python -m experiments.studies.mixtures ring --protocol short --help                every flag, with its default in that protocol
    python -m experiments.studies.mixtures --table docs/data/mixtures.jsonl            the table of the rows in a file
    python -m experiments.studies.mixtures --unrolled-table FILE                       which seeds of the protocol unrolled collapse

`ring` is 8 Gaussians of standard deviation 0.01 on the unit circle. `grid` is 25 Gaussians of standard deviation 0.05 from -4 to 4 with
spacing 2. Both have 100,000 points. The outcomes are measured on 2,500 samples of the last step. A sample is of high quality if it lies
within 3 standard deviations of a centre. A mode counts if it has one such sample (Lin et al., "PacGAN", 2018, table 1). Coverage is 1 minus
the total variation between the modes of the samples of high quality and the true weights. The energy distance to 10,000 fresh points is 0
only for the right distribution. Coverage and quality are read together: one alone is won by a fog, or by a single narrow spot. Protocols:

    recipe   the configuration of gan_jax/recipes/ring.py or grid.py
    short    for comparing tricks: small perceptrons, 2,500 steps of 128 points
    pacgan   the networks, optimiser and budget of PacGAN's published code: 400 epochs, 400,000 steps of 100 (packs of) points
    unrolled the ring of Unrolled GAN's published code: 25,000 steps of 512 points, D ten times slower than G, the minimax loss

Flags: --protocol, --seeds N (from --seed on), --devices N (CPU devices that share the runs), --form map (the runs of a device one after
the other, faster for large networks), --every STEPS (measure also along the way, a multiple of 500), --out FILE (rows are appended),
--name LABEL, and the flags of `train` that change the configuration.

The PacGAN networks are those of its code: four hidden layers of 400 with batch norm in G, three of 200 maxout units in D, and
simultaneous updates. Weights are normal with deviation 0.02. Differs: a packed epoch has as many points as an unpacked one (its code: as
many packs).

The `unrolled` protocol has the networks and settings of github.com/poolio/unrolled_gan at 67e2c7a: two hidden layers of 128 tanh units in
both, orthogonal kernels of gain 1.4, 256 latents, Adam with rates 1e-3 (G) and 1e-4 (D) and b1 0.5. Unrolling is off, and
`--update.name unrolled` turns it on. Differs: its ring has 7 distinct modes, because `linspace` lists one twice, and this ring has 8. D is
updated before G's gradient is computed (its code: both at once).
"""

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from docs._generate.tables import mean_and_deviation, table
from experiments.rows import append_rows, command_of, existing, origin, read_rows
from gan_jax.cli.compilation_cache import use_compilation_cache
from gan_jax.cli.errors import errors_as_lines, fail
from gan_jax.cli.train_command import parse_config, read_command
from gan_jax.recipes import recipes
from gan_jax.trainer.config import Config, ConfigError, DataConfig, LossConfig, ModelConfig, OptimizerConfig, UpdateConfig, check, flatten

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
            "kernel_init": "normal",
            "init_scale": 0.02,
        },
    ),
    optimizer=OptimizerConfig(generator_lr=1e-4, discriminator_lr=1e-4, b1=0.8, ema_decay=0.0),
    update=UpdateConfig(name="simultaneous"),
)
UNROLLED = Config(
    steps=25_000,
    batch_size=512,
    loss=LossConfig(name="minimax"),
    model=ModelConfig(
        name="points",
        latent_dim=256,
        options={
            "generator_hidden": "128,128",
            "discriminator_hidden": "128,128",
            "activation": "tanh",
            "kernel_init": "orthogonal",
            "init_scale": 1.4,
        },
    ),
    optimizer=OptimizerConfig(generator_lr=1e-3, discriminator_lr=1e-4, b1=0.5, ema_decay=0.0),
)
PROTOCOLS = ("recipe", "short", "pacgan", "unrolled")


def protocol_config(protocol: str, data: str) -> Config:
    """The configuration of a protocol."""
    if protocol == "recipe":
        return dataclasses.replace(recipes()[data][1], recipe=data)
    config = {"short": SHORT, "pacgan": PACGAN, "unrolled": UNROLLED}[protocol]
    return dataclasses.replace(config, recipe=f"{protocol}_{data}", data=DataConfig(source=data))


def changes(config: Config, base: Config) -> dict[str, Any]:
    """The fields of a configuration that differ from another one, apart from the seed."""
    before = flatten(base)
    return {path: value for path, value in flatten(config).items() if value != before[path] and path != "seed"}


def replaced(config: Any, changed: dict[str, Any]) -> Any:
    """The configuration with other values of some fields, which are named by dotted path."""
    for path, value in changed.items():
        head, _, rest = path.partition(".")
        config = dataclasses.replace(config, **{head: replaced(getattr(config, head), {rest: value}) if rest else value})
    return config


def label_of(config: Config, base: Config) -> str:
    """A name made of the changed fields."""
    return ", ".join(f"{path.split('.')[-1]} {value}" for path, value in changes(config, base).items()) or "unchanged"


def measure(samples: Any, source: Any) -> dict[str, Any]:
    """The outcomes of the samples of one run. A diverged run has no mode, and no distance.

    Args:
        samples: float [samples, dim].
        source: The mixture. The energy distance is to the points that it holds out.
    """
    import numpy as np

    from gan_jax.metrics import energy_distance, mode_coverage

    if not np.isfinite(samples).all():
        outcomes = {"modes": 0, "high_quality": 0.0, "coverage": 0.0, "energy": None}
        return outcomes | {"reverse_kl": None, "reverse_kl_good": None}
    found = mode_coverage(samples, source.centers, source.std)
    # PacGAN's code computes the divergence over the samples of high quality only.
    share = found.counts / max(found.counts.sum(), 1)
    seen = share[share > 0]
    good = float((seen * np.log(seen * len(source.centers))).sum()) if seen.size else None
    return {
        "modes": found.modes,
        "high_quality": round(found.high_quality, 5),
        "coverage": round(float(1 - np.abs(share - 1 / len(share)).sum() / 2), 5) if seen.size else 0.0,
        "energy": round(energy_distance(source.held_out.images, samples), 6),
        "reverse_kl": round(found.reverse_kl, 5),
        "reverse_kl_good": None if good is None else round(good, 5),
    }


def train_seeds(config: Config, seeds: Sequence[int], *, devices: int = 1, samples: int = SAMPLES) -> list[dict[str, Any]]:
    """The rows of the last step of `measure_seeds`."""
    *_, last = measure_seeds(config, seeds, devices=devices, samples=samples)
    return last


def measure_seeds(
    config: Config, seeds: Sequence[int], *, devices: int = 1, form: Literal["vmap", "map"] = "vmap", samples: int = SAMPLES, every: int = 0
) -> Iterator[list[dict[str, Any]]]:
    """Trains one configuration from many seeds at once.

    Args:
        config: Checked configuration. Its own seed is not used.
        seeds: Seeds of the runs. They decide the initial weights, the latents, and the order of the points. The points are those of
            seed 0.
        devices: Number of devices that share the runs.
        form: As in `gan_jax.distributed.sweep.train_many`. The last bits of a result may depend on it.
        samples: Number of samples per run that are measured.
        every: Steps between two measurements, a multiple of `CHUNK`. With 0 only the last step is measured.

    Yields:
        At each measurement, one row per seed with the step, the values of `measure`, the milliseconds per step and run without
        compilation, and the processor's seconds per run so far with compilation.

    Raises:
        ConfigError: The number of seeds is no multiple of the devices, or another argument is out of range.
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
    elapsed, timed, started = 0.0, 0, time.process_time()
    for step in range(0, config.steps, CHUNK):
        count = min(CHUNK, config.steps - step)
        indices = np.stack([order.indices_at(step, count) for order in orders])
        start = time.perf_counter()
        params, opt_state, metrics = train(params, opt_state, data, indices, keys)
        jax.block_until_ready(metrics)
        if step and count == CHUNK:  # the first program of each length is also compiled
            elapsed, timed = elapsed + time.perf_counter() - start, timed + count
        after = step + count
        if after == config.steps or (every and after % every == 0):
            cost = round(1000 * elapsed / timed / len(seeds), 3) if timed else None
            drawn = np.asarray(sample(params, opt_state, keys))
            spent = {"milliseconds": cost, "processor_seconds": round((time.process_time() - started) / len(seeds), 1)}
            yield [{"steps": after, "seed": seed, **measure(points, source), **spent} for seed, points in zip(seeds, drawn, strict=True)]


def rows_of(
    config: Config, base: Config, protocol: str, name: str, results: Iterable[dict[str, Any]], came_from: dict[str, Any]
) -> list[dict[str, Any]]:
    """Result rows with the fields that describe the run, and their origin."""
    about = {"data": config.data.source, "protocol": protocol, "name": name, "changes": changes(config, base)}
    return [about | row | came_from for row in results]


MODES = {"ring": 8, "grid": 25}
# Lin et al., 2018, table 1: means of ten trials (modes, high quality in %, reverse KL).
PUBLISHED = {
    "ring": {"GAN": ("6.3", "98.2", "0.45"), "PacGAN2": ("7.9", "95.6", "0.07")},
    "grid": {"GAN": ("17.3", "94.8", "0.70"), "PacGAN2": ("23.8", "91.3", "0.13"), "PacGAN4": ("24.8", "93.6", "0.04")},
}


def result_cells(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Modes, runs with all modes, share of high quality and reverse KL over the seeds of one configuration."""
    total = MODES[rows[0]["data"]]
    full = sum(row["modes"] == total for row in rows)
    return [
        f"{mean_and_deviation([row['modes'] for row in rows], 1)} of {total}",
        f"{full} of {len(rows)}",
        mean_and_deviation([100 * row["high_quality"] for row in rows], 1),
        mean_and_deviation([row["reverse_kl"] for row in rows], 3),
    ]


def grouped(rows: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The rows of each configuration and step, in the order of their first rows."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["data"], row["protocol"], row["name"], row["steps"]), []).append(row)
    return list(groups.values())


RESULT_HEADS = ["modes", "all modes in", "high quality, %", "reverse KL"]


def result_table(rows: Iterable[dict[str, Any]], *, times: bool = True) -> str:
    """A table with one line per configuration and step, with or without the time of a step."""
    lines = []
    for group in grouped(rows):
        about = group[0]
        cells = [about["data"], about["protocol"], about["name"], f"{about['steps']:,}", str(len(group)), *result_cells(group)]
        lines.append(cells + ([mean_and_deviation(list({row["milliseconds"] for row in group}), 2)] if times else []))
    heads = ["data", "protocol", "configuration", "steps", "seeds", *RESULT_HEADS, *["ms per step and seed"] * times]
    return table(heads, lines)


def trials_table(rows: Iterable[dict[str, Any]]) -> str:
    """The recipes of docs/mixtures.md beside the published figures."""
    lines = []
    for data in DATA:
        for group in grouped(row for row in rows if row["protocol"] == "recipe" and row["data"] == data):
            name = f"**recipe `{data}`**" if group[0]["name"] == "recipe" else f"the same, {group[0]['name']}"
            lines.append([data, name, *result_cells(group)])
        lines += [["", f"published: {name}", modes, "", quality, kl] for name, (modes, quality, kl) in PUBLISHED[data].items()]
    return table(["data", "configuration", *RESULT_HEADS], lines)


def pacgan_table(rows: Iterable[dict[str, Any]], data: str) -> str:
    """One trial of PacGAN's plain GAN over its steps, beside the published mean of ten trials."""
    heads = ["step", f"modes of {MODES[data]}", "high quality, %", "reverse KL", "reverse KL of the samples of high quality"]
    lines = [
        [f"{row['steps']:,}", row["modes"], *(f"{row[key] * scale:.{digits}f}" for key, scale, digits in PACGAN_COLUMNS)]
        for row in rows
        if row["protocol"] == "pacgan" and row["data"] == data
    ]
    modes, quality, kl = PUBLISHED[data]["GAN"]
    return table(heads, [*lines, ["published, step 400,000, mean of ten trials", modes, quality, "", kl]])


class Held(NamedTuple):
    """How the seeds of a configuration of the protocol `unrolled` went.

    Attributes:
        collapsed: Number of seeds that have at most 3 modes at the median look.
        held: Number of seeds that have at least 7 modes at each look of the second half.
        last: The row of the last step of each seed.
    """

    collapsed: int
    held: int
    last: list[dict[str, Any]]


def unrolled_seeds(rows: Iterable[dict[str, Any]]) -> dict[str, Held]:
    """How the seeds of each configuration of the protocol `unrolled` went, by its name."""
    names: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for row in rows:
        if row["protocol"] == "unrolled":
            names.setdefault(row["name"], {}).setdefault(row["seed"], []).append(row)
    found = {}
    for name, seeds in names.items():
        looks = [[row["modes"] for row in sorted(own, key=lambda row: row["steps"])] for own in seeds.values()]
        collapsed = sum(statistics.median(modes) <= 3 for modes in looks)
        held = sum(min(modes[len(modes) // 2 :]) >= 7 for modes in looks)
        found[name] = Held(collapsed, held, [max(own, key=lambda row: row["steps"]) for own in seeds.values()])
    return found


def unrolled_test(rows: Iterable[dict[str, Any]]) -> str:
    """How many seeds of the second configuration of the protocol `unrolled` hold the modes, against the first, with Fisher's exact test."""
    from scipy.stats import fisher_exact

    plain, unrolled = unrolled_seeds(rows).values()
    counts = [[of.held, len(of.last) - of.held] for of in (unrolled, plain)]
    p = fisher_exact(counts, alternative="greater").pvalue
    return (
        f"{unrolled.held} of {len(unrolled.last)} unrolled seeds hold at least seven modes, and {plain.held} of {len(plain.last)} plain "
        f"ones (Fisher's exact test, one-sided: p = {p:.2f})"
    )


def unrolled_table(rows: Iterable[dict[str, Any]]) -> str:
    """Each configuration of the protocol `unrolled` at the last step, with how many of its seeds collapse, and how many hold the modes."""
    lines = []
    for name, (collapsed, held, last) in unrolled_seeds(rows).items():
        cells = [f"{collapsed} of {len(last)}", f"{held} of {len(last)}", *result_cells(last)]
        lines.append([name, f"{last[0]['steps']:,}", *cells, mean_and_deviation([last[0]["milliseconds"]], 2)])
    return table(["", "steps", "at most 3 modes", "at least 7 modes", *RESULT_HEADS, "ms per step and seed"], lines)


PACGAN_COLUMNS = (("high_quality", 100, 1), ("reverse_kl", 1, 2), ("reverse_kl_good", 1, 2))


def ring_quality(rows: Iterable[dict[str, Any]]) -> str:
    """How far the trials of the recipe `ring` are from 95% of high quality."""
    shares = [100 * row["high_quality"] for row in rows if (row["protocol"], row["data"], row["name"]) == ("recipe", "ring", "recipe")]
    fewer = sum(share < 95 for share in shares)
    return f"{fewer} of the {len(shares)} trials have less than 95.0% of high quality, and the least has {min(shares):.1f}%"


def read_flags(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Splits the words into the flags of this program and those of the configuration."""
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
    parser.add_argument("--unrolled-table", type=Path)
    parser.error = fail  # type: ignore[method-assign]
    own, rest = parser.parse_known_args(arguments)
    if own.seeds < 1 or own.devices < 1:
        fail(f"--seeds {own.seeds}, --devices {own.devices}: must be at least 1")
    if own.every < 0:
        fail(f"--every {own.every}: must be at least 0")
    return own, rest


def main() -> None:
    """Reads the flags, trains, and prints the rows and their table."""
    if not sys.argv[1:] or sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__)
        return
    own, rest = read_flags(sys.argv[1:])
    for flag, path, make in (("--table", own.table, result_table), ("--unrolled-table", own.unrolled_table, unrolled_table)):
        if path is None:
            continue
        with errors_as_lines():
            try:
                print(make(read_rows(existing(flag, path))))
            except (KeyError, ValueError) as error:
                raise ConfigError(f"{flag} {path}: its rows were not written by this program ({error})") from error
        return
    if own.data is None:
        fail(f"the data is missing: {' or '.join(DATA)}")
    with errors_as_lines():
        from gan_jax.distributed import simulate_devices

        simulate_devices(own.devices)

        base = protocol_config(own.protocol, own.data)
        config = check(parse_config(base, read_command([own.data, *rest]), __doc__))
        use_compilation_cache()
        seeds = range(config.seed, config.seed + own.seeds)
        command = command_of("experiments.studies.mixtures")
        came_from = origin(command, devices=own.devices, form=own.form, runs=own.seeds)
        rows: list[dict[str, Any]] = []
        for results in measure_seeds(config, seeds, devices=own.devices, form=own.form, every=own.every):
            new = rows_of(config, base, own.protocol, own.name or label_of(config, base), results, came_from)
            for row in new:
                print(json.dumps(row), flush=True)
            if own.out is not None:
                append_rows(own.out, new)
            rows += new
        print(result_table(rows), file=sys.stderr)


if __name__ == "__main__":
    main()
