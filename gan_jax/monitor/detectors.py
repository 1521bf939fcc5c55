"""The table of detectors, one per failure. They are pure functions of the metrics of a run.

A detector is called with the history after each record. It returns a `Detection` or None. Thresholds without a reference were measured,
see the table of failures in docs/monitor.md.
"""

from gan_jax.monitor import sample_detectors as samples
from gan_jax.monitor import training_detectors as training
from gan_jax.monitor.history import Detector

# In the order of `gan_jax.monitor.advice.ADVICE`.
DETECTORS: dict[str, Detector] = {
    "non_finite": training.non_finite,
    "labels_out_of_range": training.labels_out_of_range,
    "images_not_normalised": training.images_not_normalised,
    "mixed_batches": training.mixed_batches,
    "repeated_batch": training.repeated_batch,
    "labels_swapped": training.labels_swapped,
    "bounded_logits": training.bounded_logits,
    "generator_frozen": training.frozen("generator"),
    "discriminator_frozen": training.frozen("discriminator"),
    "updates_too_large": training.updates_too_large,
    "lipschitz_violated": samples.lipschitz_violated,
    "critic_not_optimal": samples.critic_not_optimal,
    "discriminator_won": training.discriminator_won,
    "generator_won_with_garbage": training.generator_won(True),
    "generator_won_with_quality": training.generator_won(False),
    "generator_loss_falling": training.generator_loss_falling,
    "stale_fakes": training.stale_fakes,
    "mode_collapse": samples.mode_collapse,
    "class_collapse": samples.class_collapse,
    "few_dimensions": samples.few_dimensions,
    "memorisation": samples.memorisation,
    "large_gradients": training.large_gradients,
    "vanishing_generator_gradient": training.vanishing_generator_gradient,
    "unstable_discriminator": training.unstable_discriminator,
    "oscillation": training.oscillation,
    "adversarial_dominates": training.dominates("adversarial_dominates"),
    "task_dominates": training.dominates("task_dominates"),
    "saturated_output": samples.saturated_output,
    "checkerboard": samples.checkerboard,
    "dead_ema": samples.dead_ema,
}
