"""The ablations: every comparison can be traced, its flags parse, runs resume, and the page shows the rows of the file."""

import json
import math
import re
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.rows import append_rows
from experiments.studies import mixtures
from experiments.studies.ablations import ablate, baselines, costs, factors, interactions, page, plot, results, tricks
from experiments.studies.ablations.statistics import factorial_effects
from gan_jax.cli.train_command import parse_config, read_command
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import flatten

ROOT = Path(__file__).parents[2]
IDS = re.findall(r"^\| ([a-z]+-\d+) \|", (ROOT / "docs" / "tricks.md").read_text(), re.M)
SHAPES = {"mixture": (2,), "images": (32, 32, 1)}


def test_every_row_of_the_index_is_compared_or_has_its_reason():
    compared = {row.id for row in tricks.TRICKS}
    assert set(IDS) <= compared | tricks.NOT_SWITCHED.keys()
    assert not compared & tricks.NOT_SWITCHED.keys()
    assert tricks.NOT_COMPARED_HERE.keys() <= compared


def test_names_are_told_apart_and_every_comparison_changes_something():
    for group in tricks.GROUPS:
        rows = tricks.tricks(group)
        assert len({(row.id, row.name) for row in rows}) == len(rows)
        for row in rows:
            base = baselines.baseline(tricks.GROUPS[group][0])
            on, off = (flatten(baselines.changed(base, changes)) for changes in (row.on, row.off))
            assert on != off, row.name


def all_changes(group):
    """Every configuration of a group, once."""
    return {results.key(group, changes): changes for row in tricks.tricks(group) for changes in (row.on, row.off)}.values()


def build_changed(group, changes):
    config = baselines.changed(baselines.baseline(tricks.GROUPS[group][0]), changes)
    return config, build(config, SHAPES[group], 10 if group == "images" else 0)


@pytest.mark.parametrize("group", tricks.GROUPS)
def test_every_configuration_can_be_built(group):
    for changes in all_changes(group):
        build_changed(group, changes)


@pytest.mark.long
@pytest.mark.parametrize("group", tricks.GROUPS)
def test_every_configuration_can_be_traced(group):
    """Tracing without compiling finds an option that a model or an update rule lacks, and a shape that does not fit."""
    for changes in all_changes(group):
        config, built = build_changed(group, changes)
        params, state = jax.eval_shape(built.gan.init, jax.random.key(0))
        count = config.batch_size * built.rule.batches_per_step
        image = jax.ShapeDtypeStruct((count, *SHAPES[group]), np.uint8 if group == "images" else np.float32)
        batch = {"image": image, "label": jax.ShapeDtypeStruct((count,), np.int32)}
        after, _, _ = jax.eval_shape(built.gan.train_step, params, state, batch, jax.random.key(0))
        assert after == params, changes


@pytest.mark.parametrize("group", [pytest.param(group, marks=pytest.mark.slow if group == "images" else ()) for group in tricks.GROUPS])
def test_flags_are_those_of_the_command_line(group):
    base = baselines.baseline(tricks.GROUPS[group][0])
    for changes in all_changes(group):
        parsed = parse_config(base, read_command(["recipe", *tricks.as_flags(changes).split()]))
        assert parsed == mixtures.replaced(base, changes), tricks.as_flags(changes)


def test_learning_rates_of_the_table_are_those_of_the_baselines():
    for config, rate in ((baselines.MIXTURE, tricks.POINT_LR), (baselines.IMAGES, tricks.IMAGE_LR)):
        assert config.optimizer.generator_lr == config.optimizer.discriminator_lr == rate


def test_every_factor_can_be_combined_with_all_others():
    base = baselines.baseline("ring")
    together = factors.changes_of(np.ones(len(factors.FACTORS)))
    assert factors.changes_of(-np.ones(len(factors.FACTORS))) == factors.OFF
    built = build(baselines.changed(base, together), (2,))
    params, state = jax.eval_shape(built.gan.init, jax.random.key(0))
    batch = {"image": jax.ShapeDtypeStruct((base.batch_size * built.rule.batches_per_step, 2), np.float32)}
    jax.eval_shape(built.gan.train_step, params, state, batch, jax.random.key(0))
    assert factors.design().shape == (128, 10)


def test_images_of_one_class_fail_and_real_ones_do_not():
    source = baselines.load_images()
    real = baselines.real_row("mnist5k")
    assert (real["classes"], real["failed"]) == (10, False)
    assert 5 < real["classifier_fd"] < 10  # docs/recipes.md: 7.55
    ones = np.asarray(source.images[:])[source.labels == 1][:100]
    alone = baselines.measure_images(ones)
    assert alone["classes"] == 1
    assert alone["failed"]
    assert alone["classifier_fd"] > 20 * real["classifier_fd"]
    assert baselines.measure_images(np.asarray(source.held_out.images[:200]), finite=False)["failed"]


def run_row(data, changes, seed, **figures):
    base = baselines.digest(baselines.baseline(data))
    return {"kind": "run", "data": data, "changes": changes, "baseline": base, "seed": seed, "failed": False, **figures}


def ring(changes, seed, reverse_kl, modes=8, high_quality=0.5, **more):
    return run_row("ring", changes, seed, reverse_kl=reverse_kl, modes=modes, high_quality=high_quality, **more)


@pytest.fixture
def file(tmp_path):
    """Results of the hinge loss on the ring, whose reverse KL is lower by about 0.2, and of one trick on images, worse by 50."""
    path, hinge, stddev = tmp_path / "docs" / "data" / "results.jsonl", {"loss.name": "hinge"}, {"model.minibatch_stddev": True}
    path.parent.mkdir(parents=True)
    rows = [ring({}, seed, 0.5 + 0.01 * seed, modes=6) for seed in range(4)]
    rows += [ring(hinge, seed, 0.3 + 0.01 * seed - 0.001 * seed**2, failed=seed == 0) for seed in range(5)]
    for seed in range(3):
        for changes, distance in (({}, 100.0), (stddev, 150.0 + seed)):
            rows.append(run_row("mnist5k", changes, seed, classifier_fd=distance, classes=10, rarest_class=0.05, confident=0.8))
    about = {"kind": "cost", "data": "ring", "baseline": baselines.digest(baselines.baseline("ring"))}
    rows += [about | {"changes": changes, "ratio": ratio} for changes, ratio in ((hinge, 1.5), ({"loss.name": "minimax"}, 1.2))]
    append_rows(path, rows)
    return path


def trick(id):
    return next(row for row in tricks.TRICKS if row.id == id)


def compared(file, id, data):
    return next(one for one in page.compare_all(file) if (one.trick.id, one.data) == (id, data))


def test_comparison_pairs_the_seeds(file):
    found = compared(file, "loss-5", "ring")
    assert (found.seeds, found.failed, found.verdict, found.cost) == (4, (1, 0), "helps", 1.5)  # seed 4 has no partner
    coverage, quality = found.changes
    mean = -0.2 - 0.001 * (0 + 1 + 4 + 9) / 4
    assert (coverage.figure, quality.figure, quality.interval.mean) == ("reverse_kl", "high_quality", 0)
    assert coverage.interval.mean == pytest.approx(mean)
    assert found.details["modes"] == 2
    real = baselines.real_row("ring")["reverse_kl"]
    assert found.closed == pytest.approx(mean / (real - 0.515))
    worse = compared(file, "layer-11", "mnist5k")
    assert (worse.verdict, worse.cost) == ("hurts", None)
    assert worse.closed == pytest.approx(51 / (baselines.real_row("mnist5k")["classifier_fd"] - 100))
    assert results.compare(trick("loss-3"), "ring", file, real=0.0) is None


def test_p_values_are_adjusted_over_all_outcomes_of_all_comparisons(file):
    """Three p-values, of which one is 1: those of the reverse KL, the quality and the distance of the digits."""
    changes = [change for one in page.compare_all(file) for change in one.changes]
    assert [change.p for change in changes][1] == 1.0
    ordered = sorted(change.p for change in changes)
    # Benjamini and Hochberg: the k-th smallest of m is the least of m p_(j) / j over j >= k.
    expected = {p: min(len(ordered) * q / rank for rank, q in enumerate(ordered, 1) if q >= p) for p in ordered}
    np.testing.assert_allclose([change.adjusted for change in changes], [expected[change.p] for change in changes])


def test_a_trick_that_gains_coverage_and_loses_quality_trades(tmp_path):
    path, hinge = tmp_path / "results.jsonl", {"loss.name": "hinge"}
    append_rows(path, [ring({}, seed, 0.5 + 0.01 * seed, high_quality=0.6 + 0.01 * seed) for seed in range(4)])
    append_rows(path, [ring(hinge, seed, 0.1 + 0.012 * seed, high_quality=0.2 + 0.011 * seed) for seed in range(4)])
    assert compared(path, "loss-5", "ring").verdict == "trades"


def test_diverged_runs_have_no_divergence_and_count_as_failed(tmp_path):
    path, hinge = tmp_path / "results.jsonl", {"loss.name": "hinge"}
    append_rows(path, [ring({}, seed, 0.5 + 0.01 * seed) for seed in range(4)])
    append_rows(
        path, [ring(hinge, seed, 0.1 + 0.012 * seed if seed else None, high_quality=0.1 * seed, failed=not seed) for seed in range(4)]
    )
    found = compared(path, "loss-5", "ring")
    assert found.failed == (1, 0)
    assert found.changes[0].interval.mean == pytest.approx(-0.4 + 0.002 * 2)


def test_cost_is_over_the_control(file):
    assert results.cost(trick("loss-5"), "grid", file) == 1.5  # timed on the ring
    assert results.cost(trick("loss-2"), "ring", file) == pytest.approx(1 / 1.2)  # the baseline against minimax
    assert results.cost(trick("loss-3"), "ring", file) is None
    assert results.cost(trick("loss-2"), "mnist5k", file) is None


def test_the_bounds_of_the_picture_are_the_right_way_round(file):
    for id, data in (("loss-5", "ring"), ("layer-11", "mnist5k")):
        mean, low, high = plot.shares(compared(file, id, data))
        assert low <= mean <= high
        assert (mean > 0) == (id == "loss-5")


def test_rows_of_another_baseline_are_ignored(file):
    append_rows(file, [ring({}, 9, 0.9) | {"baseline": "another"}])
    assert [row["seed"] for row in results.runs(file)[results.key("ring", {})]] == [0, 1, 2, 3]


def test_parts_of_the_page_and_cells(file):
    comparisons = page.compare_all(file)
    index = (
        "| id | trick | function | flag | test | evidence |\n"
        "| loss-5 | hinge | `f` | `--loss.name` | `t` | open |\n"
        "| layer-11 | minibatch | `f` | `--f` | `t` | [mixtures](update_rules.md) |\n"
        "| loss-3 | least squares | `f` | `--loss.name` | `t` | open |\n"
        "| loss-9 | KL | `f` | `--f` | `t` | open |\n"
        "| in-5 | slerp | `f` | `--f` | `t` | rule |\n"
        "| loss-6 | relativistic | `f` | `--f` | `t` | [digits +40*](evidence.md) |\n"
        "A sentence with a link to [evidence.md](evidence.md) stays.\n"
    )
    lines = page.fill_cells(index, comparisons).splitlines()
    assert lines[1].endswith("| `t` | [ring -0.20*](evidence.md) |")
    assert lines[2].endswith("| `t` | [digits +51*](evidence.md) |")
    assert lines[3].endswith("| open |")
    assert lines[4].endswith("[not switched alone](evidence.md) |")
    assert lines[5].endswith("| rule |")
    assert lines[6].endswith("| not measured |")  # Its rows were removed.
    assert lines[7] == "A sentence with a link to [evidence.md](evidence.md) stays."
    parts = {name: make() for name, make in page.parts(file, comparisons).items()}
    (row,) = re.findall(r"^\| loss-5 .*$", parts["ring"], re.M)
    assert "| `--loss.name hinge` | -0.204 |" in row
    assert "| 0.000 | 0.000 to 0.000 | 1 | +2.0 | 1, 0 | 4 | 1.50 | **helps** | **helps** |" in row
    # It helps, but one more run fails.
    assert "hinge" not in parts["first choices"]
    assert "- **hinge** (loss-5): ring +40% (helps), time 1.50" in parts["at a price"]
    assert "- **minibatch standard deviation** (layer-11): digits -55% (hurts)" in parts["hurt"]
    assert "Not measured yet on grid" in parts["not compared"]
    assert parts["grid"] == "No comparison yet."
    assert parts["interactions ring"] == "Not measured yet: 0 of 128 combinations."
    assert parts["comparisons"] == "2"


def test_forest_plot_is_drawn(file, tmp_path):
    page.draw(page.compare_all(file), tmp_path / "images" / "evidence.png")
    assert plot.Image.open(tmp_path / "images" / "evidence.png").width > 600


def test_a_cell_shows_the_ends_of_several_variants(file):
    one = compared(file, "loss-5", "ring")

    def variant(mean, verdict):
        change = one.changes[0]._replace(interval=one.changes[0].interval._replace(mean=mean))
        return one._replace(changes=(change, one.changes[1]), verdict=verdict)

    variants = [variant(0.3, "hurts"), variant(-0.2, "unclear"), variant(0.0, "no effect")]
    assert page.cell("loss-5", variants) == "[ring -0.20 to +0.30* (3 variants)](evidence.md)"
    assert page.cell("loss-5", variants[:1]) == "[ring +0.30*](evidence.md)"


def test_first_choices_obey_their_rule(file):
    good = compared(file, "loss-5", "ring")._replace(failed=(0, 0), closed=0.3)
    other = good._replace(trick=good.trick._replace(name="other"), closed=0.9)
    twice = [good._replace(trick=good.trick._replace(name="twice"), data=data) for data in ("ring", "grid")]
    dear = good._replace(trick=good.trick._replace(name="dear"), cost=2.5)
    mixed = [one._replace(trick=one.trick._replace(name="mixed"), verdict=v) for one, v in ((good, "helps"), (good, "hurts"))]
    trading = [one._replace(trick=one.trick._replace(name="trading"), verdict=v) for one, v in ((good, "helps"), (good, "trades"))]
    unclear = good._replace(trick=good.trick._replace(name="unclear"), verdict="unclear")
    fails = good._replace(trick=good.trick._replace(name="fails"), failed=(2, 1))
    chosen = page.first_choices([good, other, *twice, dear, *mixed, *trading, unclear, fails])
    assert [of[0].trick.name for of in chosen] == ["twice", "other", "hinge"]


def test_the_page_also_compares_with_the_default(tmp_path):
    """R1 helps against its control, a D without batch norm, but that control is so bad that R1 stays worse than the default."""
    path, plain = tmp_path / "results.jsonl", tricks.PLAIN
    on = plain | {"penalty.r1": tricks.IMAGE_R1}
    figures = {"classes": 10, "rarest_class": 0.05, "confident": 0.8}
    rows = [
        run_row("mnist5k", changes, seed, classifier_fd=distance + seed + 0.1 * seed**2 * bool(changes), **figures)
        for seed in range(4)
        for changes, distance in (({}, 180.0), (plain, 320.0), (on, 250.0))
    ]
    append_rows(path, rows)
    parts = page.parts(path, page.compare_all(path))
    (row,) = re.findall(r"^\| gp-2 .*$", parts["mnist5k"](), re.M)
    assert row.endswith("| **helps** | **hurts** |")


def test_a_comparison_of_one_seed_has_no_interval(tmp_path):
    path = tmp_path / "results.jsonl"
    append_rows(path, [ring(changes, 0, value) for changes, value in (({}, 0.2), ({"loss.name": "hinge"}, 0.9))])
    (one,) = page.compare_all(path, with_baseline=True)
    assert (one.changes[0].interval, one.verdict) == (None, "unclear")
    assert page.cell("loss-5", [one]) == "not measured"


def test_committed_runs_have_the_present_baselines():
    """If a baseline changes, its runs are ignored and the page loses its comparisons."""
    assert len(results.runs(ROOT / "docs" / "data" / "ablations.jsonl")) > 350
    assert len(results.costs(ROOT / "docs" / "data" / "ablations.jsonl")) > 60


def test_an_empty_file_has_no_comparison(tmp_path):
    with pytest.raises(ValueError, match="no comparison"):
        page.compare_all(tmp_path / "nothing.jsonl")


def test_interactions_find_what_was_put_in(tmp_path):
    path, generator = tmp_path / "results.jsonl", np.random.default_rng(0)
    rows = []
    for levels in factors.design():
        on = dict(zip(factors.FACTORS, levels > 0))
        value = 0.3 + 0.1 * on["moving average of G"] - 0.2 * (on["R1"] and on["packing 2"])
        rows += [ring(factors.changes_of(levels), seed, value + 0.01 * generator.normal()) for seed in (0, 1)]
    append_rows(path, rows[:-1])  # the last configuration lacks its second seed, so one seed is shared
    design, means, seeds = interactions.outcomes(path, "ring")
    assert (len(means), seeds) == (128, 1)
    effects = {effect.factors: effect.interval for effect in factorial_effects(design, means, list(factors.FACTORS))}
    assert effects[("moving average of G",)].mean == pytest.approx(0.1, abs=0.01)
    assert effects[("R1", "packing 2")].mean == pytest.approx(-0.2, abs=0.02)
    text = interactions.analysis(path, "ring")
    pairs = text.split("| pair |")[1].split("The best")[0]
    assert "R1 and packing 2 | -0.198 |" in pairs
    assert pairs.count("\n|") == 2  # the line below the heading, and this one pair
    assert "Not measured yet: 0 of 128" in interactions.analysis(path, "grid")


def tiny(monkeypatch):
    small = {"steps": 4, "batch_size": 8, "model.options": {"generator_hidden": "4", "discriminator_hidden": "4"}}
    monkeypatch.setattr(baselines, "MIXTURE", mixtures.replaced(baselines.MIXTURE, small))
    monkeypatch.setitem(baselines.SAMPLES, "mixture", 50)


@pytest.mark.slow
def test_runs_are_resumed_where_they_stopped(tmp_path, monkeypatch):
    tiny(monkeypatch)
    flags = ablate.Flags(group="mixture", only=("loss-5",), data=("ring",), seeds=2, out=tmp_path / "results.jsonl")
    ablate.train_units(flags, stop_at=0)
    assert not flags.out.exists()
    ablate.train_units(flags, stop_at=math.inf)
    rows = [json.loads(line) for line in flags.out.read_text().splitlines()]
    assert [(row["changes"], row["seed"]) for row in rows] == [({}, 0), ({}, 1), ({"loss.name": "hinge"}, 0), ({"loss.name": "hinge"}, 1)]
    flags.out.write_text("".join(json.dumps(row) + "\n" for row in rows[:3]))
    ablate.train_units(flags, stop_at=math.inf)
    again = [json.loads(line) for line in flags.out.read_text().splitlines()]

    def untimed(lines):
        return [{name: value for name, value in row.items() if name not in ("processor_seconds", "runs")} for row in lines]

    assert untimed(again) == untimed(rows)


@pytest.mark.slow
def test_configurations_are_timed_once(tmp_path, monkeypatch):
    tiny(monkeypatch)
    monkeypatch.setattr(costs, "interleave", partial(costs.interleave, least_rounds=1))
    measure = partial(costs.measure, seconds=0.0)
    monkeypatch.setattr(costs, "measure", measure)
    costs._plain.cache_clear()
    flags = ablate.Flags(group="costs", only=("loss-5",), data=("ring",), out=tmp_path / "results.jsonl")
    for _ in range(2):
        ablate.time_units(flags, stop_at=math.inf)
    (row,) = [json.loads(line) for line in flags.out.read_text().splitlines()]
    assert row["ratio"] == pytest.approx(row["milliseconds"] / row["milliseconds_baseline"], rel=0.1)
    assert row["changes"] == {"loss.name": "hinge"}
    costs._plain.cache_clear()


@pytest.mark.slow
def test_images_are_trained_seed_after_seed(monkeypatch):
    small = {"steps": 4, "batch_size": 8, "scan_steps": 2, "model.width": 4, "model.latent_dim": 8, "model.norm": "none"}
    monkeypatch.setitem(baselines.SAMPLES, "images", 20)
    config = baselines.changed(baselines.IMAGES, small | {"model.conditional": True})
    both, alone = list(baselines.train(config, [3, 4])), list(baselines.train(config, [4]))
    assert [row["seed"] for row in both] == [3, 4]
    for row in (*both, *alone):
        row.pop("seconds")
    assert both[1] == alone[0]
    assert both[0]["classifier_fd"] != both[1]["classifier_fd"]


def test_units_share_controls_and_have_the_asked_data():
    flags = ablate.Flags(group="images", only=("gp-2", "gp-3"), seeds=3)
    keys = [results.key(unit.data, unit.changes)[1] for unit in ablate.units(flags)]
    assert len(keys) == len(set(keys)) == 1 + 1 + 3  # the baseline, the control without batch norm, three penalties
    both = ablate.units(ablate.Flags(group="interactions"))
    assert len(both) == 256
    assert {unit.seeds for unit in both} == {4}
    assert {unit.data for unit in ablate.units(ablate.Flags(group="mixture", data=("grid",)))} == {"grid"}


def test_list_names_everything():
    text = ablate.listing(ablate.Flags())
    assert all(re.search(rf"^{id} ", text, re.M) for id in IDS)


@pytest.mark.parametrize(
    ("flags", "words"), [(["--only", "loss-99"], "--only loss-99"), (["--seeds", "0"], "--seeds 0"), (["--devices", "0"], "--devices 0")]
)
def test_errors_are_one_line(flags, words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ablate.py", *flags])
    with pytest.raises(SystemExit) as end:
        ablate.main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1
