"""The study on mixtures of Gaussians: what it counts, how it trains, and what it prints."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.rows import read_rows
from experiments.studies import mixtures
from experiments.studies.update_rules import costs
from experiments.studies.update_rules.variants import ROWS
from gan_jax.data.mixtures import load_ring
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import check

ROOT = Path(__file__).parents[2]
DATA = ROOT / "docs" / "data"

TINY = {
    "steps": 3,
    "batch_size": 8,
    "model.options": {"generator_hidden": "8", "discriminator_hidden": "8", "activation": "leaky_relu"},
}


def tiny():
    return check(mixtures.replaced(mixtures.protocol_config("short", "ring"), TINY))


def test_a_run_does_not_depend_on_its_neighbours():
    together, alone = mixtures.train_seeds(tiny(), [4, 7], samples=40), mixtures.train_seeds(tiny(), [7], samples=40)
    assert [row["seed"] for row in together] == [4, 7]
    drop = ("milliseconds", "processor_seconds")
    assert {k: v for k, v in together[1].items() if k not in drop} == {k: v for k, v in alone[0].items() if k not in drop}
    assert together[0]["reverse_kl"] != together[1]["reverse_kl"]


@pytest.mark.slow
def test_measuring_along_the_way_does_not_change_a_run():
    config = mixtures.replaced(tiny(), {"steps": mixtures.CHUNK + 3})
    first, last = mixtures.measure_seeds(config, [4], samples=40, every=mixtures.CHUNK)
    assert [row["steps"] for row in first + last] == [mixtures.CHUNK, mixtures.CHUNK + 3]
    alone = mixtures.train_seeds(config, [4], samples=40)
    untimed = {"milliseconds": None, "processor_seconds": None}
    assert alone[0] | untimed == last[0] | untimed
    short = mixtures.train_seeds(mixtures.replaced(config, {"steps": mixtures.CHUNK}), [4], samples=40)
    assert short[0] | untimed == first[0] | untimed


def test_measure_counts_by_hand():
    source = load_ring(count=10)
    exact = mixtures.measure(np.repeat(source.centers, 3, axis=0), source)
    assert exact.pop("energy") < 0.01  # the centres are nearly the points
    assert exact == {"modes": 8, "high_quality": 1.0, "coverage": 1.0, "reverse_kl": 0.0, "reverse_kl_good": 0.0}
    # Half at one centre, half near another but 10 deviations off: of high quality only one of eight.
    two = np.concatenate([np.tile(source.centers[0], (5, 1)), np.tile(source.centers[3] * 1.1, (5, 1))])
    half = mixtures.measure(two, source)
    assert (half["modes"], half["high_quality"], half["coverage"]) == (1, 0.5, 0.125)  # one of eight modes
    assert half["energy"] > 0.1
    assert half["reverse_kl"] == pytest.approx(math.log(4), abs=1e-5)
    assert half["reverse_kl_good"] == pytest.approx(math.log(8), abs=1e-5)
    nothing = mixtures.measure(np.full((4, 2), np.nan), source)
    assert nothing == {"modes": 0, "high_quality": 0.0, "coverage": 0.0, "energy": None, "reverse_kl": None, "reverse_kl_good": None}


# Counted by hand from PacGAN's published code (synthetic_data_experiments, hidden sizes 400 and 200, 5 maxout pieces), but with
# the biases of G's hidden layers, which its batch norm makes idle.
@pytest.mark.parametrize(("packed", "discriminator"), [(1, 5 * 200 * 3 + 2 * 201 * 1000 + 201), (2, 5 * 200 * 5 + 2 * 201 * 1000 + 201)])
def test_pacgan_networks_have_the_published_sizes(packed, discriminator):
    config = mixtures.replaced(mixtures.protocol_config("pacgan", "grid"), {"augment.pack": packed, "batch_size": 100 * packed})
    params, _ = jax.eval_shape(build(check(config), (2,)).gan.init, jax.random.key(0))
    sizes = [sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree)) for tree in params]
    assert sizes == [3 * 400 + 3 * 401 * 400 + 4 * 2 * 400 + 401 * 2, discriminator]


@pytest.mark.parametrize("name", ROWS)
def test_every_variant_can_be_traced(name):
    base = mixtures.protocol_config("short", "grid")
    config = check(mixtures.replaced(base, ROWS[name]))
    assert mixtures.changes(config, base).items() <= ROWS[name].items()
    assert name == "alternating" or mixtures.changes(config, base)
    built = build(config, (2,))
    params, state = jax.eval_shape(built.gan.init, jax.random.key(0))
    batch = {"image": jax.ShapeDtypeStruct((config.batch_size * built.rule.batches_per_step, 2), np.float32)}
    after, _, _ = jax.eval_shape(built.gan.train_step, params, state, batch, jax.random.key(0))
    assert after == params


def test_label_names_the_changed_fields():
    base = mixtures.protocol_config("short", "ring")
    assert mixtures.label_of(base, base) == "unchanged"
    assert mixtures.label_of(dataclasses.replace(base, seed=5), base) == "unchanged"
    assert mixtures.label_of(mixtures.replaced(base, {"update.unroll_steps": 3, "batch_size": 64}), base) == "batch_size 64, unroll_steps 3"


def test_table_of_rows():
    common = {"data": "ring", "protocol": "short", "name": "plain", "steps": 2500, "milliseconds": 0.5}
    rows = [
        common | {"seed": 0, "modes": 8, "high_quality": 0.9, "reverse_kl": 0.1},
        common | {"seed": 1, "modes": 6, "high_quality": 0.7, "reverse_kl": None},
    ]
    # Sample deviations of (8, 6) and (90, 70): sqrt(2) and 10 sqrt(2).
    expected = "| ring | short | plain | 2,500 | 2 | 7.0 ± 1.4 of 8 | 1 of 2 | 80.0 ± 14.1 | 0.100 (1 failed) | 0.50 |"
    assert mixtures.result_table(rows).splitlines()[2] == expected


def test_trials_stand_beside_the_published_figures():
    common = {"protocol": "recipe", "name": "recipe", "steps": 10, "reverse_kl": 0.1, "milliseconds": 1.0}
    rows = [common | {"data": "ring", "modes": modes, "high_quality": share} for modes, share in ((8, 0.96), (7, 0.94))]
    lines = mixtures.trials_table(rows).splitlines()
    assert lines[2] == "| ring | **recipe `ring`** | 7.5 ± 0.7 of 8 | 1 of 2 | 95.0 ± 1.4 | 0.100 ± 0.000 |"
    assert lines[3] == "|  | published: GAN | 6.3 |  | 98.2 | 0.45 |"
    assert mixtures.ring_quality(rows) == "1 of the 2 trials have less than 95.0% of high quality, and the least has 94.0%"


def test_a_trial_of_pacgan_is_listed_over_its_steps():
    row = {"protocol": "pacgan", "data": "grid", "steps": 20_000, "modes": 18, "high_quality": 0.6804}
    lines = mixtures.pacgan_table([row | {"reverse_kl": 0.3849, "reverse_kl_good": 0.62164}], "grid").splitlines()
    assert lines[2:] == ["| 20,000 | 18 | 68.0 | 0.38 | 0.62 |", "| published, step 400,000, mean of ten trials | 17.3 | 94.8 |  | 0.70 |"]


def test_costs_and_savings_by_hand():
    row = {"gigaflop": 1.0, "flop_ratio": 0.9, "milliseconds": 5.0, "time_ratio": 0.95}
    rows = [row | {"name": "shared fakes"}, row | {"name": "simultaneous", "flop_ratio": 0.8}]
    rows.append({"name": "4 micro-batches", "gigaflop": None, "flop_ratio": None, "time_ratio": 1.1})
    assert costs.cost_table(rows).splitlines()[2:] == [
        "| shared fakes | 1.00 | 0.90 | 0.95 |",
        "| simultaneous | 1.00 | 0.80 | 0.95 |",
        "| 4 micro-batches | - | - | 1.10 |",
    ]
    assert "saves 10% of the operations of a step, and simultaneous updates save 20%" in costs.savings(rows)


def test_committed_rows_are_those_of_the_variants():
    """A variant that was renamed would disappear from the documentation."""
    kept = read_rows(DATA / "strategies.jsonl")
    assert {(row["data"], row["name"]) for row in kept} == {(data, name) for data in mixtures.DATA for name in ROWS}
    assert [row["name"] for row in json.loads(costs.OUT.read_text())] == list(ROWS)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["triangle"], "invalid choice: 'triangle'"),
        (["--table", "missing.jsonl"], "--table missing.jsonl: there is no such file"),
        (["ring", "--seeds", "0"], "--seeds 0, --devices 1: must be at least 1"),
        (["ring", "--protocol", "short", "--every", "700"], "--every 700: must be a multiple of 500"),
        (["ring", "--protocol", "short", "--augment.pack", "3"], "--batch-size 128: must be a multiple of 3"),
        (["ring", "--protocol", "short", "--seeds", "3", "--devices", "2"], "--seeds 3: must be a multiple of --devices 2"),
    ],
)
def test_errors_are_one_line(flags, line):
    done = subprocess.run([sys.executable, "-m", "experiments.studies.mixtures", *flags], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_table_of_the_unrolled_ring_by_hand():
    about = {"protocol": "unrolled", "data": "ring", "high_quality": 0.5, "reverse_kl": 0.1, "milliseconds": 2.0}
    looks = {"plain": {1: [1, 3, 2, 8], 2: [8, 8, 8, 8]}, "unrolled": {1: [1, 8, 7, 8], 2: [8, 8, 6, 8]}}
    rows = [
        about | {"name": name, "seed": seed, "steps": 500 * number, "modes": modes}
        for name, seeds in looks.items()
        for seed, found in seeds.items()
        for number, modes in enumerate(found, 1)
    ]
    plain, unrolled = mixtures.unrolled_table([*rows, about | {"protocol": "short"}]).splitlines()[-2:]
    assert plain.startswith("| plain | 2,000 | 1 of 2 | 1 of 2 | 8.0 ± 0.0 of 8 |")
    assert unrolled.startswith("| unrolled | 2,000 | 0 of 2 | 1 of 2 |")


def test_fishers_test_of_the_unrolled_ring_by_hand():
    about = {"protocol": "unrolled", "data": "ring", "steps": 500}
    rows = [about | {"name": "plain", "seed": seed, "modes": 8 if seed < 2 else 5} for seed in range(16)]
    rows += [about | {"name": "unrolled", "seed": seed, "modes": 7 if seed < 3 else 6} for seed in range(4)]
    # (C(4, 3) C(16, 2) + C(4, 4) C(16, 1)) / C(20, 5) = 496 / 15504
    assert mixtures.unrolled_test(rows) == (
        "3 of 4 unrolled seeds hold at least seven modes, and 2 of 16 plain ones (Fisher's exact test, one-sided: p = 0.03)"
    )
