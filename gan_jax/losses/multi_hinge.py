"""Multi-hinge loss: adversarial loss of a discriminator with one logit for each class and one more for the fakes."""

import jax
import jax.numpy as jnp

from gan_jax.losses.auxiliary import check_class_logits
from gan_jax.typing import Array


def multi_hinge_loss(class_logits: Array, labels: Array) -> Array:
    """Multi-class hinge loss of Crammer and Singer: max(0, 1 + max of l_k over k != y - l_y).

    It is 0 if the logit of the label is larger than every other one by at least 1.

    Args:
        class_logits: l, float [batch, classes], at least two classes.
        labels: y, int [batch], in [0, classes).

    Returns:
        One value per example, [batch], float32 or wider. The value is NaN if a label is outside [0, classes).

    Raises:
        TypeError: The logits are not floating point, or the labels are not integers.
        ValueError: The shapes do not fit, the batch is empty, or there is one class only.

    References:
        Crammer and Singer, "On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines", 2001.
        Kavalerov et al., "A Multi-Class Hinge Loss for Conditional GANs", 2021.
    """
    logits, labels = check_class_logits(class_logits, labels)
    if logits.shape[1] < 2:
        raise ValueError(f"class_logits must have at least two classes; got shape {logits.shape}")
    own = jnp.arange(logits.shape[1]) == labels[:, None]
    wrong = jnp.max(jnp.where(own, -jnp.inf, logits), axis=1)
    right = jnp.sum(jnp.where(own, logits, 0.0), axis=1)
    known = (labels >= 0) & (labels < logits.shape[1])
    return jnp.where(known, jax.nn.relu(1 + wrong - right), jnp.nan)


def multi_hinge_discriminator_loss(real_class_logits: Array, fake_class_logits: Array, labels: Array) -> Array:
    """Multi-hinge loss of the discriminator: that of the reals with their classes, plus that of the fakes with the class "fake".

    Args:
        real_class_logits: float [batch, classes + 1]. The last logit is that of the fakes.
        fake_class_logits: The same for the fakes.
        labels: Classes of the reals, int [batch].

    Returns:
        One value per pair, [batch], float32 or wider.

    Raises:
        TypeError, ValueError: As `multi_hinge_loss`.

    References:
        Kavalerov et al., "A Multi-Class Hinge Loss for Conditional GANs", 2021.
        Code: POSTECH-CVLab/PyTorch-StudioGAN, `crammer_singer_loss`, commit 947b35e.
    """
    fake = jnp.full(fake_class_logits.shape[:1], fake_class_logits.shape[-1] - 1, jnp.int32)
    return multi_hinge_loss(real_class_logits, labels) + multi_hinge_loss(fake_class_logits, fake)


def multi_hinge_generator_loss(fake_class_logits: Array, labels: Array) -> Array:
    """Multi-hinge loss of the generator: that of the fakes with the classes that G was given.

    The published settings weigh it with 0.05 beside feature matching.

    Args:
        fake_class_logits: float [batch, classes + 1]. The last logit is that of the fakes.
        labels: Classes that G was given, int [batch].

    Returns:
        One value per fake, [batch], float32 or wider.

    Raises:
        TypeError, ValueError: As `multi_hinge_loss`.

    References:
        Kavalerov et al., "A Multi-Class Hinge Loss for Conditional GANs", 2021.
    """
    return multi_hinge_loss(fake_class_logits, labels)
