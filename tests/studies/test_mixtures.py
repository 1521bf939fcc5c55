"""The scripts that measure games on mixtures: what they count, what they play, what they print."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from gan_jax.data.mixtures import load_ring
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import check
from support.scripts import load_script

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
mixtures = load_script("mixtures")
strategy_costs = load_script("costs")
ROWS = load_script("variants").ROWS

TINY = {
    "steps": 3,
    "batch_size": 8,
    "model.options": {"generator_hidden": "8", "discriminator_hidden": "8", "activation": "leaky_relu"},
}


def tiny():
    return check(mixtures.replaced(mixtures.protocol_config("short", "ring"), TINY))


def test_a_run_does_not_depend_on_its_neighbours():
    together, alone = mixtures.play_seeds(tiny(), [4, 7], samples=40), mixtures.play_seeds(tiny(), [7], samples=40)
    assert [row["seed"] for row in together] == [4, 7]
    drop = ("milliseconds",)
    assert {k: v for k, v in together[1].items() if k not in drop} == {k: v for k, v in alone[0].items() if k not in drop}
    assert together[0]["reverse_kl"] != together[1]["reverse_kl"]


def test_a_run_watched_is_the_run_unwatched():
    config = mixtures.replaced(tiny(), {"steps": mixtures.CHUNK + 3})
    first, last = mixtures.watch_seeds(config, [4], samples=40, every=mixtures.CHUNK)
    assert [row["steps"] for row in first + last] == [mixtures.CHUNK, mixtures.CHUNK + 3]
    alone = mixtures.play_seeds(config, [4], samples=40)
    assert {**alone[0], "milliseconds": None} == {**last[0], "milliseconds": None}
    short = mixtures.play_seeds(mixtures.replaced(config, {"steps": mixtures.CHUNK}), [4], samples=40)
    assert {**short[0], "milliseconds": None} == {**first[0], "milliseconds": None}


def test_measure_counts_by_hand():
    source = load_ring(count=10)
    exact = mixtures.measure(np.repeat(source.centers, 3, axis=0), source)
    assert exact == {"modes": 8, "high_quality": 1.0, "reverse_kl": 0.0, "reverse_kl_good": 0.0}
    # Half at one centre, half near another but 10 deviations off: of high quality only one of eight.
    two = np.concatenate([np.tile(source.centers[0], (5, 1)), np.tile(source.centers[3] * 1.1, (5, 1))])
    half = mixtures.measure(two, source)
    assert (half["modes"], half["high_quality"]) == (1, 0.5)
    assert half["reverse_kl"] == pytest.approx(math.log(4), abs=1e-5)
    assert half["reverse_kl_good"] == pytest.approx(math.log(8), abs=1e-5)
    nothing = mixtures.measure(np.full((4, 2), np.nan), source)
    assert nothing == {"modes": 0, "high_quality": 0.0, "reverse_kl": None, "reverse_kl_good": None}


# Counted by hand from PacGAN's published code (synthetic_data_experiments, hidden sizes 400 and 200, 5 maxout pieces), but with
# the biases of G's hidden layers, which its batch norm makes idle.
@pytest.mark.parametrize(("packed", "discriminator"), [(1, 5 * 200 * 3 + 2 * 201 * 1000 + 201), (2, 5 * 200 * 5 + 2 * 201 * 1000 + 201)])
def test_pacgan_networks_have_the_published_sizes(packed, discriminator):
    config = mixtures.replaced(mixtures.protocol_config("pacgan", "grid"), {"augment.pack": packed, "batch_size": 100 * packed})
    params, _ = jax.eval_shape(build(check(config), (2,)).gan.init, jax.random.key(0))
    sizes = [sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree)) for tree in params]
    assert sizes == [3 * 400 + 3 * 401 * 400 + 4 * 2 * 400 + 401 * 2, discriminator]


@pytest.mark.parametrize("name", ROWS)
def test_every_way_of_playing_can_be_played(name):
    base = mixtures.protocol_config("short", "grid")
    config = check(mixtures.replaced(base, ROWS[name]))
    assert mixtures.changes(config, base).items() <= ROWS[name].items()
    assert name == "alternating" or mixtures.changes(config, base)
    built = build(config, (2,))
    params, state = jax.eval_shape(built.gan.init, jax.random.key(0))
    batch = {"image": jax.ShapeDtypeStruct((config.batch_size * built.rule.batches_per_step, 2), np.float32)}
    after, _, _ = jax.eval_shape(built.gan.train_step, params, state, batch, jax.random.key(0))
    assert after == params


def test_label_names_what_was_changed():
    base = mixtures.protocol_config("short", "ring")
    assert mixtures.label_of(base, base) == "as it is"
    assert mixtures.label_of(dataclasses.replace(base, seed=5), base) == "as it is"
    assert mixtures.label_of(mixtures.replaced(base, {"update.unroll_steps": 3, "batch_size": 64}), base) == "batch_size 64, unroll_steps 3"


def test_table_of_rows():
    common = {"data": "ring", "protocol": "short", "name": "plain", "steps": 2500, "milliseconds": 0.5}
    rows = [
        common | {"seed": 0, "modes": 8, "high_quality": 0.9, "reverse_kl": 0.1},
        common | {"seed": 1, "modes": 6, "high_quality": 0.7, "reverse_kl": None},
    ]
    # Sample deviations of (8, 6) and (90, 70): sqrt(2) and 10 sqrt(2).
    expected = "| ring | short | plain | 2,500 | 2 | 7.0 ± 1.4 of 8 | 1 of 2 | 80.0 ± 14.1 | 0.100 (1 failed) | 0.50 |"
    assert mixtures.table(rows).splitlines()[2] == expected


def test_the_page_has_the_table_of_costs():
    page = (EXPERIMENTS.parent / "docs" / "update_rules.md").read_text()
    assert strategy_costs.table(json.loads(strategy_costs.OUT.read_text())) in page


def test_the_page_has_the_trials_of_the_committed_rows():
    docs = EXPERIMENTS.parent / "docs"
    page, rows = (docs / "mixtures.md").read_text(), mixtures.read_rows(docs / "data" / "mixtures.jsonl")
    games = {"ring, recipe": "**recipe `ring`**", "grid, recipe": "**recipe `grid`**"}
    games["grid, LeakyReLU, 20,000 steps"] = "the same with LeakyReLU and 20,000 steps"
    lines = mixtures.table([row for row in rows if row["protocol"] == "recipe"], times=False).splitlines()[2:]
    assert len(lines) == len(games)
    for line in lines:
        data, _, name, _, _, *cells = (cell.strip() for cell in line.split("|")[1:-1])
        assert f"| {games[f'{data}, {name}']} | {' | '.join(cells)} |" in page
    # One trial of PacGAN's own game, along the way.
    own = [row for row in rows if row["protocol"] == "pacgan"]
    assert own
    for row in own:
        cells = (
            f"{row['steps']:,}",
            row["modes"],
            f"{100 * row['high_quality']:.1f}",
            f"{row['reverse_kl']:.2f}",
            f"{row['reverse_kl_good']:.2f}",
        )
        assert f"| {' | '.join(map(str, cells))} |" in page
    stacked = [row for row in mixtures.read_rows(docs / "data" / "stacked_mnist.jsonl") if "step" in row]
    assert stacked
    assert all(f"step {row['step']:,} | {row['modes']:,} | {row['reverse_kl']:.3f} |" in page for row in stacked)


def test_the_page_has_the_table_of_what_the_strategies_reach():
    page = (EXPERIMENTS.parent / "docs" / "update_rules.md").read_text()
    rows = mixtures.read_rows(EXPERIMENTS.parent / "docs" / "data" / "strategies.jsonl")
    assert load_script("update_rule_mixtures").table(rows) in page


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
    done = subprocess.run([sys.executable, EXPERIMENTS / "mixtures.py", *flags], capture_output=True, text=True)
    assert done.returncode == 2
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
