"""Transformations of the images that D receives: noise, augmentation, packing, and fakes among the reals.

Every factory in `AUGMENTATIONS` returns an `Augmentation(init, apply, update)`. `AUGMENTATIONS[name]` is the factory of that name.
`diff_augment` and `adaptive_augment` accept images `[batch, height, width, channels]`. `instance_noise` and `pack` also
accept points `[batch, dim]`.

`pseudo_augment` (APA) changes the reals only. It is a `PseudoAugmentation`, and accepts arrays of any shape.
"""

from collections.abc import Callable

from gan_jax.augment.adaptive import AdaptiveState, adaptive_augment
from gan_jax.augment.diffaugment import diff_augment
from gan_jax.augment.noise import instance_noise
from gan_jax.augment.packing import pack
from gan_jax.augment.pseudo import mix_pseudo, pseudo_augment
from gan_jax.typing import Augmentation

AUGMENTATIONS: dict[str, Callable[..., Augmentation]] = {
    "instance_noise": instance_noise,
    "diff_augment": diff_augment,
    "adaptive_augment": adaptive_augment,
    "pack": pack,
}

__all__ = ["AUGMENTATIONS", "AdaptiveState", "adaptive_augment", "diff_augment", "instance_noise", "mix_pseudo", "pack", "pseudo_augment"]
