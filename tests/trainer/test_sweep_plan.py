"""The plan of a sweep: values of flags, which runs share a program, and the ranking."""

import itertools
import re

import numpy as np
import pytest

from gan_jax.cli.sweep import read_words
from gan_jax.recipes import recipes
from gan_jax.trainer.config import ConfigError, flatten
from gan_jax.trainer.sweep.outcome import best_of, best_of_quantile
from gan_jax.trainer.sweep.picture import curves, scatter
from gan_jax.trainer.sweep.plan import Axis, combinations, group_runs, is_swept, make_axis, plan_runs, structure, varying, with_changes

RING = recipes()["ring"][1]
SEED, RATE, R1 = ("seed",), ("optimizer.generator_lr",), ("penalty.r1",)


def test_values_are_lists_ranges_or_intervals():
    assert make_axis("seed", SEED, "0:4").values == (0, 1, 2, 3)
    assert make_axis("seed", SEED, "7,3").values == (7, 3)
    assert make_axis("optimizer.generator-lr", RATE, "1e-4,3e-4").values == (1e-4, 3e-4)
    assert make_axis("loss.name", ("loss.name",), "hinge,minimax").values == ("hinge", "minimax")
    interval = make_axis("optimizer.generator-lr", RATE, "1e-4:1e-2")
    assert interval.is_interval
    assert interval.log
    assert not make_axis("optimizer.b1", ("optimizer.b1",), "0:0.9").log
    assert not make_axis("optimizer.generator-lr", RATE, "1e-4:1e-2:linear").log


@pytest.mark.parametrize(
    ("paths", "word", "message"),
    [
        (SEED, "4:4", "LOW below HIGH"),
        (SEED, "0:4:linear", "range of at most 100000 whole numbers"),
        (SEED, "0.5:4", "whole numbers"),
        (SEED, "1,1", "distinct"),
        (RATE, "a:b", "must be numbers"),
        (RATE, "0:1:log", "must begin above 0"),
        (RATE, "1:2:cubic", "perhaps :linear or :log"),
        (("evaluation.samples",), "1,2", "must have one value in a sweep"),
    ],
)
def test_values_that_cannot_be_read_are_named(paths, word, message):
    with pytest.raises(ConfigError, match=message):
        make_axis("flag", paths, word)


def test_free_text_with_commas_or_colons_is_one_value():
    assert not is_swept("augment.diff_augment", "color,translation")
    assert not is_swept("distributed.coordinator", "host:1234")
    assert is_swept("model.norm", "batch,none")
    assert not is_swept("optimizer.generator_lr", "1e-4")


def test_the_command_line_is_split_into_axes_and_words():
    words = ["ring", "--seed", "0:2", "--lr=1e-3,1e-4", "--b1", "0.5", "--random", "3", "--augment.diff-augment", "color,cutout"]
    command = read_words(words)
    assert command.axes == {"seed": (SEED, "0:2"), "lr": (("optimizer.generator_lr", "optimizer.discriminator_lr"), "1e-3,1e-4")}
    assert command.words == ["ring", "--b1", "0.5", "--augment.diff-augment", "color,cutout"]
    assert command.numbers["--random"] == 3


def test_every_setting_has_every_seed_and_lr_sets_both_rates():
    both = Axis("lr", ("optimizer.generator_lr", "optimizer.discriminator_lr"), (1e-3, 1e-4))
    runs, notices = plan_runs(RING, [Axis("seed", SEED, (0, 5)), both], {"seed"})
    assert [(run.settings["lr"], with_changes(RING, run.changes).seed) for run in runs] == [(1e-3, 0), (1e-3, 5), (1e-4, 0), (1e-4, 5)]
    config = with_changes(RING, runs[2].changes)
    assert config.optimizer.generator_lr == config.optimizer.discriminator_lr == 1e-4
    assert notices == []


def test_traced_numbers_share_a_program_and_structure_does_not():
    axes = [Axis("seed", SEED, (0, 1)), Axis("optimizer.generator-lr", RATE, (1e-3, 1e-4)), Axis("model.options", (), ())]
    runs, _ = plan_runs(RING, axes[:2], ())
    assert group_runs(RING, runs, 64) == [[0, 1, 2, 3]]
    assert group_runs(RING, runs, 3) == [[0, 1, 2], [3]]
    assert varying([with_changes(RING, run.changes) for run in runs]) == ("optimizer.generator_lr",)
    runs, _ = plan_runs(RING, [axes[0], Axis("loss.name", ("loss.name",), ("hinge", "relativistic"))], ())
    assert group_runs(RING, runs, 64) == [[0, 1], [2, 3]]


def test_a_weight_of_zero_is_another_program_because_its_term_is_left_out():
    runs, _ = plan_runs(RING, [Axis("penalty.r1", R1, (0.0, 0.1, 1.0))], ())
    assert group_runs(RING, runs, 64) == [[0], [1, 2]]


def test_scheduled_moments_are_structure():
    scheduled = with_changes(RING, {"optimizer.b2_final": 0.99})
    assert structure(scheduled) != structure(with_changes(scheduled, {"optimizer.b1": 0.1}))
    assert structure(RING) == structure(with_changes(RING, {"optimizer.b1": 0.1}))


def test_values_that_are_not_allowed_name_their_flag():
    with pytest.raises(ConfigError, match=r"--optimizer\.generator-lr -1"):
        plan_runs(RING, [Axis("optimizer.generator-lr", RATE, (1e-3, -1.0))], ())
    with pytest.raises(ConfigError, match=r"--loss\.name 'best': must be one of"):
        plan_runs(RING, [Axis("loss.name", ("loss.name",), ("hinge", "best"))], ())
    with pytest.raises(ConfigError, match=r"--seed -1"):
        plan_runs(RING, [Axis("seed", SEED, (0, -1))], ())


def test_runs_of_a_sweep_begin_from_nothing():
    with pytest.raises(ConfigError, match=r"^--init-from parent: the runs of a sweep begin from nothing"):
        plan_runs(with_changes(RING, {"init_from": "parent"}), [], ())


def test_random_settings_lie_in_their_intervals_and_repeat_with_the_random_seed():
    axes = [Axis("lr", RATE, (), 1e-4, 1e-2, True), Axis("b1", ("optimizer.b1",), (), 0.0, 0.9), Axis("b2", ("optimizer.b2",), (0.9, 0.99))]
    settings = combinations(axes, random=200, random_seed=3)
    assert settings == combinations(axes, random=200, random_seed=3)
    assert settings != combinations(axes, random=200, random_seed=4)
    rates = np.array([setting["lr"] for setting in settings])
    assert ((rates >= 1e-4) & (rates <= 1e-2)).all()
    assert 0.4 < (rates < 1e-3).mean() < 0.6  # Half of the draws lie in each decade.
    assert all(0 <= setting["b1"] <= 0.9 and setting["b2"] in (0.9, 0.99) for setting in settings)
    with pytest.raises(ConfigError, match=r"--lr 0\.0001:0\.01: an interval needs --random N"):
        combinations(axes)


@pytest.mark.parametrize("highest", [False, True])
def test_best_of_k_is_the_mean_over_all_subsets(highest):
    values = [3.0, 1.0, 4.0, 1.5, 9.0]
    best = max if highest else min
    for k, found in enumerate(best_of(values, highest=highest), 1):
        subsets = [best(subset) for subset in itertools.combinations(values, k)]
        assert found == pytest.approx(np.mean(subsets))


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_quantiles_of_best_of_k_are_those_of_all_subsets(quantile):
    values = [3.0, 1.0, 4.0, 1.5, 9.0, 2.0]
    for k, found in enumerate(best_of_quantile(values, quantile), 1):
        subsets = sorted(min(subset) for subset in itertools.combinations(values, k))
        assert found == np.quantile(subsets, quantile, method="inverted_cdf")


def test_a_picture_has_every_point_and_escapes_its_titles():
    picture = scatter([(1e-4, 3.0, False, "a<b"), (1e-2, 5.0, True, "c")], "--lr", "fd")
    assert picture.count("<path") == 2
    assert "a&lt;b: 0.0001, 3" in picture
    assert scatter([(2.0, 2.0, False, "")], "x", "y").count("<path") == 1


def test_plans_keep_every_field():
    runs, _ = plan_runs(RING, [Axis("steps", ("steps",), (10, 20))], ())
    assert [flatten(with_changes(RING, run.changes))["steps"] for run in runs] == [10, 20]


def test_curves_reach_from_the_first_to_the_last_value():
    picture = curves([("mean", [4.0, 2.0, 1.0]), ("a<b", [5.0, 3.0, 1.0])], "k", "fd")
    assert picture.count("<path") == 2
    assert "a&lt;b" in picture
    path = re.search(r'd="M([^"]*)"', picture)[1].split("L")
    heights = [float(point.split()[1]) for point in path]
    assert len(path) == 3
    assert heights == sorted(heights)  # Pixels count from the top, so falling values have rising pixels.
