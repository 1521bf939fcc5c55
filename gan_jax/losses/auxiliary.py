"""Losses beside the adversarial one that read the discriminator: its classifier and its features."""

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from gan_jax._checks import check_float, check_interval, check_not_empty, check_rank
from gan_jax.losses.common import paired_leaves, per_example, to_compute_dtype, weigh
from gan_jax.typing import Array, PyTree


def auxiliary_classifier_loss(logits: Array, labels: Array, *, label_smoothing: float = 0.0, weights: ArrayLike | None = None) -> Array:
    """Cross-entropy of the discriminator's classifier: -log softmax(logits)[label].

    In AC-GAN both players minimise it, D on reals and fakes, G on fakes; StudioGAN's D takes reals alone.
    With smoothing s the target is (1 - s) one_hot(label) + s / classes.

    Args:
        logits: class logits, float [batch, classes].
        labels: int [batch], in [0, classes).
        label_smoothing: s in [0, 1].
        weights: a factor per example; 0 leaves an example out, whatever its label: -1 for those without one.

    Returns:
        One value per example, [batch], float32 or wider. NaN where a label is not in [0, classes), unless its weight is 0: a
        silent clip to the last class would train on wrong labels. Labels are data, so no error can be raised under `jit`.

    Raises:
        TypeError: logits that are not floating point, labels that are not integers.
        ValueError: other ranks, different batch sizes, an empty batch, smoothing outside [0, 1].

    References:
        Odena et al., "Conditional Image Synthesis with Auxiliary Classifier GANs", 2016.
    """
    check_float(logits=logits)
    check_rank(2, logits=logits)
    check_rank(1, labels=labels)
    check_not_empty(logits=logits)
    check_interval(0, 1, label_smoothing=label_smoothing)
    if not jnp.issubdtype(jnp.result_type(labels), jnp.integer):
        raise TypeError(f"labels must be integers; got {jnp.result_type(labels)}")
    if jnp.shape(logits)[0] != jnp.shape(labels)[0]:
        raise ValueError(f"logits and labels must have one batch size; got shapes {jnp.shape(logits)} and {jnp.shape(labels)}")
    logits, labels = to_compute_dtype(logits), jnp.asarray(labels)
    values = (1 - label_smoothing) * optax.softmax_cross_entropy_with_integer_labels(logits, jnp.clip(labels, 0, logits.shape[1] - 1))
    values -= label_smoothing * jnp.mean(jax.nn.log_softmax(logits), axis=-1)
    known = (labels >= 0) & (labels < logits.shape[1])
    values = jnp.where(known, values, jnp.nan)
    if weights is not None:
        # NaN times 0 is NaN.
        values = jnp.where(per_example("weights", weights, values) == 0, 0.0, values)
    return weigh(values, weights)


def feature_matching_loss(real_features: PyTree, fake_features: PyTree, *, axis_name: str | tuple[str, ...] | None = None) -> Array:
    """Squared distance between the mean features of reals and of fakes: || E f(x) - E f(G(z)) ||^2.

    E is the mean over the batch, the norm runs over all other axes, and several feature maps add up. The only
    loss of this package with one value for the whole batch: a mean over the batch has no value per example.
    The generator minimises it in place of, or beside, its adversarial loss.

    Conventions: the sum over features is the paper's norm; many codebases take a mean (`mse_loss`), smaller by the
    number of features. pix2pixHD's loss of this name compares example by example, with L1: see `l1_loss`.

    Args:
        real_features: float [batch, ...], or a pytree of such, e.g. `DiscriminatorOutput.features`.
        fake_features: the same structure and shapes; only the batch sizes may differ.
        axis_name: mapped axes to average the features over as well, inside `shard_map`, `pmap` or `vmap`.

    Returns:
        One value, [], float32 or wider.

    Raises:
        TypeError: features that are not floating point.
        ValueError: structures or shapes that differ, no features, an empty batch.

    References:
        Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.1.
    """
    total = 0.0
    for name, real, fake in paired_leaves(real_features, fake_features):
        if real.ndim < 1 or real.shape[1:] != fake.shape[1:]:
            raise ValueError(f"real_features and fake_features{name} must be [batch, ...] of one shape; got {real.shape} and {fake.shape}")
        difference = jnp.mean(real, axis=0) - jnp.mean(fake, axis=0)
        if axis_name is not None:
            difference = jax.lax.pmean(difference, axis_name)
        total += jnp.sum(difference**2)
    return total
