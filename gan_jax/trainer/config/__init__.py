"""The typed configuration of a run; every field is a flag. `gan_jax.trainer.build.gan` makes functions of its names."""

from gan_jax.trainer.config.devices import DistributedConfig, ParallelConfig
from gan_jax.trainer.config.io import from_dict, load_config, save_config, to_dict
from gan_jax.trainer.config.schema import (
    CHANGEABLE_ON_RESUME,
    AugmentConfig,
    Config,
    DataConfig,
    EvaluationConfig,
    LossConfig,
    ModelConfig,
    MonitorConfig,
    OptimizerConfig,
    PenaltyConfig,
    ReplayConfig,
    TransformConfig,
    UpdateConfig,
)
from gan_jax.trainer.config.validate import ConfigError, check, flag, flatten

__all__ = [
    "CHANGEABLE_ON_RESUME",
    "AugmentConfig",
    "Config",
    "ConfigError",
    "DataConfig",
    "DistributedConfig",
    "EvaluationConfig",
    "LossConfig",
    "ModelConfig",
    "MonitorConfig",
    "OptimizerConfig",
    "ParallelConfig",
    "PenaltyConfig",
    "ReplayConfig",
    "TransformConfig",
    "UpdateConfig",
    "check",
    "flag",
    "flatten",
    "from_dict",
    "load_config",
    "save_config",
    "to_dict",
]
