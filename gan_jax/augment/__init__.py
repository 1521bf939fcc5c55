"""Transformations of the images that D receives, real and fake alike: noise, augmentation, packing.

Every factory returns an `Augmentation(init, apply, update)`. `AUGMENTATIONS[name]` is the factory of that name.
`diff_augment` and `adaptive_augment` accept images `[batch, height, width, channels]`. `instance_noise` and `pack` also
accept points `[batch, dim]`.
"""

from collections.abc import Callable

from gan_jax.augment.adaptive import AdaptiveState, adaptive_augment
from gan_jax.augment.diffaugment import diff_augment
from gan_jax.augment.noise import instance_noise
from gan_jax.augment.packing import pack
from gan_jax.typing import Augmentation

AUGMENTATIONS: dict[str, Callable[..., Augmentation]] = {
    "instance_noise": instance_noise,
    "diff_augment": diff_augment,
    "adaptive_augment": adaptive_augment,
    "pack": pack,
}

__all__ = ["AUGMENTATIONS", "AdaptiveState", "adaptive_augment", "diff_augment", "instance_noise", "pack"]
