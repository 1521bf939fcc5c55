"""Penalties on gradients, weights and consistency, as pure functions.

Penalties on a `critic` return one value per example. Penalties on weights return one value per parameter tree.

`PENALTIES[name]` gives every penalty of D on a batch of reals and a batch of fakes the same signature
`(critic, real, fake, rng)`. The following need other arguments and are available as functions only:

- `lecam_penalty` (needs the anchors in its state)
- `latent_consistency_penalty` (needs fakes of perturbed latents)
- `path_length_penalty` (of G)
- the penalties on weights
- `top_k_weights`
"""

from gan_jax._internal.input_gradient import guarded_norm, squared_norm, value_and_input_gradient
from gan_jax.penalties.consistency import (
    LecamState,
    balanced_consistency_penalty,
    consistency_penalty,
    drift_penalty,
    init_lecam,
    latent_consistency_penalty,
    latent_diversity_loss,
    lecam_penalty,
    perturb_latents,
    random_flip_shift,
    update_lecam,
)
from gan_jax.penalties.cutmix import cutmix_consistency, cutmix_loss, cutmix_mask, draw_cutmix_masks, mix_images
from gan_jax.penalties.gradient import (
    dragan_penalty,
    gradient_penalty,
    r1_penalty,
    r2_penalty,
    random_interpolates,
    zero_centered_gradient_penalty,
)
from gan_jax.penalties.path_length import path_length_penalty
from gan_jax.penalties.registry import COUPLES_EXAMPLES, PENALTIES
from gan_jax.penalties.top_k import top_k_count, top_k_weights
from gan_jax.penalties.weights import (
    SpectralPenaltyState,
    init_spectral_norm_penalty,
    orthogonal_penalty,
    spectral_norm_penalty,
)

__all__ = [
    "COUPLES_EXAMPLES",
    "PENALTIES",
    "LecamState",
    "SpectralPenaltyState",
    "balanced_consistency_penalty",
    "consistency_penalty",
    "cutmix_consistency",
    "cutmix_loss",
    "cutmix_mask",
    "dragan_penalty",
    "draw_cutmix_masks",
    "drift_penalty",
    "gradient_penalty",
    "guarded_norm",
    "init_lecam",
    "init_spectral_norm_penalty",
    "latent_consistency_penalty",
    "latent_diversity_loss",
    "lecam_penalty",
    "mix_images",
    "orthogonal_penalty",
    "path_length_penalty",
    "perturb_latents",
    "r1_penalty",
    "r2_penalty",
    "random_flip_shift",
    "random_interpolates",
    "spectral_norm_penalty",
    "squared_norm",
    "top_k_count",
    "top_k_weights",
    "update_lecam",
    "value_and_input_gradient",
    "zero_centered_gradient_penalty",
]
