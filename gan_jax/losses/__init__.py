"""Loss functions for GAN training, and the table `ADVERSARIAL` of adversarial losses.

All losses are pure functions. They return one value per logit or per example, and the caller reduces them. The exception is
`feature_matching_loss`, which returns one value per batch.

`ADVERSARIAL[name]` is an `AdversarialLoss(discriminator, generator)`. Three sets declare what some rows need in addition:

- `TAKES_TARGETS`: Both functions accept `real_target` and `fake_target`, for soft and flipped labels. G's loss uses
  `real_target` as the label that it wants for its fakes. Only the minimax loss of G uses `fake_target` instead.
- `RELATIVISTIC`: G's loss also needs the logits of the reals.
- `COUPLES_EXAMPLES`: Each value depends on the whole batch. Both functions accept `axis_name` for use inside `shard_map`.
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
    return AdversarialLoss(
        partial(relativistic_average_discriminator_loss, base=base),
        partial(relativistic_average_generator_loss, base=base),
    )


ADVERSARIAL: dict[str, AdversarialLoss] = {
    "minimax": AdversarialLoss(minimax_discriminator_loss, minimax_generator_loss),
    "non_saturating": AdversarialLoss(non_saturating_discriminator_loss, non_saturating_generator_loss),
    "least_squares": AdversarialLoss(least_squares_discriminator_loss, least_squares_generator_loss),
    "wasserstein": AdversarialLoss(wasserstein_discriminator_loss, wasserstein_generator_loss),
    "hinge": AdversarialLoss(hinge_discriminator_loss, hinge_generator_loss),
    "relativistic": AdversarialLoss(relativistic_discriminator_loss, relativistic_generator_loss),
    "relativistic_average": AdversarialLoss(relativistic_average_discriminator_loss, relativistic_average_generator_loss),
    "relativistic_average_least_squares": _relativistic_average("least_squares"),
    "relativistic_average_hinge": _relativistic_average("hinge"),
}

TAKES_TARGETS = frozenset({"minimax", "non_saturating", "least_squares"})
RELATIVISTIC = frozenset(name for name in ADVERSARIAL if name.startswith("relativistic"))
COUPLES_EXAMPLES = frozenset(name for name in ADVERSARIAL if name.startswith("relativistic_average"))

__all__ = [
    "ADVERSARIAL",
    "COUPLES_EXAMPLES",
    "RELATIVISTIC",
    "TAKES_TARGETS",
    "auxiliary_classifier_loss",
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
