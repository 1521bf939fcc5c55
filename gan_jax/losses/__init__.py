"""Loss functions for GAN training, and the table `ADVERSARIAL` of adversarial losses.

All losses are pure functions. They return one value per logit or per example, and the caller reduces them. The exception is
`feature_matching_loss` and `adaptive_weight`, which return one value per batch.

`ADVERSARIAL[name]` is an `AdversarialLoss(discriminator, generator)`, whose fields declare what a row needs in addition. A loss
that takes targets gives G the label `real_target` for its fakes. Only the minimax loss of G uses `fake_target` instead.
`MULTICLASS` is the table of adversarial losses of class logits and labels instead of logits.
`TAKES_TARGETS`, `RELATIVISTIC` (the rows that need the logits of the reals) and `COUPLES_EXAMPLES` are the names of these rows.
"""

from functools import partial

from gan_jax.losses.adversarial import (
    hinge_discriminator_loss,
    hinge_generator_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
    minimax_discriminator_loss,
    minimax_generator_loss,
    non_saturating_discriminator_loss,
    non_saturating_generator_loss,
    wasserstein_discriminator_loss,
    wasserstein_generator_loss,
)
from gan_jax.losses.auxiliary import auxiliary_classifier_loss, feature_matching_loss
from gan_jax.losses.balance import adaptive_weight
from gan_jax.losses.contrastive import conditional_contrastive_loss, data_to_data_cross_entropy_loss
from gan_jax.losses.multi_hinge import multi_hinge_discriminator_loss, multi_hinge_generator_loss, multi_hinge_loss
from gan_jax.losses.reconstruction import (
    gram_matrix,
    kl_divergence,
    l1_loss,
    l2_loss,
    perceptual_loss,
    style_loss,
    total_variation_loss,
)
from gan_jax.losses.relativistic import (
    relativistic_average_discriminator_loss,
    relativistic_average_generator_loss,
    relativistic_discriminator_loss,
    relativistic_generator_loss,
)
from gan_jax.losses.targets import flip_targets, soft_targets
from gan_jax.typing import AdversarialLoss


def _relativistic_average(base: str) -> AdversarialLoss:
    discriminator = partial(relativistic_average_discriminator_loss, base=base)
    generator = partial(relativistic_average_generator_loss, base=base)
    return AdversarialLoss(discriminator, generator, needs_real=True, couples_examples=True, compared_with="mean")


ADVERSARIAL: dict[str, AdversarialLoss] = {
    "minimax": AdversarialLoss(minimax_discriminator_loss, minimax_generator_loss, takes_targets=True),
    "non_saturating": AdversarialLoss(non_saturating_discriminator_loss, non_saturating_generator_loss, takes_targets=True),
    "least_squares": AdversarialLoss(least_squares_discriminator_loss, least_squares_generator_loss, takes_targets=True),
    "wasserstein": AdversarialLoss(wasserstein_discriminator_loss, wasserstein_generator_loss),
    "hinge": AdversarialLoss(hinge_discriminator_loss, hinge_generator_loss),
    "relativistic": AdversarialLoss(relativistic_discriminator_loss, relativistic_generator_loss, needs_real=True, compared_with="pair"),
    "relativistic_average": _relativistic_average("logistic"),
    "relativistic_average_least_squares": _relativistic_average("least_squares"),
    "relativistic_average_hinge": _relativistic_average("hinge"),
}

MULTICLASS: dict[str, AdversarialLoss] = {
    "multi_hinge": AdversarialLoss(multi_hinge_discriminator_loss, multi_hinge_generator_loss, takes_classes=True),
}

TAKES_TARGETS = frozenset(name for name, loss in ADVERSARIAL.items() if loss.takes_targets)
RELATIVISTIC = frozenset(name for name, loss in ADVERSARIAL.items() if loss.needs_real)
COUPLES_EXAMPLES = frozenset(name for name, loss in ADVERSARIAL.items() if loss.couples_examples)

__all__ = [
    "ADVERSARIAL",
    "COUPLES_EXAMPLES",
    "MULTICLASS",
    "RELATIVISTIC",
    "TAKES_TARGETS",
    "adaptive_weight",
    "auxiliary_classifier_loss",
    "conditional_contrastive_loss",
    "data_to_data_cross_entropy_loss",
    "feature_matching_loss",
    "flip_targets",
    "gram_matrix",
    "hinge_discriminator_loss",
    "hinge_generator_loss",
    "kl_divergence",
    "l1_loss",
    "l2_loss",
    "least_squares_discriminator_loss",
    "least_squares_generator_loss",
    "minimax_discriminator_loss",
    "minimax_generator_loss",
    "multi_hinge_discriminator_loss",
    "multi_hinge_generator_loss",
    "multi_hinge_loss",
    "non_saturating_discriminator_loss",
    "non_saturating_generator_loss",
    "perceptual_loss",
    "relativistic_average_discriminator_loss",
    "relativistic_average_generator_loss",
    "relativistic_discriminator_loss",
    "relativistic_generator_loss",
    "soft_targets",
    "style_loss",
    "total_variation_loss",
    "wasserstein_discriminator_loss",
    "wasserstein_generator_loss",
]
