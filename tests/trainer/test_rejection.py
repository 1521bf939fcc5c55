"""Rejection sampling from a run, and the flag of `gan-jax sample`."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.data.mixtures import load_ring, ring_centers
from gan_jax.gan.diagnostics import with_diagnostics
from gan_jax.metrics import mode_coverage
from gan_jax.trainer.config import ConfigError
from gan_jax.trainer.rejection import rejection_samples
from gan_jax.trainer.sampling import Weights
from gan_jax.typing import DiscriminatorOutput, Network
from support.figure_runs import run_of
from support.scripts import assert_one_line, load_script

CENTERS = jnp.asarray(ring_centers())
SHARES = jnp.arange(1, 9) / 36


def make_ring(latents, labels=None, context=None):
    """Points of a ring whose modes have the shares 1/36 to 8/36."""
    mode = jnp.searchsorted(jnp.cumsum(SHARES)[:-1], jax.scipy.stats.norm.cdf(latents[:, 0]))
    return CENTERS[mode] + 0.01 * latents[:, 1:3]


def run_with(judge, *, generate=make_ring, num_classes=0):
    """A run on the ring whose discriminator is a function (points, labels) -> logits."""
    run = run_of(generate, images=np.zeros((4, 2), np.float32), num_classes=num_classes)
    discriminator = Network(
        run.built.spec.discriminator.init,
        lambda params, state, inputs, labels=None, *rest, **named: (DiscriminatorOutput(judge(inputs, labels)), state),
    )
    spec = dataclasses.replace(run.built.spec, discriminator=discriminator)
    built = run.built._replace(spec=spec, gan=with_diagnostics(spec, run.built.rule))
    return run._replace(built=built, source=load_ring(count=4096))


def ratio(points, labels=None):
    """The log ratio of the densities, of another scale and offset."""
    mode = jnp.argmin(jnp.sum(jnp.square(points[:, None] - CENTERS), axis=-1), axis=1)
    return 3 * jnp.log(1 / 8 / SHARES[mode]) + 5


def test_a_ring_with_uneven_modes_becomes_even():
    """The 95th percentile of F is that of mode 2, which is 0: exact rejection sampling."""
    run, lines = run_with(ratio), []
    plain = np.asarray(run.built.gan.sample(run.params, run.opt_state, jax.random.key(0), 1500))
    found = rejection_samples(run, 1500, seed=0, weights=Weights(), gamma_percentile=95.0, print_line=lines.append)
    assert found.images.shape == (1500, 2)
    assert found.labels is None
    before, after = (mode_coverage(points, ring_centers(), 0.01) for points in (plain, found.images))
    assert before.reverse_kl > 0.1
    assert after.reverse_kl < 0.01
    assert lines[0].startswith("rejection: 1500 samples of ")
    again = rejection_samples(run, 1500, seed=0, weights=Weights(), gamma_percentile=95.0, print_line=lines.append)
    np.testing.assert_array_equal(again.images, found.images)


def test_each_class_has_as_many_samples():
    """The class shifts the points, and D accepts those with a small first latent only."""

    def generate(latents, labels, context):
        return jnp.stack([labels + 0.1 * jnp.tanh(latents[:, 0]), jnp.zeros(len(latents))], axis=1)

    def judge(points, labels):
        return jnp.where(jnp.abs(points[:, 0]) < 2, -5 * (points[:, 0] - labels), 0.0)

    run = run_with(judge, generate=generate, num_classes=3)
    source = dataclasses.replace(load_ring(count=64), num_classes=3, labels=np.arange(64, dtype=np.int32) % 3, held_out=None)
    source = dataclasses.replace(source, images=np.stack([source.labels - 0.1, np.zeros(64)], axis=1).astype(np.float32))
    run = run._replace(source=source)
    found = rejection_samples(run, 8, seed=1, weights=Weights(), gamma_percentile=50.0, print_line=lambda line: None)
    np.testing.assert_array_equal(found.labels, [0, 1, 2, 0, 1, 2, 0, 1])
    assert found.columns == 3
    np.testing.assert_allclose(found.images[:, 0], found.labels, atol=0.11)
    only = rejection_samples(run, 5, seed=1, weights=Weights(), gamma_percentile=50.0, label=2, print_line=lambda line: None)
    np.testing.assert_array_equal(only.labels, [2] * 5)
    sample = load_script("sample")
    of_command = sample.sample(run, sample.Flags("run", count=5, seed=1, rejection=50.0, label="2"), 2)
    np.testing.assert_array_equal(of_command.images, only.images)


def test_a_discriminator_that_cannot_choose_is_an_error():
    def sample(run):
        return rejection_samples(run, 4, seed=0, weights=Weights(), gamma_percentile=80.0)

    with pytest.raises(ConfigError, match="D rates fakes higher than held-out reals"):
        sample(run_with(lambda points, labels: -ratio(points)))
    with pytest.raises(ConfigError, match="D's output is not finite"):
        sample(run_with(lambda points, labels: points[:, 0] * jnp.nan))
    packed = run_with(ratio)
    config = dataclasses.replace(packed.config, augment=dataclasses.replace(packed.config.augment, pack=2))
    with pytest.raises(ConfigError, match="D judges packs of 2 images"):
        sample(packed._replace(config=config))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rejection", "101"], "--rejection 101.0: must be a percentile between 0 and 100"),
        (
            ["--rejection", "80", "--seeds", "0-3"],
            "--rejection: excludes --interpolate, --walk, --diagram, --direction, --seeds and --pairs",
        ),
        (["--rejection", "80", "--walk", "3"], "--rejection: excludes"),
    ],
)
def test_flags(script, flags, message):
    assert_one_line(script("sample", "run", *flags), message)


def test_an_exported_generator_is_refused(script, tmp_path):
    file = tmp_path / "generator.safetensors"
    file.write_bytes(b"")
    assert_one_line(script("sample", str(file), "--rejection", "80"), "an exported generator has no discriminator")
    assert load_script("sample").Flags(tmp_path).rejection is None
