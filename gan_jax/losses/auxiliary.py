"""Auxiliary losses computed from the discriminator's class logits and features."""

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from gan_jax._internal.checks import check_float, check_interval, check_not_empty, check_rank
from gan_jax.losses.common import paired_leaves, per_example, to_compute_dtype, weigh
from gan_jax.typing import Array, PyTree


def auxiliary_classifier_loss(logits: Array, labels: Array, *, label_smoothing: float = 0.0, weights: ArrayLike | None = None) -> Array:
    """Cross-entropy of the discriminator's classifier: -log softmax(logits)[label].

    In AC-GAN both players minimise it. D uses reals and fakes, and G uses fakes. In StudioGAN's AC-GAN (commit 947b35e) D uses only reals.
    With label smoothing s the target is (1 - s) one_hot(label) + s / classes.

    Args:
        logits: Class logits, float [batch, classes].
        labels: Class labels, int [batch], in [0, classes).
        label_smoothing: Label smoothing s, in [0, 1].
        weights: Weight per example. Weight 0 excludes an example whatever its label, for example unlabelled ones (-1).

    Returns:
        One value per example, [batch], float32 or wider. The value is NaN if a label is outside [0, classes) and its weight
        is not 0. Labels are data, so no error can be raised under `jit`, and clipping the label to the last class would
        silently train on wrong labels.

    Raises:
        TypeError: The logits are not floating point, or the labels are not integers.
        ValueError: The ranks are wrong, the batch sizes differ, the batch is empty, or the smoothing is outside [0, 1].

    References:
        Odena et al., "Conditional Image Synthesis with Auxiliary Classifier GANs", 2016.
    """
    check_interval(0, 1, label_smoothing=label_smoothing)
    logits, labels = check_class_logits(logits, labels)
    values = (1 - label_smoothing) * optax.softmax_cross_entropy_with_integer_labels(logits, jnp.clip(labels, 0, logits.shape[1] - 1))
    values -= label_smoothing * jnp.mean(jax.nn.log_softmax(logits), axis=-1)
    known = (labels >= 0) & (labels < logits.shape[1])
    values = jnp.where(known, values, jnp.nan)
    if weights is not None:
        # Select with `where`, because NaN times 0 is NaN.
        values = jnp.where(per_example("weights", weights, values) == 0, 0.0, values)
    return weigh(values, weights)


def check_class_logits(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Returns class logits [batch, classes] in their compute type, and integer labels [batch]."""
    check_float(logits=logits)
    check_rank(2, logits=logits)
    check_rank(1, labels=labels)
    check_not_empty(logits=logits)
    if not jnp.issubdtype(jnp.result_type(labels), jnp.integer):
        raise TypeError(f"labels must be integers; got {jnp.result_type(labels)}")
    if jnp.shape(logits)[0] != jnp.shape(labels)[0]:
        raise ValueError(f"logits and labels must have one batch size; got shapes {jnp.shape(logits)} and {jnp.shape(labels)}")
    return to_compute_dtype(logits), jnp.asarray(labels)


def feature_matching_loss(real_features: PyTree, fake_features: PyTree, *, axis_name: str | tuple[str, ...] | None = None) -> Array:
    """Squared distance between the mean features of reals and fakes: || E f(x) - E f(G(z)) ||^2.

    E is the mean over the batch. The norm covers all other axes, and the values of several feature maps are summed. The
    generator minimises this loss instead of its adversarial loss, or in addition to it.

    The result is one value for the whole batch, because a batch mean has no value per example. All other losses of this
    package return one value per logit or per example.

    The sum over features is the paper's norm. Many codebases use a mean (`mse_loss`), which is smaller by the number of
    features. The loss of the same name in pix2pixHD compares example by example with L1. Use `l1_loss` for that.

    Args:
        real_features: Features of reals, float [batch, ...], or a pytree of such, e.g. `DiscriminatorOutput.features`.
        fake_features: Features of fakes with the same structure and shapes. Only the batch sizes may differ.
        axis_name: Mapped axes over which the features are also averaged, inside `shard_map`, `pmap` or `vmap`.

    Returns:
        One value, [], float32 or wider.

    Raises:
        TypeError: The features are not floating point.
        ValueError: The structures or shapes differ, there are no features, or the batch is empty.

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
