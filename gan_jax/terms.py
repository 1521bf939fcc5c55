"""Further terms of the players' losses, made from the leaves: what `Game.terms` takes. One function a term."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax import losses, penalties
from gan_jax.config import Config, ConfigError
from gan_jax.objectives import repeat_reals
from gan_jax.pieces import Play, Term, named_key
from gan_jax.typing import Array, PyTree

TermFunction = Callable[[Play, PyTree], tuple[PyTree, PyTree]]


def stateless(function: Callable[[Play], Array]) -> TermFunction:
    """A term that carries nothing."""
    return lambda play, state: (function(play), state)


def feature_matching(play: Play) -> Array:
    """Distance of the mean features of reals and fakes in D (Salimans et al., 2016)."""
    assert play.real_output is not None
    real, fake = jax.lax.stop_gradient(dict(play.real_output.features)), dict(play.fake_output.features)
    return losses.feature_matching_loss(real, fake, axis_name=play.axis_name)


def classify_real_and_fake(play: Play) -> Array:
    """D's cross-entropy of the classes of reals and of fakes (Odena et al., 2017)."""
    assert play.real_output is not None
    of = partial(_class_loss, labels=play.round.labels)
    return of(play.real_output.class_logits) + of(play.fake_output.class_logits)


def classify_real(play: Play) -> Array:
    """D's cross-entropy of the classes of reals alone: what a class looks like is not for G to say."""
    assert play.real_output is not None
    return _class_loss(play.real_output.class_logits, labels=play.round.labels)


def classify_fake(play: Play) -> Array:
    """The cross-entropy of the fakes with the class asked for (Odena et al., 2017).

    In both players' losses, with codes that are not in the data, minus InfoGAN's bound of the mutual information (Chen et al., 2016).
    """
    return _class_loss(play.fake_output.class_logits, labels=play.round.labels)


def _class_loss(class_logits: Array | None, labels: Array | None) -> Array:
    if class_logits is None or labels is None:
        raise ConfigError("--loss.classifier: the discriminator has no class logits; set --model.auxiliary and a source with labels")
    return losses.auxiliary_classifier_loss(class_logits, labels)


def target_of(play: Play) -> tuple[Array, Array]:
    """The pair (image asked for, image made): a reconstruction where the model makes one, otherwise its images."""
    return play.round.real, play.fake.extras.get("reconstruction", play.fake.images)


def reconstruction(play: Play) -> Array:
    """L1 distance to the target image, also of the coarse image where there is one."""
    real, made = target_of(play)
    value = losses.l1_loss(real, made)
    if "coarse" in play.fake.extras:
        value = value + losses.l1_loss(real, play.fake.extras["coarse"])
    return value


def feature_reconstruction(play: Play) -> Array:
    """Squared distance of D's features of the target image and its reconstruction, half of it (Larsen et al., 2016)."""
    assert play.real_output is not None
    _, made = target_of(play)
    features = play.discriminate(made, "reconstruction").features
    wanted = jax.lax.stop_gradient(play.real_output.features)
    last = list(wanted)[-1]
    axes = tuple(range(1, wanted[last].ndim))
    return 0.5 * jnp.sum(jnp.square(wanted[last] - features[last]), axis=axes)


def posterior_divergence(play: Play) -> Array:
    """KL divergence of the encoder's posterior from the prior."""
    extras = play.fake.extras
    if "mean" not in extras:
        raise ConfigError("--loss.kl: the model has no encoder")
    return losses.kl_divergence(extras["mean"], extras["log_variance"])


def images_of(play: Play) -> Array:
    """The fakes that a smoothness term looks at."""
    return target_of(play)[1]


def vgg_term(config: Config, compare: Callable[[Any, Any], Array], layers: tuple[str, ...]) -> TermFunction:
    """A distance of VGG16's features of the target and the made image."""
    from gan_jax.models import vgg

    if config.loss.vgg is None:
        raise ConfigError(
            "--loss.vgg: perceptual and style losses need the weights of VGG16; make the file with `python experiments/convert_vgg.py`, "
            "or turn them off with --loss.perceptual 0 --loss.style 0"
        )
    features = vgg.feature_extractor(config.loss.vgg, layers=layers)

    def function(play: Play) -> Array:
        real, made = target_of(play)
        return compare(jax.lax.stop_gradient(features(real)), features(made))

    return stateless(function)


def orthogonality(play: Play) -> Array:
    """BigGAN's orthogonal regularisation of this player's kernels."""
    return penalties.orthogonal_penalty(play.params)


def build_terms(config: Config, num_classes: int) -> tuple[Term, ...]:
    """The terms with a weight above 0, in a fixed order."""
    loss = config.loss
    generator, discriminator = "generator", "discriminator"
    rows: list[Term] = []

    def add(name: str, player: str, weight: float, function: TermFunction | None = None, **more: Any) -> None:
        if weight:
            assert function is not None
            rows.append(Term(name, player, function, weight, **more))

    if config.model.auxiliary:
        seen = classify_fake if config.model.codes else classify_real_and_fake if loss.classify_fakes else classify_real
        add("classifier_discriminator", discriminator, loss.classifier, stateless(seen))
        add("classifier_generator", generator, loss.classifier, stateless(classify_fake))
    add("feature_matching", generator, loss.feature_matching, stateless(feature_matching), needs_real=True)
    add("reconstruction", generator, loss.reconstruction, stateless(reconstruction))
    add("feature_reconstruction", generator, loss.feature_reconstruction, stateless(feature_reconstruction), needs_real=True)
    add("kl", generator, loss.kl, stateless(posterior_divergence))
    add("total_variation", generator, loss.total_variation, stateless(lambda play: losses.total_variation_loss(images_of(play))))
    if loss.perceptual:
        add("perceptual", generator, loss.perceptual, vgg_term(config, losses.perceptual_loss, ("relu2_2", "relu3_3")))
    if loss.style:
        add("style", generator, loss.style, vgg_term(config, losses.style_loss, ("relu1_2", "relu2_2", "relu3_3", "relu4_3")))
    return (*rows, *_penalty_terms(config))


def consistency(play: Play, *, flip: bool) -> Array:
    """CR: D on reals and on their copies, shifted (and mirrored, where a mirror image is as real)."""
    augmented = penalties.random_flip_shift(named_key(play.round.rng, "consistency"), play.round.real, flip=flip)
    return penalties.consistency_penalty(_critic(play, "consistency"), play.round.real, augmented)


def balanced_consistency(play: Play, *, flip: bool) -> Array:
    """bCR: D on reals and fakes, and on their shifted (and mirrored) copies."""
    key, critic = named_key(play.round.rng, "balanced_consistency"), _critic(play, "balanced_consistency")

    def of(name: str, images: Array) -> Array:
        return penalties.consistency_penalty(critic, images, penalties.random_flip_shift(named_key(key, name), images, flip=flip))

    of_real, of_fake = of("real", play.round.real), of("fake", play.fake.images)
    return repeat_reals(of_real, of_fake) + of_fake


def perturbed_fake(play: Play) -> Array:
    """The fakes of slightly other latents, under the same draws of the network."""
    latents = penalties.perturb_latents(named_key(play.round.rng, "perturb"), play.round.latents)
    return play.generate(latents).images


def latent_consistency(play: Play) -> Array:
    """zCR, the discriminator's half."""
    return penalties.latent_consistency_penalty(_critic(play, "latent_consistency"), play.fake.images, perturbed_fake(play))


def latent_diversity(play: Play) -> Array:
    """zCR, the generator's half."""
    return penalties.latent_diversity_loss(play.fake.images, perturbed_fake(play))


def lecam(play: Play, state: PyTree) -> tuple[PyTree, PyTree]:
    """LeCam: D's answers stay near the averages of its past answers for the other kind; one pair of averages for all scales."""
    assert play.real_output is not None
    real, fake = play.real_output.logits, play.fake_output.logits
    everyone = (real, fake)
    if play.axis_name is not None:
        everyone = jax.tree.map(lambda logits: jax.lax.all_gather(logits, play.axis_name, tiled=True), everyone)
    state = penalties.update_lecam(state, *(jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(logits)]) for logits in everyone))

    def values(real: Array, fake: Array) -> Array:
        return penalties.lecam_penalty(repeat_reals(real, fake), fake, state)

    return jax.tree.map(values, real, fake), state


def spectral_regularisation(play: Play, state: PyTree) -> tuple[Array, PyTree]:
    """Half the squared spectral norms of D's kernels (Yoshida and Miyato, 2017)."""
    value, state = penalties.spectral_norm_penalty(play.params, state)
    return 0.5 * value, state


def _critic(play: Play, name: str) -> Callable[[Array], Any]:
    return lambda images: play.discriminate(images, name).logits


def _penalty_terms(config: Config) -> list[Term]:
    penalty, flip = config.penalty, config.data.flip
    generator, discriminator = "generator", "discriminator"
    rows = [
        Term("orthogonal_generator", generator, stateless(orthogonality), penalty.orthogonal),
        Term("orthogonal_discriminator", discriminator, stateless(orthogonality), penalty.orthogonal),
        Term("spectral", discriminator, spectral_regularisation, penalty.spectral, init=penalties.init_spectral_norm_penalty),
        Term("consistency", discriminator, stateless(partial(consistency, flip=flip)), penalty.consistency),
        Term("balanced_consistency", discriminator, stateless(partial(balanced_consistency, flip=flip)), penalty.balanced_consistency),
        Term("latent_consistency", discriminator, stateless(latent_consistency), penalty.latent_consistency),
        Term("latent_diversity", generator, stateless(latent_diversity), 0.1 * penalty.latent_consistency),
        Term("lecam", discriminator, lecam, penalty.lecam, init=lambda rng, params: penalties.init_lecam()),
    ]
    return [row for row in rows if row.weight]
