"""The typed configuration of a run; every field is a flag. `gan_jax.trainer.build.gan` makes functions of its names."""

from gan_jax.trainer.config.devices import DistributedConfig, ParallelConfig
from gan_jax.trainer.config.io import from_dict, load_config, save_config, to_dict
from gan_jax.trainer.config.schema import (
    NOT_OF_THE_RUN,
    Config,
    DataConfig,
    EvaluationConfig,
    InputConfig,
    LossConfig,
    ModelConfig,
    MonitorConfig,
    PenaltyConfig,
    StrategyConfig,
    TransformConfig,
    TturConfig,
)
from gan_jax.trainer.config.validate import ConfigError, check, flag, flatten

__all__ = [
    "NOT_OF_THE_RUN",
    "Config",
    "ConfigError",
    "DataConfig",
    "DistributedConfig",
    "EvaluationConfig",
    "InputConfig",
    "LossConfig",
    "ModelConfig",
    "MonitorConfig",
    "ParallelConfig",
    "PenaltyConfig",
    "StrategyConfig",
    "TransformConfig",
    "TturConfig",
    "check",
    "flag",
    "flatten",
    "from_dict",
    "load_config",
    "save_config",
    "to_dict",
]
