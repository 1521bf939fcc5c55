"""Losses as pure functions, one value per logit or per example, and the table of the adversarial ones.

`ADVERSARIAL[name]` is an `AdversarialLoss(discriminator, generator)`. Some rows need more than the common form:

- `TAKES_TARGETS`: both halves take `real_target` and `fake_target` (soft and flipped labels); what G aims at is its `real_target`,
  but in the minimax game, whose G looks at `fake_target` alone.
- `RELATIVISTIC`: the generator's half needs the logits of reals too.
- `COUPLES_EXAMPLES`: a value depends on the whole batch; these halves take `axis_name` under `shard_map`.
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
