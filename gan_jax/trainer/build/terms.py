"""Builds the further loss terms of both players from a configuration."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax import losses, penalties
from gan_jax.gan.loss_terms import (
    TermFunction,
    balanced_consistency,
    classify_fake,
    classify_real,
    classify_real_and_fake,
    consistency,
    cycle_consistency,
    drift,
    embed_fake,
    embed_real,
    feature_matching,
    feature_reconstruction,
    identity_mapping,
    images_of,
    latent_consistency,
    latent_diversity,
    lecam,
    orthogonality,
    path_length,
    posterior_divergence,
    reconstruction,
    spectral_regularisation,
    stateless,
    target_of,
)
from gan_jax.gan.types import LossContext, LossTerm
from gan_jax.trainer.build.traced import is_on
from gan_jax.trainer.config import Config, ConfigError
from gan_jax.typing import Array


def vgg_term(config: Config, compare: Callable[[Any, Any], Array], layers: tuple[str, ...]) -> TermFunction:
    """Returns a distance between the VGG16 features of the target and of the generated image."""
    from gan_jax.models import vgg

    if config.loss.vgg is None:
        raise ConfigError(
            "--loss.vgg: --loss.perceptual and --loss.style need weights of VGG16; make the file with experiments/tools/convert_vgg.py, "
            "or set --loss.perceptual 0 --loss.style 0"
        )
    features = vgg.feature_extractor(config.loss.vgg, layers=layers)

    def function(context: LossContext) -> Array:
        target, generated = target_of(context)
        return compare(jax.lax.stop_gradient(features(target)), features(generated))

    return stateless(function)


def build_terms(config: Config, num_classes: int) -> tuple[LossTerm, ...]:
    """Returns the loss terms with a weight above 0, in a fixed order."""
    loss = config.loss
    generator, discriminator = "generator", "discriminator"
    rows: list[LossTerm] = []

    def add(name: str, player: str, weight: float, function: TermFunction | None = None, **more: Any) -> None:
        if is_on(weight):
            assert function is not None
            rows.append(LossTerm(name, player, function, weight, **more))

    if config.model.auxiliary:
        classify = classify_fake if config.model.codes else classify_real_and_fake if loss.classify_fakes else classify_real
        add("classifier_discriminator", discriminator, loss.classifier, stateless(classify))
        add("classifier_generator", generator, loss.classifier, stateless(classify_fake))
    settings = {"temperature": loss.data_to_data_temperature, "margin": loss.data_to_data_margin}
    data_to_data = partial(losses.data_to_data_cross_entropy_loss, **settings)
    contrastive = partial(losses.conditional_contrastive_loss, temperature=loss.contrastive_temperature)
    for name, weight, function in (("data_to_data", loss.data_to_data, data_to_data), ("contrastive", loss.contrastive, contrastive)):
        add(f"{name}_discriminator", discriminator, weight, stateless(partial(embed_real, loss=function)))
        add(f"{name}_generator", generator, weight, stateless(partial(embed_fake, loss=function)))
    add("feature_matching", generator, loss.feature_matching, stateless(feature_matching), needs_real=True)
    add("reconstruction", generator, loss.reconstruction, stateless(reconstruction), task=True)
    add("cycle", generator, loss.cycle, stateless(cycle_consistency))
    add("identity", generator, loss.identity, stateless(identity_mapping))
    add("feature_reconstruction", generator, loss.feature_reconstruction, stateless(feature_reconstruction), needs_real=True, task=True)
    add("kl", generator, loss.kl, stateless(posterior_divergence))
    add("total_variation", generator, loss.total_variation, stateless(lambda context: losses.total_variation_loss(images_of(context))))
    if is_on(loss.perceptual):
        add("perceptual", generator, loss.perceptual, vgg_term(config, losses.perceptual_loss, ("relu2_2", "relu3_3")), task=True)
    if is_on(loss.style):
        layers = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
        add("style", generator, loss.style, vgg_term(config, losses.style_loss, layers), task=True)
    return (*rows, *_penalty_terms(config))


def _penalty_terms(config: Config) -> list[LossTerm]:
    penalty, flip = config.penalty, config.data.flip
    lecam_function = partial(lecam, one_sided=penalty.lecam_one_sided, start_step=penalty.lecam_start)
    path_length_function = partial(
        path_length,
        interval=penalty.path_length_interval,
        batch_shrink=penalty.path_length_shrink,
        decay=penalty.path_length_decay,
    )
    generator, discriminator = "generator", "discriminator"
    rows = [
        LossTerm("orthogonal_generator", generator, stateless(orthogonality), penalty.orthogonal_generator),
        LossTerm("orthogonal_discriminator", discriminator, stateless(orthogonality), penalty.orthogonal_discriminator),
        LossTerm("spectral", discriminator, spectral_regularisation, penalty.spectral, init=penalties.init_spectral_norm_penalty),
        LossTerm("consistency", discriminator, stateless(partial(consistency, flip=flip)), penalty.consistency),
        LossTerm("balanced_consistency", discriminator, stateless(partial(balanced_consistency, flip=flip)), penalty.balanced_consistency),
        LossTerm("latent_consistency", discriminator, stateless(latent_consistency), penalty.latent_consistency),
        LossTerm("latent_diversity", generator, stateless(latent_diversity), penalty.latent_diversity),
        LossTerm("drift", discriminator, stateless(drift), penalty.drift),
        LossTerm("path_length", generator, path_length_function, penalty.path_length, init=lambda rng, params: jnp.float32(0)),
        LossTerm("lecam", discriminator, lecam_function, penalty.lecam, init=lambda rng, params: penalties.init_lecam()),
    ]
    return [row for row in rows if is_on(row.weight)]
