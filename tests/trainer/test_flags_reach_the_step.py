"""What a flag sets arrives in the right place of the step, with the right sign and size."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.trainer.build.gan import (
    build_augmentations,
    build_cutmix,
    build_penalties,
    build_pseudo_augmentation,
    build_spec,
    build_targets,
    build_transforms,
)
from gan_jax.trainer.build.optimizer import build_optimizer, updates_per_step
from gan_jax.trainer.build.terms import build_terms
from gan_jax.trainer.config import Config, ModelConfig
from gan_jax.typing import Players

POINTS = Config(model=ModelConfig(name="points", latent_dim=2), batch_size=16, steps=100)
PARAMS = {"embedding": {"embedding": jnp.eye(3)}, "dense": {"kernel": jnp.eye(3), "bias": jnp.ones(3)}}


def with_groups(**groups):
    return dataclasses.replace(POINTS, **{name: dataclasses.replace(getattr(POINTS, name), **fields) for name, fields in groups.items()})


def rows(**groups):
    return {term.name: term for term in build_terms(with_groups(**groups), 3)}


@pytest.mark.parametrize(
    ("group", "weights"),
    [
        (
            "penalty",
            {
                "orthogonal_generator": "generator",
                "orthogonal_discriminator": "discriminator",
                "spectral": "discriminator",
                "consistency": "discriminator",
                "balanced_consistency": "discriminator",
                "latent_consistency": "discriminator",
                "latent_diversity": "generator",
                "drift": "discriminator",
                "lecam": "discriminator",
            },
        ),
        (
            "loss",
            {
                "feature_matching": "generator",
                "reconstruction": "generator",
                "feature_reconstruction": "generator",
                "kl": "generator",
                "total_variation": "generator",
            },
        ),
    ],
)
def test_each_term_has_its_own_weight_and_player(group, weights):
    values = {name: 0.5 + number for number, name in enumerate(weights)}
    found = rows(**{group: values})
    assert {name: (term.player, term.weight) for name, term in found.items()} == {
        name: (player, values[name]) for name, player in weights.items()
    }


def test_the_start_and_the_form_of_lecam_are_those_of_the_flags():
    term = rows(penalty={"lecam": 1.0, "lecam_one_sided": False, "lecam_start": 7})["lecam"]
    assert term.function.keywords == {"one_sided": False, "start_step": 7}


def test_the_target_the_side_and_the_interval_of_gradient_penalties():
    def value(slope, **penalty):
        (row,) = build_penalties(with_groups(penalty={"wgan_gp": 10.0, **penalty}))
        points = jnp.ones((2, 1))
        return row, float(row.function(lambda x: slope * x[:, 0], points, points, jax.random.key(0))[0])

    assert value(3.0)[1] == pytest.approx((3 - 1) ** 2)
    assert value(3.0, target=5.0)[1] == pytest.approx((3 - 5) ** 2)
    assert value(3.0, target=5.0, one_sided=True)[1] == 0
    assert (value(3.0)[0].interval, value(3.0, interval=4)[0].interval, value(3.0)[0].weight) == (1, 4, 10.0)


@pytest.mark.parametrize(("flag", "normalised"), [("discriminator", (False, True)), ("both", (True, True)), ("none", (False, False))])
def test_embeddings_are_normalised_for_the_players_of_the_flag(flag, normalised):
    transforms = build_transforms(with_groups(transform={"spectral_norm": "both", "spectral_norm_embeddings": flag}))
    for (transform,), expected in zip(transforms, normalised, strict=True):
        assert set(transform.init(jax.random.key(0), PARAMS).vectors) == {"dense/kernel"} | ({"embedding/embedding"} if expected else set())


def test_the_players_freeze_for_their_own_steps():
    assert build_spec(with_groups(update={"freeze_generator": 5, "freeze_discriminator": 2}), (2,), 0).freeze == Players(5, 2)


def test_targets_are_drawn_from_their_ranges():
    targets = build_targets(with_groups(loss={"real_target": (0.7, 0.8), "fake_target": (0.2, 0.3)}))
    real, fake = targets(jax.random.key(0), (100,))
    assert 0.7 <= float(real.min()) < float(real.max()) <= 0.8
    assert 0.2 <= float(fake.min()) < float(fake.max()) <= 0.3


def test_adaptive_augmentation_counts_the_images_of_a_pack():
    """Each interval moves p by the images since the last one, divided by the images to full. Here 4 logits of packs of 2."""
    augment = {"ada": 0.1, "ada_interval": 1, "ada_kimg": 0.1, "pack": 2, "ada_policy": "color"}
    ada, _ = build_augmentations(with_groups(augment=augment))
    state = ada.update(ada.init(), jnp.ones(4), -jnp.ones(4))
    np.testing.assert_allclose(state.probability, 4 * 2 / 100, rtol=1e-6)


def test_pseudo_augmentation_is_that_of_its_flags():
    augment = {"apa": 0.1, "apa_interval": 1, "apa_kimg": 0.1, "pack": 2}
    pseudo = build_pseudo_augmentation(with_groups(augment=augment))
    start = pseudo.init()
    state = pseudo.update(start, jnp.ones(4), -jnp.ones(4))
    assert (float(pseudo.probability(start)), float(pseudo.probability(state))) == pytest.approx((0, 4 * 2 / 100))
    fixed = build_pseudo_augmentation(with_groups(augment=augment | {"apa_probability": 0.3}))
    assert fixed.probability(fixed.update(fixed.init(), jnp.ones(4), -jnp.ones(4))) == jnp.float32(0.3)
    slow = build_pseudo_augmentation(with_groups(augment=augment | {"apa_interval": 2}))
    assert slow.probability(slow.update(slow.init(), jnp.ones(4), -jnp.ones(4))) == 0
    assert build_pseudo_augmentation(with_groups(augment={"apa_kimg": 0.1})) is None


def test_the_probability_of_cutmix_rises_over_its_warm_up():
    cutmix = build_cutmix(with_groups(penalty={"cutmix": 2.0, "cutmix_probability": 0.4, "cutmix_warmup": 10, "cutmix_replaces": False}))
    assert (cutmix.weight, cutmix.replaces) == (2.0, False)
    assert [float(cutmix.probability(jnp.int32(step))) for step in (0, 5, 10, 20)] == pytest.approx([0, 0.2, 0.4, 0.4])
    assert build_cutmix(with_groups(penalty={"cutmix": 1.0})).probability(jnp.int32(0)) == 0.5
    assert build_cutmix(with_groups(penalty={"cutmix_probability": 0.4})) is None


def test_updates_of_each_player_in_a_step():
    config = with_groups(update={"discriminator_steps": 3, "generator_steps": 2})
    assert [updates_per_step(config, player) for player in Players._fields] == [2, 3]
    config = with_groups(update={"name": "extragradient"})
    assert [updates_per_step(config, player) for player in Players._fields] == [2, 2]


def first_updates(gradients, **optimizer):
    """The updates of a scalar parameter of D, 1 at the start, by SGD with learning rate 1 unless told otherwise."""
    settings = {"discriminator": "sgd", "discriminator_lr": 1.0, "ema_decay": 0.0} | optimizer
    optimizer = build_optimizer(with_groups(optimizer=settings))
    params = Players({"w": jnp.ones(())}, {"w": jnp.ones(())})
    state, updates = optimizer.init(params), []
    for gradient in gradients:
        update, state = optimizer.update(Players(None, {"w": jnp.float32(gradient)}), state, params)
        params = Players(params.generator, optax.apply_updates(params.discriminator, update.discriminator))
        updates.append(float(update.discriminator["w"]))
    return updates


def test_the_decays_of_adam_are_those_of_the_flags():
    """The second step of Adam from its first moments, by hand: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, both without bias."""
    for b1, b2 in ((0.0, 0.9), (0.5, 0.99)):
        m, v = b1 * (1 - b1) * 1 + (1 - b1) * 3, b2 * (1 - b2) * 1 + (1 - b2) * 9
        expected = -(m / (1 - b1**2)) / np.sqrt(v / (1 - b2**2))
        assert first_updates([1.0, 3.0], discriminator="adam", b1=b1, b2=b2)[1] == pytest.approx(expected, rel=1e-5)


def test_gradients_and_weights_are_clipped_at_their_flags():
    assert first_updates([3.0]) == [-3.0]
    assert first_updates([3.0], clip_gradients=0.5) == [-0.5]
    # From 1 to the bound 0.25.
    assert first_updates([0.1], clip_weights=0.25) == pytest.approx([-0.75])
