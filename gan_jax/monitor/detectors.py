"""The table of detectors, pure functions of the stream of a run's metrics: one a failure.

A detector looks at the history after each record and says since when, on what evidence and how surely, or None. Thresholds that are not
of a reference are measured: see the table of failures in docs/monitor.md.
"""

from gan_jax.monitor.history import Detector
from gan_jax.monitor.sample_detectors import (
    checkerboard,
    class_collapse,
    critic_not_optimal,
    dead_ema,
    few_dimensions,
    lipschitz_violated,
    memorisation,
    mode_collapse,
    saturated_output,
)
from gan_jax.monitor.training_detectors import (
    discriminator_won,
    dominates,
    frozen,
    generator_loss_falling,
    generator_won,
    images_not_normalised,
    labels_swapped,
    large_gradients,
    mixed_batches,
    non_finite,
    oscillation,
    repeated_batch,
    stale_fakes,
    unstable_discriminator,
    updates_too_large,
    vanishing_generator_gradient,
)

# In the order of `gan_jax.monitor.advice.ADVICE`.
DETECTORS: dict[str, Detector] = {
    "non_finite": non_finite,
    "images_not_normalised": images_not_normalised,
    "mixed_batches": mixed_batches,
    "repeated_batch": repeated_batch,
    "labels_swapped": labels_swapped,
    "generator_frozen": frozen("generator"),
    "discriminator_frozen": frozen("discriminator"),
    "updates_too_large": updates_too_large,
    "lipschitz_violated": lipschitz_violated,
    "critic_not_optimal": critic_not_optimal,
    "discriminator_won": discriminator_won,
    "generator_won_with_garbage": generator_won(True),
    "generator_won_with_quality": generator_won(False),
    "generator_loss_falling": generator_loss_falling,
    "stale_fakes": stale_fakes,
    "mode_collapse": mode_collapse,
    "class_collapse": class_collapse,
    "few_dimensions": few_dimensions,
    "memorisation": memorisation,
    "large_gradients": large_gradients,
    "vanishing_generator_gradient": vanishing_generator_gradient,
    "unstable_discriminator": unstable_discriminator,
    "oscillation": oscillation,
    "adversarial_dominates": dominates("adversarial_dominates"),
    "task_dominates": dominates("task_dominates"),
    "saturated_output": saturated_output,
    "checkerboard": checkerboard,
    "dead_ema": dead_ema,
}
