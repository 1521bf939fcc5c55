"""Whole train steps against VQGAN's loss and StudioGAN's worker, run by tests/golden/steps_authors_torch.py, which names the commits.

As in test_golden_steps.py. The peers deviate from `gan_jax` in these points, which the cases take into account:

- VQGAN's perceptual distance needs downloaded weights and is left out, and so is the codebook, which `gan_jax` does not have.
- StudioGAN samples labels for the fakes. Here the fakes have the labels of the reals.
- MHGAN adds L1 feature matching of the last layer, which is left out here.
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gan_jax.conditioning import Condition
from gan_jax.gan.make import build_gan
from gan_jax.trainer.build.gan import build_spec, build_update_rule
from gan_jax.trainer.config import Config, DataConfig, LossConfig, ModelConfig, OptimizerConfig, UpdateConfig
from gan_jax.typing import DiscriminatorOutput, GeneratorOutput, Players
from support.golden_networks import assert_near, convolve, dense, generate, judge, layer, network, translate

with np.load(pathlib.Path(__file__).parents[1] / "golden" / "steps_authors_torch.npz") as file:
    GOLDEN = dict(file)
BATCH, CLASSES, LATENT, STEPS, EMBEDDING = 4, 3, 4, 2, 7


def settings(betas, model, loss, update):
    rates = OptimizerConfig(generator_lr=2e-4, discriminator_lr=2e-4, b1=betas[0], b2=betas[1], ema_decay=0.0)
    data = DataConfig(image_size=32, channels=3)
    return Config(batch_size=BATCH, data=data, model=ModelConfig(**model), loss=LossConfig(**loss), optimizer=rates, update=update)


LABELLED = {"name": "dcgan", "latent_dim": LATENT, "conditional": True, "condition": "none"}
TWO = UpdateConfig(discriminator_steps=2)
BALANCE = {"name": "hinge", "halve": True, "reconstruction": 1.0}
BALANCE |= {"adversarial_weight": 0.8, "adaptive_weight": True, "adversarial_start": 1}
CASES = {
    "vqgan": settings((0.5, 0.9), {"name": "pix2pix", "latent_dim": 1}, BALANCE, UpdateConfig(order="generator_first")),
    "reacgan": settings((0.5, 0.999), LABELLED | {"proxy_dim": EMBEDDING}, {"name": "hinge", "data_to_data": 0.5}, TWO),
    "contragan": settings((0.5, 0.999), LABELLED | {"proxy_dim": EMBEDDING}, {"name": "hinge", "contrastive": 1.0}, TWO),
    "mhgan": settings((0.5, 0.999), LABELLED, {"name": "multi_hinge", "adversarial_weight": 0.05}, TWO),
}


def features_of(params, images):
    hidden = jax.nn.leaky_relu(convolve(params["conv_0"], images, 2), 0.2)
    return jax.nn.leaky_relu(convolve(params["conv_1"], hidden, 2), 0.2).reshape(len(images), -1)


def judge_embedding(params, images, labels, context):
    """D with an embedding and one vector for each class."""
    features = features_of(params, images)
    proxies = params["proxies"]["embedding"][labels]
    return DiscriminatorOutput(dense(params["dense"], features)[:, 0], embeddings=dense(params["embed"], features), proxies=proxies)


def judge_classes(params, images, labels, context):
    """D with a logit for each class and one for the fakes."""
    class_logits = dense(params["dense"], features_of(params, images))
    return DiscriminatorOutput(class_logits[:, 0], class_logits=class_logits)


HEADS = {"embed": layer(24, EMBEDDING), "proxies": {"embedding": (CLASSES, EMBEDDING)}}
PARAMETERS = {
    "vqgan": ({"conv_0": layer(3, 3, 1, 4), "conv_1": layer(3, 3, 4, 3)}, {"dense": layer(24, 1)}, translate, judge),
    **{name: ({}, {"dense": layer(24, 1)} | HEADS, generate, judge_embedding) for name in ("reacgan", "contragan")},
    "mhgan": ({}, {"dense": layer(24, CLASSES + 1)}, generate, judge_classes),
}


def shapes(case):
    generator, discriminator, *_ = PARAMETERS[case]
    labelled = {"dense": layer(LATENT, 64), "conv": layer(3, 3, 4, 3), "embedding": {"embedding": (CLASSES, LATENT)}}
    return Players(generator or labelled, {"conv_0": layer(3, 3, 3, 5), "conv_1": layer(3, 3, 5, 6)} | discriminator)


def params_of(case, place):
    def tree(player):
        zeros = jax.tree.map(jnp.zeros, getattr(shapes(case), player), is_leaf=lambda node: isinstance(node, tuple))
        return ravel_pytree(zeros)[1](jnp.asarray(GOLDEN[f"{case}/{place}/{player}"]))

    return Players(*map(tree, Players._fields))


def built(case):
    """The train step with injected latents, and the start."""
    config, start, queue = CASES[case], params_of(case, "start"), []
    *_, generator, discriminator = PARAMETERS[case]
    spec = build_spec(config, (32, 32, 3), CLASSES if config.model.conditional else 0)
    made = network(generator, start.generator, GeneratorOutput)
    if case == "vqgan":
        mean = Condition(lambda rng, real: real.mean(axis=-1, keepdims=True))
        spec, made = dataclasses.replace(spec, context=mean), made._replace(last_layer="conv_1/kernel")
    spec = dataclasses.replace(
        spec,
        generator=made,
        discriminator=network(discriminator, start.discriminator, lambda output: output),
        image_shape=(8, 8, 3),
        sample_latents=lambda rng, shape: queue.pop(0) if queue else jnp.zeros(shape),
        observe_update=lambda player, gradients, *_: {f"gradients/{player}": gradients},
    )
    rule = build_update_rule(config)
    gan = build_gan(spec, rule)

    @jax.jit
    def train_step(params, state, batch, latents):
        queue[:] = list(latents)
        result = gan.train_step(params, state, batch, jax.random.key(1))
        assert not queue, "the step sampled less than the case gave"
        return result

    return train_step, *jax.jit(gan.init)(jax.random.key(0)), rule.batches_per_step


# contragan differs from reacgan in the loss only.
@pytest.mark.parametrize("case", [pytest.param(case, marks=pytest.mark.slow) if case == "contragan" else case for case in CASES])
def test_two_train_steps_equal_those_of_the_authors(case):
    train_step, params, state, parts = built(case)
    latents = GOLDEN["shared/latents"].reshape(-1, BATCH, LATENT)
    for step in range(STEPS):
        rows = slice(step * parts * BATCH, (step + 1) * parts * BATCH)
        batch = {"image": jnp.asarray(GOLDEN["shared/reals"][rows]), "label": jnp.asarray(GOLDEN["shared/labels"][rows], jnp.int32)}
        drawn = [] if case == "vqgan" else list(jnp.asarray(latents[step * (parts + 1) : (step + 1) * (parts + 1)]))
        params, state, metrics = train_step(params, state, batch, drawn)
        expected = params_of(case, f"gradients_{step}")
        for player, theirs in expected._asdict().items():
            assert_near(metrics[f"gradients/{player}"], theirs, floor=1e-5 * float(jnp.abs(ravel_pytree(theirs)[0]).max()))
        if case == "vqgan":  # Before the start of the adversarial loss the authors' log has the ratio, and our metric the weight, 0.
            np.testing.assert_allclose(metrics["adversarial_weight"], [0.0, GOLDEN["vqgan/weights"][1]][step], rtol=1e-5)
    start, end = params_of(case, "start"), params_of(case, "end")
    for player in Players._fields:
        ours, theirs = (jax.tree.map(jnp.subtract, getattr(after, player), getattr(start, player)) for after in (params, end))
        # An update moves a parameter by about a learning rate. The parameters themselves are rounded to about 1e-7.
        assert_near(ours, theirs, floor=1e-3 * 2e-4 + 2e-7)
