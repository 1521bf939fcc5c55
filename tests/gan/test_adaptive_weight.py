"""The adaptive weight and the late start of the adversarial term: what they do to the gradients, and what they need."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.distributed import distribute, make_placement
from gan_jax.gan.make import build_gan
from gan_jax.gan.player_losses import generator_loss
from gan_jax.gan.types import LossTerm
from gan_jax.gan.update_rules import alternating, simultaneous, single_loss, unrolled
from gan_jax.gan.updates import discriminator_gradients, forward_generator, generator_gradients
from gan_jax.models import MODELS
from gan_jax.models.network import as_networks
from gan_jax.transforms import weight_norm
from gan_jax.typing import Players
from support.games import assert_close, assert_same_bytes, perceptron, point_spec, points, started

RNG = jax.random.key(3)
G = perceptron((8, 2))._replace(last_layer="dense_1/kernel")
TASK = LossTerm("task", "generator", lambda context, state: (jnp.abs(context.fake.images - 0.3), state), 0.7, task=True)
WEIGHTS = LossTerm("weights", "generator", lambda context, state: (jnp.sum(context.params["dense_1"]["kernel"] ** 2)[None], state), 5.0)


def adaptive_spec(*terms, **options):
    return point_spec(**{"generator": G, "terms": terms or (TASK,), "adaptive_weight": True, "adversarial_weight": 0.8} | options)


def gradients_of(spec, step=0):
    """Gradient of G and the metrics, on one minibatch."""
    _, params, state = started(spec)
    state = state._replace(step=jnp.int32(step))
    minibatch = spec.prepare_minibatch(points(), RNG)
    forward, after = forward_generator(spec, params.generator, state, minibatch)
    gradients, _, metrics = generator_gradients(spec, params, after, minibatch, forward)
    return gradients, metrics, params, state, minibatch


@pytest.mark.parametrize("terms", [(TASK,), (TASK, WEIGHTS)], ids=["task", "task and weights"])
def test_the_gradient_is_that_of_the_parts_and_the_ratio_is_that_of_the_task_alone(terms):
    spec = adaptive_spec(*terms)
    gradients, metrics, params, state, minibatch = gradients_of(spec)

    def part(generator, name):
        fake, _ = spec.generate(generator, state, minibatch)
        _, (_, _, parts) = generator_loss(spec, fake, params.discriminator, state, minibatch, generator, None)
        return getattr(parts, name)

    slopes = {name: jax.grad(part)(params.generator, name) for name in ("adversarial", "task", "further")}
    norms = {name: jnp.linalg.norm(slope["dense_1"]["kernel"]) for name, slope in slopes.items()}
    weight = 0.8 * norms["task"] / (norms["adversarial"] + 1e-4)
    np.testing.assert_allclose(metrics["adversarial_weight"], weight, rtol=1e-5)
    assert (norms["further"] > 0) == (WEIGHTS in terms)
    assert_close(gradients, jax.tree.map(lambda a, t, f: weight * a + t + f, *slopes.values()), tolerance=1e-5)
    total = weight * part(params.generator, "adversarial") + part(params.generator, "task") + part(params.generator, "further")
    np.testing.assert_allclose(metrics["generator_loss"], total, rtol=1e-5)
    np.testing.assert_allclose(metrics["adversarial_gradient_norm"] > 0, True)


def test_both_players_at_once_have_the_same_gradients_of_the_generator():
    spec = adaptive_spec()
    gan, params, state = started(spec, simultaneous())
    after, _, metrics = gan.train_step(params, state, points(), RNG)
    assert metrics["adversarial_weight"] > 0
    assert not np.array_equal(after.generator["dense_0"]["kernel"], params.generator["dense_0"]["kernel"])


@pytest.mark.parametrize("kind", ["shard_map", "jit"])
def test_the_weight_is_that_of_the_batch_on_all_devices(kind):
    spec = adaptive_spec(TASK, WEIGHTS)
    gan, params, state = started(spec)
    one = gan.train_step(params, state, points(32), RNG)
    placement = make_placement(kind, devices=4)
    many = build_gan(spec, distribute(alternating(), placement))
    placed = jax.device_put((params, state), placement.replicated)
    batch = jax.device_put(points(32), placement.batch)
    found = jax.jit(many.train_step, out_shardings=placement.replicated)(*placed, batch, RNG)
    assert_close(found[0], one[0], tolerance=1e-5)
    np.testing.assert_allclose(found[2]["adversarial_weight"], one[2]["adversarial_weight"], rtol=1e-4)


def test_before_the_start_only_the_task_is_learnt():
    late = point_spec(generator=G, terms=(TASK,), adversarial_start=3)
    alone = point_spec(generator=G, terms=(TASK,), adversarial_weight=0.0)
    plain = point_spec(generator=G, terms=(TASK,))
    for step, other in ((2, alone), (3, plain)):
        ours, metrics, params, state, minibatch = gradients_of(late, step)
        assert_same_bytes(ours, gradients_of(other, step)[0])
        assert metrics["adversarial_weight"] == (step == 3)
        fake, _ = late.generate(params.generator, state, minibatch)
        slopes, _, d_metrics = discriminator_gradients(late, params, state, minibatch, fake)
        expected, *_ = discriminator_gradients(plain, params, state, minibatch, fake)
        assert_same_bytes(slopes, expected if step == 3 else jax.tree.map(jnp.zeros_like, expected))
        assert d_metrics["discriminator_adversarial_loss"] > 0


def test_penalties_and_terms_of_the_discriminator_wait_for_the_start_too():
    pull = LossTerm("pull", "discriminator", lambda context, state: (context.real_output.logits**2, state))
    spec = point_spec(generator=G, terms=(TASK, pull), adversarial_start=1)
    gan, params, state = started(spec)
    first, state, metrics = gan.train_step(params, state, points(), RNG)
    assert_same_bytes(first.discriminator, params.discriminator)
    assert metrics["discriminator_loss"] == 0
    second, _, _ = gan.train_step(first, state, points(), RNG)
    assert not np.array_equal(second.discriminator["dense_0"]["kernel"], first.discriminator["dense_0"]["kernel"])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (adaptive_spec(WEIGHTS), "needs a task term of the generator: a LossTerm with task=True; got none"),
        (adaptive_spec(generator=perceptron((8, 2))), "needs a generator that declares its last layer"),
        (
            adaptive_spec(generator=G._replace(last_layer="output/kernel")),
            r"'output/kernel' must be the path of a parameter; there are dense_0",
        ),
        (adaptive_spec(transforms=Players((weight_norm(),), ())), r"must be the path of a parameter; there are direction/dense_0"),
    ],
)
def test_what_the_adaptive_weight_needs(spec, message):
    with pytest.raises(ValueError, match=message):
        gradients_of(spec)


def test_rules_that_differentiate_one_scalar_are_refused():
    spec = adaptive_spec()
    gan, params, state = started(spec, unrolled(unroll_steps=1))
    with pytest.raises(ValueError, match="adaptive_weight excludes update rules"):
        gan.train_step(params, state, points(), RNG)
    with pytest.raises(ValueError, match="adaptive_weight excludes update rules"):
        single_loss(spec, params, state, spec.prepare_minibatch(points(), RNG))


SMALL = {
    "pix2pix": {"image_size": 16, "width": 4},
    "inpaint": {"image_size": 16, "width": 4, "discriminator_width": 4},
    "stacked": {"image_size": 16, "width": 4, "blocks": 1},
    "vaegan": {"image_size": 16, "width": 4, "latent_dim": 4},
    "klgan": {"image_size": 16, "width": 4, "latent_dim": 4, "output_kernel": 3},
    "dcgan": {"image_size": 16, "width": 4},
    "multiscale": {"image_size": 16, "width": 4, "patch_layers": 1},
    "sngan": {"width": 4},
    "sagan": {"width": 4},
    "biggan": {"width": 4, "num_classes": 0},
}
CONTEXTS = {"image": (16, 16, 1), "masked": (16, 16, 4), "small": (4, 4, 3), "real": (16, 16, 3)}


def test_every_model_with_a_target_declares_its_last_layer():
    declared = {name for name in SMALL if as_networks(MODELS[name](**SMALL[name])).generator.last_layer}
    assert declared == set(SMALL)
    # A generator between two domains has a last layer for each.
    assert {name for name, row in MODELS.items() if row.context not in (None, "domains")} <= declared


@pytest.mark.parametrize("name", SMALL)
def test_the_last_layer_is_the_kernel_that_makes_the_channels_of_the_images(name):
    generator = as_networks(MODELS[name](**SMALL[name])).generator
    kind = MODELS[name].context
    context = None if kind is None else jax.ShapeDtypeStruct((2, *CONTEXTS[kind]), jnp.float32)
    latents = jax.ShapeDtypeStruct((2, 4), jnp.float32)
    params, _ = jax.eval_shape(lambda latents, context: generator.init(jax.random.key(0), latents, None, context), latents, context)
    for part in generator.last_layer.split("/"):
        params = params[part]
    assert params.ndim == 4
    assert params.shape[-1] == 3
