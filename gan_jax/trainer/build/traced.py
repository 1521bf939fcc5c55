"""Numbers of a configuration that can be traced, so that one compiled program trains runs with different values of them.

A traced number may only be multiplied or compared under `jnp`. A weight of 0 leaves its term out of the program, so only weights above
0 are traced.
"""

from collections.abc import Mapping
from typing import Any

from gan_jax.trainer.config import Config, flatten, replace_field

_RATES = ("optimizer.generator_lr", "optimizer.discriminator_lr")
_MOMENTS = ("optimizer.b1", "optimizer.b2")
_WEIGHTS = (
    "optimizer.ema_decay",
    "loss.adversarial_weight",
    *(f"loss.{name}" for name in ("feature_matching", "classifier", "reconstruction", "feature_reconstruction", "kl")),
    *(f"loss.{name}" for name in ("data_to_data", "contrastive", "total_variation", "perceptual", "style", "cycle", "identity")),
    *(f"penalty.{name}" for name in ("wgan_gp", "r1", "r2", "zero_centered", "dragan", "spectral", "lecam")),
    *(f"penalty.{name}" for name in ("orthogonal_generator", "orthogonal_discriminator", "consistency", "balanced_consistency")),
    *(f"penalty.{name}" for name in ("latent_consistency", "latent_diversity")),
)


def traceable(config: Config) -> tuple[str, ...]:
    """Paths of the fields of a configuration whose values can be traced."""
    values = flatten(config)
    moments = () if config.optimizer.b2_final is not None else _MOMENTS
    return (*_RATES, *moments, *(path for path in _WEIGHTS if values[path]))


def is_on(weight: Any) -> bool:
    """Whether a weight is not 0. A traced weight is not 0."""
    return bool(weight) if isinstance(weight, int | float) else weight is not None


def with_traced(config: Config, traced: Mapping[str, Any] | None) -> Config:
    """The configuration with traced numbers in some fields. It can be built, but neither checked nor saved.

    Raises:
        ValueError: A field cannot be traced.
    """
    for path, value in (traced or {}).items():
        if path not in traceable(config):
            raise ValueError(f"{path} cannot be traced here; traceable are {', '.join(traceable(config))}")
        config = replace_field(config, path, value)
    return config
