"""A run whose weights become NaN: it is named, recorded and measured as not finite, and its state is never saved as a checkpoint."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.checkpoint import Checkpointer
from gan_jax.trainer import setup
from gan_jax.trainer.config import Config, DataConfig, EvaluationConfig, ModelConfig, MonitorConfig
from gan_jax.trainer.loaded_run import load_run
from support.small_runs import SMALL, trained

BROKEN_AT = 5  # The first step after which weights are NaN.
POINTS = dataclasses.replace(SMALL, steps=8, log_every=8, sample_every=4, checkpoint_every=1, evaluation=EvaluationConfig(samples=16))
IMAGES = Config(
    recipe="mlp_mnist",
    steps=8,
    batch_size=4,
    log_every=8,
    sample_every=4,
    sample_grid=2,
    checkpoint_every=1,
    tensorboard=False,
    data=DataConfig(image_size=8),
    model=ModelConfig(name="mlp", latent_dim=4, options={"generator_hidden": "8", "discriminator_hidden": "8"}),
    evaluation=EvaluationConfig(samples=16),
)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Trains with a step that makes players NaN: (result, run.json, printed lines)."""
    build = setup.build

    def run(config, players=("generator", "discriminator"), **options):
        def breaking(*arguments, **options):
            built = build(*arguments, **options)

            def train_step(params, opt_state, batch, rng):
                params, opt_state, metrics = built.gan.train_step(params, opt_state, batch, rng)
                broken = opt_state.step >= BROKEN_AT
                nan = {p: jax.tree.map(lambda leaf: jnp.where(broken, jnp.nan, leaf), getattr(params, p)) for p in players}
                metrics["generator_loss"] = jnp.where(broken, jnp.nan, metrics["generator_loss"])
                return params._replace(**nan), opt_state, metrics

            return built._replace(gan=built.gan._replace(train_step=train_step))

        monkeypatch.setattr(setup, "build", breaking)
        result, printed = trained(dataclasses.replace(config, out=tmp_path / "run"), **options)
        monkeypatch.setattr(setup, "build", build)
        return result, json.loads((tmp_path / "run" / "run.json").read_text()), printed

    return run


def checkpoints(tmp_path):
    return Checkpointer(tmp_path / "run" / "checkpoints", owner=False).steps()


@pytest.mark.parametrize("config", [POINTS, IMAGES], ids=["points", "images"])
def test_by_default_the_run_ends_as_documented_and_is_measured_as_not_finite(run, tmp_path, config):
    result, record, printed = run(config)
    assert (result.step, result.failure, record["status"], record["step"]) == (8, None, "finished", 8)
    assert (record["finite"], record["saved"]) == (False, False)
    (measured,) = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (measured["metric"], measured["value"], measured["real"], measured["samples"]) == ("finite_samples", 0.0, 1.0, 16)
    assert "finite_samples" in (tmp_path / "run" / "report.html").read_text()
    findings = [json.loads(line) for line in (tmp_path / "run" / "findings.jsonl").read_text().splitlines()]
    assert "non_finite" in [finding["id"] for finding in findings]
    # The last good checkpoints are kept.
    assert checkpoints(tmp_path) == [BROKEN_AT - 2, BROKEN_AT - 1]
    assert "step 8: the weights are not finite and are not saved; the newest checkpoint is of step 4" in printed


def test_the_checkpoint_that_stop_advises_is_finite(run, tmp_path):
    result, record, printed = run(dataclasses.replace(POINTS, sample_every=0, monitor=MonitorConfig(on_failure="stop")))
    assert (result.failure.id, record["status"], record["finite"]) == ("non_finite", "stopped", False)
    assert "the checkpoint of step 4 is kept" in printed
    assert checkpoints(tmp_path) == [3, 4]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(load_run(tmp_path / "run").params))


def test_a_run_that_is_never_finite_says_that_it_has_no_checkpoint(run, tmp_path):
    _, record, printed = run(dataclasses.replace(POINTS, checkpoint_every=0, monitor=MonitorConfig(on_failure="stop")))
    assert (record["status"], checkpoints(tmp_path)) == ("stopped", [])
    assert "there is no checkpoint from before" in printed
    assert "--resume" not in printed


def test_a_state_that_is_not_finite_is_never_the_best(run, tmp_path, monkeypatch):
    """D is NaN while G still samples well, so the metric alone would select it."""
    values = iter([3.0, 2.0, 1.0, 0.5])
    monkeypatch.setattr("gan_jax.trainer.loop.evaluate", lambda *_, **__: [{"metric": "reverse_kl", "value": next(values)}])
    config = dataclasses.replace(POINTS, evaluation=EvaluationConfig(samples=16, every=2, best="reverse_kl"), keep_checkpoints=1)
    run(config, players=("discriminator",))
    assert load_run(tmp_path / "run", best=True).step == 4
    assert checkpoints(tmp_path) == [4]


def test_an_evaluation_while_training_logs_the_share_of_finite_samples(run, tmp_path):
    _, _, printed = run(dataclasses.replace(POINTS, evaluation=EvaluationConfig(samples=16, every=4)))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["evaluation/finite_samples"] for row in rows if "evaluation/finite_samples" in row] == [0.0]
    assert "step 8: finite_samples 0.000" in " ".join(printed.split()).replace("evaluation/", "")
