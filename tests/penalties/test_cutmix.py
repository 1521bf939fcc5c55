"""CutMix: its masks against the authors' code, its losses by hand, and its place in D's loss."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.distributed import distribute, make_placement
from gan_jax.gan.cutmix import pixel_logits
from gan_jax.gan.make import build_gan
from gan_jax.gan.player_losses import discriminator_loss
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.types import CutMix
from gan_jax.gan.update_rules import alternating
from gan_jax.latents import normal
from gan_jax.losses import ADVERSARIAL
from gan_jax.optimizers import per_player
from gan_jax.penalties import cutmix_consistency, cutmix_loss, cutmix_mask, draw_cutmix_masks, mix_images
from gan_jax.typing import DiscriminatorOutput, GeneratorOutput
from support.golden_networks import generate, judge_pixels, layer, network

# boschresearch/unetgan, commit 37adcf0, see tests/golden/critics_torch.py.
with np.load(pathlib.Path(__file__).parents[1] / "golden" / "critics_torch.npz") as file:
    DRAWS, MASKS = file["cutmix/draws"], file["cutmix/masks"]
RNG = jax.random.key(3)


def test_the_masks_are_those_of_the_authors():
    for (kept, row, column, side), expected in zip(DRAWS, MASKS, strict=True):
        mask = cutmix_mask(1 - jnp.float32(kept), int(row), int(column), side > 0.5, height=16, width=16)
        np.testing.assert_array_equal(mask, expected)


def test_masks_have_uniform_areas_and_both_sides():
    masks = np.asarray(draw_cutmix_masks(RNG, (4000, 16, 32)))
    assert masks.shape == (4000, 16, 32)
    assert set(np.unique(masks)) == {0.0, 1.0}
    # The real part is as likely inside as outside, and so half of all pixels are real.
    assert masks.mean() == pytest.approx(0.5, abs=0.02)
    boxes = np.where(masks.mean(axis=(1, 2)) > 0.5, 1 - masks.mean(axis=(1, 2)), masks.mean(axis=(1, 2)))
    assert np.quantile(boxes, 0.9) > 0.3
    assert len(np.unique(masks.reshape(4000, -1), axis=0)) > 2000


def test_mixed_images_are_real_where_the_mask_is_one():
    real, fake, masks = jnp.ones((2, 3, 3, 1)), jnp.full((2, 3, 3, 1), -1.0), jnp.zeros((2, 3, 3)).at[0, 1, 2].set(1)
    mixed = np.asarray(mix_images(real, fake, masks))
    assert mixed[0, 1, 2, 0] == 1
    assert mixed.sum() == -16


def test_losses_by_hand():
    masks = jnp.array([[[1.0, 0.0]]])
    # softplus(0) + (softplus(2) - 2 + softplus(-1)) / 2
    expected = np.log(2) + (np.log1p(np.exp(2)) - 2 + np.log1p(np.exp(-1))) / 2
    np.testing.assert_allclose(cutmix_loss(jnp.zeros(1), jnp.array([[[2.0, -1.0]]]), masks), [expected], rtol=1e-6)
    # The pixels' targets are 3 of the real and 5 of the fake, so ((2 - 3)^2 + (-1 - 5)^2) / 2.
    value = cutmix_consistency(jnp.array([[[2.0, -1.0]]]), jnp.array([[[3.0, 9.0]]]), jnp.array([[[9.0, 5.0]]]), masks)
    np.testing.assert_allclose(value, [18.5])
    gradients = jax.grad(lambda *maps: cutmix_consistency(*maps, masks).sum(), argnums=(0, 1, 2))(
        jnp.array([[[2.0, -1.0]]]), jnp.array([[[3.0, 9.0]]]), jnp.array([[[9.0, 5.0]]])
    )
    np.testing.assert_allclose(np.stack(gradients)[:, 0, 0], [[-1, -6], [1, 0], [0, 6]])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_widened(dtype):
    maps = jnp.full((1, 2, 2), 300.0, dtype)
    assert cutmix_consistency(maps, -maps, -maps, jnp.ones((1, 2, 2)))[0] == 360_000
    assert cutmix_loss(jnp.zeros(1, dtype), maps, jnp.ones((1, 2, 2))).dtype == jnp.float32


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: mix_images(jnp.ones((2, 3, 3, 1)), jnp.ones((2, 3, 3, 3)), jnp.ones((2, 3, 3))), "real and fake must have one shape"),
        (lambda: mix_images(jnp.ones((2, 3, 3, 1)), jnp.ones((2, 3, 3, 1)), jnp.ones((2, 3, 3, 1))), r"masks must be \(2, 3, 3\)"),
        (lambda: cutmix_loss(jnp.ones(2), jnp.ones((2, 3, 3)), jnp.ones((2, 3))), "pixel_logits and masks must have one shape"),
        (lambda: cutmix_loss(jnp.ones((2, 1)), jnp.ones((2, 3, 3)), jnp.ones((2, 3, 3))), r"one for each image, \(2,\); got \(2, 1\)"),
        (lambda: cutmix_consistency(*[jnp.ones((2, 3, 3))] * 3, jnp.ones((2, 3, 1))), "must have one shape"),
        (
            lambda: pixel_logits(DiscriminatorOutput(jnp.ones(2)), (2, 3, 3, 1)),
            r"CutMix needs a discriminator with logits \(2,\) of the images and \(2, 3, 3\) of their pixels; got \[\(2,\)\]",
        ),
    ],
)
def test_what_does_not_fit_is_refused(function, message):
    with pytest.raises(ValueError, match=message):
        function()


# -- in the step ---------------------------------------------------------------------------------------------------


def left_half(rng, shape):
    return jnp.zeros(shape).at[:, :, : shape[2] // 2].set(1)


def pixel_spec(probability, *, weight=2.0, replaces=True, loss="non_saturating"):
    rng = np.random.default_rng(0)

    def tree(shapes):
        draw = lambda shape: jnp.asarray(0.3 * rng.normal(size=shape), jnp.float32)  # noqa: E731
        return jax.tree.map(draw, shapes, is_leaf=lambda node: isinstance(node, tuple))

    generator = tree({"dense": layer(3, 64), "conv": layer(3, 3, 4, 3)})
    discriminator = tree({"conv_0": layer(3, 3, 3, 5), "conv_1": layer(3, 3, 5, 1), "dense": layer(5, 1)})
    return GANSpec(
        network(generate, generator, GeneratorOutput),
        network(judge_pixels, discriminator, lambda output: output),
        ADVERSARIAL[loss],
        per_player(optax.sgd(0.1), optax.sgd(0.1)),
        image_shape=(8, 8, 3),
        latent_dim=3,
        sample_latents=normal,
        cutmix=CutMix(weight, lambda step: probability, replaces, left_half),
    )


BATCH = {"image": jax.random.uniform(jax.random.key(1), (8, 8, 8, 3), minval=-1)}


def one_step(spec, kind=None):
    gan = build_gan(spec, alternating())
    params, state = gan.init(jax.random.key(0))
    batch, places = BATCH, {}
    if kind is not None:
        placement = make_placement(kind, devices=2)
        gan = build_gan(spec, distribute(alternating(), placement))
        params, state = jax.device_put((params, state), placement.replicated)
        batch, places = jax.device_put(batch, placement.batch), {"out_shardings": placement.replicated}
    params, state, metrics = jax.jit(gan.train_step, **places)(params, state, batch, RNG)
    return jax.device_get(params), jax.device_get(metrics)


def loss_of_discriminator(spec):
    """The metrics of D's loss on one minibatch."""
    params, state = spec.init(jax.random.key(0))

    @jax.jit
    def metrics():
        minibatch = spec.prepare_minibatch(BATCH, RNG)
        fake, after = spec.generate(params.generator, state, minibatch)
        return discriminator_loss(spec, params.discriminator, after, fake, minibatch, None)[1][1]

    return metrics()


def test_mixed_updates_replace_the_loss_or_add_to_it_and_others_leave_it():
    specs = (dataclasses.replace(pixel_spec(0.0), cutmix=None), pixel_spec(0.0), pixel_spec(1.0), pixel_spec(1.0, replaces=False))
    plain, off, mixed, added = map(loss_of_discriminator, specs)
    assert off["discriminator_loss"] == pytest.approx(plain["discriminator_loss"])
    assert (off["cutmix/loss"], off["cutmix/consistency"]) == (0, 0)
    assert mixed["cutmix/loss"] > 0.1
    assert mixed["cutmix/consistency"] > 0
    total = mixed["cutmix/loss"] + 2 * mixed["cutmix/consistency"]
    assert mixed["discriminator_loss"] == pytest.approx(total)
    assert added["discriminator_loss"] == pytest.approx(plain["discriminator_loss"] + total)
    assert mixed["discriminator_adversarial_loss"] == pytest.approx(plain["discriminator_loss"])


def test_half_of_the_updates_are_mixed_at_probability_one_half():
    spec = pixel_spec(0.5)
    params, state = spec.init(jax.random.key(0))

    @jax.jit
    def mixed(key):
        minibatch = spec.prepare_minibatch(BATCH, key)
        fake, after = spec.generate(params.generator, state, minibatch)
        return discriminator_loss(spec, params.discriminator, after, fake, minibatch, None)[1][1]["cutmix/loss"] > 0

    assert 18 <= sum(bool(mixed(key)) for key in jax.random.split(RNG, 60)) <= 42


@pytest.mark.parametrize("kind", ["shard_map", "jit"])
def test_the_step_is_the_same_on_two_devices(kind):
    (one, one_metrics), (two, two_metrics) = one_step(pixel_spec(1.0)), one_step(pixel_spec(1.0), kind)
    for a, b in zip(jax.tree.leaves((one, one_metrics)), jax.tree.leaves((two, two_metrics)), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
