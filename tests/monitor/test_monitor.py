"""The monitor: diagnostics of the train step, figures of samples, detectors, and advice that the command line accepts."""

import inspect
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import monitor
from gan_jax._internal.diagnostics import PLACES
from gan_jax.gan.diagnostics import accumulate_diagnostics, init_diagnostics, update_diagnostics
from gan_jax.monitor import ADVICE, CHANCE, DETECTORS, Monitor, RunInfo
from gan_jax.monitor.advice import applicable
from gan_jax.monitor.samples import intrinsic_dimension, log_spectrum, make_reference, sample_figures, spread, squared_distances
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import Config, LossConfig, ModelConfig, check
from gan_jax.trainer.config.flags import settings_as_flags
from gan_jax.typing import Players

REAL = jnp.linspace(-1, 1, 12).reshape(3, 4)


def metrics_of(discriminator=1.0, generator=0.7, **more):
    return {
        "discriminator_loss": jnp.float32(discriminator),
        "generator_loss": jnp.float32(generator),
        "discriminator_gradient_norm": jnp.float32(1),
        "generator_gradient_norm": jnp.float32(1),
    } | more


def watch_losses(losses, **more):
    signals, figures = init_diagnostics(), {}
    step = jax.jit(accumulate_diagnostics)
    for n, loss in enumerate(losses):
        signals, figures = step(signals, metrics_of(loss, **more), REAL + 0.001 * n, jnp.int32(n))
    return signals, {name: float(value) for name, value in figures.items()}


# -- signals ---------------------------------------------------------------------------------------------------


def test_moving_average_is_the_plain_one_for_twenty_steps():
    losses = np.random.default_rng(0).normal(3, 2, 20).astype(np.float32)
    _, figures = watch_losses(losses)
    np.testing.assert_allclose(figures["monitor/discriminator_mean"], losses.mean(), rtol=1e-5)
    np.testing.assert_allclose(figures["monitor/discriminator_deviation"], losses.std(), rtol=1e-4)


def test_one_loss_has_no_deviation():
    assert watch_losses([0.7310585])[1]["monitor/discriminator_deviation"] == 0


def test_moving_average_forgets():
    # After n steps at 1, the weight of the earlier zeros is 0.95^n.
    _, figures = watch_losses([0.0] * 20 + [1.0] * 14)
    np.testing.assert_allclose(figures["monitor/discriminator_mean"], 1 - 0.95**14, rtol=1e-5)


def test_spikes_are_counted_upwards_only():
    quiet = list(1 + 0.01 * np.sin(np.arange(30)))
    assert watch_losses(quiet)[1]["monitor/spikes"] == 0
    assert watch_losses([*quiet, 5.0, 1.0, 1.0])[1]["monitor/spikes"] == 1
    assert watch_losses([*quiet, -5.0])[1]["monitor/spikes"] == 0


def test_large_gradients_are_counted_with_their_layer():
    signals = init_diagnostics()
    for norm, layer in ((99.0, 0), (101.0, 2), (1.0, 1)):
        found = {"_generator_largest_layer": jnp.int32(layer)} | metrics_of()
        found["generator_gradient_norm"] = jnp.float32(norm)
        signals, figures = accumulate_diagnostics(signals, found, REAL, jnp.int32(0))
    assert float(figures["monitor/generator_large_gradients"]) == 1
    assert float(figures["monitor/generator_large_layer"]) == 2
    assert float(figures["monitor/discriminator_large_gradients"]) == 0
    assert not [name for name in figures if name.startswith("_")]


def test_a_batch_that_comes_again_is_counted():
    signals = init_diagnostics()
    for n, batch in enumerate((REAL, REAL, REAL, REAL[::-1], REAL[::-1])):
        signals, figures = accumulate_diagnostics(signals, metrics_of(), batch, jnp.int32(n))
        assert float(figures["monitor/repeated_batches"]) == [0, 1, 2, 0, 1][n]
    assert float(figures["monitor/real_low"]) == -1
    assert float(figures["monitor/real_high"]) == 1


LAYERS = {"a": [jnp.array([3.0, 4.0])], "b": [jnp.array([6.0]), jnp.array([8.0])]}


@pytest.mark.parametrize(("step", "frozen", "ratio"), [(0, False, 0.5 / np.sqrt(125)), (8, True, 0.0), (3, False, -1.0)])
def test_update_ratio(step, frozen, ratio):
    # |(0.3, 0.4)| = 0.5 over |(3, 4, 6, 8)| = sqrt(125).
    found = update_diagnostics("generator", LAYERS, LAYERS, [jnp.array([0.3, 0.4])], jnp.int32(step), jnp.bool_(frozen))
    np.testing.assert_allclose(found["_generator_update_ratio"], ratio, rtol=1e-6)
    assert int(found["_generator_largest_layer"]) == 1
    assert int(found["_generator_broken_layer"]) == -1


def test_first_layer_that_is_not_finite():
    broken = LAYERS | {"b": [jnp.array([6.0]), jnp.array([jnp.nan])]}
    found = update_diagnostics("discriminator", broken, broken, [jnp.zeros(1)], jnp.int32(1), False)
    assert int(found["_discriminator_largest_layer"]) == 1
    assert int(found["_discriminator_broken_layer"]) == 1
    # Gradients that are not finite, of parameters that are.
    found = update_diagnostics("discriminator", broken, LAYERS, [jnp.zeros(1)], jnp.int32(1), False)
    assert int(found["_discriminator_broken_layer"]) == -1


NAN = jnp.float32(jnp.nan)


@pytest.mark.parametrize(
    ("more", "real", "place", "layer"),
    [
        ({}, REAL.at[0, 0].set(jnp.nan), "the batch", -1),
        ({"_discriminator_broken_layer": jnp.int32(1), "real_logits": NAN}, REAL, "the parameters of the discriminator", 1),
        ({"_generator_broken_layer": jnp.int32(0), "fake_logits": NAN}, REAL, "the parameters of the generator", 0),
        ({"fake_logits": NAN, "discriminator_loss": NAN}, REAL, "the fakes, or the discriminator's output for them", -1),
        ({"penalty/r1": NAN, "discriminator_loss": NAN}, REAL, "a penalty or a further term of a loss", -1),
        ({"generator_loss": NAN, "generator_gradient_norm": NAN}, REAL, "the loss of the generator", -1),
        (
            {"discriminator_gradient_norm": jnp.float32(jnp.inf), "_discriminator_largest_layer": jnp.int32(1)},
            REAL,
            "the gradient of the discriminator",
            1,
        ),
    ],
)
def test_where_a_value_was_first_not_finite(more, real, place, layer):
    signals, _ = accumulate_diagnostics(init_diagnostics(), metrics_of(), REAL, jnp.int32(6))
    signals, _ = accumulate_diagnostics(signals, metrics_of() | more, real, jnp.int32(7))
    signals, figures = accumulate_diagnostics(signals, metrics_of(jnp.nan, jnp.nan), REAL, jnp.int32(8))
    assert int(figures["monitor/nonfinite_step"]) == 7
    assert PLACES[int(figures["monitor/nonfinite_place"])] == place
    assert int(figures["monitor/nonfinite_layer"]) == layer
    assert float(figures["monitor/discriminator_mean"]) == 1
    setting = RunInfo(layers=Players(("g0", "g1"), ("d0", "d1")))
    record = {"step": 10, "discriminator_loss": float("nan")} | {name: float(value) for name, value in figures.items()}
    (finding,) = Monitor(setting).observe(record)
    assert (finding.id, finding.since_step, finding.evidence["first seen in"]) == ("non_finite", 7, place)
    if layer >= 0:
        assert finding.evidence["layer"] == ("g" if "generator" in place else "d") + str(layer)


# -- samples ---------------------------------------------------------------------------------------------------


def test_spread_and_distances_against_every_pair():
    points = np.random.default_rng(0).normal(size=(9, 5))
    pairs = ((points[:, None] - points[None]) ** 2).sum(-1)
    np.testing.assert_allclose(squared_distances(points, points), pairs, atol=1e-12)
    np.testing.assert_allclose(spread(points), np.sqrt(pairs.sum() / (9 * 8)), rtol=1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_intrinsic_dimension_of_a_curved_set(dimension):
    rng = np.random.default_rng(0)
    points = rng.uniform(size=(2000, dimension))
    curved = np.concatenate([np.sin(points), points**2, np.cos(2 * points)], axis=1) @ rng.normal(size=(3 * dimension, 40))
    assert abs(intrinsic_dimension(curved) - dimension) < 0.15 * dimension
    assert intrinsic_dimension(np.ones((10, 3))) == 0


def test_copies_and_one_image():
    real = np.random.default_rng(0).uniform(-1, 1, (100, 8, 8, 1)).astype(np.float32)
    reference = make_reference(real, 16)
    copies = sample_figures(real[:16], reference)
    assert copies["samples/copied"] == 1
    assert copies["samples/nearest_real"] < 1e-3
    # Copies of training images are as varied as training images.
    assert 0.9 < copies["samples/pairwise_distance"] < 1.1
    one = sample_figures(np.repeat(real[:1] * 0.5, 16, 0), reference)
    assert one["samples/pairwise_distance"] < 1e-6
    assert one["samples/copied"] == 0
    assert sample_figures(real[:4] * np.nan, reference) == {"samples/finite": 0.0}


def test_uint8_and_float_images_give_one_reference():
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    as_bytes, as_floats = make_reference(images, 16), make_reference(images / 127.5 - 1, 16)
    np.testing.assert_allclose(as_bytes.spread, as_floats.spread, rtol=1e-6)
    np.testing.assert_allclose(as_bytes.log_spectrum, as_floats.log_spectrum, atol=1e-3)


def test_checkerboard_is_seen_at_the_highest_frequency_only():
    rng = np.random.default_rng(0)
    real = rng.normal(0, 0.2, (64, 16, 16, 1))
    reference = make_reference(real, 64)
    stripes = np.zeros((16, 16))
    stripes[::2] = 0.3
    pattern = (stripes * rng.normal(size=(64, 1, 16)))[..., None]
    assert sample_figures(real[::-1] + pattern, reference)["samples/checkerboard"] > 5
    wide = np.repeat(stripes[:8], 2, axis=0)
    assert abs(sample_figures(real[::-1] + (wide * rng.normal(size=(64, 1, 16)))[..., None], reference)["samples/checkerboard"]) < 2
    # A pure cosine of amplitude 1 along the rows has power 1/4 at its frequency: -6.02 decibels.
    wave = np.cos(2 * np.pi * 3 * np.arange(16) / 16)[:, None, None] * np.ones((16, 16, 1))
    np.testing.assert_allclose(log_spectrum(wave[None])[3, 0], 10 * np.log10(0.25), atol=1e-3)


def test_saturation():
    rng = np.random.default_rng(0)
    reference = make_reference(rng.uniform(-0.9, 0.9, (50, 8, 8, 1)), 16)
    figures = sample_figures(np.sign(rng.normal(size=(16, 8, 8, 1))), reference)
    assert figures["samples/saturated"] == 1
    assert figures["samples/saturated_excess"] == 1


def test_effective_number_of_classes():
    figures = monitor.class_figures(np.array([[1.0, 0, 0], [0, 1, 0], [0.5, 0.5, 0]]))
    np.testing.assert_allclose(figures["samples/classes"], 2, rtol=1e-6)
    np.testing.assert_allclose(figures["samples/confident"], 2.5 / 3, rtol=1e-6)


def test_spread_of_each_class_beside_its_training_images_by_hand():
    # Points at -3s, -s, s, 3s have the unbiased variance 20/3 s^2, and two of them lie sqrt(40/3) s apart.
    line, labels = np.array([-3.0, -1, 1, 3]), np.arange(20) % 5
    real = np.stack([0.1 * line, 0.1 * line + 0.2, 0.2 * line, 0.001 * line, 0 * line], axis=1).reshape(-1, 1)
    reference = make_reference(real, 16, labels)
    np.testing.assert_allclose(reference.class_spreads[2], 0.2 * np.sqrt(40 / 3), rtol=1e-6)
    # The shares: 1/2, 1, 1/20, and 1 for a class whose training images hardly vary; one whose do not vary at all does not count.
    samples = np.stack([0.05 * line, 0.1 * line, 0.01 * line, 0.001 * line, 0.3 * line], axis=1).reshape(-1, 1)
    figures = monitor.spread_within_classes(samples, labels, reference)
    np.testing.assert_allclose(figures["samples/class_spread"], 0.75, rtol=1e-3)
    np.testing.assert_allclose(figures["samples/least_class_spread"], 0.05, rtol=1e-5)
    assert figures["samples/least_varied_class"] == 2
    # Without its fourth sample the third class has too few.
    assert monitor.spread_within_classes(samples[:17], labels[:17], reference)["samples/least_varied_class"] == 0
    assert monitor.spread_within_classes(samples * np.nan, labels, reference) == {}
    assert monitor.spread_within_classes(samples, labels, make_reference(real, 16)) == {}


# -- detectors -------------------------------------------------------------------------------------------------

HEALTHY_LOG = {
    "discriminator_loss": 1.1,
    "discriminator_adversarial_loss": 1.1,
    "generator_loss": 1.0,
    "real_accuracy": 0.75,
    "fake_accuracy": 0.7,
    "real_logits": 0.6,
    "fake_logits": -0.6,
    "fresh_fake_logits": -0.65,
    "generator_gradient_norm": 0.8,
    "discriminator_gradient_norm": 1.2,
    "adversarial_gradient_norm": 1.0,
    "task_gradient_norm": 1.0,
    "monitor/discriminator_mean": 1.1,
    "monitor/discriminator_deviation": 0.1,
    "monitor/generator_mean": 1.0,
    "monitor/spikes": 0.0,
    "monitor/generator_large_gradients": 0.0,
    "monitor/discriminator_large_gradients": 0.0,
    "monitor/generator_large_layer": 0.0,
    "monitor/generator_update_ratio": 0.004,
    "monitor/discriminator_update_ratio": 0.004,
    "monitor/real_low": -1.0,
    "monitor/logit_low": -1.5,
    "monitor/logit_high": 1.5,
    "monitor/real_high": 1.0,
    "monitor/repeated_batches": 0.0,
}
HEALTHY_SAMPLE = {
    "samples/pairwise_distance": 0.9,
    "samples/dimension": 0.9,
    "samples/nearest_real": 1.1,
    "samples/copied": 0.0,
    "samples/saturated": 0.5,
    "samples/saturated_excess": 0.0,
    "samples/spectrum": 2.0,
    "samples/checkerboard": 1.0,
    "samples/classes": 9.0,
    "samples/confident": 0.9,
    "samples/class_spread": 0.8,
    "samples/least_class_spread": 0.6,
    "samples/least_varied_class": 1.0,
    "samples/critic_slope": 1.0,
    "samples/ema_progress": 0.8,
}
GARBAGE = {"samples/spectrum": 12.0, "samples/nearest_real": 2.0}


def stream(log=(), sample=(), steps=1000, every=10, start=300):
    """Records of a run that is healthy before step `start`. Afterwards it has other figures, or figures that depend on the step."""
    records = []
    for step in range(every, steps + 1, every):
        for kind, changed in ((HEALTHY_LOG, dict(log)), (HEALTHY_SAMPLE, dict(sample))):
            values = {name: value(step) if callable(value) else value for name, value in changed.items()} if step >= start else {}
            if kind is HEALTHY_LOG or step % (2 * every) == 0:
                records.append({"step": step} | kind | values)
    return records


def findings_of(records, **setting):
    watched = Monitor(RunInfo(**{"layers": Players(("g0", "g1"), ("d0", "d1"))} | setting))
    return [finding for record in records for finding in watched.observe(record)]


@pytest.mark.parametrize("loss", [*CHANCE, "wasserstein"])
def test_a_healthy_run_has_no_findings(loss):
    chance = CHANCE.get(loss)
    figures = {"discriminator_adversarial_loss": -1.2}
    if chance is not None:
        figures = {"monitor/discriminator_mean": 0.8 * chance, "monitor/discriminator_deviation": 0.1 * chance}
    assert findings_of(stream(figures, start=0), loss=loss, chance=chance, slope=1.0, lipschitz="penalty") == []


BEATEN = {"real_logits": 0.1, "fake_logits": 1.5}
WAVE = {"monitor/discriminator_mean": lambda step: 1 + 0.9 * np.sin(2 * np.pi * step / 100)}
BROKEN = {
    "labels_out_of_range": ({"monitor/label_high": 10.0}, {}, {"num_classes": 10}),
    "images_not_normalised": ({"monitor/real_high": 255.0}, {}, {}),
    "repeated_batch": ({"monitor/repeated_batches": lambda step: step - 300.0}, {}, {}),
    "bounded_logits": ({"monitor/logit_low": 0.02, "monitor/logit_high": 0.98}, {}, {}),
    "labels_swapped": ({"real_logits": -2.0, "fake_logits": 2.0, "discriminator_adversarial_loss": 0.3}, {}, {}),
    "generator_frozen": ({"monitor/generator_update_ratio": 0.0}, {}, {}),
    "discriminator_frozen": ({"monitor/discriminator_update_ratio": 0.0}, {}, {}),
    "updates_too_large": ({"monitor/generator_update_ratio": 0.3}, {}, {}),
    "lipschitz_violated": ({}, {"samples/critic_slope": lambda step: step / 50}, {"loss": "wasserstein", "chance": None}),
    "critic_not_optimal": (
        {},
        {"samples/critic_slope": 0.1},
        {"loss": "wasserstein", "chance": None, "lipschitz": "penalty", "slope": 1.0},
    ),
    "discriminator_won": ({"monitor/discriminator_mean": 0.001}, {}, {}),
    "generator_won_with_garbage": ({"monitor/discriminator_mean": 2.0}, GARBAGE, {}),
    "generator_won_with_quality": ({"monitor/discriminator_mean": 1.37}, {}, {}),
    "generator_loss_falling": (
        BEATEN | {"discriminator_adversarial_loss": 1.9, "monitor/generator_mean": lambda step: 300 / step**1.1},
        GARBAGE,
        {},
    ),
    "stale_fakes": ({"fake_logits": -4.0, "fresh_fake_logits": 1.0, "real_logits": 2.0}, {}, {}),
    "mode_collapse": ({}, {"samples/pairwise_distance": 0.2}, {}),
    "class_collapse": ({}, {"samples/least_class_spread": 0.05, "samples/least_varied_class": 3.0}, {}),
    "few_dimensions": ({}, {"samples/dimension": 0.1}, {}),
    "memorisation": ({}, {"samples/copied": 0.9}, {}),
    "large_gradients": ({"monitor/generator_large_gradients": lambda step: step - 290.0}, {}, {}),
    "vanishing_generator_gradient": ({"generator_gradient_norm": 1e-8}, {}, {}),
    "unstable_discriminator": ({"monitor/discriminator_mean": 5.0}, {}, {}),
    "oscillation": (WAVE, {}, {}),
    "adversarial_dominates": ({"adversarial_gradient_norm": 100.0}, {}, {}),
    "task_dominates": ({"adversarial_gradient_norm": 1e-4}, {}, {}),
    "saturated_output": ({}, {"samples/saturated": 0.99, "samples/saturated_excess": 0.4}, {}),
    "checkerboard": ({}, {"samples/checkerboard": 15.0}, {}),
    "dead_ema": ({}, {"samples/ema_progress": 0.0}, {}),
}


@pytest.mark.parametrize("id", [id for id in DETECTORS if id not in ("non_finite", "mixed_batches")])
def test_each_failure_is_named_and_no_other(id):
    log, sample, setting = BROKEN[id]
    found = findings_of(stream(log, sample), **setting)
    beside = {"generator_won_with_garbage"} if id == "generator_loss_falling" else set()
    assert [finding.id for finding in found if finding.id not in beside] == [id]
    (finding,) = [finding for finding in found if finding.id == id]
    assert finding.evidence
    assert finding.message == ADVICE[id].message
    if id not in ("images_not_normalised", "oscillation", "checkerboard"):  # these use earlier records, or wait
        assert 280 <= finding.since_step <= 320
    assert finding.step <= 700


# As `BROKEN`, just on the healthy side of what each detector asks for; losses are held against 2 log 2 = 1.386.
NEARLY = {
    "labels_out_of_range": ({"monitor/label_high": 9.0, "monitor/label_low": 0.0}, {}, {"num_classes": 10}),
    "images_not_normalised": ({"monitor/real_high": 1.4, "monitor/real_low": -1.4}, {}, {}),
    "repeated_batch": ({"monitor/repeated_batches": 4.0}, {}, {}),
    "bounded_logits": ({"monitor/logit_low": 0.02, "monitor/logit_high": 1.02}, {}, {}),
    "labels_swapped": ({"real_logits": -2.0, "fake_logits": 2.0, "discriminator_adversarial_loss": 1.33}, {}, {}),
    "generator_frozen": ({"monitor/generator_update_ratio": 2e-6}, {}, {}),
    "discriminator_frozen": ({"monitor/discriminator_update_ratio": 2e-6}, {}, {}),
    "updates_too_large": ({"monitor/generator_update_ratio": 0.055}, {}, {}),
    "lipschitz_violated": ({}, {"samples/critic_slope": 1.9}, {"loss": "wasserstein", "chance": None}),
    "critic_not_optimal": (
        {},
        {"samples/critic_slope": 0.32},
        {"loss": "wasserstein", "chance": None, "lipschitz": "penalty", "slope": 1.0},
    ),
    "discriminator_won": ({"monitor/discriminator_mean": 0.03}, {}, {}),
    "generator_won_with_garbage": ({"monitor/discriminator_mean": 1.40}, GARBAGE, {}),
    "generator_won_with_quality": ({"monitor/discriminator_mean": 1.33}, {}, {}),
    "generator_loss_falling": ({"monitor/generator_mean": lambda step: 300 / step**1.1}, GARBAGE, {}),
    "stale_fakes": ({"fake_logits": -4.0, "fresh_fake_logits": -1.2, "real_logits": 2.0}, {}, {}),
    "mode_collapse": ({}, {"samples/pairwise_distance": 0.36}, {}),
    "class_collapse": ({}, {"samples/least_class_spread": 0.17}, {}),
    "few_dimensions": ({}, {"samples/dimension": 0.32}, {}),
    "memorisation": ({}, {"samples/copied": 0.48}, {}),
    "large_gradients": ({"monitor/generator_large_gradients": lambda step: 0.09 * (step - 290)}, {}, {}),
    "vanishing_generator_gradient": ({"generator_gradient_norm": 1.1e-5}, {}, {}),
    "unstable_discriminator": ({"monitor/discriminator_mean": 4.1}, {}, {}),
    "oscillation": ({"monitor/discriminator_mean": lambda step: 1 + 0.45 * np.sin(2 * np.pi * step / 100)}, {}, {}),
    "adversarial_dominates": ({"adversarial_gradient_norm": 29.0}, {}, {}),
    "task_dominates": ({"adversarial_gradient_norm": 1 / 290}, {}, {}),
    "saturated_output": ({}, {"samples/saturated": 0.99, "samples/saturated_excess": 0.075}, {}),
    "checkerboard": ({}, {"samples/checkerboard": 11.5}, {}),
    "dead_ema": ({}, {"samples/ema_progress": 0.022}, {}),
}


def test_an_adversarial_term_that_has_not_started_is_not_too_weak():
    for weight, expected in ((0.0, []), (1.0, ["task_dominates"])):
        found = findings_of(stream({"adversarial_gradient_norm": 0.0, "adversarial_weight": weight}, {}))
        assert [finding.id for finding in found] == expected


@pytest.mark.parametrize("id", list(BROKEN))
def test_what_is_nearly_a_failure_is_none(id):
    log, sample, setting = NEARLY[id]
    assert findings_of(stream(log, sample), **setting) == []


def test_a_slow_beginning_is_no_collapse():
    """Samples of an untrained generator are alike, and become varied."""
    rising = stream(sample={"samples/pairwise_distance": lambda step: 1e-4 * 1.02**step if step < 400 else 0.4}, start=0)
    assert findings_of(rising) == []
    falling = stream(sample={"samples/pairwise_distance": lambda step: 0.3 if step < 400 else 0.1}, start=0)
    assert [finding.id for finding in findings_of(falling)] == ["mode_collapse"]


def test_varied_samples_of_one_class_are_a_collapse():
    one = {"samples/classes": 1.2, "samples/confident": 0.95}
    assert [finding.id for finding in findings_of(stream(sample=one))] == ["mode_collapse"]
    assert findings_of(stream(sample=one | {"samples/pairwise_distance": 0.2}, start=0)) == []


def test_classes_that_do_not_vary_yet_have_not_collapsed():
    slow = {"samples/class_spread": 0.09, "samples/least_class_spread": 0.005}
    assert findings_of(stream(sample=slow)) == []
    both = {"samples/pairwise_distance": 0.02, "samples/class_spread": 0.4, "samples/least_class_spread": 0.05}
    assert [finding.id for finding in findings_of(stream(sample=both, start=0))] == ["mode_collapse"]


def test_a_player_that_is_frozen_on_purpose_is_not_called_frozen_before_it_should_move():
    still = {"monitor/generator_update_ratio": lambda step: 0.0 if step < 410 else 0.004}
    assert findings_of(stream(still, start=0), freeze=Players(400, 0)) == []
    for freeze in (Players(300, 0), Players(1000, 0), Players(0, 400)):  # moves too late; frozen for the whole run; the other player
        assert [finding.id for finding in findings_of(stream(still, start=0), freeze=freeze)] == ["generator_frozen"]


def test_a_task_of_weights_is_not_drowned():
    assert findings_of(stream({"task_gradient_norm": 0.0})) == []


def test_mixed_batches_are_named_at_the_first_record():
    (finding,) = findings_of(stream(), mixed_statistics=True)
    assert (finding.id, finding.step) == ("mixed_batches", 10)


def test_a_state_that_passes_is_no_finding():
    records = stream({"monitor/discriminator_mean": lambda step: 0.001 if step < 320 else 1.0})
    assert findings_of(records) == []


def test_large_gradients_name_player_and_layer():
    records = stream({"monitor/generator_large_gradients": lambda step: step - 290.0, "monitor/generator_large_layer": 1.0})
    (finding,) = findings_of(records)
    assert (finding.evidence["player"], finding.evidence["layer"]) == ("generator", "g1")


def test_the_gradient_of_normalised_weights_has_no_scale_to_be_large_on():
    records = stream({"monitor/generator_large_gradients": lambda step: step - 290.0})
    assert findings_of(records, scale_free=Players(True, False)) == []
    assert [finding.id for finding in findings_of(records, scale_free=Players(False, True))] == ["large_gradients"]


def test_without_a_memory_of_fakes_none_can_be_stale():
    log, _, _ = BROKEN["stale_fakes"]
    assert findings_of(stream(log), past_fakes=False) == []


def test_a_checkerboard_must_last_for_a_tenth_of_the_run():
    passing = stream(sample={"samples/checkerboard": lambda step: 15.0 if 600 <= step < 680 else 1.0})
    assert findings_of(passing) == []
    lasting = stream(sample={"samples/checkerboard": lambda step: 15.0 if step >= 600 else 1.0})
    assert [finding.step for finding in findings_of(lasting)] == [700]


@pytest.mark.parametrize(("player", "layer"), [("generator", "g1"), ("discriminator", "d1")])
def test_large_gradients_of_either_player_are_sure_where_they_begin_at_once(player, layer):
    for share, confidence in ((0.15, 0.6), (0.5, 0.6), (1.0, 0.85)):  # a third of the last 30 steps, where it begins at once
        count = {f"monitor/{player}_large_gradients": lambda step, share=share: share * (step - 290), f"monitor/{player}_large_layer": 1.0}
        (finding,) = findings_of(stream(count))
        assert (finding.id, finding.evidence["player"], finding.evidence["layer"]) == ("large_gradients", player, layer)
        assert finding.confidence == confidence


def test_swapped_labels_are_not_a_beaten_discriminator():
    """A D that is always wrong and has a high loss has correct labels."""
    log = {"real_logits": -2.0, "fake_logits": 2.0, "discriminator_adversarial_loss": 4.3, "monitor/discriminator_mean": 4.3}
    assert "labels_swapped" not in [finding.id for finding in findings_of(stream(log))]


def test_nothing_follows_a_value_that_is_not_finite():
    records = stream({"discriminator_loss": float("nan"), "monitor/discriminator_mean": 0.001})
    assert [finding.id for finding in findings_of(records)] == ["non_finite"]


# -- advice ----------------------------------------------------------------------------------------------------


def test_tables_have_the_same_rows_in_the_same_order():
    assert list(ADVICE) == list(DETECTORS)
    assert set(BROKEN) == set(DETECTORS) - {"non_finite", "mixed_batches"}


@pytest.mark.parametrize("id", ADVICE)
def test_every_advice_can_be_played_by_the_default_model(id):
    import tyro

    start = Config(model=ModelConfig(name="dcgan", width=4), loss=LossConfig(fake_target=(0.1, 0.1)))
    info = RunInfo(discriminator_batch_norm=True, format_settings=settings_as_flags)
    lines = applicable(ADVICE[id].advice, info)
    assert len(lines) == len(ADVICE[id].advice)
    for line in lines:
        config = check(tyro.cli(Config, args=shlex.split(line), default=start))
        build(config, (32, 32, 1), 0)


def test_advice_fits_the_run():
    lines = ["penalty.r1 1", "model.up nearest", "optimizer.b1 0"]
    assert applicable(lines, RunInfo()) == lines
    known = RunInfo(format_settings=lambda line: None if "nearest" in line else f"[{line}]", discriminator_batch_norm=True)
    assert applicable(lines, known) == ["[penalty.r1 1 model.discriminator_norm none]", "[optimizer.b1 0]"]
    already = "model.discriminator_norm none transform.spectral_norm discriminator"
    assert applicable([already], known) == [f"[{already}]"]


def test_every_detector_says_what_it_looks_for():
    for id, detector in DETECTORS.items():
        assert ADVICE[id].causes
        assert ADVICE[id].advice
        assert inspect.signature(detector).return_annotation is not inspect.Signature.empty


def test_a_cause_that_is_named_hides_what_follows_from_it():
    log = {"monitor/generator_update_ratio": 0.0, "monitor/discriminator_mean": lambda step: 1.0 if step < 400 else 0.001}
    assert [finding.id for finding in findings_of(stream(log))] == ["generator_frozen"]
    assert {id for ids in monitor.SUPPRESSES.values() for id in ids} | set(monitor.SUPPRESSES) <= set(DETECTORS)


def test_the_docs_list_every_finding_with_its_advice():
    page = (Path(__file__).parents[2] / "docs" / "monitor.md").read_text()
    for id, row in ADVICE.items():
        advice = "<br>".join(f"`{settings_as_flags(line)}`" for line in row.advice)
        assert f"| `{id}` | {row.message} | {advice} | {row.trick} |" in page, id
