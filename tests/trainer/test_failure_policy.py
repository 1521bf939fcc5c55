"""The monitor in a run: findings of resumed runs, and runs that stop or roll back after a failure."""

import dataclasses
import gc
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from gan_jax.trainer.build.data import load_data
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import (
    Config,
    ModelConfig,
    MonitorConfig,
    OptimizerConfig,
    PenaltyConfig,
    check,
    load_config,
)
from gan_jax.trainer.failure_policy import describe_run
from gan_jax.trainer.loop import train
from gan_jax.trainer.probes import Probes, critic_slope, moved_distances
from support.small_runs import SMALL

# The updates are as large as the weights.
WILD = dataclasses.replace(SMALL, optimizer=OptimizerConfig(generator_lr=0.5, discriminator_lr=0.5))


def quiet():
    return Console(quiet=True)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def run(tmp_path):
    def run(config, name, **keywords):
        return train(dataclasses.replace(config, out=tmp_path / name), console=quiet(), **keywords)

    return run


def test_a_resumed_run_has_the_findings_of_an_uninterrupted_one(run, tmp_path):
    run(WILD, "whole")
    run(dataclasses.replace(WILD, steps=12), "parts")
    run(WILD, "parts", resume=tmp_path / "parts")
    for name in ("metrics.jsonl", "findings.jsonl"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    findings = read(tmp_path / "whole" / "findings.jsonl")
    assert "updates_too_large" in [finding["id"] for finding in findings]
    assert {"id", "message", "since_step", "evidence", "confidence", "causes", "advice", "trick"} <= set(findings[0])
    assert [record for record in read(tmp_path / "whole" / "metrics.jsonl") if "samples/pairwise_distance" in record]


def test_the_monitor_does_not_change_the_weights(run, tmp_path):
    run(SMALL, "watched")
    run(dataclasses.replace(SMALL, monitor=MonitorConfig(enabled=False)), "alone")
    for player in sorted((tmp_path / "watched" / "checkpoints" / "step_00000024").glob("*.safetensors")):
        assert player.read_bytes() == (tmp_path / "alone" / "checkpoints" / "step_00000024" / player.name).read_bytes()
    assert not (tmp_path / "alone" / "findings.jsonl").exists() or not read(tmp_path / "alone" / "findings.jsonl")


def test_stop_ends_the_run_and_keeps_an_earlier_checkpoint(run, tmp_path):
    trained = run(dataclasses.replace(WILD, monitor=MonitorConfig(on_failure="stop"), checkpoint_every=2), "run")
    assert trained.failure.id == "updates_too_large"
    assert trained.step < 24
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "stopped"
    assert max(int(path.name[5:]) for path in (tmp_path / "run" / "checkpoints").glob("step_*")) < trained.failure.step
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
def test_rollback_halves_the_learning_rates_and_records_it(run, tmp_path):
    config = dataclasses.replace(WILD, monitor=MonitorConfig(on_failure="rollback", rollbacks=2))
    trained = run(config, "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [entry["changed"]["optimizer.generator_lr"] for entry in record["rollbacks"]] == [0.25, 0.125]
    assert all(entry["finding"] == "updates_too_large" for entry in record["rollbacks"])
    assert load_config(tmp_path / "run" / "config.yaml").optimizer.discriminator_lr == 0.125
    # Two rollbacks are allowed, so the third failure ends the run.
    assert trained.failure is not None
    assert record["status"] == "stopped"
    steps = [entry["step"] for entry in read(tmp_path / "run" / "metrics.jsonl")]
    assert steps == sorted(steps)
    assert steps.count(0) == 1


@pytest.mark.parametrize(("until", "reached", "status"), [(None, 24, "finished"), (18, 18, "interrupted")])
def test_rollback_goes_to_the_newest_checkpoint_before_the_failure(run, tmp_path, monkeypatch, until, reached, status):
    """The failure begins at step 11, so the checkpoint of step 6 is the last one before it. `until` also ends the resumed run."""
    from gan_jax import monitor

    def late(history, info):
        return monitor.Detection(11, 0.9, {}) if history.step >= 16 and not (tmp_path / "healed").exists() else None

    monkeypatch.setitem(monitor.DETECTORS, "updates_too_large", late)
    monkeypatch.setattr("gan_jax.trainer.loop.roll_back", lambda *args: ((tmp_path / "healed").touch(), roll_back(*args))[1])
    from gan_jax.trainer.rollback import roll_back

    config = dataclasses.replace(SMALL, monitor=MonitorConfig(on_failure="rollback"), keep_checkpoints=3)
    trained = run(config, "run", until=until)
    assert (trained.step, trained.failure) == (reached, None)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [(entry["at_step"], entry["to_step"]) for entry in record["rollbacks"]] == [(16, 6)]
    assert record["status"] == status


@pytest.mark.slow
def test_a_rollback_frees_the_arrays_of_the_failed_run(run, monkeypatch):
    """After three rollbacks as many arrays are on the device as in a run without one."""
    counts = []
    monkeypatch.setattr("gan_jax.trainer.loop.write_report", lambda directory: counts.append(len(jax.live_arrays())))
    for name, monitor in (
        ("warm", MonitorConfig(on_failure="stop")),
        ("without", MonitorConfig(on_failure="stop")),
        ("with", MonitorConfig(on_failure="rollback", rollbacks=3)),
    ):
        gc.collect()
        assert run(dataclasses.replace(WILD, monitor=monitor), name).failure is not None
    _, without, after_three = counts
    assert after_three == without


def test_slope_of_a_linear_critic_is_its_weights_norm():
    config = dataclasses.replace(SMALL, loss=dataclasses.replace(SMALL.loss, name="wasserstein"), penalty=PenaltyConfig(wgan_gp=10.0))
    source = load_data(config)
    built = build(config, source.shape)
    from gan_jax.typing import DiscriminatorOutput, Network

    weights = jnp.array([3.0, 4.0])
    linear = Network(lambda *args: ({}, {}), lambda params, state, images, *args, **keywords: (DiscriminatorOutput(images @ weights), {}))
    params, opt_state = built.gan.init(jax.random.key(0))
    spec = dataclasses.replace(built.spec, discriminator=linear)
    value = critic_slope(built._replace(spec=spec))(params, opt_state, jnp.ones((5, 2)), jnp.zeros((5, 2)))
    np.testing.assert_allclose(value, 5.0, rtol=1e-6)
    info = describe_run(config, built, params, opt_state, 24)
    assert (info.lipschitz, info.slope, info.chance, info.is_images) == ("penalty", 1.0, None, False)
    figures = Probes(config, built, source, params.generator)(np.random.default_rng(0).normal(size=(9, 2)), params, opt_state)
    assert figures["samples/critic_slope"] > 0
    assert "samples/ema_progress" not in figures  # The parameters have not changed yet.


@pytest.mark.parametrize(
    ("model", "losses"),
    [(ModelConfig(name="multiscale", width=4, options={"patch_layers": 1, "scales": 2}), 2), (ModelConfig(name="unet_gan", width=4), 2)],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_loss_at_chance_is_that_of_all_outputs_of_d(model, losses):
    """D's loss is the sum over its scales, or over images and pixels: 2 log 2 for each of them, or half of it."""
    for halve in (False, True):
        config = Config(model=model, loss=dataclasses.replace(Config().loss, halve=halve))
        built = build(config, (16, 16, 1))
        params, state = jax.eval_shape(built.gan.init, jax.random.key(0))
        expected = losses * 2 * np.log(2) / (2 if halve else 1)
        assert describe_run(config, built, params, state, 24).chance == pytest.approx(expected)


def test_invalid_flags_are_not_accepted_as_advice():
    pytest.importorskip("tyro")
    config = dataclasses.replace(SMALL, loss=dataclasses.replace(SMALL.loss, name="least_squares"))
    built = build(config, (2,))
    info = describe_run(config, built, *jax.eval_shape(built.gan.init, jax.random.key(0)), 24)
    lines = (
        "penalty.r1 1",
        "augment.ada 0.6",
        "model.up nearest",
        "optimizer.b1 0",
        "augment.diff_augment color",
        "data.missing 1",
    )
    flags = [info.format_settings(line) for line in lines]
    assert flags == ["--penalty.r1 1", None, None, "--optimizer.b1 0", None, None]


def test_progress_of_an_average():
    # The average has changed by 1 and the parameters by 4.
    distances = moved_distances({"a": jnp.array([1.0, 1.0])}, {"a": jnp.array([1.0, 4.0])}, {"a": jnp.array([1.0, 0.0])})
    assert [float(distance) for distance in distances] == [1.0, 4.0]


@pytest.mark.parametrize(("targets", "chance"), [({}, 0.25), ({"real_target": (1.0, 1.0), "fake_target": (-1.0, -1.0)}, 1.0)])
def test_chance_of_least_squares_lies_between_its_targets(targets, chance):
    # For a logit in the middle between the targets a and b, each half of the loss is ((a - b) / 2)^2 / 2.
    config = dataclasses.replace(SMALL, loss=dataclasses.replace(SMALL.loss, name="least_squares", **targets))
    built = build(config, (2,))
    state = jax.eval_shape(built.gan.init, jax.random.key(0))
    assert describe_run(config, built, *state, 24).chance == chance


def test_the_classes_of_the_probes_are_those_of_the_grid():
    """The generator gives one image for class 7. The run's own sampler draws the grid."""
    from gan_jax.trainer.writers.samples import sampler

    config = check(Config(sample_grid=8, model=ModelConfig(name="mlp", conditional=True, options={"generator_hidden": "8"})))
    source = load_data(config)
    built = build(config, source.shape, source.num_classes)
    params, opt_state = jax.jit(built.gan.init)(jax.random.key(0))
    collapsed = built.gan._replace(
        sample=lambda params, opt_state, rng, count, labels, context: jnp.where(
            (labels == 7)[:, None, None, None], 0.0, jax.random.uniform(rng, (count, *source.shape), minval=-1)
        )
    )
    samples = sampler(config, built._replace(gan=collapsed), source)(params, opt_state)
    figures = Probes(config, built, source, None)(samples, params, opt_state)
    assert figures["samples/least_varied_class"] == 7
    assert figures["samples/least_class_spread"] == 0
    assert figures["samples/class_spread"] > 0.5
