"""Further terms of the players' losses, made from the leaves: what `GANSpec.terms` takes. One function a term."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax import losses, penalties
from gan_jax.gan.objectives import repeat_reals
from gan_jax.gan.state import named_key
from gan_jax.gan.types import LossContext
from gan_jax.trainer.config import ConfigError
from gan_jax.typing import Array, PyTree

TermFunction = Callable[[LossContext, PyTree], tuple[PyTree, PyTree]]


def stateless(function: Callable[[LossContext], Array]) -> TermFunction:
    """A term that carries nothing."""
    return lambda context, state: (function(context), state)


def feature_matching(context: LossContext) -> Array:
    """Distance of the mean features of reals and fakes in D (Salimans et al., 2016)."""
    assert context.real_output is not None
    real, fake = jax.lax.stop_gradient(dict(context.real_output.features)), dict(context.fake_output.features)
    return losses.feature_matching_loss(real, fake, axis_name=context.axis_name)


def classify_real_and_fake(context: LossContext) -> Array:
    """D's cross-entropy of the classes of reals and of fakes (Odena et al., 2017)."""
    assert context.real_output is not None
    of = partial(_class_loss, labels=context.minibatch.labels)
    return of(context.real_output.class_logits) + of(context.fake_output.class_logits)


def classify_real(context: LossContext) -> Array:
    """D's cross-entropy of the classes of reals alone: what a class looks like is not for G to say."""
    assert context.real_output is not None
    return _class_loss(context.real_output.class_logits, labels=context.minibatch.labels)


def classify_fake(context: LossContext) -> Array:
    """The cross-entropy of the fakes with the class asked for (Odena et al., 2017).

    In both players' losses, with codes that are not in the data, minus InfoGAN's bound of the mutual information (Chen et al., 2016).
    """
    return _class_loss(context.fake_output.class_logits, labels=context.minibatch.labels)


def _class_loss(class_logits: Array | None, labels: Array | None) -> Array:
    if class_logits is None or labels is None:
        raise ConfigError("--loss.classifier: the discriminator has no class logits; set --model.auxiliary and a source with labels")
    return losses.auxiliary_classifier_loss(class_logits, labels)


def target_of(context: LossContext) -> tuple[Array, Array]:
    """The pair (image asked for, image made): a reconstruction where the model makes one, otherwise its images."""
    return context.minibatch.real, context.fake.extras.get("reconstruction", context.fake.images)


def reconstruction(context: LossContext) -> Array:
    """L1 distance to the target image, also of the coarse image where there is one."""
    real, made = target_of(context)
    value = losses.l1_loss(real, made)
    if "coarse" in context.fake.extras:
        value = value + losses.l1_loss(real, context.fake.extras["coarse"])
    return value


def feature_reconstruction(context: LossContext) -> Array:
    """Squared distance of D's features of the target image and its reconstruction, half of it (Larsen et al., 2016)."""
    assert context.real_output is not None
    _, made = target_of(context)
    features = context.discriminate(made, "reconstruction").features
    wanted = jax.lax.stop_gradient(context.real_output.features)
    last = list(wanted)[-1]
    axes = tuple(range(1, wanted[last].ndim))
    return 0.5 * jnp.sum(jnp.square(wanted[last] - features[last]), axis=axes)


def posterior_divergence(context: LossContext) -> Array:
    """KL divergence of the encoder's posterior from the prior."""
    extras = context.fake.extras
    if "mean" not in extras:
        raise ConfigError("--loss.kl: the model has no encoder")
    return losses.kl_divergence(extras["mean"], extras["log_variance"])


def images_of(context: LossContext) -> Array:
    """The fakes that a smoothness term looks at."""
    return target_of(context)[1]


def orthogonality(context: LossContext) -> Array:
    """BigGAN's orthogonal regularisation of this player's kernels."""
    return penalties.orthogonal_penalty(context.params)


def consistency(context: LossContext, *, flip: bool) -> Array:
    """CR: D on reals and on their copies, shifted (and mirrored, where a mirror image is as real)."""
    augmented = penalties.random_flip_shift(named_key(context.minibatch.rng, "consistency"), context.minibatch.real, flip=flip)
    return penalties.consistency_penalty(_critic(context, "consistency"), context.minibatch.real, augmented)


def balanced_consistency(context: LossContext, *, flip: bool) -> Array:
    """bCR: D on reals and fakes, and on their shifted (and mirrored) copies."""
    key, critic = named_key(context.minibatch.rng, "balanced_consistency"), _critic(context, "balanced_consistency")

    def of(name: str, images: Array) -> Array:
        return penalties.consistency_penalty(critic, images, penalties.random_flip_shift(named_key(key, name), images, flip=flip))

    of_real, of_fake = of("real", context.minibatch.real), of("fake", context.fake.images)
    return repeat_reals(of_real, of_fake) + of_fake


def perturbed_fake(context: LossContext) -> Array:
    """The fakes of slightly other latents, under the same draws of the network."""
    latents = penalties.perturb_latents(named_key(context.minibatch.rng, "perturb"), context.minibatch.latents)
    return context.generate(latents).images


def latent_consistency(context: LossContext) -> Array:
    """zCR, the discriminator's half."""
    return penalties.latent_consistency_penalty(_critic(context, "latent_consistency"), context.fake.images, perturbed_fake(context))


def latent_diversity(context: LossContext) -> Array:
    """zCR, the generator's half."""
    return penalties.latent_diversity_loss(context.fake.images, perturbed_fake(context))


def lecam(context: LossContext, state: PyTree) -> tuple[PyTree, PyTree]:
    """LeCam: D's answers stay near the averages of its past answers for the other kind; one pair of averages for all scales."""
    assert context.real_output is not None
    real, fake = context.real_output.logits, context.fake_output.logits
    everyone = (real, fake)
    if context.axis_name is not None:
        everyone = jax.tree.map(lambda logits: jax.lax.all_gather(logits, context.axis_name, tiled=True), everyone)
    state = penalties.update_lecam(state, *(jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(logits)]) for logits in everyone))

    def values(real: Array, fake: Array) -> Array:
        return penalties.lecam_penalty(repeat_reals(real, fake), fake, state)

    return jax.tree.map(values, real, fake), state


def spectral_regularisation(context: LossContext, state: PyTree) -> tuple[Array, PyTree]:
    """Half the squared spectral norms of D's kernels (Yoshida and Miyato, 2017)."""
    value, state = penalties.spectral_norm_penalty(context.params, state)
    return 0.5 * value, state


def _critic(context: LossContext, name: str) -> Callable[[Array], Any]:
    return lambda images: context.discriminate(images, name).logits
