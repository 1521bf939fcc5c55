"""Steps and runs under JAX's debugging settings: NaNs are errors, and dtypes and ranks are not promoted."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from gan_jax.gan.make import build_gan
from gan_jax.gan.update_rules import UPDATE_RULES
from gan_jax.losses import ADVERSARIAL
from gan_jax.trainer.config import Config, DataConfig, EvaluationConfig, ModelConfig, replace_field
from gan_jax.trainer.loop import train
from support.small_recipes import RECIPES, shrunk, started
from support.small_runs import SMALL

PLAIN = replace_field(replace_field(shrunk(RECIPES["mlp_mnist"][1]), "update.order", "discriminator_first"), "update.fakes", "fresh")
AUGMENTATIONS = {
    "noise": {"augment.instance_noise": 0.1},
    "diffaugment": {"augment.diff_augment": "color,translation,cutout"},
    "ada": {"augment.ada_probability": 0.5, "augment.ada_policy": "blit,geometry,color,filter,noise,cutout"},
    "pack": {"augment.pack": 2},
    "replay": {"replay.size": 16},
}
CASES = {
    **{f"rule-{name}": {"update.name": name, "update.unroll_steps": 1} for name in UPDATE_RULES},
    **{f"loss-{name}": {"loss.name": name} for name in ADVERSARIAL},
    **{
        f"penalty-{name}": {f"penalty.{name}": 1.0}
        for name in ("wgan_gp", "r1", "r2", "zero_centered", "dragan", "consistency", "lecam", "drift", "spectral", "orthogonal_generator")
    },
    **{f"augment-{name}": changes for name, changes in AUGMENTATIONS.items()},
}
QUICK = ("rule-alternating", "rule-consensus", "penalty-r1", "augment-diffaugment")


@contextlib.contextmanager
def debugging():
    """All three settings."""
    with jax.debug_nans(True), jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


def case(name):
    """The GAN of a case and a batch for it."""
    config = PLAIN
    for path, value in CASES[name].items():
        config = replace_field(config, path, value)
    return started(config)


def step(name, *, diagnostics=True):
    built, batch = case(name)
    batch["label"] = batch["label"].astype(jnp.int32)
    gan = built.gan if diagnostics else build_gan(built.spec, built.rule)
    with debugging():
        state = jax.jit(gan.init)(jax.random.key(0))
        *state, metrics = jax.jit(gan.train_step)(*state, batch, jax.random.key(1))
        jax.jit(gan.sample, static_argnums=3)(*state, jax.random.key(2), 4)
    assert all(np.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize("name", QUICK)
def test_a_step_runs_under_the_debugging_settings(name):
    step(name)


def test_a_step_without_diagnostics_runs_under_the_debugging_settings():
    step("rule-alternating", diagnostics=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name not in QUICK])
def test_every_step_runs_under_the_debugging_settings(name):
    step(name)


@pytest.mark.parametrize("kind", ["points", "images"])
def test_a_run_passes_under_the_debugging_settings(tmp_path, kind):
    images = Config(
        recipe="mlp_mnist",
        batch_size=4,
        sample_grid=2,
        tensorboard=False,
        data=DataConfig(image_size=16),
        model=ModelConfig(name="mlp", latent_dim=4, options={"generator_hidden": "8", "discriminator_hidden": "8"}),
    )
    config = dataclasses.replace(SMALL if kind == "points" else images, steps=4, log_every=1, sample_every=2, checkpoint_every=2)
    config = replace_field(config, "optimizer.ema_decay", 0.9)
    with debugging():
        result = train(
            dataclasses.replace(config, out=tmp_path / "run", evaluation=EvaluationConfig(samples=16)), console=Console(quiet=True)
        )
    assert (result.step, result.failure) == (4, None)
    assert (tmp_path / "run" / "metrics.json").exists()
