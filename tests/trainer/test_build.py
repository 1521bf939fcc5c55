"""Building a GAN from a configuration: what a flag builds, and which fields are incompatible."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.losses import RELATIVISTIC
from gan_jax.optimizers import OPTIMIZERS
from gan_jax.trainer.build.compatibility import cautions, check_compatibility
from gan_jax.trainer.build.gan import build, build_networks, build_spec, model_options
from gan_jax.trainer.build.optimizer import build_learning_rates, build_optimizer
from gan_jax.trainer.config import (
    AugmentConfig,
    Config,
    ConfigError,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    PenaltyConfig,
    UpdateConfig,
    check,
)
from gan_jax.trainer.own_parts import OwnParts
from gan_jax.typing import Players

POINTS = Config(model=ModelConfig(name="points", latent_dim=2), batch_size=16, steps=100)


def with_groups(config, **groups):
    return dataclasses.replace(config, **{name: dataclasses.replace(getattr(config, name), **fields) for name, fields in groups.items()})


def one_step(config, shape=(2,)):
    """Returns the shapes of the results of one step."""
    built = build(check(config), shape, 0)
    params, state = jax.eval_shape(built.gan.init, jax.random.key(0))
    batch = {"image": jax.ShapeDtypeStruct((config.batch_size * built.rule.batches_per_step, *shape), jnp.float32)}
    return jax.eval_shape(built.gan.train_step, params, state, batch, jax.random.key(2))


@pytest.mark.parametrize(
    "groups",
    [
        {"loss": {"name": name}}
        for name in ("minimax", "non_saturating", "least_squares", "wasserstein", "hinge", "relativistic", "relativistic_average")
    ]
    + [
        {"loss": {"real_target": (0.7, 1.2), "fake_target": (0.0, 0.3), "flip_probability": 0.1}},
        {"loss": {"name": "least_squares", "generator_target": 0.5, "halve": True}},
        {"loss": {"feature_matching": 1.0}},
        {"loss": {"top_k": 0.5}},
        {"penalty": {"wgan_gp": 10.0, "r1": 1.0, "r2": 1.0, "zero_centered": 1.0, "dragan": 1.0, "interval": 4}},
        {"penalty": {"orthogonal_generator": 1e-4, "spectral": 1e-2, "lecam": 0.3, "latent_consistency": 5.0, "latent_diversity": 0.5}},
        {"transform": {"spectral_norm": "both"}},
        {"transform": {"weight_norm": "discriminator"}},
        {"transform": {"weight_norm": "both", "spectral_norm": "both"}},
        {"transform": {"gradient_normalization": True}},
        {"transform": {"gradient_normalization": True, "spectral_norm": "discriminator"}, "penalty": {"r1": 1.0, "lecam": 0.3}},
        {"transform": {"weight_norm": "both"}, "penalty": {"spectral": 1e-2, "orthogonal_discriminator": 1e-4}},
        {"augment": {"instance_noise": 0.1}},
        {"augment": {"pack": 2}},
        {"replay": {"size": 64}},
        {"optimizer": {"generator": "sgd", "discriminator": "rmsprop", "clip_weights": 0.01, "historical_averaging": 1e-3}},
        {"optimizer": {"clip_gradients": 1.0, "adaptive_clip": 0.1, "schedule": "cosine", "target_discriminator": True}},
        {"optimizer": {"generator": "optimistic_adam", "discriminator": "optimistic_adam"}},
        {"update": {"discriminator_steps": 3, "generator_steps": 2, "order": "generator_first"}},
        {"update": {"pool_size": 2, "pool_interval": 20, "pool_duration": 5}},
        {"update": {"freeze_generator": 5, "micro_batches": 2}},
    ],
    ids=str,
)
def test_every_switch_makes_a_step(groups):
    params, _, metrics = one_step(with_groups(POINTS, **groups))
    assert isinstance(params, Players)
    assert {"discriminator_loss", "generator_loss", "learning_rate/generator"} <= set(metrics)
    assert all(value.shape == () for value in metrics.values())


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"loss": {"name": "best"}}, "--loss.name best: must be one of"),
        ({"loss": {"name": "hinge", "flip_probability": 0.5}}, "hinge has no labels"),
        ({"loss": {"name": "hinge", "flip_probability": 0.5}}, "use --loss.name least_squares or minimax or non_saturating"),
        ({"loss": {"name": "hinge", "generator_target": 0.5}}, "--loss.generator-target"),
        ({"loss": {"name": "minimax", "generator_target": 0.5}}, "--loss.generator-target 0.5: minimax gives G no label"),
        ({"loss": {"kl": 1.0}}, None),
        ({"model": {"conditional": True}}, "has no labels"),
        ({"model": {"width": 8}}, "--model.width: the model points has no such option"),
        ({"model": {"options": {"depth": 3}}}, "--model.options depth"),
        ({"optimizer": {"generator": "best"}}, "--optimizer.generator best: must be one of"),
        ({"augment": {"ada": 0.6}, "loss": {"name": "wasserstein"}}, "--augment.ada"),
        *(
            ({"augment": {"ada": 0.6}, "loss": {"name": name}}, "--augment.ada 0.6: .* a decision at logit 0")
            for name in sorted(RELATIVISTIC)
        ),
        (
            {"update": {"name": "loss_balanced"}, "optimizer": {"schedule": "cosine"}},
            "--optimizer.schedule cosine: .* use --optimizer.schedule constant",
        ),
        ({"update": {"name": "unrolled"}, "optimizer": {"adaptive_clip": 0.1}}, "--optimizer.adaptive-clip"),
        ({"replay": {"size": 64}, "penalty": {"latent_consistency": 1.0}}, "--replay.size 64: --penalty.latent-consistency"),
        ({"update": {"name": "simultaneous", "pool_size": 2}}, "--update.pool-size"),
        ({"update": {"name": "simultaneous", "generator_steps": 2}}, "--update.generator-steps"),
    ],
    ids=str,
)
def test_incompatible_fields_are_refused(groups, message):
    with pytest.raises(ConfigError, match=message):
        one_step(with_groups(POINTS, **groups))


def image_config(name, **groups):
    model = {"name": name, "latent_dim": 4, "width": 4, "options": {"blocks": 1} if name == "stacked" else {}}
    return with_groups(Config(batch_size=4), model=model, **groups)


@pytest.mark.parametrize("name", ["pix2pix", "inpaint", "multiscale"])
def test_gradient_normalisation_of_many_logits_is_refused(name):
    with pytest.raises(ConfigError, match=f"^--transform.gradient-normalization True: needs one logit per image, and the D of {name}"):
        check_compatibility(image_config(name, transform={"gradient_normalization": True}), (16, 16, 1), 0)


def test_gradient_normalisation_of_an_own_network_with_many_logits_is_refused():
    networks = build_networks(image_config("multiscale"), (16, 16, 1), 0)
    config = with_groups(Config(batch_size=4), transform={"gradient_normalization": True})
    with pytest.raises(ConfigError, match=r"^networks: .*gradient normalisation needs one logit per example"):
        build(config, (16, 16, 1), own=OwnParts(networks=networks))


def test_batch_norm_in_d_under_gradient_normalisation_is_a_caution():
    config = image_config("dcgan", transform={"gradient_normalization": True})
    assert any(line.startswith("--transform.gradient-normalization True: with batch norm in D") for line in cautions(config, ()))
    assert cautions(with_groups(config, model={"discriminator_norm": "none"}), ()) == []


def test_a_penalty_of_a_gradient_normalised_image_critic_can_be_differentiated():
    """D is differentiated three times, through the convolutions with their own rules of differentiation."""
    model = {"discriminator_norm": "none", "down": "average"}
    config = with_groups(image_config("dcgan"), model=model, transform={"gradient_normalization": True}, penalty={"r1": 1.0})
    assert "penalty/r1" in one_step(config, (8, 8, 1))[2]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (
            {"model": {"name": "dcgan"}},
            "--penalty.cutmix 1.0: needs logits of pixels, .*; use --model.name unet_gan",
        ),
        (
            {"loss": {"name": "hinge"}},
            "--penalty.cutmix 1.0: .* hinge is none; use --loss.name non_saturating or minimax",
        ),
        ({"augment": {"diff_augment": "color"}}, "--augment.diff-augment color: gives reals, fakes and mixed images other changes"),
        ({"augment": {"ada": 0.6}}, "--augment.ada 0.6: gives reals, fakes and mixed images other changes"),
        ({"augment": {"pack": 2}}, "--augment.pack 2: packed samples share the logits that --penalty.cutmix compares"),
        ({"penalty": {"cutmix": 1.0, "consistency": 10.0}}, "--penalty.consistency 10.0: .* not the logits of unet_gan"),
        ({"penalty": {"balanced_consistency": 10.0}}, "--penalty.balanced-consistency 10.0: .* not the logits of unet_gan"),
        ({"transform": {"gradient_normalization": True}}, "--transform.gradient-normalization True: .* the D of unet_gan has many"),
    ],
    ids=str,
)
def test_cutmix_without_pixels_that_can_be_compared_is_refused(groups, message):
    config = with_groups(image_config("unet_gan"), penalty={"cutmix": 1.0})
    with pytest.raises(ConfigError, match=message):
        check_compatibility(with_groups(config, **groups), (16, 16, 1), 0)


def test_a_unet_gan_with_cutmix_makes_a_step():
    config = image_config("unet_gan", penalty={"cutmix": 1.0, "r1": 1.0}, transform={"spectral_norm": "both"})
    metrics = one_step(config, (16, 16, 1))[2]
    assert {"cutmix/loss", "cutmix/consistency", "penalty/r1"} <= set(metrics)


@pytest.mark.parametrize("name", ["pix2pix", "inpaint", "stacked"])
def test_moving_an_image_without_its_pair_is_refused(name):
    """D sees a map, a mask or a small image beside each image. Moving only the image breaks the pair."""
    for groups, message in [
        ({"augment": {"pack": 2}}, f"--augment.pack 2: packed samples of {name}"),
        ({"replay": {"size": 64}}, f"--replay.size 64: a past fake of {name}"),
        ({"augment": {"ada": 0.6}}, "--augment.ada 0.6: moves the images"),
        ({"augment": {"diff_augment": "color,translation"}}, "--augment.diff-augment color,translation: moves the images"),
        ({"penalty": {"consistency": 10.0}}, "--penalty.consistency 10.0: moves the images"),
        ({"penalty": {"balanced_consistency": 10.0}}, "--penalty.balanced-consistency 10.0: moves the images"),
    ]:
        with pytest.raises(ConfigError, match=message):
            build_spec(image_config(name, **groups), (16, 16, 1), 0)
    for policy in ("color", "color,cutout"):
        build_spec(image_config(name, augment={"diff_augment": policy}), (16, 16, 1), 0)


@pytest.mark.parametrize(
    "groups", [*({"loss": {"name": name}} for name in sorted(RELATIVISTIC)), {"penalty": {"balanced_consistency": 10.0}}], ids=str
)
def test_two_fakes_for_each_real_are_compared_with_it(groups):
    """A VAE-GAN has two fakes for each real: a sample and a reconstruction."""
    _, _, metrics = one_step(image_config("vaegan", **groups), (8, 8, 1))
    assert metrics["generator_loss"].shape == ()


@pytest.mark.parametrize(("pack", "examples"), [(1, 48), (2, 48), (5, 50), (64, 64)])
def test_the_examples_of_the_beginning_can_be_packed(pack, examples):
    config = dataclasses.replace(with_groups(POINTS, augment={"pack": pack}), batch_size=2 * pack)
    assert build_spec(config, (2,), 0).example_batch == examples
    one_step(config)


def unrolled_with(rule):
    return with_groups(POINTS, optimizer={"discriminator": rule, "ema_decay": 0.0}, update={"name": "unrolled", "unroll_steps": 2})


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_every_optimizer_has_a_derivative_at_zero_gradient(rule):
    optimizer, params = build_optimizer(unrolled_with(rule)), Players({"w": jnp.ones(2)}, {"w": jnp.ones(2)})

    def moved(gradient):
        answered, state = params, optimizer.init(params)
        for _ in range(2):
            updates, state = optimizer.update(Players(None, {"w": gradient}), state, answered)
            answered = Players(params.generator, {"w": answered.discriminator["w"] + updates.discriminator["w"]})
        return answered.discriminator["w"].sum()

    assert bool(jnp.isfinite(jax.grad(moved)(jnp.array([0.0, 0.3]))).all())


def test_unrolling_stays_finite_where_a_unit_is_dead():
    options = {"generator_hidden": "4", "discriminator_hidden": "4", "activation": "relu"}
    config = with_groups(unrolled_with("adamw"), model={"options": options})
    gan = build(check(config), (2,), 0).gan
    params, state = gan.init(jax.random.key(0))
    # With this bias no point activates the first unit of D.
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf.at[0].set(-1e3) if leaf.shape == (4,) and "discriminator" in jax.tree_util.keystr(path) else leaf, params
    )
    params, _, metrics = jax.jit(gan.train_step)(params, state, {"image": jnp.ones((16, 2))}, jax.random.key(1))
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves((params, metrics)))


def test_schedules_span_the_run_whatever_the_number_of_updates():
    config = with_groups(
        POINTS, optimizer={"schedule": "linear", "discriminator_lr": 1.0, "generator_lr": 2.0}, update={"discriminator_steps": 5}
    )
    rates = build_learning_rates(config)
    np.testing.assert_allclose(rates(jnp.int32(50))["learning_rate/discriminator"], 0.5)
    np.testing.assert_allclose(rates(jnp.int32(50))["learning_rate/generator"], 1.0)
    # The optimiser agrees: after 250 updates of D the step has half its size.
    optimizer = build_optimizer(with_groups(config, optimizer={"discriminator": "sgd", "ema_decay": 0.0}))
    params = Players({"w": jnp.zeros(())}, {"w": jnp.zeros(())})
    state = optimizer.init(params)

    def body(state, _):
        updates, state = optimizer.update(Players(None, {"w": jnp.ones(())}), state, params)
        return state, updates.discriminator["w"]

    _, updates = jax.lax.scan(body, state, length=251)
    np.testing.assert_allclose(updates[jnp.array([0, 250])], [-1.0, -0.5], rtol=1e-5)


def test_model_options_come_from_data_and_flags():
    config = Config(model=ModelConfig(name="dcgan", width=8, options={"noise_std": 0.1}))
    options = model_options(config, (64, 64, 3), 0)
    assert (options["image_size"], options["channels"], options["width"], options["noise_std"]) == (64, 3, 8, 0.1)
    with pytest.raises(ConfigError, match=r"does not make data of shape \(2,\)"):
        model_options(config, (2,), 0)


def test_ranges_are_checked():
    for config, message in [
        (Config(steps=-1), "--steps -1: must be at least 0"),
        (Config(optimizer=OptimizerConfig(b1=1.0)), r"--optimizer.b1 1.0: must be in \[0, 1\)"),
        (Config(penalty=PenaltyConfig(r1=-1.0)), "--penalty.r1 -1.0: must be at least 0"),
        (Config(loss=LossConfig(real_target=(1.0, 0.5))), "--loss.real-target"),
        (Config(augment=AugmentConfig(pack=3)), "--batch-size 64: must be a multiple of 3"),
        (Config(update=UpdateConfig(pool_size=1, pool_interval=5, pool_duration=5)), "--update.pool-duration"),
        (Config(optimizer=OptimizerConfig(generator_lr=float("nan"))), "--optimizer.generator-lr nan"),
    ]:
        with pytest.raises(ConfigError, match=message):
            check(config)


def test_codes_are_drawn_and_the_labels_of_the_data_are_not_looked_at():
    config = Config(model=ModelConfig(width=4, latent_dim=4, auxiliary=True, condition="none", codes=3))
    spec = build(config, (8, 8, 1), num_classes=10).spec
    assert spec.num_classes == 3
    batch = {"image": jnp.zeros((64, 8, 8, 1), jnp.uint8), "label": jnp.full(64, 9)}
    labels = spec.prepare_minibatch(batch, jax.random.key(0)).labels
    assert set(np.asarray(labels).tolist()) == {0, 1, 2}
    assert (spec.prepare_minibatch(batch, jax.random.key(1)).labels != labels).any()


@pytest.mark.parametrize("wrong", [{"condition": "channels"}, {"condition": None}, {"auxiliary": False}, {"conditional": True}])
def test_codes_that_the_discriminator_could_see_are_refused(wrong):
    model = {"width": 4, "latent_dim": 4, "auxiliary": True, "condition": "none", "codes": 3} | wrong
    with pytest.raises(ConfigError, match=r"--model\.codes"):
        build(Config(model=ModelConfig(**model)), (8, 8, 1), num_classes=10)


# -- values that change over the run -----------------------------------------------------------------------------------


def test_final_values_are_reached_over_the_burn_in_of_each_players_own_updates():
    """R3GAN's schedules by flags: 100 steps, a burn-in of half of them, two updates of D in each step."""
    config = with_groups(
        dataclasses.replace(POINTS, burn_in=0.5),
        penalty={"r1": 2.0, "final": 0.1},
        optimizer={"b2": 0.9, "b2_final": 0.99, "lr_final": 0.25, "discriminator_lr": 4e-4},
        update={"discriminator_steps": 2},
    )
    spec = build_spec(config, (2,), 0)
    weight = spec.penalties[0].weight
    np.testing.assert_allclose([float(weight(step)) for step in (0, 25, 50, 99)], [2.0, 1.1, 0.2, 0.2], rtol=1e-5)
    rates = build_learning_rates(config)
    for step, factor in ((0, 1.0), (25, 0.625), (50, 0.25), (99, 0.25)):
        found = rates(jnp.int32(step))
        np.testing.assert_allclose(found["learning_rate/generator"], factor * 2e-4, rtol=1e-5)
        np.testing.assert_allclose(found["learning_rate/discriminator"], factor * 4e-4, rtol=1e-5)

    def moment(player, updates):
        """The second moment after some zero gradients and a one: 1 - b2 of the last update."""
        params = Players(jnp.zeros(()), jnp.zeros(()))
        optimizer, missing = build_optimizer(config), Players(None, None)
        state = optimizer.init(params)
        for number in range(updates + 1):
            gradient = jnp.float32(number == updates)
            _, state = optimizer.update(missing._replace(**{player: gradient}), state, params)
        nodes = jax.tree.leaves(state, is_leaf=lambda node: hasattr(node, "nu"))
        (second,) = (node.nu for node in nodes if hasattr(node, "nu") and node.nu > 0)
        return float(second)

    for player, updates, b2 in (("generator", 0, 0.9), ("generator", 25, 0.945), ("discriminator", 50, 0.945), ("generator", 60, 0.99)):
        assert moment(player, updates) == pytest.approx(1 - b2, rel=1e-4), (player, updates)


def test_the_weight_of_a_penalty_follows_the_step_in_the_loss():
    config = with_groups(dataclasses.replace(POINTS, steps=10), penalty={"r1": 2.0, "final": 0.0})
    built = build(config, (2,), 0)
    params, state = built.gan.init(jax.random.key(0))
    step, batch = jax.jit(built.gan.train_step), {"image": jnp.ones((16, 2))}
    for number, weight in ((0, 2.0), (5, 1.0), (10, 0.0)):
        _, _, metrics = step(params, state._replace(step=jnp.int32(number)), batch, jax.random.key(1))
        added = metrics["discriminator_loss"] - metrics["discriminator_adversarial_loss"]
        np.testing.assert_allclose(added, weight * metrics["penalty/r1"], rtol=1e-4, atol=1e-6)


def test_the_probability_of_augmentations_follows_the_step():
    config = with_groups(Config(steps=10), augment={"ada_probability_final": 1.0, "ada_policy": "cutout"})
    (augmentation,) = build_spec(config, (32, 32, 1), 0).augmentations
    images, state = jnp.ones((64, 8, 8, 1)), augmentation.init()
    for _ in range(8):
        state = augmentation.update(state, jnp.ones(64), jnp.ones(64))
    shares = [float((augmentation.apply(images, state, jax.random.key(0), step) == 0).any(axis=(1, 2, 3)).mean()) for step in (0, 5, 10)]
    assert shares[0] == 0
    assert 0.3 < shares[1] < 0.7
    assert shares[2] == 1


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"optimizer": {"lr_final": 0.5, "schedule": "cosine"}}, "--optimizer.schedule cosine: excludes --optimizer.lr-final"),
        ({"update": {"name": "loss_balanced"}, "optimizer": {"b2_final": 0.9}}, "--optimizer.b2-final 0.9: .* drop --optimizer.b2-final"),
        ({"penalty": {"final": 0.1}}, "--penalty.final 0.1: there is no gradient penalty"),
        ({"augment": {"ada_probability_final": 0.5}}, "--augment.ada-probability-final 0.5: for images only"),
    ],
)
def test_schedules_that_do_not_fit(groups, message):
    with pytest.raises(ConfigError, match=message):
        build(check(with_groups(dataclasses.replace(POINTS, data=dataclasses.replace(POINTS.data, source="ring")), **groups)), (2,), 0)
