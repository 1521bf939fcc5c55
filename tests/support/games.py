"""Small games for tests: points in the plane, perceptrons, everything float32 and quick to compile."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_jax.gan.make import build_gan
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.update_rules import alternating
from gan_jax.latents import normal
from gan_jax.losses import ADVERSARIAL
from gan_jax.optimizers import per_player
from gan_jax.typing import DiscriminatorOutput, GeneratorOutput, Network


def perceptron(sizes, *, batch_norm=False, discriminator=False):
    """A plain-JAX perceptron as a Network; with batch norm (statistics of the batch, running mean kept) after the first layer."""

    def init(rng, inputs, labels=None, context=None):
        widths = (inputs.shape[-1], *sizes)
        keys = jax.random.split(rng, len(sizes))
        params = {
            f"dense_{n}": {
                "kernel": 0.5 * jax.random.normal(key, (widths[n], widths[n + 1]), inputs.dtype),
                "bias": jnp.zeros(widths[n + 1], inputs.dtype),
            }
            for n, key in enumerate(keys)
        }
        return params, ({"mean": jnp.zeros(sizes[0], inputs.dtype)} if batch_norm else {})

    def apply(params, state, inputs, labels=None, context=None, *, rng=None, train=True):
        x = inputs
        for n in range(len(sizes)):
            x = x @ params[f"dense_{n}"]["kernel"] + params[f"dense_{n}"]["bias"]
            if n == 0 and batch_norm:
                mean, variance = (x.mean(0), x.var(0)) if train else (state["mean"], jnp.ones_like(state["mean"]))
                state = {"mean": 0.9 * state["mean"] + 0.1 * mean} if train else state
                x = (x - mean) / jnp.sqrt(variance + 1e-5)
            if n < len(sizes) - 1:
                x = jnp.tanh(x)
        return (DiscriminatorOutput(x[:, 0], {"last": x}) if discriminator else GeneratorOutput(x)), state

    return Network(init, apply)


def point_spec(*, loss="non_saturating", optimizer=None, batch_norm=False, dtype=None, **options):
    """A GAN on points [batch, 2] with latents of dimension 3."""
    optimizer = optimizer or per_player(optax.sgd(0.1), optax.sgd(0.1))
    return GANSpec(
        options.pop("generator", None) or perceptron((8, 2)),
        options.pop("discriminator", None) or perceptron((8, 1), batch_norm=batch_norm, discriminator=True),
        ADVERSARIAL[loss],
        optimizer,
        image_shape=(2,),
        latent_dim=3,
        sample_latents=options.pop("sample_latents", normal),
        **options,
    )


def points(count=16, seed=5):
    """A batch of points."""
    return {"image": jax.random.normal(jax.random.key(seed), (count, 2)) + jnp.array([1.0, -1.0])}


def started(spec, rule=None):
    gan = build_gan(spec, rule or alternating())
    return gan, *jax.jit(gan.init)(jax.random.key(0))


def assert_same_bytes(first, second):
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def assert_close(first, second, tolerance=1e-6):
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
