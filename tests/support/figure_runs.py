"""Loaded runs whose generator is a function, for the tests of figures."""

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.conditioning import CONDITIONS
from gan_jax.data import Source
from gan_jax.gan.diagnostics import with_diagnostics
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.update_rules import alternating
from gan_jax.latents import normal
from gan_jax.losses import ADVERSARIAL
from gan_jax.optimizers import ttur
from gan_jax.trainer.build.gan import BuiltGAN
from gan_jax.trainer.config import Config, EvaluationConfig
from gan_jax.trainer.loaded_run import LoadedRun
from gan_jax.typing import GeneratorOutput, Network
from support.games import perceptron

SIDE = 8
IMAGES = np.random.default_rng(0).integers(0, 256, (40, SIDE, SIDE, 1), np.uint8)


def run_of(apply, *, latent_dim=4, num_classes=0, context="nothing", images=IMAGES):
    """A loaded run whose generator is a function (latents, labels, context) -> images."""

    def generate(params, state, latents, labels=None, context=None, *, rng=None, train=True):
        output = apply(latents, labels, context)
        return (output if isinstance(output, GeneratorOutput) else GeneratorOutput(output)), state

    generator = Network(lambda rng, inputs, labels=None, context=None: ({"unused": jnp.zeros(1)}, {}), generate)
    critic = perceptron((1,), discriminator=True)
    discriminator = Network(
        lambda rng, inputs, *extra: critic.init(rng, inputs.reshape(len(inputs), -1)),
        lambda params, state, inputs, *extra, **named: critic.apply(params, state, inputs.reshape(len(inputs), -1)),
    )
    spec = GANSpec(
        generator,
        discriminator,
        ADVERSARIAL["hinge"],
        ttur(1e-3, 1e-3),
        image_shape=images.shape[1:],
        latent_dim=latent_dim,
        sample_latents=normal,
        num_classes=num_classes,
        context=CONDITIONS[None if context == "nothing" else context],
    )
    rule = alternating()
    built = BuiltGAN(spec, rule, with_diagnostics(spec, rule))
    source = Source("folder", images, None, num_classes, "train", "drawn for a test")
    params, opt_state = built.gan.init(jax.random.key(0))
    return LoadedRun(Config(evaluation=EvaluationConfig(samples=0)), source, built, params, opt_state, 0)


def flat(latents, labels=None, context=None):
    """Images whose grey level is the first latent. The last column of pixels is the label."""
    images = jnp.broadcast_to(latents[:, :1, None, None] / 8, (len(latents), SIDE, SIDE, 1))
    return images if labels is None else images.at[:, :, -1].set(labels[:, None, None] / 10.0)
