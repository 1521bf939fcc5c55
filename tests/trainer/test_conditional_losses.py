"""Flags of the adaptive weight, of embeddings with proxies and of the multi-hinge loss: what they set, and what they exclude."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from gan_jax.gan.types import LossTerm
from gan_jax.losses import MULTICLASS
from gan_jax.models.adapters import to_network
from gan_jax.trainer.build.compatibility import check_compatibility, resolve
from gan_jax.trainer.build.gan import build, build_spec
from gan_jax.trainer.build.model_options import model_options
from gan_jax.trainer.build.terms import build_terms
from gan_jax.trainer.config import Config, ConfigError, LossConfig, ModelConfig
from gan_jax.trainer.own_parts import own_parts
from support.small_recipes import RECIPES

PIX2PIX = {"name": "pix2pix", "latent_dim": 1, "width": 4}
LABELLED = {"name": "dcgan", "width": 4, "latent_dim": 4, "conditional": True, "condition": "none"}


def config_of(model, **loss):
    return Config(model=ModelConfig(**model), loss=LossConfig(**loss))


def test_the_flags_of_the_balance_reach_the_step():
    config = config_of(PIX2PIX, reconstruction=100.0, adversarial_weight=0.8, adaptive_weight=True, adversarial_start=7)
    spec = build_spec(config, (16, 16, 1), 0)
    assert (spec.adaptive_weight, spec.adversarial_start, spec.adversarial_weight) == (True, 7, 0.8)
    assert spec.generator.last_layer == "output/kernel"
    plain = build_spec(config_of(PIX2PIX), (16, 16, 1), 0)
    assert (plain.adaptive_weight, plain.adversarial_start) == (False, 0)


def test_terms_that_compare_with_a_target_are_task_terms():
    weights = ("feature_matching", "reconstruction", "feature_reconstruction", "kl", "total_variation")
    found = {term.name: term.task for term in build_terms(config_of({"name": "vaegan"}, **dict.fromkeys(weights, 1.0)), 0)}
    assert {name for name, task in found.items() if task} == {"reconstruction", "feature_reconstruction"}
    assert set(found) == set(weights)


def test_the_flags_of_embeddings_reach_their_terms():
    loss = {
        "data_to_data": 0.5,
        "data_to_data_temperature": 0.7,
        "data_to_data_margin": 0.9,
        "contrastive": 2.0,
        "contrastive_temperature": 3.0,
    }
    found = {term.name: term for term in build_terms(config_of(LABELLED | {"proxy_dim": 8}, **loss), 3)}
    assert {name: (term.player, term.weight) for name, term in found.items()} == {
        f"{name}_{player}": (player, loss[name]) for name in ("data_to_data", "contrastive") for player in ("discriminator", "generator")
    }
    spec = build_spec(config_of(LABELLED | {"proxy_dim": 8}, **loss), (8, 8, 1), 3)
    params, _ = jax.eval_shape(spec.init_networks, jax.random.key(0))
    assert params.discriminator["proxy_head"]["proxies"]["embedding"].shape == (3, 8)


@pytest.mark.parametrize(
    ("name", "settings"), [("data_to_data", {"temperature": 0.7, "margin": 0.9}), ("contrastive", {"temperature": 3.0})]
)
def test_a_term_of_embeddings_has_its_settings_and_its_images(name, settings):
    """D's term is the loss of the reals, and G's that of the fakes."""
    from gan_jax import losses
    from gan_jax.gan.types import LossContext, Minibatch
    from gan_jax.typing import DiscriminatorOutput, GeneratorOutput

    function = {"data_to_data": losses.data_to_data_cross_entropy_loss, "contrastive": losses.conditional_contrastive_loss}[name]
    config = config_of(LABELLED | {"proxy_dim": 5}, **{name: 0.5}, **{f"{name}_{key}": value for key, value in settings.items()})
    labels = jnp.array([0, 1, 1])
    real, fake, proxies = jax.random.normal(jax.random.key(0), (3, 3, 5))
    outputs = [DiscriminatorOutput(jnp.zeros(3), embeddings=vectors, proxies=proxies) for vectors in (real, fake)]
    minibatch = Minibatch(jnp.zeros((3, 8, 8, 1)), labels, None, jnp.zeros((3, 4)), jax.random.key(0))
    seen = LossContext(minibatch, GeneratorOutput(minibatch.real), *outputs, {}, {}, discriminate=None, generate=None, step=jnp.int32(0))
    for term, vectors in zip(build_terms(config, 3), (real, fake), strict=True):
        assert jnp.array_equal(term.function(seen, ())[0], function(vectors, proxies, labels, **settings))
        without = seen._replace(real_output=outputs[0]._replace(proxies=None), fake_output=outputs[1]._replace(proxies=None))
        with pytest.raises(ValueError, match="a discriminator with embeddings and proxies"):
            term.function(without, ())


def test_the_multi_hinge_loss_gives_the_discriminator_a_class_of_the_fakes():
    config = config_of(LABELLED, name="multi_hinge", adversarial_weight=0.05)
    assert model_options(config, (8, 8, 1), 3)["fake_class"]
    built = build(config, (8, 8, 1), 3)
    assert built.spec.loss == MULTICLASS["multi_hinge"]
    batch = {"image": jnp.zeros((4, 8, 8, 1), jnp.uint8), "label": jnp.arange(4) % 3}
    before = jax.eval_shape(built.gan.init, jax.random.key(0))
    *after, _ = jax.eval_shape(built.gan.train_step, *before, batch, jax.random.key(1))
    assert tuple(after) == before


@pytest.mark.parametrize(
    ("model", "loss", "message"),
    [
        ({}, {"adaptive_weight": True}, "--loss.adaptive-weight True: the model dcgan has no target image, so G has no task term; use"),
        ({}, {"adversarial_start": 9}, "--loss.adversarial-start 9: the model dcgan has no target image, so G has no task term; use"),
        (PIX2PIX, {"adaptive_weight": True}, "--loss.adaptive-weight True: G has no task term; add --loss.reconstruction, --loss.f"),
        (PIX2PIX, {"adversarial_start": 9, "total_variation": 1.0}, "--loss.adversarial-start 9: G has no task term; add --loss"),
        (LABELLED, {"data_to_data": 0.5}, "--loss.data-to-data 0.5: D has no embedding .*; add --model.proxy-dim 512"),
        (PIX2PIX, {"contrastive": 0.5}, "--loss.contrastive 0.5: the D of pix2pix has no embedding; use --model.name dcgan, sngan"),
        (LABELLED | {"proxy_dim": 8}, {}, "--model.proxy-dim 8: no loss trains the embedding; add --loss.data-to-data"),
        (
            LABELLED | {"proxy_dim": 8, "conditional": False},
            {"data_to_data": 1.0},
            "--model.proxy-dim 8: G and D need labels; add --model.conditional",
        ),
        (
            LABELLED | {"proxy_dim": 8, "condition": None},
            {"contrastive": 1.0},
            "--model.proxy-dim 8: D has to find the class .*; add --model.condition none",
        ),
        (PIX2PIX, {"name": "multi_hinge"}, "--loss.name multi_hinge: "),
        (LABELLED | {"conditional": False}, {"name": "multi_hinge"}, "--loss.name multi_hinge: G and D need labels"),
        (LABELLED | {"condition": "projection"}, {"name": "multi_hinge"}, "--loss.name multi_hinge: D has to find the class"),
        (LABELLED | {"auxiliary": True}, {"name": "multi_hinge"}, "--loss.name multi_hinge: its class logits"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(model, loss, message):
    with pytest.raises(ConfigError, match=f"^{message}") as caught:
        check_compatibility(config_of(model, **loss), (32, 32, 1), 10)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("group", "field", "value", "message"),
    [
        ("update", "name", "unrolled", "--update.name unrolled differentiates"),
        ("transform", "weight_norm", "generator", "weight normalisation splits the kernel"),
    ],
)
def test_rules_and_transforms_that_exclude_the_adaptive_weight(group, field, value, message):
    config = config_of(PIX2PIX, reconstruction=1.0, adaptive_weight=True)
    config = dataclasses.replace(config, **{group: dataclasses.replace(getattr(config, group), **{field: value})})
    with pytest.raises(ConfigError, match=f"^--loss.adaptive-weight True: {message}"):
        check_compatibility(config, (16, 16, 1), 0)


def test_gradient_normalisation_does_not_reach_the_multi_hinge_loss():
    config = config_of(LABELLED, name="multi_hinge")
    config = dataclasses.replace(config, transform=dataclasses.replace(config.transform, gradient_normalization=True))
    with pytest.raises(ConfigError, match=r"^--loss.name multi_hinge: --transform.gradient-normalization normalises one logit"):
        check_compatibility(config, (8, 8, 1), 3)


def test_own_task_terms_and_own_networks():
    pull = LossTerm("pull", "generator", lambda context, state: (context.fake.images**2, state), task=True)
    config = config_of({"name": "dcgan", "width": 4, "latent_dim": 4}, adaptive_weight=True)
    assert build_spec(config, (8, 8, 1), 0, own=own_parts(terms=[pull])).generator.last_layer == "output/conv/kernel"
    generator = to_network(
        (lambda rng: {"w": jnp.ones(())}, lambda params, x: params["w"] * jnp.ones((len(x), 8, 8, 1))), player="generator"
    )
    discriminator = to_network((lambda rng: {"w": jnp.ones(())}, lambda params, x: params["w"] * x.mean((1, 2, 3))), player="discriminator")
    with pytest.raises(ConfigError, match=r"^--loss.adaptive-weight: the generator declares no last layer; set last_layer of its Network"):
        build_spec(config, (8, 8, 1), 0, own=own_parts(terms=[pull], networks=(generator, discriminator)))
    own = own_parts(terms=[pull], networks=(generator._replace(last_layer="w"), discriminator))
    assert build_spec(config, (8, 8, 1), 0, own=own).adaptive_weight


def test_a_recipe_gives_way_to_the_multi_hinge_loss():
    config = dataclasses.replace(RECIPES["acgan"][1], recipe="acgan")
    config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, name="multi_hinge", real_target=None))
    resolved, notices = resolve(config, {"loss.name"})
    assert resolved.model.auxiliary is None
    assert len(notices) == 1


def test_the_recipe_differs_from_acgan_in_the_conditioning_alone():
    ours, other = RECIPES["reacgan"][1], RECIPES["acgan"][1]
    model = {"auxiliary": None, "proxy_dim": 512}
    loss = {"classify_fakes": True, "data_to_data": 0.5}
    assert dataclasses.replace(other, model=dataclasses.replace(other.model, **model), loss=dataclasses.replace(other.loss, **loss)) == ours
