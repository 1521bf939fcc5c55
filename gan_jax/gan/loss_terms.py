"""Further terms of the players' losses, one function each. `LossTerm` adds the player and the weight.

A term that carries no state has the form `context -> values` with a `LossContext`. `stateless` makes it a `LossTerm.function`, which has
the form `(context, state) -> (values, state)`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax import losses, penalties
from gan_jax.gan.player_losses import repeat_reals
from gan_jax.gan.state import named_key
from gan_jax.gan.types import LossContext
from gan_jax.typing import Array, DiscriminatorOutput, PyTree

TermFunction = Callable[[LossContext, PyTree], tuple[PyTree, PyTree]]


def stateless(function: Callable[[LossContext], Array]) -> TermFunction:
    """A `LossTerm.function` without a state."""
    return lambda context, state: (function(context), state)


def feature_matching(context: LossContext) -> Array:
    """Feature matching for G: distance of the mean features of reals and fakes in D (Salimans et al., 2016)."""
    assert context.real_output is not None
    real, fake = jax.lax.stop_gradient(dict(context.real_output.features)), dict(context.fake_output.features)
    return losses.feature_matching_loss(real, fake, axis_name=context.axis_name)


def classify_real_and_fake(context: LossContext) -> Array:
    """Classifier loss of D on reals and on fakes (AC-GAN, Odena et al., 2017)."""
    assert context.real_output is not None
    return _class_loss(context.real_output, context) + _class_loss(context.fake_output, context)


def classify_real(context: LossContext) -> Array:
    """Classifier loss of D on reals only. G then has no influence on what D considers a class."""
    assert context.real_output is not None
    return _class_loss(context.real_output, context)


def classify_fake(context: LossContext) -> Array:
    """Cross-entropy of D's classification of the fakes with the classes that G was given (AC-GAN, Odena et al., 2017).

    For codes that are not in the data and in both players' losses, it is the negative of InfoGAN's bound on the mutual information
    (Chen et al., 2016).
    """
    return _class_loss(context.fake_output, context)


def _class_loss(output: DiscriminatorOutput, context: LossContext) -> Array:
    class_logits, labels = output.class_logits, context.minibatch.labels
    if class_logits is None or labels is None:
        raise ValueError("a classifier term needs a discriminator with class logits and a minibatch with labels")
    return losses.auxiliary_classifier_loss(class_logits, labels)


def embed_real(context: LossContext, *, loss: Callable[..., Array]) -> Array:
    """Loss of D's embeddings of the reals, for D (ReACGAN, Kang et al., 2021). `loss` is a function of `gan_jax.losses.contrastive`."""
    assert context.real_output is not None
    return _embedding_loss(context.real_output, context, loss)


def embed_fake(context: LossContext, *, loss: Callable[..., Array]) -> Array:
    """Loss of D's embeddings of the fakes with the classes that G was given, for G."""
    return _embedding_loss(context.fake_output, context, loss)


def _embedding_loss(output: DiscriminatorOutput, context: LossContext, loss: Callable[..., Array]) -> Array:
    embeddings, proxies, labels = output.embeddings, output.proxies, context.minibatch.labels
    if embeddings is None or proxies is None or labels is None:
        raise ValueError("an embedding term needs a discriminator with embeddings and proxies, and a minibatch with labels")
    return loss(embeddings, proxies, labels, axis_name=context.axis_name)


def target_of(context: LossContext) -> tuple[Array, Array]:
    """The pair (target image, generated image). The latter is the reconstruction if the model makes one, otherwise the fake."""
    return context.minibatch.real, context.fake.extras.get("reconstruction", context.fake.images)


def reconstruction(context: LossContext) -> Array:
    """L1 distance to the target image. If the model makes a coarse image, its distance is added."""
    real, made = target_of(context)
    value = losses.l1_loss(real, made)
    if "coarse" in context.fake.extras:
        value = value + losses.l1_loss(real, context.fake.extras["coarse"])
    return value


def cycle_consistency(context: LossContext) -> Array:
    """L1 distance of images of two domains to their translations there and back, summed over the domains (CycleGAN, Zhu et al., 2017).

    L = |G_BA(G_AB(a)) - a| + |G_AB(G_BA(b)) - b|
    """
    return _of_both_domains(context, "cycled")


def identity_mapping(context: LossContext) -> Array:
    """L1 distance of images to their translations into their own domain, summed over two domains (CycleGAN, Zhu et al., 2017).

    L = |G_BA(a) - a| + |G_AB(b) - b|
    """
    return _of_both_domains(context, "identity")


def _of_both_domains(context: LossContext, name: str) -> Array:
    if name not in context.fake.extras:
        raise ValueError("cycle consistency and the identity loss need a model that translates between two domains")
    # The mean over the joined channels is the mean of the two domains.
    return 2 * losses.l1_loss(context.minibatch.real, context.fake.extras[name])


def feature_reconstruction(context: LossContext) -> Array:
    """Half the squared distance of D's last features of the target image and of its reconstruction (VAE-GAN, Larsen et al., 2016)."""
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
        raise ValueError("the KL divergence needs a model with an encoder")
    return losses.kl_divergence(extras["mean"], extras["log_variance"])


def images_of(context: LossContext) -> Array:
    """The generated images, for a smoothness term."""
    return target_of(context)[1]


def orthogonality(context: LossContext) -> Array:
    """Orthogonal regularisation of the player's raw kernels, before spectral normalisation (BigGAN, Brock et al., 2019)."""
    return penalties.orthogonal_penalty(context.raw_params)


def consistency(context: LossContext, *, flip: bool) -> Array:
    """CR for D: consistency on reals and their shifted copies, which are also mirrored if `flip` (Zhang et al., 2020)."""
    augmented = penalties.random_flip_shift(named_key(context.minibatch.rng, "consistency"), context.minibatch.real, flip=flip)
    return penalties.consistency_penalty(_critic(context, "consistency"), context.minibatch.real, augmented)


def balanced_consistency(context: LossContext, *, flip: bool) -> Array:
    """bCR for D: consistency on reals and fakes and their shifted, optionally mirrored copies (Zhao et al., 2020)."""
    key, critic = named_key(context.minibatch.rng, "balanced_consistency"), _critic(context, "balanced_consistency")

    def penalty(name: str, images: Array) -> Array:
        return penalties.consistency_penalty(critic, images, penalties.random_flip_shift(named_key(key, name), images, flip=flip))

    real_values, fake_values = penalty("real", context.minibatch.real), penalty("fake", context.fake.images)
    return repeat_reals(real_values, fake_values) + fake_values


def perturbed_fake(context: LossContext) -> Array:
    """The fakes of perturbed latents, with the same draws of the network."""
    latents = penalties.perturb_latents(named_key(context.minibatch.rng, "perturb"), context.minibatch.latents)
    return context.generate(latents).images


def latent_consistency(context: LossContext) -> Array:
    """zCR for D: consistency under perturbed latents (Zhao et al., 2020)."""
    return penalties.latent_consistency_penalty(_critic(context, "latent_consistency"), context.fake.images, perturbed_fake(context))


def latent_diversity(context: LossContext) -> Array:
    """zCR for G: diversity under perturbed latents (Zhao et al., 2020)."""
    return penalties.latent_diversity_loss(context.fake.images, perturbed_fake(context))


def lecam(context: LossContext, state: PyTree, *, one_sided: bool = True, start_step: int = 0) -> tuple[PyTree, PyTree]:
    """LeCam regularisation of D (Tseng et al., 2021). All scales share one pair of moving averages.

    The averages are updated from the first step. The penalty is 0 before `start_step`, which is 1,000 in the authors' BigGAN code.
    """
    assert context.real_output is not None
    real, fake = context.real_output.logits, context.fake_output.logits
    global_logits = (real, fake)
    if context.axis_name is not None:
        global_logits = jax.tree.map(lambda logits: jax.lax.all_gather(logits, context.axis_name, tiled=True), global_logits)
    state = penalties.update_lecam(
        state, *(jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(logits)]) for logits in global_logits)
    )

    def values(real: Array, fake: Array) -> Array:
        penalty = penalties.lecam_penalty(repeat_reals(real, fake), fake, state, one_sided=one_sided)
        return jnp.where(context.step >= start_step, penalty, 0.0) if start_step else penalty

    return jax.tree.map(values, real, fake), state


def drift(context: LossContext) -> PyTree:
    """Squared logits of the reals for D (Karras et al., 2018)."""
    assert context.real_output is not None
    return jax.tree.map(penalties.drift_penalty, context.real_output.logits)


def path_length(
    context: LossContext,
    mean: PyTree,
    *,
    interval: int = 1,
    batch_shrink: int = 2,
    decay: float = 0.01,
    sample_noise: Callable[..., Array] = jax.random.normal,
) -> tuple[Array, PyTree]:
    """Path-length regularisation of G on a part of the batch, lazily (StyleGAN2, Karras et al., 2020).

    Every `interval` steps the values are computed, and multiplied by `interval`. In the other steps they are 0, and the moving mean of
    the lengths stays. The styles are those of training, with mixing. `sample_noise` is `(rng, shape) -> noise`.
    """
    rng = named_key(context.minibatch.rng, "path_length")
    latents = context.minibatch.latents[: max(len(context.minibatch.latents) // batch_shrink, 1)]

    def value() -> tuple[Array, Array]:
        styles = context.generate(latents, rng).extras["styles"]

        def synthesize(styles: Array) -> Array:
            return context.generate(styles, rng).images

        noise = sample_noise(named_key(rng, "noise"), jax.eval_shape(synthesize, styles).shape)
        axis_name = context.axis_name
        values, new_mean, _ = penalties.path_length_penalty(synthesize, styles, noise, mean, decay=decay, axis_name=axis_name)
        return interval * values, new_mean

    if interval == 1:
        return value()
    return jax.lax.cond(context.step % interval == 0, value, lambda: (jnp.zeros(len(latents)), mean))


def spectral_regularisation(context: LossContext, state: PyTree) -> tuple[Array, PyTree]:
    """Half the sum of the squared spectral norms of D's kernels (Yoshida and Miyato, 2017)."""
    value, state = penalties.spectral_norm_penalty(context.params, state)
    return 0.5 * value, state


def _critic(context: LossContext, name: str) -> Callable[[Array], Any]:
    return lambda images: context.discriminate(images, name).logits
